"""What each OSC command does to a session, through the handlers that the service calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.click_band import ClickBand
from bridge.clock import ManualClock
from bridge.live.commands import Commands
from bridge.live.controls import ChordMark, Controls, Lock
from bridge.live.mixing_desk import Gate
from bridge.live.outside import Outside
from bridge.live.playing import Level
from bridge.live.session import LiveSession
from bridge.live.work import Shape
from bridge.midi.messages import ControlCall
from bridge.osc.calls import Call, CommandError
from bridge.osc.contract import BY_ADDRESS, METHODS, PREFIX
from bridge.osc.convert import convert
from bridge.osc.dispatch import check_coverage
from bridge.osc.method import OscValue
from bridge.osc.peers import ClientAddress
from bridge.sound.null import NullOutput
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ, STEMS
from engine.harmony import NO_CHORD, Chord, Key
from engine.live_chunk import Reseed
from engine.wish import Wish
from presets.store import load_preset, preset_files

CLIENT = ClientAddress("127.0.0.1", 50_000)
BPM = 240.0  # a bar of a second
BEAT_SAMPLES = 11_025
ALWAYS = Gate(-(1 << 62))


class ForgetfulBand(ClickBand):
    """A band of clicks that notes what it is told to forget."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.forgot: list[tuple[tuple[str, ...], int, int | None]] = []

    def forget(self, stems: tuple[str, ...], start_frame: int, end_frame: int | None = None) -> None:
        self.forgot.append((stems, start_frame, end_frame))
        super().forget(stems, start_frame, end_frame)


class NamedTakes:
    """Takes that are only names."""

    def names(self) -> Sequence[str]:
        return ("late", "early")

    def bounce(self, name: str) -> str:
        if name not in ("", *self.names()):
            raise CommandError("unknown_take", f"no take {name!r}")
        return name or "late"


class Room:
    """A session without threads, at 240 bpm, and the handlers of its commands."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.band = ForgetfulBand(self.clock)
        controls = Controls(Wish(guidance_scale=1.0, seed=7))
        self.session = LiveSession(
            self.clock, NullOutput(self.clock), self.band, controls, Shape(8, 128), making_seconds=0.1
        )
        self.session.out.open()
        self.published: list[tuple[str, Sequence[OscValue]]] = []
        self.commands = Commands(
            self.session.host,
            self.session.vocal,
            self.session.generator,
            self.session.player,
            NamedTakes(),
            lambda address, values: self.published.append((address, tuple(values))),
        )
        self.handlers = self.commands.handlers()
        self.send("tempo", BPM)

    def send(self, name: str, *values: OscValue) -> Sequence[OscValue]:
        """Carry out a command as the service would, its arguments checked by the table; return what is replied."""
        address = f"{PREFIX}/{name}"
        arguments = convert(BY_ADDRESS[address], values)
        return self.handlers[address](Call(address, arguments, CLIENT, None, self.clock.now()))

    def refused(self, name: str, *values: OscValue) -> str:
        """Carry out a command that must be refused; return its code."""
        with pytest.raises(CommandError) as refusal:
            self.send(name, *values)
        assert refusal.value.message
        return refusal.value.code

    def run(self, seconds: float) -> None:
        """Let time pass in steps of 5 ms."""
        for _ in range(round(seconds / 0.005)):
            self.clock.advance(0.005)
            self.session.player.fill()
            while self.session.generator.step() <= 0.0:
                pass

    def gates(self) -> list[Gate | None]:
        return [self.session.player.desk.channel(stem).gate for stem in STEMS]

    @property
    def controls(self) -> Controls:
        self.session.generator.step()
        return self.session.generator.controls

    @property
    def beat(self) -> float:
        """The beat that is written next."""
        return self.session.player.front.song_sample / BEAT_SAMPLES


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def playing(room: Room) -> Room:
    """A room in which the song has played for 1.3 beats."""
    room.send("play")
    room.run(1.3 * BEAT_SAMPLES / SAMPLE_RATE_HZ)
    return room


def test_there_is_a_handler_for_all_that_the_contract_leaves_to_a_session(room: Room) -> None:
    check_coverage(room.handlers)


# The transport


def test_the_parts_of_the_transport_reach_the_host(room: Room) -> None:
    host = room.session.host
    assert room.send("time_signature", 3, 4) == ()
    room.send("locate", 6.0)
    view = host.now_view(0.0)
    assert (view.bpm, view.numerator, view.moving) == (BPM, 3, False)
    assert view.position_at(0.0) == pytest.approx(6 * BEAT_SAMPLES)
    room.send("loop", 1, 4.0, 8.0)
    loop = host.now_view(0.0).loop
    assert loop is not None
    assert (loop.start_beat, loop.end_beat) == (4.0, 8.0)
    room.send("loop", 0)
    assert host.now_view(0.0).loop is None
    room.send("play")
    assert host.now_view(0.0).moving
    room.send("stop")
    assert not host.now_view(0.0).moving


@pytest.mark.parametrize("beats", [(4.0, 4.0), (4.0, 2.0), ()])
def test_an_empty_loop_is_refused(room: Room, beats: tuple[float, ...]) -> None:
    assert room.refused("loop", 1, *beats) == "empty_loop"
    assert room.session.host.now_view(0.0).loop is None


def test_a_snapshot_is_the_whole_transport_and_an_empty_loop_in_it_is_none(room: Room) -> None:
    room.send("transport", 1, 48_000, 48_000, 2.0, 120.0, 6, 8, 1, 2.0, 8.0, 1)
    view = room.session.host.now_view(0.0)
    assert (view.moving, view.bpm, view.numerator, view.denominator) == (True, 120.0, 6, 8)
    assert view.loop is not None
    assert view.position_at(0.0) == pytest.approx(44_100)
    room.send("transport", 1, 48_000, 48_000, 2.0, 120.0, 6, 8, 1, 2.0, 2.0, 2)
    assert room.session.host.now_view(0.0).loop is None


def vocal_packet(room: Room, sequence: int, samples: bytes, channels: int = 2) -> Sequence[OscValue]:
    return room.send("vocal", 1, sequence, 0, 44_100, channels, "f32", samples)


def test_a_vocal_is_heard_while_the_song_moves_and_only_then(room: Room) -> None:
    block = np.zeros(128, "<f4").tobytes()
    assert vocal_packet(room, 0, block) == ()
    assert room.session.vocal.stats.packets == 0
    room.send("play")
    vocal_packet(room, 1, block)
    assert room.session.vocal.stats.packets == 1


def test_a_bad_vocal_is_refused_and_counted(room: Room) -> None:
    room.send("play")
    assert room.refused("vocal", 1, 0, 0, 44_100, 2, "f32", b"\0" * 7) == "bad_vocal"
    assert room.session.vocal.stats.bad == 1
    assert room.session.vocal.take(1.0) == ()


# Starting and ending


@pytest.mark.parametrize(("here", "bar"), [(0.0, 0.0), (0.5, 4.0), (3.99, 4.0), (4.0, 4.0), (4.01, 8.0), (-1.0, 0.0)])
def test_a_start_waits_for_the_next_bar(room: Room, here: float, bar: float) -> None:
    room.send("locate", here)
    room.run(0.02)
    assert room.send("generate/start") == (bar,)
    assert room.gates() == [Gate(round(bar * BEAT_SAMPLES))] * 3


def test_a_start_waits_for_the_next_bar_of_three(room: Room) -> None:
    room.send("time_signature", 3, 4)
    room.send("locate", 4.0)
    room.run(0.02)
    assert room.send("generate/start") == (6.0,)


def test_a_start_while_it_plays_is_at_the_bar_after_what_is_written_already(playing: Room) -> None:
    assert 1.3 < playing.beat < 2.0
    assert playing.send("generate/start") == (4.0,)


def test_a_start_of_some_stems_in_a_range_leaves_the_others(room: Room) -> None:
    assert room.send("generate/start", 2.0, 6.5, "bass, drums") == (2.0,)
    gate = Gate(2 * BEAT_SAMPLES, 71_663)  # half a sample rounds up
    assert room.gates() == [gate, gate, ALWAYS]


@pytest.mark.parametrize(
    ("values", "code"),
    [((4.0, 4.0), "empty_range"), ((4.0, 2.0), "empty_range"), ((4.0, 8.0, "drums,tuba"), "unknown_stem")],
)
def test_a_start_that_makes_no_sense_is_refused(room: Room, values: tuple[OscValue, ...], code: str) -> None:
    assert room.refused("generate/start", *values) == code
    assert room.gates() == [ALWAYS] * 3


def test_an_end_before_the_next_bar_is_empty(playing: Room) -> None:
    assert playing.refused("generate/start", -1.0, 3.0) == "empty_range"


def test_a_stop_closes_what_is_open_here_and_calls_off_what_is_to_come(playing: Room) -> None:
    playing.send("generate/start", 0.0, -1.0, "drums")
    playing.send("generate/start", 40.0, -1.0, "bass")
    (here,) = playing.send("generate/stop")
    assert here == pytest.approx(playing.beat, abs=1e-6)
    now = round(playing.session.player.front.song_sample)
    assert playing.gates() == [Gate(0, now), None, Gate(ALWAYS.start_sample, now)]


def test_a_stop_does_not_reopen_what_ended_before(playing: Room) -> None:
    playing.send("generate/start", 0.0, 1.0)
    playing.send("generate/stop")
    assert playing.gates() == [Gate(0, BEAT_SAMPLES)] * 3


def test_after_a_panic_a_start_plays_again(playing: Room) -> None:
    playing.run(0.5)
    player = playing.session.player
    assert player.level is Level.FRESH
    assert playing.send("panic") == ()
    assert playing.gates() == [None] * 3
    playing.run(0.5)
    assert not any(player.desk.factors_at(player.front.song_sample))
    (beat,) = playing.send("generate/start")
    assert isinstance(beat, float)
    playing.run((beat - playing.beat) * BEAT_SAMPLES / SAMPLE_RATE_HZ + 0.3)
    assert player.level is Level.FRESH
    assert player.desk.factors_at(player.front.song_sample) == (1.0, 1.0, 1.0)


def test_closed_gates_make_nothing_until_the_start(room: Room) -> None:
    room.commands.close_gates()
    room.send("play")
    room.run(0.5)
    assert room.session.last_delivery is None
    room.send("generate/start")
    room.run(0.2)
    assert room.session.last_delivery is not None


# Re-rolls and locks


def test_a_reroll_gives_its_stems_and_beats_another_seed_each_time(room: Room) -> None:
    room.send("generate/reroll", 8.0, 16.0, "bass")
    room.send("generate/reroll", 16.0, 24.0)
    first, second = room.controls.reseeds
    start, end = 8 * BEAT_SAMPLES // LATENT_HOP_SAMPLES, -(-16 * BEAT_SAMPLES // LATENT_HOP_SAMPLES)
    assert first == Reseed(("bass",), start, end, first.seed)
    assert second.stems == STEMS
    assert len({7, first.seed, second.seed}) == 3
    assert room.band.forgot == [
        (("bass",), start, end),
        *(((stem,), second.start_frame, second.end_frame) for stem in STEMS),
    ]
    assert room.controls.wish.seed == 7


def test_a_reroll_to_come_begins_where_it_was_asked_for_and_one_under_way_as_soon_as_it_can(playing: Room) -> None:
    (beat,) = playing.send("generate/reroll", 80.0, 84.0)
    assert isinstance(beat, float)
    assert 79.8 <= beat <= 80.0
    (beat,) = playing.send("generate/reroll", 0.0, 84.0)
    assert isinstance(beat, float)
    lead_beats = playing.session.generator.pace.lead_seconds * BPM / 60
    assert playing.beat + lead_beats <= beat < playing.beat + lead_beats + 1.0


def test_a_reroll_of_what_was_played_is_made_when_it_comes_round_again(playing: Room) -> None:
    playing.run(3.0)
    made = playing.session.last_delivery
    playing.send("generate/reroll", 0.0, 4.0, "drums")
    playing.run(0.005)
    assert playing.band.forgot[-1] == (("drums",), 0, -(-4 * BEAT_SAMPLES // LATENT_HOP_SAMPLES))
    assert made is not None
    delivery = playing.session.last_delivery
    assert delivery is not None
    assert delivery.chunk.plan.first_frame >= made.chunk.plan.first_frame, "what plays goes on"
    assert playing.session.generator.pace.late == 0


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ((4.0, 4.0), "empty_range"),
        ((4.0, 2.0), "empty_range"),
        ((0.0, 4.0, "kazoo"), "unknown_stem"),
    ],
)
def test_a_reroll_that_makes_no_sense_is_refused(room: Room, values: tuple[OscValue, ...], code: str) -> None:
    assert room.refused("generate/reroll", *values) == code
    assert room.controls.reseeds == ()


def test_a_reroll_of_beats_before_the_song_is_refused(room: Room) -> None:
    assert room.refused("generate/reroll", -8.0, -4.0) == "empty_range"


def test_a_locked_stem_is_not_made_anew(room: Room) -> None:
    assert room.send("stem/bass/lock", 1, 8.0, 16.0) == ()
    start, end = 8 * BEAT_SAMPLES // LATENT_HOP_SAMPLES, -(-16 * BEAT_SAMPLES // LATENT_HOP_SAMPLES)
    assert [*room.controls.locks] == [Lock("bass", start, end)]
    room.send("generate/reroll", 0.0, 24.0, "bass")
    room.session.generator.step()
    assert room.band.forgot == [(("bass",), 0, start), (("bass",), end, -(-24 * BEAT_SAMPLES // LATENT_HOP_SAMPLES))]
    room.send("stem/bass/lock", 0)
    assert [*room.controls.locks] == []
    assert [values for address, values in room.published if address.endswith("bass/lock")] == [
        (1, 8.0, 16.0),
        (0, -1.0, -1.0),
    ]


def test_a_lock_without_beats_holds_the_whole_song(room: Room) -> None:
    room.send("stem/other/lock", 1)
    assert room.controls.locks == (Lock("other", 0, None),)
    room.send("control/seed", 8)
    room.session.generator.step()
    assert [stems for stems, *_ in room.band.forgot] == [("drums",), ("bass",)]


def test_a_lock_of_no_beats_is_refused(room: Room) -> None:
    assert room.refused("stem/bass/lock", 1, 16.0, 8.0) == "empty_range"


# Controls

CONTROLS: list[tuple[str, OscValue, dict[str, object]]] = [
    ("style", "funk", {"style": "funk"}),
    ("style", "", {"style": None}),
    ("arousal", 0.25, {"arousal": 0.25}),
    ("arousal", -1.0, {"arousal": None}),
    ("focus", 1.0, {"focus": 1.0}),
    ("focus", -1.0, {"focus": None}),
    ("guidance", 2.5, {"guidance_scale": 2.5}),
    ("steps", 9, {"steps": 9}),
    ("seed", 2**63 - 1, {"seed": 2**63 - 1}),
    ("key", "Eb minor", {"key": Key.parse("Eb minor")}),
    ("key", "", {"key": None}),
]


@pytest.mark.parametrize(("name", "value", "fields"), CONTROLS)
def test_a_control_changes_the_wish_from_the_beat_that_it_replies(
    playing: Room, name: str, value: OscValue, fields: dict[str, object]
) -> None:
    effect = playing.session.generator.effect_frame()
    (beat,) = playing.send(f"control/{name}", value)
    assert isinstance(beat, float)
    assert beat == pytest.approx(effect * LATENT_HOP_SAMPLES / BEAT_SAMPLES)
    assert beat > playing.beat
    before = Wish(guidance_scale=1.0, seed=7)
    assert playing.controls.wish == replace(before, **fields)  # type: ignore[arg-type]
    assert playing.published[-1] == (f"{PREFIX}/control/{name}", (value,))
    assert {stems for stems, *_ in playing.band.forgot} == {(stem,) for stem in STEMS}
    assert {(start, end) for _, start, end in playing.band.forgot} == {(effect, None)}


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("control/key", ("H minor",), "bad_key"),
        ("control/chord", ("Qm7",), "bad_chord"),
        ("control/chord", ("am",), "bad_chord"),
        ("control/chunk", (6,), "bad_chunk"),
        ("control/chunk", (36,), "bad_chunk"),
        ("control/style", ("polka",), "not_a_choice"),
        ("control/steps", (0,), "out_of_range"),
    ],
)
def test_a_control_that_means_nothing_changes_nothing(
    room: Room, name: str, values: tuple[OscValue, ...], code: str
) -> None:
    before, published = room.controls, list(room.published)
    assert room.refused(name, *values) == code
    assert room.controls == before
    assert room.published == published


def test_two_controls_at_once_both_hold(room: Room) -> None:
    room.send("control/steps", 2)
    room.send("control/arousal", 0.5)
    assert (room.controls.wish.steps, room.controls.wish.arousal) == (2, 0.5)


def test_chords_hold_from_their_beats_and_none_gives_them_back_to_the_vocal(room: Room) -> None:
    (beat,) = room.send("control/chord", "Am", 8.0)
    assert beat == 8.0
    assert room.band.forgot == []
    room.send("control/chord", "F/A", 16.0)
    assert room.controls.chords == (ChordMark(8.0, Chord.parse("Am")), ChordMark(16.0, Chord.parse("F/A")))
    assert {start for _, start, _ in room.band.forgot} == {
        8 * BEAT_SAMPLES // LATENT_HOP_SAMPLES,
        16 * BEAT_SAMPLES // LATENT_HOP_SAMPLES,
    }
    room.send("control/chord", "N", 12.0)
    assert room.controls.chords == (ChordMark(8.0, Chord.parse("Am")), ChordMark(12.0, NO_CHORD))
    assert room.published[-1] == (f"{PREFIX}/control/chord", ("N", 12.0))
    room.send("control/chord", "")
    assert not room.controls.chords


def test_a_chord_without_a_beat_is_one_for_now(playing: Room) -> None:
    effect = playing.session.generator.effect_frame()
    (beat,) = playing.send("control/chord", "G7")
    assert beat == pytest.approx(effect * LATENT_HOP_SAMPLES / BEAT_SAMPLES)
    (mark,) = playing.controls.chords
    assert mark.beat == pytest.approx(playing.beat, abs=0.02)
    assert {start for _, start, _ in playing.band.forgot} == {effect}


def test_chunk_and_lookahead_change_how_it_is_made_and_nothing_that_was(room: Room) -> None:
    for frames in (4, 32):
        assert len(room.send("control/chunk", frames)) == 1
        assert room.controls.chunk_frames == frames
        assert room.session.generator.chunk_frames == frames
    room.send("control/chunk", 0)
    assert room.controls.chunk_frames is None
    assert len(room.send("control/lookahead", 12)) == 1
    assert room.controls.lookahead_frames == 12
    assert room.published[-1] == (f"{PREFIX}/control/lookahead", (12,))
    assert room.band.forgot == []


# The mixing desk, presets and takes


@pytest.mark.parametrize("stem", STEMS)
def test_each_strip_is_its_own(room: Room, stem: str) -> None:
    assert room.send(f"stem/{stem}/gain", -6.0) == ()
    room.send(f"stem/{stem}/mute", 1)
    room.send(f"stem/{stem}/solo", 1)
    desk = room.session.player.desk
    for other in STEMS:
        strip = desk.channel(other)
        assert (strip.gain_db, strip.mute, strip.solo) == ((-6.0, True, True) if other == stem else (0.0, False, False))
    room.send(f"stem/{stem}/mute", 0)
    assert room.session.player.desk.audible(stem)
    assert [values for _, values in room.published[-4:]] == [(-6.0,), (1,), (1,), (0,)]


def test_a_preset_brings_style_and_gains(room: Room) -> None:
    name = next(n for n in preset_files() if load_preset(n).style)
    preset, before = load_preset(name), room.controls.wish
    assert room.send("preset/load", name) == ()
    wish = room.controls.wish
    assert (wish.style, wish.seed) == (preset.style, 7)
    assert (wish.steps, wish.guidance_scale) == (preset.steps or before.steps, preset.guidance or 1.0)
    gains = [room.session.player.desk.channel(stem).gain_db for stem in STEMS]
    assert gains == [getattr(preset.gains_db, stem) for stem in STEMS]
    told = dict(room.published)
    assert told[f"{PREFIX}/control/style"] == (preset.style,)
    assert [told[f"{PREFIX}/stem/{stem}/gain"] for stem in STEMS] == [(gain,) for gain in gains]
    assert room.send("preset/list") == tuple(preset_files())


def test_a_presets_steps_and_guidance_are_taken_over_and_told(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "careful.toml").write_text('title = "Careful"\nsteps = 5\nguidance = 3.0\n', encoding="utf-8")
    monkeypatch.setattr("presets.store.user_folder", lambda: tmp_path)
    assert room.send("preset/load", "careful") == ()
    told, wish = dict(room.published), room.controls.wish
    assert (wish.steps, wish.guidance_scale) == (5, 3.0)
    assert told[f"{PREFIX}/control/steps"] == (5,)
    assert told[f"{PREFIX}/control/guidance"] == (3.0,)


@pytest.mark.parametrize("name", ["nothing-like-it", "", "../../etc/passwd", "/etc/passwd.toml", "funk.toml"])
def test_a_preset_is_a_name_that_is_known(room: Room, name: str) -> None:
    assert room.refused("preset/load", name) == "unknown_preset"


def test_a_users_preset_that_is_wrong_is_refused(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text('title = "Mine"\nsteps = 0\n', encoding="utf-8")
    monkeypatch.setattr("presets.store.user_folder", lambda: tmp_path)
    before = room.controls
    assert room.refused("preset/load", "mine") == "bad_preset"
    assert room.controls == before


def test_takes_are_listed_and_bounced_by_name(room: Room) -> None:
    assert room.send("take/list") == ("late", "early")
    assert room.send("take/bounce") == ("late",)
    assert room.send("take/bounce", "early") == ("early",)
    assert room.refused("take/bounce", "../late") == "unknown_take"


def test_every_readable_value_is_told_once_at_the_start(room: Room) -> None:
    room.commands.publish_all()
    readable = {method.address for method in METHODS if method.readable}
    assert {address for address, _ in room.published} == readable
    assert len(room.published) == len(readable)
    for address, values in room.published:
        assert len(values) == len(BY_ADDRESS[address].arguments)
        convert(BY_ADDRESS[address], values)


# MIDI and Link beside OSC


def test_what_comes_from_outside_goes_through_the_same_handlers_and_trouble_is_told(room: Room) -> None:
    told: list[str] = []
    outside = Outside(room.clock, room.handlers, lambda _: None, told.append)
    outside._carry_out(
        [
            ControlCall(f"{PREFIX}/locate", {"beat": 5.0}, 0.0),
            ControlCall(f"{PREFIX}/control/key", {"key": "H"}, 0.0),
            ControlCall(f"{PREFIX}/tempo", {"bpm": 900.0}, 0.0),
            ControlCall(f"{PREFIX}/nothing", {}, 0.0),
            ControlCall(f"{PREFIX}/stem/bass/mute", {"on": 1}, 0.0),
        ]
    )
    assert room.session.host.now_view(0.0).position_at(0.0) == pytest.approx(5 * BEAT_SAMPLES)
    assert room.session.player.desk.channel("bass").mute
    assert [words.split()[0].rstrip(":") for words in told] == [
        f"{PREFIX}/{name}" for name in ("control/key", "tempo", "nothing")
    ]
