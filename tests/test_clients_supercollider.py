"""SuperCollider's language drives Backline through the template that users get."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from presets.store import preset_files
from tests.clients_support import CLIENTS, TEMPLATES, Backline, Program, needs, wait_until

RATE_HZ = 44_100
STEREO_SAMPLES = 10_000


pytestmark = needs("sclang")


def sclang(script: str, backline: Backline, **variables: str) -> Program:
    """Start the script `script` of tests/clients, aimed at `backline`."""
    environment = {
        "QT_QPA_PLATFORM": "offscreen",  # no screen is needed
        "QTWEBENGINE_DISABLE_SANDBOX": "1",  # its help browser refuses to start as root otherwise
        "BACKLINE_PORT": str(backline.port),
        "BACKLINE_TEMPLATE": str(TEMPLATES / "backline.scd"),
        **variables,
    }
    return Program("sclang", CLIENTS / script, environment=environment)


def test_commands_replies_errors_levels_and_snapshots() -> None:
    with Backline() as backline, sclang("session.scd", backline) as program:
        lines = program.expect(
            r"RESULT ping done$",
            r"RESULT presets ",
            r"RESULT style done\|",
            r"RESULT key done\|",
            r"RESULT arousal done\|",
            r"RESULT seed done\|",
            r"RESULT chord done\|8\.0$",
            r"RESULT gain done$",
            r"RESULT mute done$",
            r"RESULT loud error\|out_of_range\|db 40 is out of range; give -120 to 12 dB$",
            r"RESULT polka error\|not_a_choice\|.*polka.*give one of: .*funk",
            r"RESULT word error\|wrong_type\|beat 'chorus' is not a number",
            r"RESULT error /backline/locate\|missing_argument\|.* takes beat d; argument 1, beat, is missing$",
            r"RESULT error /backline/stem/kazoo/gain\|unknown_address\|",
            r"RESULT value /backline/meter/mix\|-?\d",
            r"RESULT value /backline/control/arousal\|0\.75$",
            r"RESULT value /backline/control/seed\|h$",  # it does not read 64 bits
            r"RESULT value /backline/stem/drums/gain\|-6\.0$",
            r"RESULT value /backline/heartbeat\|[a-z ]+\|.*\|cpu\|0{64}$",
            r"RESULT rolling",
        )
        assert lines[1] == "RESULT presets " + "|".join(["done", *preset_files()])
        wait_until(lambda: backline.controls.wish.style == "funk", "the style is taken over")
        wish = backline.controls.wish
        assert (wish.key.name if wish.key else None, wish.arousal, wish.seed) == ("A minor", 0.75, 1234)
        assert [(mark.beat, mark.chord.name) for mark in backline.controls.chords] == [(8.0, "Am7")]
        assert backline.gain_db("drums") == -6.0
        assert not backline.session.player.desk.audible("bass")
        assert backline.state == "playing"
        assert backline.bpm == pytest.approx(97.3, abs=1e-5)  # as `f`
        view = backline.session.host.now_view(backline.clock.now())
        assert (view.numerator, view.denominator) == (3, 4)
        assert backline.beat >= 10.0 * 97.3 / 60.0
        assert backline.session.host.stats().old == 0
        assert backline.service.stats().errors == 5
        assert backline.service.stats().malformed == 0


def test_a_vocal_arrives_to_the_bit(tmp_path: Path) -> None:
    sung = np.random.default_rng(1).uniform(-1.0, 1.0, (STEREO_SAMPLES, 2)).astype(np.float32)
    soundfile.write(tmp_path / "vocal.wav", sung, RATE_HZ, subtype="FLOAT")
    with Backline() as backline, sclang("vocal.scd", backline, VOCAL=str(tmp_path / "vocal.wav")) as program:
        program.expect(r"RESULT sung done\|7$")
        program.finish()
        wait_until(
            lambda: not np.isnan(backline.band.sung(0, STEREO_SAMPLES)).any(), "all of the vocal is with the band"
        )
        np.testing.assert_array_equal(backline.band.sung(0, STEREO_SAMPLES), sung.T)
        stats = backline.session.vocal.stats
        assert (stats.packets, stats.bad, stats.lost_samples, stats.jumps) == (20, 0, 0, 0)
        assert [start for start, _, continues in backline.band.runs if not continues] == [0]
        assert backline.state == "stopped"
        assert backline.beat == pytest.approx(STEREO_SAMPLES / RATE_HZ * 100.0 / 60.0, abs=1e-6)
