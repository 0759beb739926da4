"""liblo's programs drive Backline: oscsend and oscsendfile send, oscdump gets replies and what it follows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.osc.contract import BY_ADDRESS
from engine.harmony import Key
from presets.store import preset_files
from tests.clients_support import TEMPLATES, Backline, Program, free_udp_port, needs, wait_until

pytestmark = needs("oscsend", "oscsendfile", "oscdump")

LINE = r"^[0-9a-f]{8}\.[0-9a-f]{8} "
"""What oscdump writes before each message: the time."""

STEP = 0x028F5C29
"""A hundredth of a second in the fraction of a timetag, as oscdump writes it and oscsendfile keeps it."""


def oscsend(backline: Backline, address: str, types: str = "", *values: object, tcp: bool = False) -> None:
    """Send one message and wait until oscsend has ended."""
    words = [types, *map(str, values)] if types else []
    port = backline.service.tcp_port if tcp else backline.port
    with Program("oscsend", f"osc.{'tcp' if tcp else 'udp'}://127.0.0.1:{port}/", address, *words) as program:
        program.finish()


@contextmanager
def listener() -> Iterator[tuple[Program, int]]:
    """Run oscdump and wait until it listens; give it and its port."""
    port = free_udp_port()
    with Program("oscdump", "-L", str(port)) as dump:
        for _ in range(200):  # it says nothing when it is ready
            with Program("oscsend", "127.0.0.1", str(port), "/ready") as program:
                program.finish()
            if any("/ready" in line for line in dump.lines):
                break
        dump.expect("/ready")
        yield dump, port


def send_lines(backline: Backline, file: Path, *messages: str) -> None:
    """Send messages, each with an argument, in oscdump's notation: from one socket, a hundredth of a second apart."""
    file.write_text("".join(f"e0000000.{index * STEP:08x} {text}\n" for index, text in enumerate(messages)))
    with Program("oscsendfile", "127.0.0.1", str(backline.port), str(file)) as program:
        program.finish()


def test_oscsend_sets_transport_and_controls() -> None:
    with Backline() as backline:
        oscsend(backline, "/backline/tempo", "f", 92.5)
        oscsend(backline, "/backline/time_signature", "ff", 6, 8)  # whole numbers as `f`, as surfaces send them
        oscsend(backline, "/backline/locate", "i", 24)
        oscsend(backline, "/backline/loop", "Tdd", 24, 27.5)
        oscsend(backline, "/backline/control/key", "s", "F# minor")
        oscsend(backline, "/backline/control/seed", "h", 2**62 + 1)
        oscsend(backline, "/backline/control/guidance", "d", 2.5)
        oscsend(backline, "/backline/control/chunk", "i", 8)
        oscsend(backline, "/backline/stem/*/mute", "T")
        oscsend(backline, "/backline/stem/drums/lock", "idd", 1, 0, 8)
        oscsend(backline, "/backline/play")
        wait_until(lambda: backline.state == "playing", "the song plays")
        view = backline.session.host.now_view(backline.clock.now())
        assert (view.bpm, view.numerator, view.denominator) == (92.5, 6, 8)
        assert view.loop is not None
        assert (view.loop.start_beat, view.loop.end_beat) == (24.0, 27.5)
        assert 24.0 <= view.beat_at(backline.clock.now()) < 27.5
        wait_until(lambda: backline.controls.locks, "the lock is taken over")
        wish = backline.controls.wish
        assert (wish.key.name if wish.key else None, wish.seed, wish.guidance_scale) == ("F# minor", 2**62 + 1, 2.5)
        assert backline.controls.chunk_frames == 8
        assert [lock.stem for lock in backline.controls.locks] == ["drums"]
        desk = backline.session.player.desk
        assert not any(desk.audible(stem) for stem in desk.stems)
        oscsend(backline, "/backline/panic")
        oscsend(backline, "/backline/stop")
        wait_until(lambda: backline.state == "stopped", "the song stands")
        assert all(channel.gate is None for channel in backline.session.player.desk.channels)
        assert backline.service.stats().errors == 0


def test_oscsend_over_tcp(tmp_path: Path) -> None:
    with Backline(tcp=True) as backline:
        oscsend(backline, "/backline/tempo", "f", 92.5, tcp=True)
        oscsend(backline, "/backline/control/key", "s", "F# minor", tcp=True)
        oscsend(backline, "/backline/play", tcp=True)
        wait_until(lambda: backline.state == "playing", "the song plays")
        wait_until(lambda: backline.service.stats().handled == 3, "all is carried out")
        assert backline.bpm == 92.5
        wait_until(lambda: backline.controls.wish.key == Key.parse("F# minor"), "the key is taken over")
        file = tmp_path / "lines"
        file.write_text("".join(f"e0000000.{n * STEP:08x} /backline/locate i {8 * n}\n" for n in range(3)))
        url = f"osc.tcp://127.0.0.1:{backline.service.tcp_port}/"
        with Program("oscsendfile", url, str(file)) as program:  # several messages over one connection
            program.finish()
        wait_until(lambda: backline.service.stats().handled == 6, "all of the file is carried out")
        assert backline.beat >= 16.0
        stats = backline.service.stats()
        assert (stats.received, stats.errors, stats.malformed, stats.oversized, stats.abandoned) == (6, 0, 0, 0, 0)


def test_oscsend_sends_snapshots() -> None:
    with Backline() as backline:
        for sequence, sample in enumerate((88_200, 90_405)):
            oscsend(
                backline,
                "/backline/transport",
                "ihiddiiiddi",
                *(1, sample, 44_100, sample / 44_100 * 1.5, 90.0, 3, 4, 0, 0.0, 0.0, sequence),
            )
        wait_until(lambda: backline.session.host.stats().snapshots == 2, "both snapshots are taken in")
        view = backline.session.host.now_view(backline.clock.now())
        assert (view.bpm, view.numerator, view.denominator) == (90.0, 3, 4)
        assert view.position_at(backline.clock.now()) >= 90_405
        assert view.timeline.beat_at_sample(88_200) == pytest.approx(3.0, abs=1e-6)
        oscsend(backline, "/backline/tempo", "f", 200)  # a part counts for nothing while snapshots tell everything
        wait_until(lambda: backline.session.host.stats().ignored_parts == 1, "the part is counted")
        assert backline.bpm == 90.0


def test_oscdump_gets_replies_errors_and_what_it_follows(tmp_path: Path) -> None:
    with Backline() as backline, listener() as (dump, port):
        send_lines(
            backline,
            tmp_path / "lines",
            f"/backline/client/reply_port i {port}",
            '/backline/ping s "#one"',
            '/backline/sync is 7 "#two"',
            '/backline/preset/list s "#names"',
            '/backline/preset/load ss "night-drive" "#load"',
            '/backline/preset/load s "polka-party"',
            '/backline/stem/other/gain fs -3.5 "#gain"',
            '/backline/stem/other/gain fs 99 "#loud"',
            '/backline/generate/reroll dds 8 4 "drums"',
            '/backline/generate/reroll dds 4 8 "kazoo"',
            '/backline/vocal iihiiss 0 0 0 44100 1 "f32" "no_blob"',
            "/backline/nowhere i 1",
            '/backline/subscribe sf "/backline/*" 20',
            '/backline/subscribe sf "/backline/meter/*" 20',
            '/backline/subscribe sf "/backline/stem/other/*" 20',
            '/backline/subscribe sf "/backline/control/seed" 20',
        )
        dump.expect(
            LINE + r'/backline/done s "/backline/client/reply_port"$',
            LINE + r'/backline/done ss "/backline/ping" "#one"$',
            LINE + r'/backline/done ssi "/backline/sync" "#two" 7$',
            LINE
            + r"/backline/done ss+ "
            + " ".join(f'"{name}"' for name in ["/backline/preset/list", "#names", *preset_files()]),
            LINE + r'/backline/done ss "/backline/preset/load" "#load"$',
            LINE
            + r'/backline/error sss "/backline/preset/load" "unknown_preset" "preset .polka-party. is not known; ask',
            LINE + r'/backline/done ss "/backline/stem/other/gain" "#gain"$',
            LINE
            + r'/backline/error ssss "/backline/stem/other/gain" "#loud" "out_of_range" "db 99 is out of range; give',
            LINE + r'/backline/error sss "/backline/generate/reroll" "empty_range" ".*; send a later end"$',
            LINE + r'/backline/error sss "/backline/generate/reroll" "unknown_stem" "stem .kazoo.*drums, bass, other',
            LINE + r'/backline/error sss "/backline/vocal" "wrong_type" "samples .* is not a blob',
            LINE + r'/backline/error sss "/backline/nowhere" "unknown_address" ',
            LINE + r'/backline/done sf "/backline/subscribe" 30\.0',
            LINE + r'/backline/heartbeat sffiiiiffffss ".*" .* "cpu" "0{64}"$',
            LINE + r"/backline/meter/mix ff -?\d",
            LINE + r"/backline/stem/other/gain f -3\.5",
            LINE + r"/backline/control/seed h \d+$",
        )
        wait_until(lambda: backline.controls.wish.style == "electronic", "the preset's style is taken over")
        assert backline.gain_db("other") == -3.5
        assert backline.service.stats().errors == 6


def test_stock_configurations_of_reaper_and_drivenbymoss(tmp_path: Path) -> None:
    with Backline() as backline:
        send_lines(backline, tmp_path / "lines", *["/tempo/raw f 101", "/time/signature s 3/4", "/beat/str s 9.1.00"])
        wait_until(lambda: backline.beat == pytest.approx(24.0), "located to the ninth bar of three beats")
        assert backline.bpm == 101.0
        send_lines(backline, tmp_path / "lines", *["/stop f 0", "/play f 1", "/record f 0"])
        wait_until(lambda: backline.state == "playing", "the song plays")
        send_lines(backline, tmp_path / "lines", *["/play f 0", "/stop f 1"])
        wait_until(lambda: backline.state == "stopped", "the song stands")
        assert backline.beat > 24.0
        assert backline.service.stats().errors == 0


def test_reapers_pattern_config_names_addresses_that_are_understood() -> None:
    lines = (TEMPLATES / "Backline.ReaperOSC").read_text().splitlines()
    patterns = [line.split()[1] for line in lines if line and not line.startswith(("#", "DEVICE_"))]
    assert len(patterns) == 6
    for pattern in patterns:
        kind, address = pattern[0], pattern[1:]
        method = BY_ADDRESS[address]
        assert method.alias_of
        assert (method.arguments[0].type_tag == "s") == (kind == "s")
