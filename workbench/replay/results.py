"""What a replay came to: for programs, and as lines of JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from agent.domain import Track
from agent.track.carrying import carried
from workbench.replay.budget import Budget
from workbench.replay.policies import Policy
from workbench.replay.scoring import Alerting, Catch, mean, standard_error
from workbench.replay.walk import Outcome, Seen

DIGITS = 5
"""A hundred-thousandth of a frame is far below a pixel."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What something took of each frame, in milliseconds: in the mean, in all but a twentieth, and at the most."""

    mean: float
    p95: float
    most: float


def spent_ms(seconds: Sequence[float]) -> Spent | None:
    """The same of so many seconds each; None of none at all."""
    if not seconds:
        return None
    ordered = sorted(1000.0 * one for one in seconds)
    return Spent(sum(ordered) / len(ordered), ordered[math.ceil(0.95 * len(ordered)) - 1], ordered[-1])


@dataclass(frozen=True, slots=True)
class Run:
    """One policy under one budget.

    Attributes:
        budget: None where the policy heeds none.
        streamed_bytes: What sending every frame whole would have taken, as bare JPEGs.
        catches: Of each repeat, which begins one frame later than the one before; empty where nothing could be held
            against anything.
        agreement: They are measured against the cloud's own detections, for want of labels.
        alertings: Of each repeat by label; empty where the labels don't say who is who. All else is of the first.
    """

    policy: Policy
    budget: Budget | None
    outcome: Outcome
    streamed_bytes: int
    lasts_s: float
    catches: tuple[Catch, ...]
    agreement: bool
    alertings: tuple[dict[str, Alerting], ...]

    @property
    def name(self) -> str:
        """As a person would set it: the policy, and its budget where it heeds one."""
        return self.policy.value if self.budget is None else f"{self.policy.value} {self.budget.text}"

    @property
    def catch(self) -> Catch | None:
        """The mean of all repeats."""
        return mean(self.catches) if self.catches else None

    @property
    def f1_error(self) -> float | None:
        """Standard error of the mean F1; None without repeats."""
        return standard_error([one.f1 for one in self.catches])

    @property
    def share(self) -> float:
        """Of what sending every frame would take."""
        return self.outcome.sent_bytes / max(self.streamed_bytes, 1)

    @property
    def policy_ms(self) -> Spent | None:
        """What asking about objects took of each frame on this machine; None for a policy that asks about none."""
        return spent_ms([seen.policy_s for seen in self.outcome.seen]) if self.policy is Policy.OURS else None

    def summary(self) -> dict[str, object]:
        """All figures, for programs."""
        outcome = self.outcome
        by_reason: Counter[str] = Counter()
        for sent in outcome.sent:
            by_reason[sent.reason] += sent.bytes
        frames = len(outcome.seen)
        return {
            "policy": self.policy.value,
            "budget": None if self.budget is None else self.budget.text,
            "frames": frames,
            "asks": outcome.asks,
            "bytes": outcome.sent_bytes,
            "bytes_by_reason": dict(sorted(by_reason.items())),
            "picture_bytes": sum(sent.picture_bytes for sent in outcome.sent),
            "message_bytes": sum(sent.message_bytes for sent in outcome.sent),
            "bytes_if_streamed": self.streamed_bytes,
            "share": round(self.share, DIGITS),
            "seconds": round(self.lasts_s, 3),
            "looks_per_frame": round(sum(seen.looks for seen in outcome.seen) / max(frames, 1), 3),
            "alerts_by_state": {state.value: count for state, count in outcome.alerts.items()},
            "policy_ms": None if self.policy_ms is None else asdict(self.policy_ms),
            "wall_s": round(outcome.wall_s, 3),
            "cpu_s": round(outcome.cpu_s, 3),
            "measured_against": None if self.catch is None else "the cloud" if self.agreement else "labels",
            "accuracy": None if self.catch is None else asdict(self.catch),
            "alerting": _by_label(self.alertings[0]),
            "repeats": [
                {"accuracy": asdict(caught), "alerting": _by_label(alerting)}
                for caught, alerting in zip(self.catches, self.alertings, strict=False)
            ],
        }

    def lines(self) -> Iterator[str]:
        """One line of JSON for each frame, and the summary."""
        for seen in self.outcome.seen:
            yield json.dumps(_line(seen), separators=(",", ":"))
        yield json.dumps({"summary": self.summary()}, separators=(",", ":"))


def _by_label(alerting: dict[str, Alerting]) -> dict[str, object]:
    return {label: asdict(worth) for label, worth in alerting.items()}


def _line(seen: Seen) -> dict[str, object]:
    return {
        "frame": seen.index,
        "objects": [_object(track, seen) for track in seen.objects],
        "asks": [{"bytes": sent.bytes, "reason": sent.reason} for sent in seen.sent],
        "alerts": [
            {"id": change.id, "event": change.event.value, "state": change.state.value, "label": change.label}
            for change in seen.changes
        ],
    }


def _by_cloud(track: Track, seen: Seen) -> bool:
    """Whether the object's place is the cloud's: seen in a frame that was sent, or told and carried on since."""
    return (seen.whole and track.seen_now) or (track.word is not None and carried(track.word, seen.at))


def _object(track: Track, seen: Seen) -> dict[str, object]:
    return {
        "track": track.id,
        "label": track.label,
        "score": round(track.belief, 4),
        "box": [round(side, DIGITS) for side in track.box],
        "decided_by": "cloud" if _by_cloud(track, seen) else "device",
    }
