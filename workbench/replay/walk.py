"""One run of the agent's own pipeline over a clip, under a clock that is the clip's.

`Walk` plays everything around the pipeline: the cameras' slots, the clock, the outbox, and who is told what is in
each frame. Answers come back when they are due, also between two frames and after the last; the pipeline takes them
up as it does on a device.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from agent.adapters.http_asker import HTTP_BYTES
from agent.domain import AlertChange, Answer, Frame, Track
from agent.judging.inbox import Inbox
from agent.pipeline import Pipeline
from agent.track import standing
from wire.messages import AlertState
from workbench.replay.recorded import Recorded, Recorder

BEGAN: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""The time of day at the clip's beginning: noon, so that what one clip comes to never depends on the hour."""
SAME_INSTANT_S: Final = 1e-6
"""An answer that is due just as a frame comes is there before it, whatever rounding makes of the two times."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture that left the device.

    Attributes:
        picture_bytes: Of the JPEG.
        message_bytes: Of the message beside it.
        is_question: The cloud was asked something, rather than shown an alert's picture.
    """

    picture_bytes: int
    reason: str
    message_bytes: int = 0
    is_question: bool = True

    @property
    def bytes(self) -> int:
        """What budgets pay for, here as on a device: the whole request."""
        return self.picture_bytes + self.message_bytes + HTTP_BYTES


@dataclass(slots=True)
class Seen:
    """What became of one frame.

    Attributes:
        followed: All that the tracker reports.
        whole: The cloud was shown the frame whole, and its detections stand in for the device's.
        policy_s: What asking about objects took until the next frame, answers included; see `Stages.policy`.
    """

    index: int
    at: float
    followed: tuple[Track, ...] = ()
    sent: list[Sent] = field(default_factory=list)
    changes: list[AlertChange] = field(default_factory=list)
    looks: int = 0
    whole: bool = False
    policy_s: float = 0.0

    @property
    def objects(self) -> tuple[Track, ...]:
        """What the system stands behind."""
        return standing(self.followed)


class Watcher(Protocol):
    """Wants to see a frame before the pipeline does."""

    def show(self, frame: Frame, seen: Seen) -> None:
        """The frame at hand; `seen` is what will be told of it."""


class Walk:
    """Plays `FrameSupply`, `AlertOutbox`, `Clock` and `Audience` for one pipeline.

    Args:
        frames: The clip's.
        show: Told how many frames were handed out.
    """

    def __init__(self, frames: Iterator[Frame], show: Callable[[int], None] = lambda _: None) -> None:
        self._frames = frames
        self._watcher: Watcher | None = None
        self._meter: Callable[[], float] = float
        self._metered_s = 0.0
        self._show = show
        self._next: Frame | None = None
        self._over = False
        self._now = 0.0
        self._due: list[tuple[float, int, Answer]] = []
        self._order = itertools.count()
        self.inbox: Final = Inbox(self.wake)
        self.seen: list[Seen] = []
        self.recorder: Final = Recorder()

    def watch(self, watcher: Watcher) -> None:
        """Have each frame shown to it first."""
        self._watcher = watcher

    def meter(self, spent_s: Callable[[], float]) -> None:
        """Charge each frame what this has grown by until the next one."""
        self._meter = spent_s
        self._metered_s = spent_s()

    def charge(self) -> None:
        """Charge the frame at hand; to be called once more after the last."""
        spent_s = self._meter()
        if self.seen:
            self.seen[-1].policy_s += spent_s - self._metered_s
        self._metered_s = spent_s

    # --- frame supply ---------------------------------------------------------------------------------------------

    def take(self, timeout_s: float) -> Frame | None:
        """The next frame; None where answers come before it, or there is none."""
        del timeout_s
        self.charge()
        if self._next is None and not self._over:
            self._next = next(self._frames, None)
            self._over = self._next is None
        frame = self._next
        if self._due and (frame is None or self._due[0][0] < frame.at - SAME_INSTANT_S):
            self._answered_until(self._due[0][0])
            return None
        if frame is None:
            return None
        self._answered_until(frame.at)
        self._next = None
        self._now = frame.at
        now = Seen(frame.index, frame.at, self.seen[-1].followed if self.seen else ())
        self.seen.append(now)
        if self._watcher is not None:
            self._watcher.show(frame, now)
        self._show(len(self.seen))
        return frame

    def wake(self) -> None:
        """Nobody sleeps."""

    def over(self) -> bool:
        """The clip has ended, and nothing is due any more."""
        return self._over and not self._due

    def _answered_until(self, at: float) -> None:
        while self._due and self._due[0][0] <= at + SAME_INSTANT_S:
            due, _, answer = heapq.heappop(self._due)
            self._now = max(self._now, due)
            self.inbox.put(answer)

    # --- answers and pictures -------------------------------------------------------------------------------------

    def answer_at(self, due: float, answer: Answer) -> None:
        """Hand in an answer when its time has come."""
        heapq.heappush(self._due, (due, next(self._order), answer))

    def send(self, sent: Sent) -> None:
        """A picture leaves at the frame at hand."""
        self.seen[-1].sent.append(sent)

    # --- clock, outbox, audience ----------------------------------------------------------------------------------

    def monotonic(self) -> float:
        """The clip's time."""
        return self._now

    def wall(self) -> datetime:
        """The same as a time of day."""
        return BEGAN + timedelta(seconds=self._now)

    def record(self, changes: Sequence[AlertChange]) -> None:
        """Note what is told of alerts."""
        self.seen[-1].changes += changes

    def followed(self, frame: Frame, tracks: Sequence[Track], looks: int) -> None:
        """Note what is followed."""
        del frame
        self.seen[-1].followed = tuple(tracks)
        self.seen[-1].looks = looks


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        alerts: How many stand in each state at the end.
        wall_s, cpu_s: What the run took here, with detections that were remembered.
        answers: To the policy's own questions.
    """

    seen: tuple[Seen, ...]
    alerts: dict[AlertState, int]
    wall_s: float
    cpu_s: float
    answers: tuple[Recorded, ...] = ()

    @property
    def sent(self) -> list[Sent]:
        """All pictures that left."""
        return [sent for seen in self.seen for sent in seen.sent]

    @property
    def sent_bytes(self) -> int:
        """Of all requests."""
        return sum(sent.bytes for sent in self.sent)

    @property
    def asks(self) -> int:
        """How often the cloud was asked."""
        return sum(sent.is_question for sent in self.sent)


def run(walk: Walk, pipeline: Pipeline) -> Outcome:
    """Walk through the whole clip.

    Raises:
        VedetteError: The clip can't be read, or the model failed on many frames in a row.
    """
    walk.meter(lambda: pipeline.stages.policy)
    wall, cpu = time.perf_counter(), time.process_time()
    pipeline.run(walk.over)
    walk.charge()
    return Outcome(
        tuple(walk.seen),
        pipeline.tally.alerts(),
        time.perf_counter() - wall,
        time.process_time() - cpu,
        tuple(walk.recorder.answers),
    )
