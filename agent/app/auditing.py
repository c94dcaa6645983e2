"""Draws frames for audit as the pipeline deals with them. Implements `agent.judging.ports.Auditor`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent.ask.audit import AuditRate, Draw, Drawn, FrameAudit, Said, said_of
from agent.decide.zones import Polygon
from agent.domain import Frame, Track
from agent.judging.ports import Auditor
from vision.detections import Detections
from wire.audits import FrameKind
from wire.model import Manifest


class AuditSink(Protocol):
    """Where drawn frames leave; never blocks on the network."""

    def submit_audit(self, audit: FrameAudit, frame: Frame) -> object:
        """Send the frame whole."""


class FrameAuditor:
    """Called by the judging thread only.

    Args:
        rates: How often frames are drawn, by camera.
        sink: Where they go.
        labels: What the rules look for, as they stand.
        model: The one that judges.
        factor: As many times as often as the rates say; known at each draw.
        chance: Uniform in [0, 1).
    """

    def __init__(
        self,
        rates: Mapping[str, AuditRate],
        *,
        sink: AuditSink,
        labels: Callable[[], Collection[str]],
        model: Callable[[], Manifest],
        factor: Callable[[], float],
        chance: Callable[[], float],
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._draws = {camera: Draw(rate) for camera, rate in rates.items()}
        self._sink = sink
        self._labels = labels
        self._model = model
        self._factor = factor
        self._chance = chance
        self._new_id = new_id
        # What is needed to say what stands while nothing moves; put into words only where a frame is drawn.
        self._judged: dict[str, Callable[[], Said]] = {}

    def judged(
        self, frame: Frame, detections: Detections, tracks: Sequence[Track], masks: tuple[Polygon, ...]
    ) -> None:
        """See `Auditor`."""
        labels, model = tuple(self._labels()), self._model()

        def said() -> Said:
            return said_of(detections, tracks, labels=labels, model=model)

        self._judged[frame.camera] = said
        drawn = self._draw(frame, still=False)
        if drawn is not None:
            self._submit(frame, drawn, said(), masks)

    def still(self, frame: Frame, masks: tuple[Polygon, ...]) -> None:
        """See `Auditor`; a scene of which nothing was ever said is not in the sample yet."""
        said = self._judged.get(frame.camera)
        if said is None:
            return
        drawn = self._draw(frame, still=True)
        if drawn is not None:
            self._submit(frame, drawn, replace(said(), kind=FrameKind.STILL), masks)

    def _draw(self, frame: Frame, *, still: bool) -> Drawn | None:
        return self._draws[frame.camera].take(frame.at, self._chance(), still=still, factor=self._factor())

    def _submit(self, frame: Frame, drawn: Drawn, said: Said, masks: tuple[Polygon, ...]) -> None:
        self._sink.submit_audit(FrameAudit(self._new_id(), frame.camera, frame.at, drawn, said, masks), frame)


@dataclass(frozen=True, slots=True)
class Both:
    """Two auditors, of which each is told of every frame. Implements `agent.judging.ports.Auditor`."""

    frames: Auditor
    objects: Auditor

    def judged(
        self, frame: Frame, detections: Detections, tracks: Sequence[Track], masks: tuple[Polygon, ...]
    ) -> None:
        """See `Auditor`."""
        for one in (self.frames, self.objects):
            one.judged(frame, detections, tracks, masks)

    def still(self, frame: Frame, masks: tuple[Polygon, ...]) -> None:
        """See `Auditor`."""
        for one in (self.frames, self.objects):
            one.still(frame, masks)
