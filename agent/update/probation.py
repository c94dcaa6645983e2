"""Whether the model that judges now does harm, from what it did since it began. Pure: times are handed in."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vision.estimates import Sums, drop
from wire.updates import Gates

REMEMBERED_FRAMES: Final = 3000
"""Five minutes at ten frames a second: enough for a scene to show how much it swings by itself."""
RECENT_FRAMES: Final = 200
"""For the latency: as it is lately, not as it was in a cooler hour."""
ENOUGH_FRAMES: Final = 10
"""Below it, a median latency is that of a cache warming up."""
ENOUGH_OBJECTS: Final = 10
"""Expected below it, finding none is chance."""
ENOUGH_AUDITS: Final = 12
"""Frames with something in them, of each model: with fewer, the interval of F1 spans more than a third."""
AUDIT_LEVEL: Final = 0.995
"""Of the interval that must lie above no drop. The drop is looked at after each outcome; over 300 of them that takes
back 1 sound model in 150 (tests/cloud/audit/test_simulation.py)."""
STALLED_S: Final = 30.0
"""Several times the slowest inference that a gate lets through on a small board."""
STALLED_CAPTURES: Final = 5
"""As many pictures came meanwhile: the cameras are not what is missing."""


@dataclass(slots=True)
class Spell:
    """What one model did since it began to judge.

    Attributes:
        began_at: Seconds on the agent's clock.
        judged: Frames on which it ran.
        failed: Frames on which it failed.
        failure: What the last failure said.
        walked_at: When a frame was last dealt with, in whichever way.
        captured_by_then: Pictures that the cameras had given by then.
        objects: For each of the latest judged frames, how many objects it found.
        latencies_ms: Of the latest judged frames.
        audits: What the cloud made of its frames that were drawn for audit.
    """

    began_at: float
    walked_at: float
    captured_by_then: int
    judged: int = 0
    failed: int = 0
    failure: str = ""
    objects: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED_FRAMES))
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))
    audits: Mapping[str, Sums] = field(default_factory=dict)

    def walked(self, now: float, captured: int) -> None:
        """A frame was dealt with."""
        self.walked_at = now
        self.captured_by_then = captured

    def saw(self, objects: int, latency_ms: float) -> None:
        """A frame was judged."""
        self.judged += 1
        self.objects.append(objects)
        self.latencies_ms.append(latency_ms)

    def failed_because(self, what: str) -> None:
        """The model failed on a frame."""
        self.failed += 1
        self.failure = what

    def audited(self, camera: str, sums: Sums) -> None:
        """The cloud looked at a frame of this camera too."""
        self.audits = {**self.audits, camera: self.audits.get(camera, Sums()).plus(sums)}

    def latency_ms(self) -> float | None:
        """Median lately; None before the first frame."""
        return statistics.median(self.latencies_ms) if self.latencies_ms else None


@dataclass(frozen=True, slots=True)
class Standard:
    """What the model before did, which its successor is held against.

    Attributes:
        quietest, busiest: Objects a frame, over the quietest and the busiest stretch as long as a probation: a scene
            that empties by itself must not cost a sound model its place.
        audits: What the cloud made of its frames, by camera.
    """

    latency_ms: float
    quietest: float
    busiest: float
    audits: Mapping[str, Sums] = field(default_factory=dict)


def standard_of(spell: Spell, stretch: int) -> Standard | None:
    """The standard that a model sets, by stretches of so many frames; None if it judged too few to tell."""
    latency = spell.latency_ms()
    means = _means(tuple(spell.objects), stretch)
    if latency is None or not means:
        return None
    return Standard(latency, min(means), max(means), spell.audits)


def harm(spell: Spell, before: Standard | None, gates: Gates, now: float, captured: int) -> str | None:
    """What harm the model has shown up to now, in words; None if none."""
    if spell.failed > gates.max_error_share * max(spell.judged + spell.failed, gates.probation_frames):
        return f"it failed on {spell.failed} of {spell.judged + spell.failed} frames: {spell.failure}"
    stalled_s = now - spell.walked_at
    if stalled_s > STALLED_S and captured - spell.captured_by_then >= STALLED_CAPTURES:
        return f"no frame was judged for {stalled_s:.0f} s while the cameras went on"
    if before is None or len(spell.latencies_ms) < ENOUGH_FRAMES:
        return None
    latency = statistics.median(spell.latencies_ms)
    if latency > gates.max_latency_ratio * before.latency_ms:
        return (
            f"it takes {latency:.0f} ms a frame where the model before took {before.latency_ms:.0f} ms, more than "
            f"{gates.max_latency_ratio:g} times as long"
        )
    return audited_harm(before.audits, spell.audits, gates) or (
        _detection_harm(spell, before, gates) if is_over(spell, gates, now) else None
    )


def audited_harm(before: Mapping[str, Sums], now: Mapping[str, Sums], gates: Gates) -> str | None:
    """What harm the audits show, in words; None if none, or too few frames came back to tell.

    F1 must have fallen by more than the gate allows, over the same cameras, and beyond chance.
    """
    found = drop([(before[camera], now[camera]) for camera in before.keys() & now.keys()], AUDIT_LEVEL)
    if found is None or min(found.frames_before, found.frames_now) < ENOUGH_AUDITS:
        return None
    if not found.exceeds(gates.max_accuracy_drop):
        return None
    return (
        f"audits put its F1 at {found.now:.2f} (on {found.frames_now} frames) where that of the model before was "
        f"{found.before:.2f} (on {found.frames_before}), more than {gates.max_accuracy_drop:g} above"
    )


def is_over(spell: Spell, gates: Gates, now: float) -> bool:
    """Whether the probation has lasted long enough; `harm` is to be asked first."""
    return spell.judged >= gates.probation_frames and now - spell.began_at >= gates.probation_s


def _detection_harm(spell: Spell, before: Standard, gates: Gates) -> str | None:
    frames = len(spell.objects)
    found = sum(spell.objects)
    told = f"it finds {found / frames:.2f} objects a frame, the model before found"
    expected = before.quietest * frames
    if expected >= ENOUGH_OBJECTS and found < gates.min_detection_ratio * expected:
        return f"{told} {before.quietest:.2f} even in its quietest time"
    if found > gates.max_detection_ratio * max(before.busiest * frames, ENOUGH_OBJECTS):
        return f"{told} {before.busiest:.2f} even in its busiest time"
    return None


def _means(objects: Sequence[int], stretch: int) -> list[float]:
    """Mean of each whole stretch, newest first; a single shorter one where there are fewer frames than that."""
    length = min(stretch, REMEMBERED_FRAMES)
    ends = range(len(objects), length - 1, -length)
    means = [statistics.fmean(objects[end - length : end]) for end in ends]
    if not means and len(objects) >= ENOUGH_FRAMES:
        means = [statistics.fmean(objects)]
    return means
