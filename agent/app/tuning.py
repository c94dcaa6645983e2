"""Tunes the bands to the objective: gathers what it takes, decides once a minute, and hands new bands to the judge.

Implements `agent.judging.ports.Auditor` for the objects that are drawn. What decides is `agent.tune.bands`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from agent.adapters.wakeup import Wakeup
from agent.decide.zones import Polygon
from agent.domain import Answer, Ask, Box, Clock, Frame, Track
from agent.judging.inbox import Aside, NewBands
from agent.tune.bands import Band, Held, Tuned, pinned, stuck, tune
from agent.tune.evidence import DAY_S, Evidence, FrameAnswer, ObjectAnswer, Scene, hundredths
from agent.tune.lives import Life, Lives, View
from agent.tune.ports import Answers, Rules
from agent.tune.settings import PinnedBand, Wanted
from vision.detections import Detections
from wire.audits import Audit, AuditOutcome, FrameKind
from wire.messages import AskReason, BandState, Decision, TunedBand
from wire.model import Manifest

log: Final = logging.getLogger(__name__)

EVERY_S: Final = 60.0
"""Between two decisions, and before counts are written down."""
PINNED_CONFIDENCE: Final = 0.9
"""Of the bounds that are shown beside a pinned band where no objective says another."""
MOST_UNANSWERED: Final = 5_000
"""Questions about drawn objects of which an answer is taken; beyond, the oldest is let go, as in a long outage."""
STEADY_S: Final = 3_600.0
"""For so long the wall clock must have gone on evenly before anything is forgotten by it. A device without a battery
for its clock starts in another year, and is set right once it has a network."""
STEP_S: Final = 60.0
"""A wall clock that is so far from where it should be by the other one was set."""
LEAST_PAUSE_S: Final = 2.0
"""Between two decisions that news ask for: each takes up to a tenth of a second of a core for each camera."""


class BandTuner:
    """`run` is its one task; what else is for which thread stands beside it.

    Args:
        wanted: Of each camera.
        answers: Where the evidence lies.
        rules: The rule book's word, as it stands.
        model: The one that judges.
        start: A model's band before any answer.
        floor: The lowest score that a model is asked for.
        concerns: Whether a rule looks for an object there and then, by camera, label and box.
        put: Hands an event to the judging thread.
        gone_after_s: Not seen for so long, an object will not be found again.
        deadline_s: Of the questions about drawn objects.
    """

    def __init__(
        self,
        wanted: Mapping[str, Wanted],
        *,
        answers: Answers,
        rules: Rules,
        model: Callable[[], Manifest],
        start: Callable[[Manifest], Band],
        floor: Callable[[Manifest], float],
        concerns: Callable[[str, str, Box], bool],
        put: Callable[[Aside | NewBands], object],
        clock: Clock,
        chance: Callable[[], float],
        gone_after_s: float,
        deadline_s: float,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._wanted = {camera: one for camera, one in wanted.items() if one.anything}
        self._answers = answers
        self._rules = rules
        self._model = model
        self._start = start
        self._floor = floor
        self._put = put
        self._clock = clock
        self._deadline_s = deadline_s
        self._new_id = new_id
        self._lives = {
            camera: Lives(
                gone_after_s=gone_after_s,
                counts=lambda label, box, camera=camera: concerns(camera, label, box),  # type: ignore[misc]
                chance=chance,
            )
            for camera, one in self._wanted.items()
            if one.ask_about
        }
        self._gone: dict[str, Counter[tuple[str, int]]] = {camera: Counter() for camera in self._lives}
        self._written_at = clock.monotonic()
        self._digest = model().digest
        self._ahead_s = math.nan  # of the wall clock before the other one, since `_steady_from`
        self._steady_from = math.inf
        self._news = Wakeup()
        self._lock = threading.Lock()
        # Where nothing is wanted, no file is made either.
        self._held: dict[Scene, Held] | None = answers.held() if self._wanted else {}
        self._unanswered = dict.fromkeys(sorted(answers.unanswered())) if self._wanted else {}
        self._told: tuple[TunedBand, ...] = ()
        self._applied: Mapping[tuple[str, str], Band] = {}

    def bands(self) -> tuple[TunedBand, ...]:
        """What stands, and why; from any thread."""
        return self._told

    # --- what the cloud says; from any thread ---------------------------------------------------------------------

    def audited(self, audit: Audit, outcome: AuditOutcome) -> None:
        """Take in what came of a frame that was drawn for audit.

        One that was too still to be judged says nothing about bands: no score was looked at.
        """
        wanted = self._wanted.get(audit.camera)
        if wanted is None or audit.kind is FrameKind.STILL:
            return
        now = self._now()
        answers = {
            Scene(audit.camera, one.label, audit.model_digest): FrameAnswer(
                now, audit.probability, one.there, one.found
            )
            for one in outcome.counts
            if one.there and one.found is not None
        }
        if answers:
            self._answers.add_frame(audit.message_id, answers)
            self._news.set()

    def close(self) -> None:
        """Let go of the answers; nothing is tuned any more."""
        self._answers.close()

    def heard(self, answer: Answer) -> bool:
        """Take in an answer; whether it was about a drawn object."""
        with self._lock:
            if answer.question_id not in self._unanswered:
                return False
            del self._unanswered[answer.question_id]
        self._answers.answer_object(answer.question_id, wrong=answer.decision is Decision.RETRACTED)
        self._news.set()
        return True

    # --- what the device sees; from the judging thread ------------------------------------------------------------

    def judged(
        self, frame: Frame, detections: Detections, tracks: Sequence[Track], masks: tuple[Polygon, ...]
    ) -> None:
        """See `Auditor`."""
        del detections, masks
        lives = self._lives.get(frame.camera)
        if lives is None:
            return
        share = self._wanted[frame.camera].ask_about
        needed = min((self._rules.frames_to_confirm(frame.camera, label) for label in self._rules.labels), default=1)
        for life in lives.step(frame, tracks, share=share, needed=needed):
            self._gone[frame.camera][life.label, hundredths(life.certain_to)] += 1
            if life.view is not None:
                self._ask(frame.camera, life, life.view, share)
        if self._clock.monotonic() - self._written_at >= EVERY_S:
            self.write()

    def still(self, frame: Frame, masks: tuple[Polygon, ...]) -> None:
        """See `Auditor`."""
        del masks
        if frame.camera in self._lives:
            self._lives[frame.camera].still(frame.at)

    def adopted(self, manifest: Manifest) -> Mapping[tuple[str, str], Band]:
        """Another model judges from the next frame on: its bands, as it left them, or as it comes."""
        self.write()
        self._digest = manifest.digest
        for lives in self._lives.values():
            lives.forget()
        with self._lock:
            # Bands of the model before may have been handed in just now: the next decision is told in any case.
            self._applied = {}
        self._news.set()
        start, held = self._start(manifest), self._held or {}
        return {
            (scene.camera, scene.label): (pin.lower, pin.upper)
            if (pin := self._pin(scene)) is not None
            else held[scene].band
            if scene in held
            else start
            for scene in self._scenes(manifest)
        }

    def write(self) -> None:
        """Write down what was counted; also at the end."""
        self._written_at = self._clock.monotonic()
        for camera, lives in self._lives.items():
            self._answers.count(camera, self._digest, self._now(), lives.watched_s, self._gone[camera])
            lives.watched_s = 0.0
            self._gone[camera].clear()

    def _ask(self, camera: str, life: Life, view: View, share: float) -> None:
        question, scene = self._new_id(), Scene(camera, life.label, self._digest)
        drawn = ObjectAnswer(self._now(), share, life.certain_to, wrong=False)
        ask = Ask(
            id=question,
            alert_id=None,
            camera=camera,
            track=life.track,
            label=life.label,
            score=min(1.0, view.score),
            box=view.box,
            reason=AskReason.DRAWN,
            asked_at=self._clock.monotonic(),
            deadline_s=self._deadline_s,
            model_digest=self._digest,
        )
        with self._lock:
            self._unanswered[question] = None
            if len(self._unanswered) > MOST_UNANSWERED:
                del self._unanswered[next(iter(self._unanswered))]
        self._answers.add_object(question, scene, drawn)

        def asked(was: bool) -> None:  # noqa: FBT001 - `Aside` calls it so
            if not was:
                with self._lock:
                    self._unanswered.pop(question, None)

        self._put(Aside(ask, view.frame, asked))

    # --- deciding ---------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Decide at once, then with news and once a minute, until `stop` is set."""
        self._news.bind()
        if not self._wanted:
            await stop.wait()
            return
        stopping = asyncio.create_task(stop.wait(), name="tuner-stop")
        try:
            while not stop.is_set():
                await asyncio.to_thread(self.decide)
                await asyncio.wait({stopping}, timeout=LEAST_PAUSE_S)
                news = asyncio.create_task(self._news.wait(EVERY_S), name="tuner-news")
                await asyncio.wait({stopping, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
        finally:
            stopping.cancel()
        await asyncio.to_thread(self.write)

    def decide(self) -> Mapping[tuple[str, str], Band]:
        """Where each band stands now; new ones are written down, handed to the judging thread, and returned.

        While the disk does not say where they stood, none is moved, for that would be forgotten; they are told.
        """
        manifest = self._model()
        held = self._held = self._answers.held() if self._held is None else self._held
        tuned = {scene: self._standing(scene, manifest, held) for scene in self._scenes(manifest)}
        if held is not None and (
            moved := {
                scene: one.held
                for scene, one in tuned.items()
                if one.state is not BandState.PINNED and held.get(scene) != one.held
            }
        ):
            self._answers.hold(moved)
            held |= moved
        self._tell(tuned)
        bands = {(scene.camera, scene.label): one.band for scene, one in tuned.items()}
        with self._lock:
            if bands != self._applied and manifest.digest == self._model().digest:
                for place in sorted(bands):
                    if self._applied.get(place) != bands[place]:
                        log.info("%s, %s: a score is uncertain from %.2f to %.2f", *place, *bands[place])
                self._applied = bands
                self._put(NewBands(bands))
        if self._wanted and self._clock_is_steady():
            self._answers.forget(self._now() - max(self._window_s(one) for one in self._wanted.values()))
        return bands

    def _clock_is_steady(self) -> bool:
        """What is too old by a clock that is wrong for a minute must not be lost for good."""
        now = self._clock.monotonic()
        ahead_s = self._now() - now
        if not abs(ahead_s - self._ahead_s) < STEP_S:
            self._ahead_s, self._steady_from = ahead_s, now
        return now - self._steady_from >= STEADY_S

    def _standing(self, scene: Scene, manifest: Manifest, known: Mapping[Scene, Held] | None) -> Tuned:
        wanted, now = self._wanted[scene.camera], self._now()
        floor = max(self._floor(manifest), self._rules.least_score(scene.camera, scene.label))
        evidence = self._answers.evidence(scene, now - self._window_s(wanted))
        pin, objective = self._pin(scene), wanted.objective
        if pin is not None:
            confidence = PINNED_CONFIDENCE if objective is None else objective.confidence
            return pinned(pin, evidence or Evidence(), confidence=confidence, floor=floor, now=now)
        start = self._start(manifest)
        held = (known or {}).get(scene) or Held.at(start, now)
        if known is None or evidence is None:
            return stuck(held)
        return tune(wanted.tuned_to, evidence, held, start=start, floor=floor, now=now)

    def _pin(self, scene: Scene) -> PinnedBand | None:
        return next((pin for pin in self._wanted[scene.camera].pins if pin.label == scene.label), None)

    def _scenes(self, manifest: Manifest) -> list[Scene]:
        labels: Collection[str] = self._rules.labels & set(manifest.labels)
        return [
            Scene(camera, label, manifest.digest)
            for camera, one in self._wanted.items()
            for label in sorted(labels)
            if one.objective is not None or any(pin.label == label for pin in one.pins)
        ]

    def _tell(self, tuned: Mapping[Scene, Tuned]) -> None:
        before = {(one.camera, one.label): one.state for one in self._told}
        self._told = tuple(told(scene, one) for scene, one in tuned.items())
        for one in self._told:
            if one.state is BandState.INFEASIBLE and before.get((one.camera, one.label)) is not one.state:
                log.warning("%s, %s: the objective can't be kept: %s", one.camera, one.label, one.reason)

    def _window_s(self, wanted: Wanted) -> float:
        return DAY_S * (30.0 if wanted.objective is None else wanted.objective.window_days)

    def _now(self) -> float:
        return self._clock.wall().timestamp()


def told(scene: Scene, tuned: Tuned) -> TunedBand:
    """As telemetry says it."""
    figures = tuned.figures
    return TunedBand(
        camera=scene.camera,
        label=scene.label,
        lower=tuned.held.lower,
        upper=tuned.held.upper,
        state=tuned.state,
        reason=tuned.reason,
        model_digest=scene.model_digest,
        frames=figures.frames,
        objects=figures.objects,
        miss_rate=_rounded(figures.miss_rate, 4),
        miss_rate_at_most=_rounded(figures.miss_rate_at_most, 4),
        best_miss_rate=_rounded(figures.best_miss_rate, 4),
        false_per_day=_rounded(figures.false_per_day, 2),
        false_per_day_at_most=_rounded(figures.false_per_day_at_most, 2),
        asked_share=_rounded(figures.asked_share, 4),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
