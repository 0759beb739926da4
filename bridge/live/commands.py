"""What the OSC commands, and MIDI and Link through the same door, do to a live session: one handler an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from bridge.hearing.vocal_buffer import VocalBuffer
from bridge.live import command_values as values
from bridge.live.controls import Controls, Lock, frames_of_beats
from bridge.live.generator import Generator
from bridge.live.mixing_desk import Gate
from bridge.live.player import Player
from bridge.live.transport_commands import TransportCommands
from bridge.live.work import Change
from bridge.osc.calls import Call, CommandError, Handler
from bridge.osc.contract import PREFIX
from bridge.osc.method import OscValue
from bridge.transport.host import HostTransport
from bridge.transport.view import HostView
from engine.geometry import LATENT_HOP_SAMPLES, STEMS
from engine.live_chunk import Reseed
from engine.planner import FRAMES_MULTIPLE
from engine.timeline import Timeline
from presets.store import Preset, PresetError, load_preset, preset_files

Values = Sequence[OscValue]
_GOLDEN = 0x9E3779B97F4A7C15
_MAX_SEED = (1 << 63) - 1


class Takes(Protocol):
    """The takes of the user."""

    def names(self) -> Sequence[str]:
        """Return their names, the newest first."""

    def bounce(self, name: str) -> str:
        """Begin to render the take called `name`, the newest if empty; return its name.

        Raises:
            CommandError: there is none, or one is being rendered.
        """


class Commands:
    """The handlers, by address.

    Args:
        host: the transport.
        vocal: where packets go.
        generator: what makes chunks.
        player: what plays them.
        takes: the takes.
        published: told of each readable value that changed: address and values.
    """

    def __init__(
        self,
        host: HostTransport,
        vocal: VocalBuffer,
        generator: Generator,
        player: Player,
        takes: Takes,
        published: Callable[[str, Values], None],
    ) -> None:
        self._host, self._vocal, self._generator, self._player = host, vocal, generator, player
        self._takes, self._published = takes, published
        self._rerolls = 0

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handler of each address that the contract leaves to a session."""
        music = {
            "generate/start": self._start,
            "generate/stop": self._stop,
            "generate/reroll": self._reroll,
            "panic": self._panic,
            "preset/load": self._load_preset,
            "preset/list": lambda _: tuple(preset_files()),
            "take/list": lambda _: tuple(self._takes.names()),
            "take/bounce": lambda call: (self._takes.bounce(str(call.arguments["name"])),),
        }
        controls: dict[str, Handler] = {
            f"control/{name}": partial(self._control, name)
            for name in ("style", "arousal", "focus", "guidance", "steps", "seed", "key")
        }
        controls |= {
            "control/chord": self._chord,
            "control/lookahead": self._lookahead,
            "control/chunk": self._chunk,
        }
        transport = TransportCommands(self._host, self._vocal, self._generator.wake.set).handlers()
        strips: dict[str, Handler] = {}
        for stem in STEMS:
            strips[f"stem/{stem}/gain"] = partial(self._strip, stem, "gain_db", "db")
            strips[f"stem/{stem}/mute"] = partial(self._strip, stem, "mute", "on")
            strips[f"stem/{stem}/solo"] = partial(self._strip, stem, "solo", "on")
            strips[f"stem/{stem}/lock"] = partial(self._lock, stem)
        return {f"{PREFIX}/{name}": handler for name, handler in {**transport, **music, **controls, **strips}.items()}

    def apply_preset(self, preset: Preset) -> None:
        """Take over a preset's style, steps, guidance and gains."""

        def changed(controls: Controls) -> Controls:
            wish = replace(controls.wish, style=preset.style)
            wish = replace(wish, steps=preset.steps or wish.steps)
            if preset.guidance is not None:
                wish = replace(wish, guidance_scale=preset.guidance)
            return replace(controls, wish=wish)

        self._generator.request(Change(changed))
        for stem in STEMS:
            gain_db = float(getattr(preset.gains_db, stem))
            self._player.desk = self._player.desk.changed(stem, gain_db=gain_db)
            self._published(f"{PREFIX}/stem/{stem}/gain", (gain_db,))
        self._published(f"{PREFIX}/control/style", (preset.style or "",))
        if preset.steps is not None:
            self._published(f"{PREFIX}/control/steps", (preset.steps,))
        if preset.guidance is not None:
            self._published(f"{PREFIX}/control/guidance", (preset.guidance,))

    def close_gates(self) -> None:
        """Let nothing sound until `/backline/generate/start`."""
        self._set_gates(dict.fromkeys(STEMS))

    def publish_all(self) -> None:
        """Say every readable value once, so that whoever asks first gets it."""
        wish = self._generator.controls.wish
        readable: dict[str, Values] = {
            "control/style": (wish.style or "",),
            "control/arousal": (-1.0 if wish.arousal is None else wish.arousal,),
            "control/focus": (-1.0 if wish.focus is None else wish.focus,),
            "control/guidance": (wish.guidance_scale,),
            "control/steps": (wish.steps,),
            "control/seed": (wish.seed,),
            "control/key": (wish.key.name if wish.key else "",),
            "control/chord": ("", -1.0),
            "control/lookahead": (self._generator.controls.lookahead_frames,),
            "control/chunk": (self._generator.controls.chunk_frames or 0,),
        }
        for stem in STEMS:
            strip = self._player.desk.channel(stem)
            readable[f"stem/{stem}/gain"] = (strip.gain_db,)
            readable[f"stem/{stem}/mute"] = (int(strip.mute),)
            readable[f"stem/{stem}/solo"] = (int(strip.solo),)
            readable[f"stem/{stem}/lock"] = (0, -1.0, -1.0)
        for name, value in readable.items():
            self._published(f"{PREFIX}/{name}", value)

    def _start(self, call: Call) -> Values:
        stems = values.stems(call)
        timeline, here = self._place(call)
        from_beat, to_beat = values.number(call.arguments["from_beat"]), values.number(call.arguments["to_beat"])
        if from_beat < 0:
            from_beat = timeline.beat_at_bar(timeline.bar_at_beat(here - 1e-6) + 1)
        if 0 <= to_beat <= from_beat:
            raise CommandError("empty_range", f"from beat {from_beat:g} to beat {to_beat:g} is empty; send a later end")
        end = None if to_beat < 0 else timeline.sample_at_beat(to_beat)
        gate = Gate(timeline.sample_at_beat(from_beat), end)
        self._set_gates(dict.fromkeys(stems, gate))
        return (from_beat,)

    def _stop(self, call: Call) -> Values:
        timeline, here = self._place(call)
        now = timeline.sample_at_beat(here)
        gates = {}
        for stem in STEMS:
            gate = self._player.desk.channel(stem).gate
            end = now if gate is None or gate.end_sample is None else min(gate.end_sample, now)
            gates[stem] = None if gate is None or gate.start_sample >= now else Gate(gate.start_sample, end)
        self._set_gates(gates)
        return (here,)

    def _set_gates(self, gates: Mapping[str, Gate | None]) -> None:
        desk = self._player.desk
        for stem, gate in gates.items():
            desk = desk.changed(stem, gate=gate)
        self._player.desk = desk
        self._generator.wake.set()

    def _panic(self, _: Call) -> Values:
        self.close_gates()
        return ()

    def _reroll(self, call: Call) -> Values:
        stems = values.stems(call)
        timeline, _ = self._place(call)
        from_beat, to_beat = values.number(call.arguments["from_beat"]), values.number(call.arguments["to_beat"])
        if to_beat <= max(from_beat, 0.0):
            raise CommandError("empty_range", f"from beat {from_beat:g} to beat {to_beat:g} is empty; send a later end")
        start, end = frames_of_beats(timeline, from_beat, to_beat)
        self._rerolls += 1
        seed = (self._generator.controls.wish.seed + self._rerolls * _GOLDEN) & _MAX_SEED
        reseed = Reseed(stems, start, end, seed)
        beat = self._effect_beat(timeline, start)
        self._generator.request(Change(lambda controls: controls.with_reseed(reseed), stems, start, end))
        return (beat,)

    def _control(self, name: str, call: Call) -> Values:
        value = call.arguments[name]
        wished = values.wished(name, value)
        field = _FIELD.get(name, name)
        replace(self._generator.controls.wish, **{field: wished})  # type: ignore[arg-type]
        beat = self._effect_beat(self._view(call).timeline)
        self._generator.request(
            Change(lambda controls: replace(controls, wish=replace(controls.wish, **{field: wished})))  # type: ignore[arg-type]
        )
        self._published(call.address, (value,))
        return (beat,)

    def _chord(self, call: Call) -> Values:
        name, beat = str(call.arguments["chord"]), values.number(call.arguments["beat"])
        chord = values.chord(name)
        timeline, here = self._place(call)
        effect = self._effect_beat(timeline)
        from_beat = here if beat < 0 else beat
        start = max(timeline.sample_at_beat(from_beat), 0) // LATENT_HOP_SAMPLES if beat >= 0 else None
        self._generator.request(Change(lambda controls: controls.with_chord(from_beat, chord), STEMS, start))
        self._published(call.address, (name, from_beat))
        return (max(from_beat, effect),)

    def _lookahead(self, call: Call) -> Values:
        frames = int(values.number(call.arguments["frames"]))
        self._generator.request(Change(lambda controls: replace(controls, lookahead_frames=frames), ()))
        self._published(call.address, (frames,))
        return (self._effect_beat(self._view(call).timeline),)

    def _chunk(self, call: Call) -> Values:
        frames = int(values.number(call.arguments["frames"]))
        if frames % FRAMES_MULTIPLE:
            raise CommandError("bad_chunk", f"a chunk of {frames} frames; send a multiple of {FRAMES_MULTIPLE}, or 0")
        longest = self._generator.shape.window_frames // 4
        if frames > longest:
            raise CommandError("bad_chunk", f"a chunk of {frames} frames; send at most {longest} with this window")
        self._generator.request(Change(lambda controls: replace(controls, chunk_frames=frames or None), ()))
        self._published(call.address, (frames,))
        return (self._effect_beat(self._view(call).timeline),)

    def _strip(self, stem: str, field: str, argument: str, call: Call) -> Values:
        value = call.arguments[argument]
        given = values.number(value) if field == "gain_db" else bool(value)
        self._player.desk = self._player.desk.changed(stem, **{field: given})
        self._published(call.address, (value,))
        return ()

    def _lock(self, stem: str, call: Call) -> Values:
        from_beat, to_beat = values.number(call.arguments["from_beat"]), values.number(call.arguments["to_beat"])
        on = bool(call.arguments["on"])
        if on and 0 <= to_beat <= max(from_beat, 0.0):
            raise CommandError("empty_range", f"from beat {from_beat:g} to beat {to_beat:g} is empty; send a later end")
        start, end = frames_of_beats(self._view(call).timeline, max(from_beat, 0.0), to_beat)
        lock = Lock(stem, start, end)
        change = (lambda controls: controls.with_lock(lock)) if on else (lambda controls: controls.without_locks(stem))
        self._generator.request(Change(change, ()))
        self._published(call.address, (int(on), from_beat, to_beat))
        return ()

    def _load_preset(self, call: Call) -> Values:
        name = str(call.arguments["name"])
        if name not in preset_files():
            raise CommandError(
                "unknown_preset", f"preset {name!r} is not known; ask {PREFIX}/preset/list for the names"
            )
        try:
            self.apply_preset(load_preset(name))
        except PresetError as error:
            raise CommandError("bad_preset", str(error)) from error
        return ()

    def _view(self, call: Call) -> HostView:
        return self._host.now_view(call.arrived_seconds)

    def _place(self, call: Call) -> tuple[Timeline, float]:
        """Return the timeline, and the beat that is written next."""
        timeline = self._view(call).timeline
        return timeline, timeline.beat_at_position(self._player.front.song_sample)

    def _effect_beat(self, timeline: Timeline, start_frame: int = 0) -> float:
        frame = max(self._generator.effect_frame(), start_frame)
        return timeline.beat_at_sample(frame * LATENT_HOP_SAMPLES)


_FIELD = {"guidance": "guidance_scale"}
