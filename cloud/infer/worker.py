"""Detectors for asyncio: each in a thread of its own, before them one bounded queue in which the urgent go first."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from cloud.infer.errors import Overloaded
from vision.detections import Detections, Detector, Image


@dataclass(frozen=True, slots=True, order=True)
class _Job:
    """Sorted by when it may be looked at."""

    can_wait: bool
    number: int
    image: Image = field(compare=False)
    min_score: float = field(compare=False)
    outcome: asyncio.Future[Detections] = field(compare=False)


class InferWorker:
    """An async context manager; `detect` may be awaited by any number of tasks while it is open.

    A detector serves one thread, so each replica has one. A picture whose asker was cancelled while it waited is
    passed over; one already under way is finished, and its result dropped.
    """

    def __init__(self, replicas: Sequence[Detector], *, max_waiting: int) -> None:
        self._replicas = tuple(replicas)
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue(max_waiting)
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def labels(self) -> tuple[str, ...]:
        """What the replicas can name."""
        return self._replicas[0].labels

    @property
    def waiting(self) -> int:
        """How many pictures wait."""
        return self._jobs.qsize()

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._serve(detector, number), name=f"infer-{number}")
            for number, detector in enumerate(self._replicas)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._jobs.empty():
            self._jobs.get_nowait().outcome.cancel()

    async def detect(self, image: Image, min_score: float) -> Detections:
        """The objects in `image`, as `vision.detections.Detector.detect`.

        Raises:
            Overloaded: As many pictures wait as may; ask again later.
            vision.errors.InferenceFailed: The model failed on this picture.
        """
        return await self._detect(image, min_score, can_wait=False)

    async def detect_when_idle(self, image: Image, min_score: float) -> Detections:
        """As `detect`, but only once no picture of that waits."""
        return await self._detect(image, min_score, can_wait=True)

    async def _detect(self, image: Image, min_score: float, *, can_wait: bool) -> Detections:
        outcome: asyncio.Future[Detections] = asyncio.get_running_loop().create_future()
        try:
            self._jobs.put_nowait(_Job(can_wait, next(self._numbers), image, min_score, outcome))
        except asyncio.QueueFull:
            raise Overloaded(
                f"{self._jobs.maxsize} pictures wait for the model already", "Ask again in a second."
            ) from None
        return await outcome

    async def _serve(self, detector: Detector, number: int) -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix=f"infer-{number}") as thread:
            while True:
                job = await self._jobs.get()
                if job.outcome.done():
                    continue
                run = loop.run_in_executor(thread, detector.detect, job.image, job.min_score)
                try:
                    await asyncio.wait({run})
                except asyncio.CancelledError:
                    job.outcome.cancel()
                    raise
                _hand_over(run, job.outcome)


def _hand_over(run: asyncio.Future[Detections], outcome: asyncio.Future[Detections]) -> None:
    """Give the asker, if still there, what the run gave, an error included."""
    error = run.exception()
    if outcome.done():
        return
    if error is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(run.result())
