"""A trial beside the judge: the candidate in a thread of its own, one frame at a time, within its share of a core.

While it is busy or resting, frames pass it by. The judging thread only lays a frame down, and never waits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.app.asides import ANSWERS_S, Asides
from agent.domain import Clock, Frame
from agent.errors import CandidateRejected
from agent.update.trial import Trial
from vision.detections import Detections, Detector
from vision.errors import VisionError

LOOK_S: Final = 0.25
"""How long a waiting thread goes without looking whether it is still wanted."""
STUCK_S: Final = 60.0
"""No inference that a proof let pass takes as long; one that does has hung."""
NICENESS: Final = 5
"""Of the trial's thread: where it competes with the judge, it gets a third of what the judge gets."""
MEND: Final = "Publish a release that does better, or set the rollout's gates."


@dataclass(frozen=True, slots=True)
class _Sample:
    """A frame that the current model has judged."""

    frame: Frame
    detections: Detections
    inference_s: float


class LiveTrial:
    """One trial.

    Args:
        model: The candidate; used by the trial's thread alone.
        close: Lets go of it; called by that thread at its end, since a model can't be closed under it.
        floor: The lowest score that it is asked for.
        trial: Adds up.
        cpu_share: Of one core.
        asides: Where its questions go.
        news: Guards what both threads touch; notified when anything changes.
        clock: The agent's clock.
    """

    def __init__(
        self,
        model: Detector,
        close: Callable[[], None],
        floor: float,
        trial: Trial,
        *,
        cpu_share: float,
        asides: Asides,
        news: threading.Condition,
        clock: Clock,
    ) -> None:
        self._model = model
        self._close = close
        self._floor = floor
        self._trial = trial
        self._cpu_share = cpu_share
        self._asides = asides
        self._news = news
        self._clock = clock
        self._due_at = clock.monotonic()
        self._sample: _Sample | None = None
        self._busy_since: float | None = None
        self._closed = False
        self._done = threading.Event()
        self._failure: VisionError | None = None

    def offer(self, frame: Frame, detections: Detections, inference_s: float) -> None:
        """Lay down a frame that the current model has judged, if one is wanted; `news` is held."""
        if self._sample is None and self._clock.monotonic() >= self._due_at:
            self._sample = _Sample(frame, detections, inference_s)

    def conduct(self, cancelled: Callable[[], bool]) -> bool:
        """Run it; whether it came to its end, False where it was cancelled.

        Raises:
            CandidateRejected: It failed on a frame, or hung; then its thread is left behind.
        """
        thread = threading.Thread(target=self._run, name="trial", daemon=True)
        thread.start()
        try:
            wanted = self._await_end(cancelled)
        finally:
            with self._news:
                self._closed = True
                self._news.notify_all()
        thread.join()
        if self._failure is not None:
            raise CandidateRejected(f"it failed on a live frame: {self._failure.what}", MEND)
        return wanted

    def _await_end(self, cancelled: Callable[[], bool]) -> bool:
        while not self._done.wait(LOOK_S):
            if cancelled():
                return False
            with self._news:
                busy_since = self._busy_since
            if busy_since is not None and self._clock.monotonic() - busy_since > STUCK_S:
                raise CandidateRejected(f"it hung on a live frame for {STUCK_S:g} s", MEND)
        return True

    # --- the trial's thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            # On Linux this is the thread's own; the judge keeps its priority.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            while not self._trial.over and (sample := self._next_sample()) is not None:
                self._try(sample)
            self._await_answers()
            self._trial.settle(self._asides.outcome())
        except VisionError as failed:
            self._failure = failed
        finally:
            self._close()
            self._done.set()

    def _next_sample(self) -> _Sample | None:
        """Waits for a frame that both may judge; None once the trial is not wanted any more."""
        with self._news:
            self._news.wait_for(lambda: self._closed or self._sample is not None)
            if self._closed:
                return None
            self._busy_since = self._clock.monotonic()
            return self._sample

    def _try(self, sample: _Sample) -> None:
        began = self._clock.monotonic()
        found = self._model.detect(sample.frame.image, self._floor)
        spent = self._clock.monotonic() - began
        camera = sample.frame.camera
        for dispute in self._trial.add(camera, sample.detections, sample.inference_s, found, spent):
            self._asides.ask(dispute, sample.frame)
        with self._news:
            self._sample, self._busy_since = None, None
            self._due_at = self._clock.monotonic() + spent * (1.0 / self._cpu_share - 1.0)

    def _await_answers(self) -> None:
        until = self._clock.monotonic() + ANSWERS_S
        with self._news:
            while not self._closed and self._asides.waiting() and self._clock.monotonic() < until:
                self._news.wait(LOOK_S)
