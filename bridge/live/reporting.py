"""What a session says of itself: a status for the view, and the same over OSC to whoever subscribed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.live.meters import TRACKS
from bridge.live.playing import Level
from bridge.live.session import LiveSession
from bridge.live.settings import HEARING_SECONDS
from bridge.live.status import GeneratorStatus, LiveStatus, ReactionTerms, TransportStatus
from bridge.live.work import Delivery
from bridge.osc.contract import PREFIX
from bridge.osc.method import OscValue
from bridge.transport.view import HostView
from engine.geometry import LATENT_HOP_SAMPLES, LATENT_RATE_HZ, SAMPLE_RATE_HZ, STEMS
from engine.planner import FRAMES_MULTIPLE
from engine.wish import Wish

Publish = Callable[[str, Sequence[OscValue]], None]

SHOWN_EVENTS = 40


class Reporter:
    """Looks at one session.

    Args:
        session: whose status it is.
        provider: what onnxruntime runs on.
        bundle_sha256: which bundle.
        take: the name of the take that is recorded, empty if none.
    """

    def __init__(self, session: LiveSession, provider: str, bundle_sha256: str, take: Callable[[], str]) -> None:
        self._session = session
        self._provider, self._bundle_sha256, self._take = provider, bundle_sha256, take

    def status(self, reader: str) -> LiveStatus:
        """Return the status now; meters are since the same `reader` last asked."""
        session = self._session
        view = session.host.now_view(session.clock.now())
        sound = session.out.facts()
        generator = self._generator()
        making, guard = generator.p95_seconds, max(generator.lead_seconds - generator.p95_seconds, 0.0)
        sounding, border = sound.latency.total_seconds, FRAMES_MULTIPLE / LATENT_RATE_HZ
        chunk = generator.chunk_frames / LATENT_RATE_HZ
        desk = session.player.desk
        return LiveStatus(
            level=session.player.level.value,
            level_seconds={level.value: session.player.counts[level] / SAMPLE_RATE_HZ for level in Level},
            repeats=session.repeats,
            clipped_samples=session.player.clipped_samples,
            transport=_transport(view, session.player.front.song_sample),
            generator=generator,
            sound=sound,
            vocal=session.vocal.stats,
            meters=session.meters.read(reader),
            muted=tuple(stem for stem in STEMS if not desk.audible(stem)),
            reaction_control=ReactionTerms(0.0, making + border, making, guard, sounding),
            reaction_vocal=ReactionTerms(HEARING_SECONDS, chunk, making, guard, sounding),
            take=self._take(),
            events=tuple(session.events)[-SHOWN_EVENTS:],
        )

    def _generator(self) -> GeneratorStatus:
        session, generator = self._session, self._session.generator
        wish, last = generator.controls.wish, session.last_delivery
        heard = last.chunk.score.wish if last else wish
        pace = generator.pace
        return GeneratorStatus(
            on_time=pace.on_time,
            late=pace.late,
            abandoned=pace.abandoned,
            p50_seconds=pace.percentile(0.5),
            p95_seconds=pace.percentile(0.95),
            lead_seconds=pace.lead_seconds,
            chunk_frames=generator.chunk_frames,
            steps=wish.steps,
            guidance=wish.guidance_scale,
            visibility_seconds=_visibility(last),
            provider=self._provider,
            bundle_sha256=self._bundle_sha256,
            style=wish.style or "",
            key=heard.key.name if heard.key else "",
            chord=_chord(heard, session.host.now_view(session.clock.now()), session.player.front.song_sample),
        )

    def heartbeat(self, status: LiveStatus) -> Sequence[OscValue]:
        """Return what `/backline/heartbeat` carries."""
        generator, sound = status.generator, status.sound
        return (
            status.level,
            -1.0 if status.transport.age_seconds is None else status.transport.age_seconds,
            1e3 * sound.fill_seconds,
            sound.underruns,
            generator.on_time,
            generator.late,
            status.repeats,
            1e3 * generator.p50_seconds,
            1e3 * generator.p95_seconds,
            generator.real_time_factor,
            1e3 * generator.visibility_seconds,
            generator.provider,
            generator.bundle_sha256,
        )

    def plan(self, delivery: Delivery) -> list[tuple[OscValue, ...]]:
        """Return what `/backline/plan` says of a chunk, one message a stem."""
        chunk, timeline = delivery.chunk, delivery.roll.timeline
        beat = timeline.beat_at_sample(chunk.plan.first_frame * LATENT_HOP_SAMPLES)
        state = "new" if chunk.sampled else "again"
        eta_ms = -1.0 if delivery.slack_seconds is None else 1e3 * delivery.slack_seconds
        bar, beats = timeline.bar_at_beat(beat), timeline.beats_per_bar_at(beat)
        return [(bar, beats, stem, state, eta_ms, chunk.score.seed_of(stem, chunk.plan.first_frame)) for stem in STEMS]

    def publish_meters(self, status: LiveStatus, publish: Publish) -> None:
        """Say the levels."""
        for track in TRACKS:
            meter = status.meters[track]
            publish(f"{PREFIX}/meter/{track}", (meter.peak_db, meter.rms_db))


def _transport(view: HostView, place: float) -> TransportStatus:
    timeline = view.timeline
    beat = timeline.beat_at_position(place)
    bar = timeline.bar_at_beat(beat)
    return TransportStatus(
        state=view.state,
        moving=view.moving,
        age_seconds=None if view.age_seconds == float("inf") else view.age_seconds,
        bar=bar,
        beat_in_bar=beat - timeline.beat_at_bar(bar),
        song_seconds=place / SAMPLE_RATE_HZ,
        bpm=view.bpm,
        numerator=view.numerator,
        denominator=view.denominator,
        loop=(view.loop.start_beat, view.loop.end_beat) if view.loop else None,
    )


def _visibility(last: Delivery | None) -> float:
    """Return how old the newest vocal is when the last chunk sounds."""
    if last is None:
        return 0.0
    return max(last.chunk.plan.first_frame - last.chunk.visible_end_frame, 0) / LATENT_RATE_HZ


def _chord(wish: Wish, view: HostView, place: float) -> str:
    beat = view.timeline.beat_at_position(place)
    return next((span.chord.name for span in wish.chords if span.start_beat <= beat < span.end_beat), "")
