"""The model that judges frames, as the update worker sees it. Implements `agent.update.ports.LiveModel`.

It looks on while the pipeline judges: that gives the latencies and counts by which a successor is judged, and the
frames for a trial. A trial runs in a thread of its own, on one frame at a time and within its share of a core; while
it is busy or resting, frames pass it by. The judging thread never waits for any of this.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np

from agent.detect.settings import DetectSettings
from agent.domain import Clock, Frame
from agent.errors import CandidateRejected, JudgeStuck
from agent.pipeline import Inbox, NewModel
from agent.update.ports import Candidate
from agent.update.probation import Spell, Standard, harm, is_over, standard_of
from agent.update.trial import Trial
from vision.estimates import Counts, Sums
from vision.detections import Detections, Detector
from vision.errors import InferenceFailed, VisionError
from wire.audits import Audit, AuditOutcome
from wire.model import Manifest
from wire.updates import Gates, TrialFigures

LOOK_S: Final = 0.25
"""How long a waiting thread goes without looking whether it is still wanted."""
STUCK_S: Final = 60.0
"""No inference that a proof let pass takes as long; one that does has hung."""
SWITCH_S: Final = 30.0
"""The judging thread takes a model up between two frames, so within one inference."""
NICENESS: Final = 5
"""Of the trial's thread: where it competes with the judge, it gets a third of what the judge gets."""
MEND: Final = "Publish a release that does better, or set the rollout's gates."


class Model(Detector, Protocol):
    """A detector that can be told apart and closed."""

    @property
    def manifest(self) -> Manifest:
        """What it is."""

    def close(self) -> None:
        """Let go of it; harmless twice."""


def judging_floor(low_score: float, manifest: Manifest) -> float:
    """The lowest score that a model is asked for: what the tracker wants, but nothing that the model calls noise."""
    return max(low_score, manifest.min_score)


@dataclass(frozen=True, slots=True)
class _Sample:
    """A frame that the current model has judged."""

    frame: Frame
    detections: Detections
    inference_s: float


@dataclass(slots=True)
class _Tray:
    """Where the judging thread lays a frame for the trial, if one is wanted."""

    due_at: float
    sample: _Sample | None = None
    busy_since: float | None = None
    closed: bool = False


@dataclass(slots=True)
class _Outcome:
    """How a trial's thread ended."""

    done: threading.Event = field(default_factory=threading.Event)
    failure: VisionError | None = None


class PipelineLiveModel:
    """See the module.

    Args:
        inbox: The pipeline's.
        model: The one that the pipeline begins with.
        settings: How models are opened here; its `model` is not used.
        low_score: The lowest score that the tracker wants to hear of.
        labels: What the rules look for, as they stand.
        captured: How many pictures the cameras gave since the start.
        adopted: Told by the judging thread when another model judges from the next frame on.
        clock: The agent's clock.
        open_model: Opens a model.
    """

    def __init__(
        self,
        *,
        inbox: Inbox,
        model: Model,
        settings: DetectSettings,
        low_score: float,
        labels: Callable[[], Collection[str]],
        captured: Callable[[], int],
        adopted: Callable[[Model], None],
        clock: Clock,
        open_model: Callable[[DetectSettings], Model],
    ) -> None:
        self._inbox = inbox
        self._settings = settings
        self._low_score = low_score
        self._labels = labels
        self._captured = captured
        self._on_adopted = adopted
        self._clock = clock
        self._open_model = open_model
        self._news = threading.Condition()
        self._tray: _Tray | None = None
        self._model = model
        self._counted = self._counted_classes(model)
        self._spell = self._new_spell()
        self._before: Spell | None = None
        self._before_digest = ""
        self.audit_factor = 1.0
        """As many times as often as usual frames are drawn for audit now; read by the judging thread."""

    @property
    def manifest(self) -> Manifest:
        """Of the model that judges."""
        return self._model.manifest

    # --- the judging thread's side, see `agent.pipeline.Onlooker` ---------------------------------------------

    def judged(self, frame: Frame, detections: Detections, inference_s: float) -> None:
        """See `Onlooker`."""
        floor = self._model.manifest.uncertain[0]
        objects = int(np.count_nonzero(self._counted[detections.classes[detections.scores >= floor]]))
        with self._news:
            self._walked()
            self._spell.saw(objects, 1000.0 * inference_s)
            tray = self._tray
            if tray is not None and tray.sample is None and self._clock.monotonic() >= tray.due_at:
                tray.sample = _Sample(frame, detections, inference_s)
            self._news.notify_all()

    def failed(self, failure: InferenceFailed) -> None:
        """See `Onlooker`."""
        with self._news:
            self._walked()
            self._spell.failed_because(failure.what)
            self._news.notify_all()

    def skipped(self) -> None:
        """See `Onlooker`."""
        with self._news:
            self._walked()

    def _walked(self) -> None:
        self._spell.walked(self._clock.monotonic(), self._captured())

    def _adopted(self, model: Model) -> None:
        with self._news:
            self._before_digest = self._model.manifest.digest
            self._model = model
            self._counted = self._counted_classes(model)
            self._before, self._spell = self._spell, self._new_spell()
        self._on_adopted(model)

    # --- what the cloud says of frames that were drawn for audit ----------------------------------------------

    def audited(self, audit: Audit, outcome: AuditOutcome) -> None:
        """Count an outcome for the model that judged the frame, if it is the present one or the one before."""
        counts = Counts(
            matched=sum(one.matched for one in outcome.counts),
            shown=sum(one.shown for one in outcome.counts),
            there=sum(one.there for one in outcome.counts),
        )
        with self._news:
            spells = {self._before_digest: self._before, self._model.manifest.digest: self._spell}
            spell = spells.get(audit.model_digest)
            if spell is not None:
                spell.audited(audit.camera, Sums.of(counts, audit.probability))
                self._news.notify_all()

    # --- the worker's side, see `agent.update.ports.LiveModel` ------------------------------------------------

    def latency_ms(self) -> float | None:
        """See `LiveModel`."""
        with self._news:
            return self._spell.latency_ms()

    def trial(self, candidate: Candidate, gates: Gates, cancelled: Callable[[], bool]) -> TrialFigures:
        """See `LiveModel`; when cancelled, what was seen so far is returned unjudged."""
        current = self._model.manifest
        labels = frozenset(self._labels())
        if gates.shadow_frames == 0:
            return _trial_of(gates, current, current, labels).figures()
        model = self._opened(candidate)
        if missing := sorted((labels & set(self._model.labels)) - set(model.labels)):
            model.close()
            raise CandidateRejected(f"it does not know what rules look for: {', '.join(missing)}", MEND)
        trial = _trial_of(gates, current, model.manifest, labels)
        outcome, tray = _Outcome(), _Tray(due_at=self._clock.monotonic())
        try:
            with self._news:
                self._tray = tray
            runs = threading.Thread(
                target=self._run_trial, args=(model, trial, gates, tray, outcome), name="trial", daemon=True
            )
            runs.start()
            wanted = self._await_trial(tray, outcome, cancelled)
        finally:
            with self._news:
                self._tray = None
                tray.closed = True
                self._news.notify_all()
        runs.join()
        model.close()
        if outcome.failure is not None:
            raise CandidateRejected(f"it failed on a live frame: {outcome.failure.what}", MEND)
        if wanted and (reason := trial.verdict() if trial.over else "it broke off") is not None:
            raise CandidateRejected(f"in the trial on live frames {reason}", MEND)
        return trial.figures()

    def switch(self, candidate: Candidate) -> None:
        """See `LiveModel`.

        Raises:
            CandidateRejected: It could not be opened; the current model goes on.
            JudgeStuck: The judging thread does not come back from the current model, or has ended.
        """
        model = self._opened(candidate)
        old = self._model
        done = self._inbox.put(
            NewModel(
                model,
                judging_floor(self._low_score, model.manifest),
                model.manifest.uncertain,
                lambda: self._adopted(model),
            )
        )
        try:
            done.result(SWITCH_S)
        except TimeoutError:
            if done.cancel():
                model.close()
                raise JudgeStuck(
                    f"no frame was finished within {SWITCH_S:g} s, so the model can't be switched",
                    "Restart the agent.",
                ) from None
        old.close()

    def watch(self, gates: Gates, cancelled: Callable[[], bool]) -> None:
        """See `LiveModel`; when cancelled, returns before the probation is over."""
        self.audit_factor = gates.audit_factor
        try:
            with self._news:
                before = self._standard(gates)
                while not cancelled():
                    now, captured = self._clock.monotonic(), self._captured()
                    if before is not None and self._before is not None:
                        before = replace(before, audits=self._before.audits)
                    reason = harm(self._spell, before, gates, now, captured)
                    if reason is not None:
                        raise CandidateRejected(f"in probation {reason}", MEND)
                    if is_over(self._spell, gates, now):
                        return
                    self._news.wait(LOOK_S)
        finally:
            self.audit_factor = 1.0

    def _standard(self, gates: Gates) -> Standard | None:
        return standard_of(self._before, gates.probation_frames) if self._before is not None else None

    # --- the trial --------------------------------------------------------------------------------------------

    def _await_trial(self, tray: _Tray, outcome: _Outcome, cancelled: Callable[[], bool]) -> bool:
        """Whether the trial came to its end; False where it was cancelled.

        Raises:
            CandidateRejected: It hung; its thread is left behind.
        """
        while not outcome.done.wait(LOOK_S):
            if cancelled():
                return False
            with self._news:
                busy_since = tray.busy_since
            if busy_since is not None and self._clock.monotonic() - busy_since > STUCK_S:
                raise CandidateRejected(f"it hung on a live frame for {STUCK_S:g} s", MEND)
        return True

    def _run_trial(self, model: Model, trial: Trial, gates: Gates, tray: _Tray, outcome: _Outcome) -> None:
        try:
            # On Linux this is the thread's own; the judge keeps its priority.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            while not trial.over and (sample := self._next_sample(tray)) is not None:
                began = self._clock.monotonic()
                found = model.detect(sample.frame.image, judging_floor(self._low_score, model.manifest))
                spent = self._clock.monotonic() - began
                trial.add(sample.detections, sample.inference_s, found, spent)
                with self._news:
                    tray.sample, tray.busy_since = None, None
                    tray.due_at = self._clock.monotonic() + spent * (1.0 / gates.shadow_cpu_share - 1.0)
        except VisionError as failed:
            outcome.failure = failed
        finally:
            outcome.done.set()

    def _next_sample(self, tray: _Tray) -> _Sample | None:
        """Waits for a frame that both may judge; None once the trial is not wanted any more."""
        with self._news:
            self._news.wait_for(lambda: tray.closed or tray.sample is not None)
            if tray.closed:
                return None
            tray.busy_since = self._clock.monotonic()
            return tray.sample

    # --- models -----------------------------------------------------------------------------------------------

    def _opened(self, candidate: Candidate) -> Model:
        try:
            model = self._open_model(self._settings.model_copy(update={"model": str(candidate.folder)}))
        except VisionError as refused:
            raise CandidateRejected(f"it can't be opened: {refused.name}: {refused.what}", MEND) from None
        if model.manifest.digest != candidate.ref.digest:
            model.close()
            raise CandidateRejected(
                f"what lies in its folder is {model.manifest.digest}, not {candidate.ref.digest}", "Fetch it again."
            )
        return model

    def _counted_classes(self, model: Model) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether a rule looks for the class of each index: bool (C,)."""
        labels = frozenset(self._labels())
        return np.array([label in labels for label in model.labels], np.bool_)

    def _new_spell(self) -> Spell:
        now = self._clock.monotonic()
        return Spell(began_at=now, walked_at=now, captured_by_then=self._captured())


def _trial_of(gates: Gates, current: Manifest, candidate: Manifest, labels: Collection[str]) -> Trial:
    return Trial(gates, current_floor=current.uncertain[0], candidate_floor=candidate.uncertain[0], labels=labels)
