"""Pure Data drives Backline through the patch that users get, without a screen and without a sound card."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import soundfile

from presets.store import preset_files
from tests.clients_support import CLIENTS, TEMPLATES, Backline, Program, needs, wait_until

RATE_HZ = 44_100
SUNG_SAMPLES = 20_480  # whole packets of 256
TEMPLATE = TEMPLATES / "backline.pd"

pytestmark = needs("pd")


def pure_data(*patches: Path, send: tuple[str, ...]) -> Program:
    """Start Pd with `patches` open and `send` sent, in this order."""
    program = shutil.which("pd") or "pd"
    opened = [word for patch in patches for word in ("-open", patch)]
    sent = [word for message in send for word in ("-send", message)]
    return Program(
        program, "-nogui", "-nosound", "-noprefs", "-r", str(RATE_HZ), "-stderr", *opened, *sent, dropped="\\"
    )


def test_commands_replies_errors_and_levels() -> None:
    with Backline() as backline:
        aim = f"backline-address 127.0.0.1 {backline.port}"
        with pure_data(TEMPLATE, CLIENTS / "session.pd", send=(aim, "go bang")) as program:
            lines = program.expect(
                r"^done: /backline/play$",
                r"^done: (list )?/backline/control/style #s -?[\d.]+$",
                r"^done: (list )?/backline/control/seed #seed ",
                r"^done: (list )?/backline/stem/drums/gain #gain$",
                r"^done: (list )?/backline/preset/list #names ",
                r"^done: (list )?/backline/preset/load #late$",
                r"^done: (list )?/backline/generate/start #start 33$",
                r"^done: (list )?/backline/generate/reroll #roll [\d.]+$",
                r"^done: (list )?/backline/subscribe #lease 30$",
                r"^error: (list )?/backline/stem/other/gain out_of_range db 40 is out of range; give -120 to 12 dB$",
                r"^error: (list )?/backline/control/style #p not_a_choice style 'polka' is not known; give one of:",
                r"^error: (list )?/backline/stem/kazoo/gain unknown_address ",
                r"^heartbeat: (list )?\w+ .* cpu 0{64}$",
                r"^meter: (list )?mix -[\d.]+ -[\d.]+$",
                r"^value: (list )?control style jazz-swing$",
                r"^plan: (list )?\d+ 3 (drums|bass|other) (new|again) -?[\d.]+$",  # without the seed, an `h`
            )
            assert lines[4].endswith(" ".join(preset_files()))
            wait_until(lambda: backline.controls.reseeds, "the re-roll is taken over")
            wish, desk = backline.controls.wish, backline.session.player.desk
            assert (wish.style, wish.arousal, wish.seed) == ("jazz-swing", 0.75, 77)  # the preset's style came last
            assert [(mark.beat, mark.chord.name) for mark in backline.controls.chords] == [(40.0, "Am7")]
            assert backline.controls.lookahead_frames == 4
            assert backline.controls.reseeds[0].stems == ("drums",)
            assert not desk.audible("bass")
            view = backline.session.host.now_view(backline.clock.now())
            start = desk.channel("drums").gate
            assert start is not None
            assert start.start_sample == view.timeline.sample_at_beat(33.0)
            assert (view.state, view.bpm, view.numerator, view.denominator) == ("playing", 97.5, 3, 4)
            assert view.beat_at(backline.clock.now()) > 32.0
            assert backline.service.stats().errors == 3
            assert backline.service.stats().malformed == 0


def test_a_vocal_arrives_to_the_bit(tmp_path: Path) -> None:
    numbers = np.random.default_rng(2).integers(-32_768, 32_767, SUNG_SAMPLES, dtype=np.int16, endpoint=True)
    numbers[-3:] = (-32_768, 32_767, -1)  # what 16 bits can say, to its ends
    soundfile.write(tmp_path / "vocal.wav", numbers, RATE_HZ, subtype="PCM_16")
    with Backline() as backline:
        sends = (
            f"backline-address 127.0.0.1 {backline.port}",
            "backline tempo 120",
            f"backline-file {tmp_path / 'vocal.wav'}",
            "pd dsp 1",
            "backline-sing bang",
        )
        with pure_data(TEMPLATE, send=sends):
            wait_until(lambda: "stopped" in " ".join(backline.events), "the song was played to its end")
            wait_until(
                lambda: not np.isnan(backline.band.sung(0, SUNG_SAMPLES)).any(), "all of the vocal is with the band"
            )
        sung = backline.band.sung(0, SUNG_SAMPLES)
        expected = numbers.astype(np.float32) / np.float32(32_768)
        np.testing.assert_array_equal(sung, np.stack((expected, expected)))
        stats = backline.session.vocal.stats
        assert stats.packets >= SUNG_SAMPLES // 256
        assert (stats.bad, stats.lost_packets, stats.jumps) == (0, 0, 0)
        assert backline.events == ["tempo 120 bpm from beat 0.00", "located to beat 0.00", "playing", "stopped"]


def test_slip_over_tcp() -> None:
    with Backline(tcp=True) as backline:
        with pure_data(CLIENTS / "slip.pd", send=(f"slip {backline.service.tcp_port}",)) as program:
            program.expect(r"^tcp: (list )?backline done /backline/sync #tcp 5$")
        stats = backline.service.stats()
        assert (stats.received, stats.handled, stats.malformed) == (1, 1, 0)
