"""Print constraints.txt: every version that the environment holds, without the project itself."""

from importlib.metadata import distributions

HEADER = """\
# Every version that the project is tested with: pip install -c constraints.txt -e '.[train,evaluate,dev]'
# `make constraints` writes this file anew from .venv."""
LEFT_OUT = {"backline", "pip", "wheel"}


def main() -> None:
    """Print a header and one line a distribution; onnxruntime is pinned for macOS too, where it has another name."""
    versions = {found.name: found.version.partition("+")[0] for found in distributions() if found.name not in LEFT_OUT}
    if "onnxruntime-gpu" in versions:
        versions["onnxruntime"] = versions["onnxruntime-gpu"]
    print(HEADER)
    for name in sorted(versions, key=str.lower):
        print(f"{name}=={versions[name]}")


if __name__ == "__main__":
    main()
