"""The OSC contract, all of it, as one table; checks, errors, OSCQuery and `docs/osc.md` derive from it."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from bridge.osc.calls import Call, CommandError, Handler
from bridge.osc.method import INT32, OscArgument, OscMethod, OscValue
from engine.geometry import STEMS
from engine.styles import STYLES
from engine.timeline import DENOMINATORS, MAX_BPM, MAX_NUMERATOR, MIN_BPM

__all__ = [
    "BY_ADDRESS",
    "HANDLED",
    "METHODS",
    "Call",
    "CommandError",
    "Handler",
    "OscArgument",
    "OscMethod",
    "OscValue",
]

PREFIX = "/backline"
DEFAULT_PORT = 9140

MAX_BEAT = 1e6
MAX_SAMPLE = 2**53  # exact in a double too, in which some clients count
MAX_STRING_BYTES = 256
MAX_BLOB_BYTES = 8192
LEASE_SECONDS = 30.0
MAX_PUBLISH_HZ = 200.0
MAX_SEED = 2**63 - 1

_Arg = OscArgument


def _flag(name: str, help: str, default: int | None = None) -> OscArgument:  # noqa: A002 - the column's name
    return _Arg(name, "i", "0 or 1", 0, 1, default, (0, 1), help)


def _beat(name: str, help: str, default: float | None = None) -> OscArgument:  # noqa: A002
    return _Arg(name, "d", "beats", -MAX_BEAT, MAX_BEAT, default, help=help)


def _text(name: str, help: str, default: str | None = None, choices: tuple[str, ...] = ()) -> OscArgument:  # noqa: A002
    return _Arg(name, "s", "", None, MAX_STRING_BYTES, default, choices, help)


def _bpm() -> OscArgument:
    return _Arg("bpm", "d", "quarter notes a minute", MIN_BPM, MAX_BPM, help="tempo")


def _signature() -> tuple[OscArgument, OscArgument]:
    return (
        _Arg("numerator", "i", "", 1, MAX_NUMERATOR, help="upper number of the time signature"),
        _Arg("denominator", "i", "", 1, max(DENOMINATORS), choices=DENOMINATORS, help="lower number"),
    )


def _stems() -> OscArgument:
    return _text("stems", "stems, with commas between them", ",".join(STEMS))


def _rate() -> OscArgument:
    return _Arg("rate", "i", "Hz", 8_000, 384_000, help="the host's sample rate")


EFFECTIVE_BEAT = _Arg("beat", "f", "beats", help="where it takes effect")  # Pure Data reads neither `d` nor `h`

TRANSPORT = (
    OscMethod(
        f"{PREFIX}/transport",
        (
            _flag("playing", "1 while the host rolls"),
            _Arg("song_sample", "h", "samples at `rate`", -MAX_SAMPLE, MAX_SAMPLE, help="song position of the block"),
            _rate(),
            _Arg("ppq", "d", "quarter notes", -MAX_BEAT, MAX_BEAT, help="the same position on the host's beat grid"),
            _bpm(),
            *_signature(),
            _flag("loop_on", "1 while the host loops"),
            _Arg("loop_start_ppq", "d", "quarter notes", -MAX_BEAT, MAX_BEAT, help="start of the loop"),
            _Arg("loop_end_ppq", "d", "quarter notes", -MAX_BEAT, MAX_BEAT, help="end of the loop"),
            _Arg("sequence", "i", "", *INT32, help="counts up; older ones are ignored; may wrap"),
        ),
        help="One snapshot of the host's transport. None for 2 s makes the transport unknown, which is not stopped.",
        streamed=True,
    ),
    OscMethod(f"{PREFIX}/tempo", (_bpm(),), help="Tempo from here on, for clients without snapshots."),
    OscMethod(f"{PREFIX}/time_signature", _signature(), help="Time signature from the bar the host is on."),
    OscMethod(f"{PREFIX}/play", help="The host starts to roll."),
    OscMethod(f"{PREFIX}/stop", help="The host stops."),
    OscMethod(f"{PREFIX}/locate", (_beat("beat", "where the host jumps to"),), help="The host jumps."),
    OscMethod(
        f"{PREFIX}/loop",
        (
            _flag("on", "1 to loop"),
            _beat("start_beat", "start of the loop", 0.0),
            _beat("end_beat", "end of the loop", 0.0),
        ),
        help="The host's loop range.",
    ),
    OscMethod(
        f"{PREFIX}/vocal",
        (
            _Arg("stream", "i", "", *INT32, help="which run of the sender; another one starts the count anew"),
            _Arg("sequence", "i", "", *INT32, help="counts packets up; may wrap"),
            _Arg("song_sample", "h", "samples at `rate`", -MAX_SAMPLE, MAX_SAMPLE, help="position of the first sample"),
            _rate(),
            _Arg("channels", "i", "", 1, 2, help="1 or 2, interleaved"),
            _text("format", "32-bit float or 16-bit integer, little-endian", choices=("f32", "i16")),
            _Arg("samples", "b", "PCM", None, MAX_BLOB_BYTES, help="the block"),
        ),
        help="A block of the vocal at its place in the song.",
        streamed=True,
    ),
)

GENERATE = (
    OscMethod(
        f"{PREFIX}/generate/start",
        (
            _beat("from_beat", "start; -1: the next bar", -1.0),
            _beat("to_beat", "end; -1: no end", -1.0),
            _stems(),
        ),
        help="Start to accompany.",
        replies=(EFFECTIVE_BEAT,),
    ),
    OscMethod(f"{PREFIX}/generate/stop", help="End the accompaniment.", replies=(EFFECTIVE_BEAT,)),
    OscMethod(
        f"{PREFIX}/generate/reroll",
        (_beat("from_beat", "start of the range"), _beat("to_beat", "end of the range"), _stems()),
        help="Generate a range of beats anew with another seed.",
        replies=(EFFECTIVE_BEAT,),
    ),
)


def _stem_methods(stem: str) -> Iterator[OscMethod]:
    base = f"{PREFIX}/stem/{stem}"
    gain = _Arg("db", "f", "dB", -120.0, 12.0, help="-120 is silence")
    yield OscMethod(f"{base}/gain", (gain,), help=f"Gain of {stem}, ramped.", readable=True)
    yield OscMethod(f"{base}/mute", (_flag("on", "1 to mute"),), help=f"Mute {stem}, ramped.", readable=True)
    yield OscMethod(
        f"{base}/solo",
        (_flag("on", "1 to hear it alone"),),
        help=f"Hear {stem} and the other soloed stems alone.",
        readable=True,
    )
    yield OscMethod(
        f"{base}/lock",
        (
            _flag("on", "1 to keep what was generated"),
            _beat("from_beat", "start; -1: of the song", -1.0),
            _beat("to_beat", "end; -1: of the song", -1.0),
        ),
        help=f"Keep {stem} as it was generated; a re-roll leaves it alone.",
        readable=True,
    )


STEM_METHODS = tuple(method for stem in STEMS for method in _stem_methods(stem))


def _control(name: str, *arguments: OscArgument, help: str) -> OscMethod:  # noqa: A002
    return OscMethod(f"{PREFIX}/control/{name}", arguments, "in", help, (EFFECTIVE_BEAT,), readable=True)


CONTROLS = (
    _control(
        "style",
        _text("style", 'style; "" leaves it to the model', choices=("", *STYLES)),
        help="Style of the accompaniment.",
    ),
    _control(
        "arousal",
        _Arg("arousal", "f", "", -1.0, 1.0, help="0 to 1; -1 follows the vocal"),
        help="Energy of the accompaniment.",
    ),
    _control(
        "focus",
        _Arg("focus", "f", "", -1.0, 1.0, help="0 to 1; -1 follows the vocal"),
        help="Steadiness of the accompaniment.",
    ),
    _control(
        "guidance",
        _Arg("guidance", "f", "", 0.0, 20.0, help="1 is none, 2 is usual"),
        help="How closely vocal, chords, key and style are followed.",
    ),
    _control("steps", _Arg("steps", "i", "", 1, 800, help="4 is usual"), help="Steps of the sampler."),
    _control("seed", _Arg("seed", "h", "", 0, MAX_SEED, help="another seed is another take"), help="Seed."),
    _control("key", _text("key", 'such as "A minor"; "" reads it off the vocal'), help="Key of the song."),
    _control(
        "chord",
        _text("chord", 'such as "Am"; "N" is none; "" reads it off the vocal'),
        _beat("beat", "from where; -1: now", -1.0),
        help="Chord from a beat on.",
    ),
    _control("lookahead", _Arg("frames", "i", "latent frames", 0, 512, help="extra lead"), help="Extra lead."),
    _control(
        "chunk",
        _Arg("frames", "i", "latent frames", 0, 512, help="0 chooses by itself"),
        help="Length of one generation.",
    ),
)

_NAMES = OscArgument("names", "s", "", None, MAX_STRING_BYTES, help="one argument each")

PRESETS_AND_TAKES = (
    OscMethod(f"{PREFIX}/preset/load", (_text("name", "name, never a path"),), help="Load a preset."),
    OscMethod(f"{PREFIX}/preset/list", help="Names of the presets.", replies=(_NAMES,)),
    OscMethod(f"{PREFIX}/take/list", help="Names of the takes.", replies=(_NAMES,)),
    OscMethod(
        f"{PREFIX}/take/bounce",
        (_text("name", 'take; "" is the newest', ""),),
        help="Render a take exactly as it was heard, as stems.",
        replies=(_text("name", "the take that is rendered"),),
    ),
)

PATTERN = _text("pattern", "OSC address pattern: `*` `?` `[a-z]` `{a,b}`")

SERVICE = (
    OscMethod(
        f"{PREFIX}/subscribe",
        (PATTERN, _Arg("max_hz", "f", "Hz", 0.1, MAX_PUBLISH_HZ, 10.0, help="most messages a second an address")),
        help="Send me what changes under the pattern, for 30 s; ask again to renew. The current values come at once.",
        replies=(_Arg("lease", "f", "seconds", help="how long it holds"),),
    ),
    OscMethod(f"{PREFIX}/unsubscribe", (PATTERN,), help="End a lease."),
    OscMethod(
        f"{PREFIX}/client/reply_port",
        (_Arg("port", "i", "UDP port", 0, 65_535, help="0: the port I send from"),),
        help="Send replies and leased values to this port of my host instead.",
    ),
    OscMethod(f"{PREFIX}/ping", help="Answered at once."),
    OscMethod(
        f"{PREFIX}/sync",
        (_Arg("id", "i", "", *INT32, default=0, help="comes back"),),
        help="Answered when all that I sent before has been handled (bundles for later left out).",
        replies=(_Arg("id", "i", help="as given"),),
    ),
    OscMethod(f"{PREFIX}/refresh", help="Send me every current value."),
    OscMethod(f"{PREFIX}/panic", help="Silence, at once, with a 10 ms fade; generation stops."),
)

BUILT_IN = frozenset(f"{PREFIX}/{name}" for name in ("subscribe", "unsubscribe", "client/reply_port")) | frozenset(
    f"{PREFIX}/{name}" for name in ("ping", "sync", "refresh")
)
"""Addresses that the service answers itself."""

_BUTTON = _Arg("on", "f", "", 0.0, 1.0, 1.0, help="0 when the state ends or the button is let go")


def _alias(address: str, *arguments: OscArgument, of: tuple[str, ...], help: str, streamed: bool = False) -> OscMethod:  # noqa: A002
    return OscMethod(address, arguments, "in", help, streamed=streamed, alias_of=tuple(f"{PREFIX}/{a}" for a in of))


ALIASES = (
    _alias("/play", _BUTTON, of=("play", "stop"), help="REAPER, DrivenByMoss: 1 plays, 0 stops."),
    _alias("/stop", _BUTTON, of=("stop",), help="REAPER, DrivenByMoss: 1 stops."),
    _alias("/record", _BUTTON, of=("play",), help="REAPER, DrivenByMoss: recording plays; 0 changes nothing."),
    _alias("/tempo/raw", _bpm(), of=("tempo",), help="REAPER, DrivenByMoss: tempo."),
    _alias(
        "/time",
        _Arg("seconds", "f", "seconds", -1e5, 1e5, help="song position"),
        of=("locate",),
        help="REAPER: position, at the tempo last heard; a jump locates.",
        streamed=True,
    ),
    _alias(
        "/time/signature", _text("signature", 'such as "4 / 4"'), of=("time_signature",), help="DrivenByMoss: metre."
    ),
    _alias(
        "/beat/str",
        _text("position", 'bar.beat.hundredths, or bar.beat.sixteenth.hundredths: "12.3.50"'),
        of=("locate",),
        help="REAPER, DrivenByMoss: position, in the time signature last heard; a jump locates.",
        streamed=True,
    ),
)

_ADDRESS = _text("address", "the address that was sent")
_REQUEST = OscArgument("request_id", "s", "", None, MAX_STRING_BYTES, "", help="only if one was given")


def _count(name: str, help: str) -> OscArgument:  # noqa: A002
    return _Arg(name, "i", "count", 0, INT32[1], help=help)


def _figure(name: str, unit: str, help: str) -> OscArgument:  # noqa: A002
    return _Arg(name, "f", unit, help=help)


OUT = (
    OscMethod(f"{PREFIX}/done", (_ADDRESS, _REQUEST), "out", "A command was carried out; its own values follow."),
    OscMethod(
        f"{PREFIX}/error",
        (_ADDRESS, _REQUEST, _text("code", "see below"), _text("message", "what, why and the remedy")),
        "out",
        "A command was refused.",
    ),
    OscMethod(
        f"{PREFIX}/heartbeat",
        (
            _text("state", "what the engine does"),
            _figure("transport_age", "seconds", "since the last snapshot"),
            _figure("ring_fill", "ms", "sound ahead of the card"),
            _count("underruns", "blocks the card did not get"),
            _count("on_time", "chunks delivered in time"),
            _count("late", "chunks too late"),
            _count("repeated", "bars repeated because a chunk was late"),
            _figure("generation_p50", "ms", "median time of a chunk"),
            _figure("generation_p95", "ms", "95th percentile of it"),
            _figure("real_time_factor", "", "generation time by sound made"),
            _figure("future_visibility", "ms", "age of the newest vocal when its chunk sounds"),
            _text("provider", "what onnxruntime runs on"),
            _text("bundle_hash", "which bundle"),
        ),
        "out",
        "Once a second.",
    ),
    OscMethod(
        f"{PREFIX}/plan",
        (
            _Arg("bar", "i", "", *INT32, help="from 0"),
            _Arg("beats", "f", "beats", help="length of the bar"),
            _text("stem", "which", choices=STEMS),
            _text("state", "what is known of it"),
            _figure("eta", "ms", "until it sounds"),
            _Arg("seed", "h", help="of the take; last, as some clients do not read `h`"),
        ),
        "out",
        "What comes next, before it sounds; every one is sent, however small max_hz.",
    ),
    *(
        OscMethod(
            f"{PREFIX}/meter/{name}",
            (_figure("peak", "dBFS", "since the last one"), _figure("rms", "dBFS", "since the last one")),
            "out",
            f"Level of {'the mix' if name == 'mix' else name}.",
        )
        for name in (*STEMS, "mix")
    ),
)

METHODS = (*TRANSPORT, *GENERATE, *STEM_METHODS, *CONTROLS, *PRESETS_AND_TAKES, *SERVICE, *ALIASES, *OUT)
"""The table."""

BY_ADDRESS = MappingProxyType({method.address: method for method in METHODS})

HANDLED = frozenset(m.address for m in METHODS if m.direction == "in" and not m.alias_of) - BUILT_IN
"""Addresses whose handlers come from outside the service."""

STREAMED = frozenset(method.address for method in METHODS if method.streamed)
