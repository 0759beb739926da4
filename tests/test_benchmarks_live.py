"""The live benchmarks' own judgement: what they count, work out and refuse."""

from __future__ import annotations

import math
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pytest

from benchmarks import live_reaction, live_soak_report, osc_latency
from benchmarks.live_clients import OscClient, long_vocal
from benchmarks.live_soak_report import Disturbance, LevelChange, SoakResult, ends_of, level_seconds, recovery_seconds
from benchmarks.live_support import HostShare, Program, quantiles_ms, slope_an_hour
from benchmarks.live_watch import HeldUp, tempo_jump_midi
from bridge.live.playing import Level
from bridge.live.status import ReactionTerms
from bridge.osc.wire import decode, encode
from bridge.tempo_map import read_tempo_map
from engine.band import Band
from engine.features import LOOKAHEAD_SAMPLES
from engine.geometry import LATENT_HOP_SAMPLES
from engine.live_chunk import ChunkPlan, Score
from engine.styles import STYLES
from engine.timeline import Timeline
from engine.wish import Wish

FRESH, BACKUP, SILENCE, RESTING = Level.FRESH, Level.BACKUP, Level.SILENCE, Level.RESTING


def levels(*changes: tuple[float, Level] | tuple[float, Level, int]) -> list[LevelChange]:
    return [LevelChange(change[0], change[1], True, change[2] if len(change) > 2 else 1) for change in changes]


def test_a_disturbance_is_looked_at_up_to_one_that_leaves_it_two_bars() -> None:
    seconds = (10.0, 10.5, 14.4, 20.0)
    disturbances = [Disturbance("stall", each, 2.0) for each in seconds]
    assert ends_of(disturbances, 30.0) == [14.4, 20.0, 20.0, 30.0]


def test_recovery_is_the_return_to_the_fresh_chunk_for_a_bar() -> None:
    changes = levels((0, FRESH), (11, BACKUP), (12, FRESH), (13, BACKUP), (14.5, FRESH), (30, BACKUP))
    assert recovery_seconds(changes, 10, 20, 2.0) == 4.5
    assert recovery_seconds(changes, 10, 20, 1.0) == 2.0, "what comes after a bar of fresh sound is another's doing"
    assert recovery_seconds(changes, 10, 13, 2.0) == 2.0, "up to the next disturbance"
    assert recovery_seconds(changes, 15, 20, 2.0) == 0.0
    assert recovery_seconds(changes, 10, 20, 0.4) == 0.0, "what comes two bars later is not its doing"
    assert recovery_seconds(changes, 8, 20, 2.0) == 6.5
    assert recovery_seconds(changes, 8, 20, 2.0, [10.5]) == 0.0, "well until something else went wrong"
    assert recovery_seconds(changes, 8, 20, 2.0, [9.5]) == 6.5, "sooner than a bar"
    assert recovery_seconds(changes, 13.5, 20, 2.0) == 1.0
    assert recovery_seconds(changes, 10, 14, 2.0) is None
    assert recovery_seconds(changes, 29, 40, 2.0) is None


def test_a_song_that_stands_needs_no_chunk() -> None:
    assert recovery_seconds([LevelChange(0, RESTING, False, 1)], 1, 2, 2.0) == 0.0
    assert recovery_seconds([LevelChange(0, RESTING, True, 1)], 1, 2, 2.0) is None


def test_silence_before_the_first_chunk_of_a_place_is_told_apart_from_silence_after_it() -> None:
    changes = levels(
        (0, FRESH), (10, RESTING, 2), (10.5, SILENCE, 2), (11, FRESH, 2), (12, SILENCE, 2), (12.25, FRESH, 2)
    )
    seconds = level_seconds(changes, 20.0)
    assert seconds[live_soak_report.COMING_IN] == 1.0
    assert seconds["silence"] == 0.25
    assert seconds["fresh"] == 10 + 1 + 7.75
    assert sum(seconds.values()) == 20.0


def good_result() -> SoakResult:
    return SoakResult(
        provenance="Commit abc; machine; day.",
        settings="2 steps",
        disturbed=False,
        seconds=1_800.0,
        on_time=9_999,
        late=1,
        late_at=((12.0, 30.0), (13.0, math.nan)),
        made=9_000,
        replayed=1_000,
        stood_in_seconds=0.05,
        underruns=0,
        underruns_before=3,
        underruns_at=(),
        level_seconds=level_seconds([], 0.0),
        making_ms=(1.0, 2.0, 3.0, 4.0),
        round_trip_ms=(1.0, 2.0, 3.0, 4.0),
        pings=18_000,
        pings_lost=0,
        heartbeats={"fresh": 1_800},
        vocal=dict.fromkeys(
            ("packets", "lost_packets", "late", "duplicate", "reordered", "jumps", "other_stream", "overflow", "bad"), 0
        ),
        rss_mb=(400.0, 450.0, 450.5),
        rss_minutes_mb=(400.0, 450.0),
        growth_mb_hour=1.0,
        growth_error_mb_hour=1.0,
        disturbances=(),
        sender_ends=(),
        latency_ms={"total_seconds": 80.0},
    )


def test_a_good_run_has_no_fault_and_its_table_and_details_say_what_happened() -> None:
    result = good_result()
    assert live_soak_report.faults(result) == []
    assert "9999 on time, 1 late: 99.990%" in live_soak_report.table(result)
    assert "3 before" in live_soak_report.table(result)
    assert live_soak_report.details(result).splitlines() == [
        "late at 12.0 s by 30 ms",
        "late at 13.0 s so that the chunk was passed over",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"underruns": 1}, "1 underruns"),
        ({"late": 11}, "99.890% of chunks"),
        ({"growth_mb_hour": 6.1}, "memory grows by +6.1 MB/h"),
        ({"level_seconds": {**level_seconds([], 0.0), "silence": 0.1}}, "0.10 s of silence"),
        ({"sender_ends": ("at 3 s: code 1",)}, "ended by itself: at 3 s"),
        ({"on_time": 0, "late": 0}, "no chunk was due"),
    ],
)
def test_each_floor_that_does_not_hold_is_a_fault(change: dict[str, object], words: str) -> None:
    (fault,) = live_soak_report.faults(replace(good_result(), **change))  # type: ignore[arg-type]
    assert words in fault


def test_growth_within_its_error_is_none() -> None:
    assert live_soak_report.faults(replace(good_result(), growth_mb_hour=19.0, growth_error_mb_hour=8.0)) == []


def test_memory_is_not_judged_on_a_short_run() -> None:
    assert live_soak_report.faults(replace(good_result(), growth_mb_hour=900.0, seconds=40.0)) == []


def test_a_disturbance_must_be_mended_within_two_bars_and_reported() -> None:
    stall = Disturbance("stall", 10.0, 2.6, 1.9, ["fresh -> backup: the next chunk is not there"])
    for each, faults in (
        (stall, []),
        (replace(stall, bars=2.1), ["fresh again after 2.10 bars"]),
        (replace(stall, bars=None), ["not fresh before the next"]),
        (replace(stall, words=["tempo 118 bpm at beat 28.00"]), ["was not reported"]),
        (replace(stall, seconds=1_796.0, bars=None, words=[]), []),
    ):
        found = live_soak_report.faults(replace(good_result(), disturbed=True, late=900, disturbances=(each,)))
        assert len(found) == len(faults)
        assert all(words in fault for words, fault in zip(faults, found, strict=True))


def test_the_tempo_map_jumps_where_it_says(tmp_path: Path) -> None:
    (tmp_path / "jump.mid").write_bytes(tempo_jump_midi(28, 92.0, 118.0))
    timeline = read_tempo_map(tmp_path / "jump.mid", None)
    assert [beat for beat, _ in timeline.tempos] == [0.0, 28.0]
    assert [bpm for _, bpm in timeline.tempos] == pytest.approx([92.0, 118.0], abs=1e-3)


def test_a_band_is_held_up_once_and_otherwise_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Quick:
        def make(self, plan: ChunkPlan, score: Score, progress: object) -> str:
            return f"{plan.first_frame}"

        def remembers(self, start_frame: int, frames: int) -> bool:
            return start_frame == frames

    slept: list[float] = []
    monkeypatch.setattr("benchmarks.live_watch.time.sleep", slept.append)
    band = HeldUp(cast(Band, Quick()))
    band.stall_seconds = 2.0
    plan, score = ChunkPlan(8, 8, 0, 0), Score(Timeline.constant(92.0), Wish())
    assert [band.make(plan, score), band.make(plan, score)] == ["8", "8"]
    assert slept == [2.0, 0.0]
    assert cast(Band, band).remembers(3, 3)


def test_figures() -> None:
    assert quantiles_ms([0.001, 0.002, 0.003], (0.5, 1.0)) == pytest.approx((2.0, 3.0))
    assert all(math.isnan(value) for value in quantiles_ms([]))
    assert slope_an_hour([0.0, 60.0, 120.0, 180.0], [5.0, 6.0, 7.0, 8.0]) == pytest.approx((60.0, 0.0), abs=1e-6)
    slope, error = slope_an_hour([0.0, 60.0, 120.0, 180.0], [5.0, 6.5, 6.5, 8.0])
    assert abs(slope - 60.0) < 2.0 * error < 30.0
    assert math.isnan(slope_an_hour([0.0, 1.0, 2.0], [5.0, 6.0, 7.0])[0])


def test_osc_floor_holds_for_each_command_and_for_all() -> None:
    good = {"/a": [0.001] * 100, "/b": [0.004] * 100}
    assert osc_latency.faults(good, 0) == []
    assert "| all | 200 |" in osc_latency.table(good)
    assert len(osc_latency.faults(good, 2)) == 1
    slow = {**good, "/c": [0.001] * 90 + [0.006] * 10}
    assert [fault.partition(":")[0] for fault in osc_latency.faults(slow, 0)] == ["/c", "all"]
    assert osc_latency.faults({"/a": []}, 0) != []


@pytest.fixture
def answering() -> Iterator[int]:
    """A port that answers `/x` with done, `/no` with an error, and never `/lost`; all after an older answer."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            data, client = server.recvfrom(1_024)
            (message,) = decode(data)
            if message.address == "/end":
                return
            number = message.values[-1]
            server.sendto(encode("/backline/done", ("/x", "#0", 1.0)), client)
            if message.address == "/x":
                server.sendto(encode("/backline/done", ("/x", number, 7.0)), client)
            if message.address == "/no":
                server.sendto(encode("/backline/error", ("/no", number, "code", "words")), client)

    thread = threading.Thread(target=answer)
    thread.start()
    port = server.getsockname()[1]
    yield port
    server.sendto(encode("/end"), ("127.0.0.1", port))
    thread.join()
    server.close()


def test_a_client_waits_for_the_answer_to_its_own_question(answering: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.live_clients.REPLY_SECONDS", 0.2)
    client = OscClient(answering)
    answered = client.request("/x", 1.0)
    assert answered is not None
    assert answered[1] == (7.0,)
    assert 0.0 < answered[0] < 0.2
    assert client.request("/lost") is None
    with pytest.raises(RuntimeError, match="words"):
        client.request("/no")
    client.close()


def test_another_process_is_read_and_ended() -> None:
    with Program(["-c", "print(5, flush=True); raise SystemExit('broken')"], reads=True) as program:
        assert list(program.lines()) == ["5\n"]
        program.kill()
        assert program.failed == "broken"
    with Program(["-c", "import time; time.sleep(60)"]) as program:
        assert program.failed == ""
    assert program.code not in (None, 0)


def made(
    roll: int, done: float, first_frame: int = 100, visible: int = 90, wish: Wish | None = None
) -> live_reaction.Made:
    return live_reaction.Made(roll, done - 0.1, done, first_frame, visible, wish or Wish())


def test_reaction_is_to_the_first_chunk_heard_that_was_made_with_it() -> None:
    stimulus = live_reaction.Stimulus(10.0, 10.1, lambda chunk: chunk.visible_end_frame > 95)
    position = 100 * LATENT_HOP_SAMPLES - 441
    entered = {
        number: live_reaction.Entered(10.5 + number / 10, 10.56 + number / 10, position) for number in (1, 2, 4, 5)
    }
    chunks = [
        made(1, 9.9, visible=99),  # made before it was sent
        made(2, 10.2),  # made without it
        made(3, 10.3, visible=96),  # never played
        made(4, 10.4, visible=96),
        made(5, 10.5, visible=97),
    ]
    terms = live_reaction.reaction(stimulus, chunks, entered)
    assert terms is not None
    assert terms.hearing == pytest.approx(0.1)
    assert terms.waiting == pytest.approx(0.2)
    assert terms.making == pytest.approx(0.1)
    assert terms.guard == pytest.approx(0.5)
    assert terms.sounding == pytest.approx(0.06 + 0.01)
    assert terms.total == pytest.approx(10.96 + 0.01 - 10.0)
    assert live_reaction.reaction(stimulus, chunks[:3], entered) is None


def test_a_note_is_known_when_its_frame_and_the_look_ahead_were_sent() -> None:
    frame = 5
    needed = (frame + 1) * LATENT_HOP_SAMPLES + LOOKAHEAD_SAMPLES
    sent = [(first, first + 256, first / 44_100) for first in range(0, needed + 256, 256)]
    onset = frame * LATENT_HOP_SAMPLES + 700
    (note,) = live_reaction.notes_of(sent, [onset, needed])
    assert note.sent_seconds == pytest.approx(onset // 256 * 256 / 44_100)
    assert note.known_seconds == pytest.approx((needed - 1) // 256 * 256 / 44_100)
    assert note.answers(made(1, 0.0, visible=frame + 1))
    assert not note.answers(made(1, 0.0, visible=frame))


def test_notes_are_found_where_someone_sings() -> None:
    onsets = live_reaction.sung_onsets(10.0)
    audio = long_vocal(10.0).audio
    assert len(onsets) > 20
    assert all(np.abs(audio[:, at : at + 4_410]).max() > 0.01 for at in onsets)


def test_each_control_has_another_value_that_a_chunk_is_known_by() -> None:
    for name in live_reaction.CONTROLS:
        values = [live_reaction.control_value(name, number) for number in range(5)]
        assert len(set(values)) == 5
        assert all(float(np.float32(value)) == value for value in values if isinstance(value, float))
    assert live_reaction.has_control("style", STYLES[0], made(1, 0.0, wish=Wish(style=STYLES[0])))
    assert not live_reaction.has_control("seed", 3, made(1, 0.0, wish=Wish(seed=2)))


def test_reaction_floor() -> None:
    quick = ReactionTerms(0.1, 0.2, 0.1, 0.1, 0.05)
    assert live_reaction.faults("notes", [quick] * 20) == []
    assert "| total | 550.0 |" in live_reaction.table([quick], quick)
    slow = replace(quick, waiting=0.4)
    assert "within 750 ms" in live_reaction.faults("notes", [slow] * 20)[0]
    assert "1 of 2 were never heard" in live_reaction.faults("notes", [quick, None])[0]
    assert "nothing was heard" in live_reaction.faults("notes", [None])[0]


def test_other_processes_are_this_python() -> None:
    with Program(["-c", "import sys; print(sys.executable)"], reads=True) as program:
        assert next(program.lines()).strip() == sys.executable


def test_what_the_host_kept_is_a_share_of_all_processors_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Times(NamedTuple):
        user: float
        idle: float
        steal: float

    told = iter([Times(10.0, 5.0, 1.0), Times(26.0, 8.0, 2.0), Times(26.0, 8.0, 2.0)])
    monkeypatch.setattr("benchmarks.live_support.psutil.cpu_times", lambda: next(told))
    host = HostShare()
    assert host.share == pytest.approx(1.0 / 20.0)
    assert "kept 5.0% of" in host.words
