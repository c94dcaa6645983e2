"""The model that judges frames, as the update worker sees it. Implements `agent.update.ports.LiveModel`.

It looks on while the pipeline judges: that gives the latencies and counts by which a successor is judged, and the
frames for a trial (`agent.app.live_trial`). The judging thread never waits for any of this.

A model is switched to between two frames. Where memory holds both, it was opened before that. Where it doesn't, the
judging thread closes the one and opens the other; the cameras go on, and the newest frame of each waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import replace
from typing import Final, Protocol

import numpy as np

from agent.adapters.resident import hand_back, trim
from agent.app.asides import Asides, AsideSettings
from agent.app.live_trial import LOOK_S, MEND, LiveTrial
from agent.detect.settings import DetectSettings
from agent.domain import Answer, Clock, Frame
from agent.errors import CandidateRejected, JudgeStuck, NoModelOpens
from agent.judging.inbox import Inbox, NewModel, SwapModel
from agent.update.disputes import Side
from agent.update.ports import Candidate, Handover
from agent.update.probation import Spell, Standard, harm, is_over, standard_of
from agent.update.swap import Swap, manner
from agent.update.trial import Trial
from vision.detections import Detections, Detector
from vision.errors import InferenceFailed, VisionError
from vision.estimates import Counts, Sums
from vision.manifest import MANIFEST_NAME, load_manifest
from wire.audits import Audit, AuditOutcome
from wire.model import Manifest
from wire.updates import Gates, TrialFigures

log: Final = logging.getLogger(__name__)

SWITCH_S: Final = 30.0
"""The judging thread takes a model up between two frames, so within one inference."""
OPEN_S: Final = 120.0
"""For two models to be opened in a swap, each of which was seen to open; one that hangs is left to a restart."""


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


class PipelineLiveModel:
    """See the module.

    Args:
        inbox: The pipeline's.
        model: The one that the pipeline begins with.
        source: Where that one lies, to be opened again.
        settings: How models are opened here; its `model` is not used.
        low_score: The lowest score that the tracker wants to hear of.
        labels: What the rules look for, as they stand.
        captured: How many pictures the cameras gave since the start.
        adopted: Told by the judging thread when another model judges from the next frame on.
        clock: The agent's clock.
        open_model: Opens a model.
        swap: Whether two models may be open at once.
        memory_left: What could still be taken, in MiB; None where nobody knows.
        asides: How a trial's questions are asked.
    """

    def __init__(
        self,
        *,
        inbox: Inbox,
        model: Model,
        source: Candidate,
        settings: DetectSettings,
        low_score: float,
        labels: Callable[[], Collection[str]],
        captured: Callable[[], int],
        adopted: Callable[[Model], None],
        clock: Clock,
        open_model: Callable[[DetectSettings], Model],
        swap: Swap,
        memory_left: Callable[[], float | None],
        asides: AsideSettings,
    ) -> None:
        self._inbox = inbox
        self._settings = settings
        self._low_score = low_score
        self._labels = labels
        self._captured = captured
        self._on_adopted = adopted
        self._clock = clock
        self._open_model = open_model
        self._swap = swap
        self._memory_left = memory_left
        self._aside_settings = asides
        self._news = threading.Condition()
        self._trial: LiveTrial | None = None
        self._asides: Asides | None = None
        self._source = source
        self._handover: Handover | None = None
        self._last_judged_at: float | None = None
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

    # --- the judging thread's side, see `agent.judging.ports.Onlooker` ---------------------------------------------

    def judged(self, frame: Frame, detections: Detections, inference_s: float) -> None:
        """See `Onlooker`."""
        floor = self._model.manifest.uncertain[0]
        objects = int(np.count_nonzero(self._counted[detections.classes[detections.scores >= floor]]))
        with self._news:
            self._walked()
            self._spell.saw(objects, 1000.0 * inference_s)
            self._time_handover(self._clock.monotonic())
            if self._trial is not None:
                self._trial.offer(frame, detections, inference_s)
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

    def _time_handover(self, now: float) -> None:
        before, self._last_judged_at = self._last_judged_at, now
        if self._handover is not None and self._handover.gap_ms is None and before is not None:
            self._handover = replace(self._handover, gap_ms=1000.0 * (now - before))
            log.info("model %s %s", self._model.manifest.name, self._handover)

    def _adopted(self, model: Model, source: Candidate, *, in_place: bool) -> None:
        with self._news:
            self._before_digest = self._model.manifest.digest
            self._model, self._source = model, source
            self._handover = Handover(in_place)
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

    def heard(self, answer: Answer) -> bool:
        """Take in an answer of the cloud; whether it was to a question of the trial. From any thread."""
        asides = self._asides
        return asides is not None and asides.heard(answer)

    def handover(self) -> Handover | None:
        """See `LiveModel`."""
        with self._news:
            return self._handover

    def why_untried(self, candidate: Candidate, needed_mib: float | None) -> str | None:
        """See `LiveModel`."""
        found = manner(self._swap, self._memory_left(), needed_mib)
        if not found.in_place:
            return None
        try:
            manifest = load_manifest(candidate.folder / MANIFEST_NAME)
        except VisionError as refused:
            raise CandidateRejected(f"its manifest can't be read: {refused.what}", MEND) from None
        self._check_labels(manifest.labels)
        return f"no trial on live frames: {found.why}"

    def trial(self, candidate: Candidate, gates: Gates, cancelled: Callable[[], bool]) -> TrialFigures:
        """See `LiveModel`; when cancelled, what was seen so far is returned unjudged."""
        current = self._model.manifest
        labels = frozenset(self._labels())
        if gates.shadow_frames == 0:
            return _trial_of(gates, current, current, labels).figures()
        model = self._opened(candidate)
        try:
            self._check_labels(model.labels)
        except CandidateRejected:
            model.close()
            raise
        try:
            return self._tried(model, gates, current, labels, cancelled)
        finally:
            trim()

    def _tried(
        self, model: Model, gates: Gates, current: Manifest, labels: Collection[str], cancelled: Callable[[], bool]
    ) -> TrialFigures:
        trial = _trial_of(gates, current, model.manifest, labels)
        digests = {Side.CURRENT: current.digest, Side.CANDIDATE: model.manifest.digest}
        asides = Asides(self._inbox, self._clock, self._aside_settings, self._news, digests)
        live = LiveTrial(
            model,
            model.close,
            judging_floor(self._low_score, model.manifest),
            trial,
            cpu_share=gates.shadow_cpu_share,
            asides=asides,
            news=self._news,
            clock=self._clock,
        )
        with self._news:
            self._trial, self._asides = live, asides
        try:
            wanted = live.conduct(cancelled)
        finally:
            with self._news:
                self._trial, self._asides = None, None
        if wanted and (reason := trial.verdict() if trial.over else "it broke off") is not None:
            raise CandidateRejected(f"in the trial on live frames {reason}", MEND)
        return trial.figures()

    def switch(self, candidate: Candidate, needed_mib: float | None) -> None:
        """See `LiveModel`.

        Raises:
            CandidateRejected: It could not be opened; the current model goes on.
            NoModelOpens: Nor could the current one be opened again; the judging thread has ended.
            JudgeStuck: The judging thread does not come back from a model, or has ended.
        """
        found = manner(self._swap, self._memory_left(), needed_mib)
        log.info("switching to %s %s: %s", candidate.ref.name, candidate.ref.version, found.why)
        if found.in_place:
            self._switch_in_place(candidate)
        else:
            self._switch_beside(candidate)
        # What checking signatures and opening the model read of their libraries, too.
        hand_back()

    def _switch_beside(self, candidate: Candidate) -> None:
        model = self._opened(candidate)
        old = self._model
        done = self._inbox.put(self._taking_over(model, candidate, in_place=False))
        try:
            _await_switch(done)
        except JudgeStuck:
            model.close()
            raise
        old.close()
        trim()

    def _switch_in_place(self, candidate: Candidate) -> None:
        refusals: list[CandidateRejected] = []

        def swap() -> NewModel:
            old, source = self._model, self._source
            old.close()
            trim()
            try:
                return self._taking_over(self._opened(candidate), candidate, in_place=True)
            except CandidateRejected as refused:
                refusals.append(refused)
            try:
                return self._taking_over(self._opened(source), source, in_place=True)
            except CandidateRejected as lost:
                what = f"{refusals[0].what}; nor can the model before: {lost.what}"
                log.critical("no model can be opened any more: %s", what)
                raise NoModelOpens(what, "Free memory; the next start opens the model before.") from lost

        _await_switch(self._inbox.put(SwapModel(swap)))
        for refused in refusals:
            raise refused

    def _taking_over(self, model: Model, source: Candidate, *, in_place: bool) -> NewModel:
        return NewModel(
            model,
            (model.manifest.input.width, model.manifest.input.height),
            judging_floor(self._low_score, model.manifest),
            model.manifest.uncertain,
            model.manifest.looks,
            lambda: self._adopted(model, source, in_place=in_place),
        )

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

    def _check_labels(self, labels: Collection[str]) -> None:
        """What rules look for and the current model knows, another one must know too.

        Raises:
            CandidateRejected: It does not.
        """
        if missing := sorted((set(self._labels()) & set(self._model.labels)) - set(labels)):
            raise CandidateRejected(f"it does not know what rules look for: {', '.join(missing)}", MEND)

    def _counted_classes(self, model: Model) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether a rule looks for the class of each index: bool (C,)."""
        labels = frozenset(self._labels())
        return np.array([label in labels for label in model.labels], np.bool_)

    def _new_spell(self) -> Spell:
        now = self._clock.monotonic()
        return Spell(began_at=now, walked_at=now, captured_by_then=self._captured())


def _await_switch(done: Future[None]) -> None:
    """Waits until the judging thread has taken the model up; withdraws it where it never does.

    Raises:
        JudgeStuck: It does not, or does not come back from opening it.
        NoModelOpens: See `PipelineLiveModel.switch`.
    """
    try:
        done.result(SWITCH_S)
    except TimeoutError:
        if done.cancel():
            raise JudgeStuck(
                f"no frame was finished within {SWITCH_S:g} s, so the model can't be switched", "Restart the agent."
            ) from None
    try:
        done.result(OPEN_S)
    except TimeoutError:
        raise JudgeStuck(f"a model was not opened within {OPEN_S:g} s", "Restart the agent.") from None


def _trial_of(gates: Gates, current: Manifest, candidate: Manifest, labels: Collection[str]) -> Trial:
    return Trial(gates, current_floor=current.uncertain[0], candidate_floor=candidate.uncertain[0], labels=labels)
