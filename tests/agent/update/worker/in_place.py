"""The real live model before the real judging thread, swapping in place; its models are the files of the bench."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable
from pathlib import Path

from agent.app.asides import AsideSettings
from agent.app.live_model import PipelineLiveModel
from agent.capture.slots import FrameSlots
from agent.decide.rulebook import RuleBook
from agent.deliver.faults import Faults
from agent.detect.settings import DetectSettings
from agent.errors import CandidateRejected
from agent.judging.inbox import Inbox
from agent.pipeline import Pipeline
from agent.update.ports import Candidate
from agent.update.swap import Swap
from tests.agent.update.worker.bench import ManualClock, content
from vision.detections import Detections, Image, no_detections
from vision.errors import ModelRefused
from wire.model import Manifest, OutputKind
from wire.updates import Gates

LABELS = ("person",)


class FileModel:
    """Reads its file when it is opened."""

    labels = LABELS

    def __init__(self, folder: Path) -> None:
        try:
            read = (folder / "model.tflite").read_bytes()
        except OSError as refused:
            raise ModelRefused(f"{folder} can't be read: {refused.strerror}", "Fetch it again.") from None
        self.version = next(name for name in ("born", "old", "new", "newer") if read == content(name))
        self.closed = False
        self.manifest = Manifest.model_validate(
            {
                "name": "detector",
                "version": self.version,
                "digest": "sha256:" + hashlib.sha256(read).hexdigest(),
                "size": len(read),
                "input": {"width": 64, "height": 64},
                "output": {"kind": OutputKind.YOLOV8},
                "labels": LABELS,
                "licence": "none",
                "provenance": {"source": "a test"},
            }
        )

    def detect(self, image: Image, min_score: float) -> Detections:
        assert not self.closed
        return no_detections(self.labels)

    def close(self) -> None:
        self.closed = True


class InPlaceLive(PipelineLiveModel):
    """Beginning with `running`; `opening` is told which version is about to be opened, with none open.

    Args:
        harm: What the probation finds at once.
        opening: May raise a `VisionError`, or end the process.
    """

    def __init__(self, running: Candidate, *, harm: str, opening: Callable[[str], None]) -> None:
        clock, slots, ids = ManualClock(), FrameSlots(), itertools.count()
        inbox, first = Inbox(slots.wake), FileModel(running.folder)
        made = [first]

        def opened(settings: DetectSettings) -> FileModel:
            assert all(model.closed for model in made), "two models at once"
            model = FileModel(Path(settings.model))
            opening(model.version)
            made.append(model)
            return model

        super().__init__(
            inbox=inbox,
            model=first,
            source=running,
            settings=DetectSettings(),
            low_score=0.2,
            labels=lambda: LABELS,
            captured=lambda: 0,
            adopted=lambda _: None,
            clock=clock,
            open_model=opened,
            swap=Swap.IN_PLACE,
            memory_left=lambda: None,
            asides=AsideSettings(lambda: f"{next(ids):032x}", 2.0),
        )
        self.running = running
        self._harm = harm
        self.pipeline = Pipeline(
            frames=slots,
            inbox=inbox,
            detector=first,
            lanes={},
            rules=RuleBook((), (), None, (0.3, 0.6), lambda: f"{next(ids):032x}"),
            outbox=Outbox(),
            asker=None,
            clock=clock,
            faults=Faults(),
            min_score=0.2,
            onlooker=self,
        )
        threading.Thread(target=self.pipeline.run, name="judge", daemon=True).start()

    def watch(self, gates: Gates, cancelled: Callable[[], bool]) -> None:
        """See `LiveModel`."""
        raise CandidateRejected(self._harm, "")


class Outbox:
    def record(self, changes: object) -> object:
        return None
