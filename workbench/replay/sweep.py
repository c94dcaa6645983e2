"""Runs of several policies under several budgets over one clip, each held against the same truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from agent.decide.masks import MaskFilter
from agent.detect.looks import only
from vision.accuracy import Truth
from vision.detections import Detections
from vision.pictures import encode_jpeg
from workbench.replay.budget import Budget
from workbench.replay.clip import STREAM_QUALITY, Clip
from workbench.replay.cloud import ReplayCloud
from workbench.replay.device import Setup, Workbench
from workbench.replay.labels import NOWHERE, Labels
from workbench.replay.policies import WITHOUT_BUDGET, Policy
from workbench.replay.results import Run
from workbench.replay.scoring import alerting, catch
from workbench.replay.walk import Walk, run

REFERENCE_EVERY_S: Final = 1.0
"""Frames closer to each other show nearly the same."""
MOST_REFERENCES: Final = 200
"""At .2 s each, 40 s of the cloud's work at the first run over a clip."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What runs are held against.

    Attributes:
        labels: What is there.
        by_cloud: The cloud said so, for want of labels.
    """

    labels: Labels
    by_cloud: bool


@dataclass(frozen=True, slots=True)
class Planned:
    """A run to be made."""

    policy: Policy
    budget: Budget | None

    @property
    def name(self) -> str:
        """As a person would set it: the policy, and its budget where it heeds one."""
        return self.policy.value if self.budget is None else f"{self.policy.value} {self.budget.text}"


def planned(policies: Sequence[Policy], budgets: Sequence[Budget]) -> list[Planned]:
    """Every policy under every budget, and once those that heed none."""
    return [
        Planned(policy, budget)
        for policy in policies
        for budget in ((None,) if policy in WITHOUT_BUDGET else budgets)
    ]


def sweep(
    bench: Workbench,
    plans: Sequence[Planned],
    measure: Measure,
    show: Callable[[Planned, int], None],
    repeats: int = 1,
) -> Iterator[Run]:
    """Make the runs, one after the other.

    Args:
        bench: What they share.
        plans: See there.
        measure: What they are held against.
        show: Told how many frames of which run were judged.
        repeats: How often each is made, see `Run.catches`.

    Raises:
        VedetteError: The clip can't be read, or a model failed.
    """
    for plan in plans:
        yield one_run(bench, plan, measure, partial(show, plan), repeats)


def one_run(bench: Workbench, plan: Planned, measure: Measure, show: Callable[[int], None], repeats: int = 1) -> Run:
    """Replay the clip; as `sweep`."""
    runs = [_once(bench.later(later) if later else bench, plan, measure, show) for later in range(repeats)]
    return replace(
        runs[0],
        catches=tuple(catch for run in runs for catch in run.catches),
        alertings=tuple(alerting for run in runs for alerting in run.alertings),
    )


def _once(bench: Workbench, plan: Planned, measure: Measure, show: Callable[[int], None]) -> Run:
    clip = bench.clip
    walk = Walk(clip.pictures(), show)
    outcome = run(walk, bench.pipeline(walk, plan.policy, plan.budget))
    return Run(
        policy=plan.policy,
        budget=plan.budget,
        outcome=outcome,
        streamed_bytes=clip.streamed_bytes,
        lasts_s=clip.lasts_s,
        catches=(catch(outcome, measure.labels, clip.size),) if measure.labels.names else (),
        agreement=measure.by_cloud,
        alertings=(alerting(outcome, measure.labels, clip.size, clip.fps),),
    )


def reference(clip: Clip, cloud: ReplayCloud, setup: Setup, show: Callable[[int, int], None]) -> Measure:
    """What the cloud sees in whole frames, one a second or fewer: the measure where nobody labelled the clip.

    Raises:
        VedetteError: The clip or the model can't be used.
    """
    step = max(round(REFERENCE_EVERY_S * clip.fps), -(-len(clip.frames) // MOST_REFERENCES), 1)
    wanted = range(clip.frames.start, clip.frames.stop, step)
    masks = MaskFilter(setup.masks, setup.camera)
    truths: dict[str, dict[int, Truth]] = {label: {} for label in setup.labels}
    for frame in clip.pictures():
        if frame.index in wanted:
            jpeg = encode_jpeg(frame.image, STREAM_QUALITY)
            found = masks.keep(only(cloud.whole(jpeg, cloud.rules.min_score), frozenset(setup.labels)))
            for label, truth in _truths(found, clip.size).items():
                truths[label][frame.index] = truth
            show(wanted.index(frame.index) + 1, len(wanted))
    return Measure(Labels(truths, {}, frozenset(wanted)), by_cloud=True)


def _truths(found: Detections, size: tuple[int, int]) -> Mapping[str, Truth]:
    boxes = found.boxes.astype(float) * np.array(size * 2, float)
    names = np.array([found.label(row) for row in range(len(found))])
    return {
        str(name): Truth(boxes[names == name], np.ones(int((names == name).sum()), np.bool_), NOWHERE)
        for name in np.unique(names)
    }
