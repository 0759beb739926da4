"""The process in which one check runs: `python -m bridge.doctor.child MODULE:FUNCTION REQUEST ANSWER_FILE`.

The answer goes to a file, for libraries write to standard output and standard error as they like.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from bridge.doctor.finding import Request, findings_to_json


def main(arguments: Sequence[str]) -> int:
    """Run the check that the arguments name, and return the exit code."""
    function, request, answer = arguments
    module, _, name = function.partition(":")
    findings = getattr(importlib.import_module(module), name)(Request.from_json(request))
    Path(answer).write_text(findings_to_json(findings), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
