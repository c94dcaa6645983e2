"""The one door through which pictures leave: whatever encodes pixels takes `Redacted` ones, and these are made here.

Painting is done where a part is copied out of its frame, so pixels that must not leave are not even kept for later.
A door that can't tell what it must hide lets nothing through.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.domain import Box, Frame, Track
from agent.errors import PictureWithheld
from agent.redact.paint import Canvas, Part, Polygon, grown, head
from agent.redact.settings import RedactionSettings
from vision.detections import Detections, Image
from wire.messages import Hide, Redaction
from wire.pictures import SHOWN_AROUND

REMEMBERED: Final = 256
"""Frames of each camera whose people are remembered: half a minute of a camera at ten frames a second, within which
everything that is sent of a frame is cut out of it."""
LEAST_SEEN: Final = 0.5
"""Of the object in question: with more of it painted over, nobody could say what it is."""
BY_PEOPLE: Final = frozenset({Hide.PEOPLE, Hide.HEADS})
"""Need to know where people are."""

People = tuple[Box, ...] | None
"""Where people are in a frame; None where the model has no word for them."""


@dataclass(frozen=True, slots=True, eq=False)
class Redacted:
    """Pixels that may leave.

    Attributes:
        image: uint8 (h, w, 3), BGR; ours alone.
        said: What was painted over; None where nothing was, and nothing was to be.
    """

    image: Image
    said: Redaction | None

    def resized(self, width: int, height: int) -> Redacted:
        """The same at another size; itself where it has that size already."""
        if self.image.shape[1::-1] == (width, height):
            return self
        shown = cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA)
        return Redacted(np.asarray(shown, np.uint8), self.said)


class PictureDoor:
    """Cuts pictures out of frames; safe to use from any thread."""

    def __init__(
        self,
        settings: Mapping[str, RedactionSettings],
        masks: Callable[[str], Iterable[Polygon]],
        passed_on: Callable[[Frame], None] = lambda _frame: None,
    ) -> None:
        """Prepare.

        Args:
            settings: By camera.
            masks: A camera's, as they stand; corners in shares of the frame.
            passed_on: Told of each frame once it is known what must be hidden in it.
        """
        self._settings = settings
        self._masks = masks
        self._passed_on = passed_on
        self._people: dict[str, OrderedDict[int, People]] = {
            camera: OrderedDict() for camera, one in settings.items() if one.hide in BY_PEOPLE
        }
        self._lock = threading.Lock()

    def seen(
        self,
        frame: Frame,
        detections: Detections | None,
        tracks: Collection[Track],
        close: Detections | None = None,
    ) -> None:
        """This is in the frame; by the judging thread, before any of it is cut out.

        Args:
            frame: The one that was judged.
            detections: All that the model said, down to its lowest score; None where the frame was too still to be
                judged, so that what was in the frame before it still is.
            tracks: What the tracker follows, where it is or should be.
            close: What the model said at second looks, in shares of the frame; None where there were none.
        """
        remembered = self._people.get(frame.camera)
        if remembered is not None:
            names = self._settings[frame.camera].people
            with self._lock:
                if detections is not None:
                    remembered[frame.index] = _people(detections, close, tracks, names)
                elif remembered:
                    remembered[frame.index] = remembered[next(reversed(remembered))]
                while len(remembered) > REMEMBERED:
                    remembered.popitem(last=False)
        self._passed_on(frame)

    def cut(self, frame: Frame, part: Part | None = None, asked: Box | None = None) -> Redacted:
        """A copy of a part of the frame, or of all of it, with what must not leave painted over.

        Raises:
            PictureWithheld: It can't be told what to hide, or the asked object would hardly be seen.
        """
        settings = self._settings[frame.camera]
        people = self._hidden(frame, settings) if settings.hide in BY_PEOPLE else ()
        height, width = frame.image.shape[:2]
        left, top, right, bottom = part = part or (0, 0, width, height)
        image = frame.image[top:bottom, left:right].copy()
        masks: Sequence[Polygon] = tuple(self._masks(frame.camera))
        if settings.hide is Hide.NOTHING and not masks:
            return Redacted(image, None)
        canvas = Canvas(image, part, (width, height))
        if settings.hide is Hide.ALL_BUT_ASKED:
            canvas.hide_all_but(None if asked is None else grown(asked, SHOWN_AROUND))
        else:
            canvas.hide(people)
        canvas.mask(masks)
        painted = canvas.painted(asked)
        if painted.asked > LEAST_SEEN:
            raise PictureWithheld(
                f"{painted.asked:.0%} of the object in question on camera {frame.camera} would be painted over",
                "Move the mask, or let no rule ask about what stands behind it.",
            )
        masked, hidden = round(painted.masked, 4), round(painted.hidden, 4)
        if settings.hide is Hide.NOTHING and not masked:
            return Redacted(image, None)
        return Redacted(image, Redaction(hide=settings.hide, masked=masked, hidden=hidden))

    def _hidden(self, frame: Frame, settings: RedactionSettings) -> Iterable[Box]:
        with self._lock:
            known = frame.index in self._people[frame.camera]
            people = self._people[frame.camera].get(frame.index)
        if not known:
            raise PictureWithheld(
                f"a frame of camera {frame.camera} was not judged, so nobody knows whom to hide in it",
                "Ask again; where that does not help, look at the camera's and the model's state.",
            )
        if people is None:
            raise PictureWithheld(
                f"the model has no word for {' or '.join(settings.people)}, so nobody knows whom to hide",
                "Name the model's labels for people in cameras.redaction.people.",
            )
        return map(head if settings.hide is Hide.HEADS else grown, people)


def _people(
    detections: Detections, close: Detections | None, tracks: Collection[Track], names: Collection[str]
) -> People:
    if not any(label in names for label in detections.labels):
        return None
    found: list[Box] = []
    for said in (detections,) if close is None else (detections, close):
        for row in range(len(said)):
            if said.label(row) in names:
                x1, y1, x2, y2 = said.boxes[row].tolist()
                found.append((x1, y1, x2, y2))
    return (*found, *(track.box for track in tracks if track.label in names))
