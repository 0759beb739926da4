"""Checks in processes of their own: what hangs, crashes or fails is a finding, and never the end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bridge.doctor.finding import Finding, Request, Verdict, findings_from_json, findings_to_json, worst
from bridge.doctor.runner import CHECKS, Check, run_check, run_checks
from bridge.errors import UserError

REQUEST = Request(bundle=Path("bundle"), device="Card", port=9141)


def support(name: str, limit_seconds: float = 20.0) -> Check:
    return Check(name, f"tests.doctor_support:{name}", limit_seconds)


def test_an_answer_comes_back_whatever_the_child_prints() -> None:
    assert run_check(support("answer"), REQUEST) == (Finding("echo", Verdict.OK, "9141 ('cpu',) None"),)


def test_what_one_check_learns_later_ones_know() -> None:
    told: list[str] = []
    findings = run_checks(REQUEST, (support("teach"), support("answer")), told.append)
    assert findings[-1].words == "9141 ('cpu', 'cuda') 0.07"
    assert told == ["teach", "answer"]


def test_a_check_that_hangs_is_killed_in_time_and_quoted() -> None:
    start = time.monotonic()
    (found,) = run_check(support("hang", 1.5), REQUEST)
    assert time.monotonic() - start < 4.0
    assert found.verdict is Verdict.BAD
    assert found.words == "did not end within 1.5 s; its last words: waiting for the card"
    assert "restart the sound system" in found.remedy


def test_a_check_that_crashes_is_told_with_its_signal() -> None:
    (found,) = run_check(support("crash"), REQUEST)
    assert (found.name, found.verdict) == ("crash", Verdict.BAD)
    assert found.words.startswith("crashed with signal 6")


def test_a_check_that_fails_is_told_with_its_error() -> None:
    (found,) = run_check(support("fail"), REQUEST)
    assert found.words == "failed; its last words: RuntimeError: no such thing"
    assert "report it" in found.remedy


def test_requests_and_findings_survive_the_way_there_and_back() -> None:
    request = Request(Path("b"), "Card", "Loop", 7.5, 9000, ("cpu", "cuda"), 0.08)
    assert Request.from_json(request.to_json()) == request
    findings = (Finding("a", Verdict.WARNING, "w", "r", {"n": 1, "list": [{"x": None}]}),)
    assert findings_from_json(findings_to_json(findings)) == findings


def test_the_worst_verdict_counts() -> None:
    def all_of(*verdicts: Verdict) -> Verdict:
        return worst([Finding("", verdict, "") for verdict in verdicts])

    assert all_of() is Verdict.OK
    assert all_of(Verdict.WARNING, Verdict.OK) is Verdict.WARNING
    assert all_of(Verdict.BAD, Verdict.WARNING, Verdict.OK) is Verdict.BAD


@pytest.mark.parametrize("seconds", [0.5, 601.0, float("nan")])
def test_seconds_out_of_range_are_refused(seconds: float) -> None:
    with pytest.raises(UserError, match="give 1 to 600"):
        Request(Path("b"), seconds=seconds)


def test_every_check_has_a_limit_and_can_be_found() -> None:
    for check in CHECKS:
        module, _, name = check.function.partition(":")
        assert 0 < check.limit_seconds <= 300.0
        assert f"def {name}(" in Path(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
