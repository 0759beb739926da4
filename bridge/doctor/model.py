"""onnxruntime, what it runs on here, and the model bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bridge.doctor.finding import Figures, Finding, Request, Verdict
from engine.bundle import Bundle
from engine.manifest import BundleError, Manifest, read_manifest
from engine.runtime import GraphError, ProviderError, available_providers

STREAMING_CODEC: Final = "spectral"


def check(request: Request) -> tuple[Finding, ...]:
    """Look at the bundle and at each provider with it."""
    built = ", ".join(available_providers())
    try:
        manifest = read_manifest(request.bundle)
    except BundleError as error:
        remedy = "name another bundle (--bundle), or install Backline or the bundle again"
        return (
            Finding("bundle", Verdict.BAD, str(error), remedy, {"folder": str(request.bundle)}),
            Finding("onnxruntime", Verdict.OK, f"built with {built}; not tried without a bundle"),
        )
    refusals = {name: refusal(request.bundle, name) for name in available_providers()}
    return judge_bundle(request.bundle, manifest), judge_providers(available_providers(), refusals)


def refusal(folder: Path, provider: str) -> str:
    """Return why `provider` does not run the bundle in `folder`; empty if it does."""
    try:
        Bundle.load(folder, (provider,), offline=False)
    except (ProviderError, GraphError, BundleError) as error:
        return str(error)
    return ""


def judge_bundle(folder: Path, manifest: Manifest) -> Finding:
    """Judge a bundle whose files are whole."""
    size_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    kind = manifest.codec.kind
    figures: Figures = {
        "folder": str(folder),
        "size_bytes": size_bytes,
        "codec": kind,
        "steps": manifest.sampling.steps,
        "guidance": manifest.sampling.guidance_scale,
        "hears_harmony": manifest.harmony is not None,
    }
    words = f"whole, {size_bytes / 1e6:.1f} MB, codec {kind}, made for {manifest.sampling.steps} steps"
    if kind != STREAMING_CODEC:
        remedy = "this codec is for bouncing alone; play live with a bundle whose codec is spectral (the factory's)"
        return Finding("bundle", Verdict.BAD, words, remedy, figures)
    if manifest.harmony is None:
        remedy = "chords are not read off the vocal: send them, or export the bundle with --harmony"
        return Finding("bundle", Verdict.WARNING, words, remedy, figures)
    return Finding("bundle", Verdict.OK, words, figures=figures)


def judge_providers(built: tuple[str, ...], refusals: dict[str, str]) -> Finding:
    """Judge what onnxruntime was built with and what of it runs.

    Args:
        built: names, as in `engine.runtime.PROVIDERS`.
        refusals: why each does not run; empty where it does.
    """
    running = [name for name in built if not refusals[name]]
    silent = [name for name in built if refusals[name]]
    figures: Figures = {"built_with": list(built), "running_providers": running, "refusals": refusals}
    words = f"runs on {', '.join(running) or 'nothing'}"
    if silent:
        words += f"; built with {', '.join(silent)} too, which is not here"
    if "cpu" not in running:
        words += f": {refusals.get('cpu', 'built without cpu')}"
        return Finding("onnxruntime", Verdict.BAD, words, "install onnxruntime and the bundle again", figures)
    return Finding("onnxruntime", Verdict.OK, words, figures=figures)
