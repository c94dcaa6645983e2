"""Frames that are sent whole: on those, what the cloud sees stands in for what the device's model saw.

The rest of the device goes on as ever: the same tracker takes the cloud's detections, and carries them to the frames
between. They are there at once, without any latency, which favours these policies over ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from agent.detect.budget import LookBudget
from agent.detect.looks import SecondLooks, only
from agent.detect.regions import Region, Target
from agent.domain import Frame
from vision.detections import Detections, Detector, Image
from vision.pictures import encode_jpeg
from workbench.replay.budget import Purse
from workbench.replay.clip import STREAM_QUALITY
from workbench.replay.cloud import ReplayCloud
from workbench.replay.policies import FramePolicy
from workbench.replay.walk import Seen, Sent

NOTHING: Final = Seen(-1, 0.0)


class FrameAsking:
    """A device's detector that has some frames judged by the cloud. Implements `Detector` and `walk.Watcher`.

    Args:
        device: The device's own.
        cloud: Where frames are sent.
        policy: Which of them.
        purse: As far as this pays.
        reason: Of what is sent.
        labels: What the rules look for; all else is no reason to send anything.
        message_bytes: What is said beside each frame.
        mixed: Some frames are the device's, so that the cloud's scores are put on the device's scale.
    """

    def __init__(
        self,
        *,
        device: Detector,
        cloud: ReplayCloud,
        policy: FramePolicy,
        purse: Purse,
        reason: str,
        labels: frozenset[str],
        message_bytes: int,
        mixed: bool,
    ) -> None:
        self._device = device
        self._cloud = cloud
        self._policy = policy
        self._purse = purse
        self._reason = reason
        self._wanted = labels
        self._message_bytes = message_bytes
        self._mixed = mixed
        self._frame: Frame | None = None
        self._seen = NOTHING

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Detector`."""
        return self._device.labels

    def show(self, frame: Frame, seen: Seen) -> None:
        """See `walk.Watcher`."""
        self._frame, self._seen = frame, seen

    def detect(self, image: Image, min_score: float) -> Detections:
        """See `Detector`: of the frame at hand the cloud's where it is sent, of a part of it the device's own."""
        found = self._device.detect(image, min_score)
        if self._frame is None or image is not self._frame.image:
            return found
        jpeg = encode_jpeg(image, STREAM_QUALITY)
        self._purse.earn(self._frame.at, len(jpeg))
        worth = self._policy.worth(only(found, self._wanted).scores.tolist())
        sent = Sent(len(jpeg), self._reason, self._message_bytes)
        if not worth or not self._purse.take(sent.bytes):
            return found
        self._seen.whole = True
        self._seen.sent.append(sent)
        if not self._mixed:
            return self._cloud.whole(jpeg, min_score)
        stands_from = self._cloud.rules.min_score
        return on_even_odds(self._cloud.whole(jpeg, stands_from), stands_from)


def on_even_odds(found: Detections, stands_from: float) -> Detections:
    """What the cloud stands behind, each score raised so that its least is .5, as a device's even odds are.

    The cloud's score is a mean of two models' and lower than either's. Fed to a tracker as they are, its detections
    count for less than the device's own: with key frames at a tenth of the bytes, on the first half of PETS09-S2L1,
    F1 was .887 as they are and .894 like this.
    """
    scores = 0.5 + 0.5 * (found.scores - stands_from) / max(1.0 - stands_from, 1e-9)
    return Detections(found.boxes, scores.astype(np.float32), found.classes, found.labels)


class LooksUnlessSent(SecondLooks):
    """Second looks, but none at a frame that the cloud has judged: they would doubt what only it could see."""

    def __init__(self, budget: LookBudget, size: tuple[int, int], sent: Callable[[], bool]) -> None:
        super().__init__(budget, size)
        self._sent = sent

    def choose(self, frame: Frame, wanted: Sequence[Target]) -> tuple[Region, ...]:
        """See `SecondLooks`."""
        return () if self._sent() else super().choose(frame, wanted)
