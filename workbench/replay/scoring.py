"""A run held against labels, or against what the cloud itself sees: what it caught, and what its alerts are worth."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.domain import Track
from vision.accuracy import Counts, Floats, Tally
from wire.messages import AlertEvent, AlertState, DecidedBy
from workbench.replay.events import AlertFigures, alert_figures, person_of
from workbench.replay.labels import NOBODY, Labels
from workbench.replay.walk import Outcome, Seen


@dataclass(frozen=True, slots=True)
class Catch:
    """How well objects were found.

    Attributes:
        frames: Those that could be judged.
        precision, recall, f1: Of what the system stands behind, with no threshold left to choose; over all labels.
        ap50: Of all that it follows, ordered by its belief; the mean over labels.
    """

    frames: int
    precision: float
    recall: float
    f1: float
    ap50: float


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What verdicts on alerts were worth; one that changes nothing is not among them.

    Attributes:
        confirmed_rightly: The alert is about somebody who is there.
        retracted_rightly: It is not.
    """

    confirmed_rightly: int = 0
    confirmed_wrongly: int = 0
    retracted_rightly: int = 0
    retracted_wrongly: int = 0


@dataclass(frozen=True, slots=True)
class Alerting:
    """What alerts were worth, of one label.

    Attributes:
        raised: All that were ever raised, retracted or not.
        kept: Those that stand at the end.
    """

    raised: AlertFigures
    kept: AlertFigures
    verdicts: Verdicts


def mean(catches: Sequence[Catch]) -> Catch:
    """Of several runs, which are one at least."""
    return Catch(
        catches[0].frames,
        *(statistics.fmean(getattr(one, name) for one in catches) for name in ("precision", "recall", "f1", "ap50")),
    )


def standard_error(values: Sequence[float]) -> float | None:
    """Of their mean; None where there are not two."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def catch(outcome: Outcome, labels: Labels, size: tuple[int, int]) -> Catch:
    """Hold what was found against what is there; `size` is the frame's width and height, in pixels."""
    scale = np.array(size * 2, float)
    judged = [seen for seen in outcome.seen if seen.index in labels.frames]
    counts, precisions = Counts(0, 0, 0), []
    for label in labels.names:
        truths = labels.truths[label]
        stood, followed = Tally(), Tally()
        for seen in judged:
            truth = truths.get(seen.index, NOBODY)
            stood.add(truth, *_found(seen.objects, label, scale))
            followed.add(truth, *_found(seen.followed, label, scale))
        one = stood.counts(0.0)
        counts = Counts(counts.right + one.right, counts.wrong + one.wrong, counts.labelled + one.labelled)
        precisions.append(followed.accuracy().ap50)
    precision, recall = counts.precision or 0.0, counts.recall or 0.0
    return Catch(
        frames=len(judged),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / max(precision + recall, 1e-9),
        ap50=float(np.mean(precisions)) if precisions else 0.0,
    )


def alerting(outcome: Outcome, labels: Labels, size: tuple[int, int], fps: float) -> dict[str, Alerting]:
    """What alerts were worth, by label; none where the labels don't say who is who."""
    scale = np.array(size * 2, float)
    frames = range(outcome.seen[0].index, outcome.seen[-1].index + 1) if outcome.seen else range(0)
    worth = {}
    for label, people in labels.people.items():
        places = {
            seen.index: {track.id: np.array(track.box) * scale for track in seen.followed if track.label == label}
            for seen in outcome.seen
        }
        raised = _raised(outcome.seen, label)
        retracted = _retracted(outcome.seen)
        kept = [where for alert, where in raised.items() if alert not in retracted]
        about = {
            alert: person_of(people, places, frame, track, fps) is not None
            for alert, (frame, track) in raised.items()
        }
        worth[label] = Alerting(
            alert_figures(people, places, list(raised.values()), frames, fps),
            alert_figures(people, places, kept, frames, fps),
            _verdicts(outcome.seen, about),
        )
    return worth


def _found(tracks: Iterable[Track], label: str, scale: Floats) -> tuple[Floats, Floats]:
    own = [track for track in tracks if track.label == label]
    boxes = np.array([track.box for track in own], float).reshape(-1, 4) * scale
    return np.array([track.belief for track in own], float), boxes


def _raised(seen: Sequence[Seen], label: str) -> dict[str, tuple[int, int]]:
    """Frame and track of each alert when it was raised, by its id."""
    return {
        change.id: (one.index, change.track)
        for one in seen
        for change in one.changes
        if change.event is AlertEvent.NEW and change.label == label
    }


def _retracted(seen: Sequence[Seen]) -> frozenset[str]:
    last = {change.id: change.state for one in seen for change in one.changes}
    return frozenset(alert for alert, state in last.items() if state is AlertState.RETRACTED)


_KINDS: Final = {
    (AlertState.CONFIRMED, True): "confirmed_rightly",
    (AlertState.CONFIRMED, False): "confirmed_wrongly",
    (AlertState.RETRACTED, False): "retracted_rightly",
    (AlertState.RETRACTED, True): "retracted_wrongly",
}


def _verdicts(seen: Sequence[Seen], about_somebody: Mapping[str, bool]) -> Verdicts:
    """What the cloud made of alerts that were raised without it."""
    counted = dict.fromkeys(_KINDS.values(), 0)
    before: dict[str, tuple[AlertState, DecidedBy]] = {}
    for one in seen:
        for change in one.changes:
            now = (change.state, change.decided_by)
            if change.id in about_somebody and change.event is not AlertEvent.NEW and now != before.get(change.id):
                kind = _KINDS.get((change.state, about_somebody[change.id]))
                if kind is not None and change.decided_by is DecidedBy.CLOUD:
                    counted[kind] += 1
            before[change.id] = now
    return Verdicts(**counted)
