from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agent.app.auditing import FrameAuditor
from agent.ask.audit import AuditRate, FrameAudit
from agent.domain import Frame, Track
from tests.agent.ask.test_audit import BOX, MODEL, detections, track
from wire.audits import FrameKind

MASK = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))


class Sink:
    def __init__(self) -> None:
        self.audits: list[tuple[FrameAudit, Frame]] = []

    def submit_audit(self, audit: FrameAudit, frame: Frame) -> None:
        self.audits.append((audit, frame))


class Scene:
    def __init__(self, **rates: AuditRate) -> None:
        self.sink = Sink()
        self.model = MODEL
        self.factor = 1.0
        self.chances: Iterator[float] = iter(lambda: 0.0, 1.0)
        self.auditor = FrameAuditor(
            rates or {"yard": AuditRate(probability=0.5)},
            sink=self.sink,
            labels=lambda: frozenset({"person"}),
            model=lambda: self.model,
            factor=lambda: self.factor,
            chance=lambda: next(self.chances),
        )

    def judged(self, *tracks: Track, at: float = 1.0, camera: str = "yard") -> None:
        frame = Frame(camera, 0, np.zeros((4, 4, 3), np.uint8), at)
        self.auditor.judged(frame, detections((0, 0.9)), tracks, (MASK,))

    def still(self, at: float = 2.0) -> None:
        self.auditor.still(Frame("yard", 1, np.zeros((4, 4, 3), np.uint8), at), (MASK,))


def test_a_drawn_frame_leaves_with_what_was_said_of_it() -> None:
    scene = Scene()
    scene.chances = iter([0.6, 0.4])
    scene.judged(track())
    scene.judged(track(), at=3.0)
    [(audit, frame)] = scene.sink.audits
    assert frame.at == audit.at == 3.0
    assert (audit.drawn.number, audit.drawn.walked, audit.drawn.probability) == (1, 2, 0.5)
    assert [one.box for one in audit.said.shown] == [BOX]
    assert audit.masks == (MASK,)


def test_a_still_frame_repeats_what_was_said_before_by_whoever_said_it() -> None:
    scene = Scene()
    scene.judged(track())
    scene.model = MODEL.model_copy(update={"digest": "sha256:" + "9" * 64})
    scene.still()
    judged, still = (audit for audit, _ in scene.sink.audits)
    assert still.said.kind is FrameKind.STILL
    assert still.said.shown == judged.said.shown
    assert still.said.model_digest == MODEL.digest
    assert still.drawn.probability == 0.125
    assert still.id != judged.id


def test_before_anything_was_said_there_is_nothing_to_audit() -> None:
    scene = Scene()
    scene.still()
    assert scene.sink.audits == []


def test_each_camera_has_its_own_rate_and_count() -> None:
    scene = Scene(yard=AuditRate(probability=1), gate=AuditRate(probability=0))
    scene.judged(camera="gate")
    scene.judged(camera="yard")
    assert [audit.camera for audit, _ in scene.sink.audits] == ["yard"]


def test_a_probation_s_factor_is_in_the_probability() -> None:
    scene = Scene(yard=AuditRate(probability=0.01))
    scene.factor = 20.0
    scene.judged()
    assert scene.sink.audits[0][0].drawn.probability == 0.2
