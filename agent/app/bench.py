"""`vedette-agent bench`: this device's speed, as a ratio to the bare decode + resize + invoke loop in the same run.

Both take the same frames of the same source with the same model and threads, in turns, so that a machine whose speed
drifts slows both; the medians over the turns are compared. The pipeline does all that it does on duty but talk to
the network and look twice: it reads in a thread of its own, detects, tracks, decides and commits alerts to an outbox
on disk. Second looks are left out, so that both loops infer once a frame; each would cost about as much again.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from agent.adapters.opencv_source import PICTURE_SUFFIXES, open_source
from agent.adapters.resident import hand_back, library_data
from agent.adapters.sqlite_outbox import SqliteOutbox
from agent.adapters.system_clock import SystemClock
from agent.app.figures import rss_mib
from agent.app.ground import new_boot
from agent.app.progress import Progress
from agent.app.turns import FRAMES_A_TURN, TURNS
from agent.capture.camera import Camera
from agent.capture.settings import CameraSettings
from agent.capture.slots import FrameSlots
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import RuleSettings
from agent.deliver.faults import Faults
from agent.deliver.outbox import OutboxSettings
from agent.deliver.stream_cost import StreamCost
from agent.detect.detector import open_configured
from agent.detect.settings import DetectSettings
from agent.errors import SourceEmpty
from agent.judging.inbox import Inbox
from agent.judging.lane import Lane
from agent.pipeline import Pipeline
from agent.track.settings import TrackSettings
from agent.track.tracker import Tracker
from vision.detections import Image
from vision.detector import ModelDetector
from vision.models import find_model, model_file
from wire.messages import CameraState


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of `bench --json`.

    Attributes:
        rss_mib: After the first frames on duty, before the bare loop opens a model of its own.
        ratio: Of the medians; 1 means that all the agent does beside inference costs nothing.
        stages_us: Mean microseconds a frame in each stage of the judging thread.
        first_frame_s: From opening the model to the first judged frame.
    """

    pipeline_fps: float
    bare_fps: float
    ratio: float
    rss_mib: float
    stages_us: dict[str, float]
    first_frame_s: float
    model: str
    source: str

    def for_programs(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def bench(
    source: str, model: DetectSettings, show: Callable[[Progress], None], *, frames_a_turn: int = FRAMES_A_TURN
) -> Result:
    """Measure, in turns of the agent's pipeline and of the bare loop; the first of each does not count.

    Raises:
        VedetteError: The source or the model can't be used, or the source has too few frames.
    """
    began = time.perf_counter()
    detector = open_configured(model)
    settings = CameraSettings(name="source", source=source, pace="max", loop=True)
    first = _first_image(settings)
    detector.detect(first, TrackSettings().low_score)
    first_frame_s = time.perf_counter() - began
    progress = Progress("frames")
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as folder:
        duty = Duty(detector, settings, Path(folder))
        hand_back(library_data())
        duty.run(frames_a_turn)
        memory = rss_mib()
        bare = BareLoop(detector, model, settings)
        bare.run(frames_a_turn)
        piped: list[float] = []
        alone: list[float] = []
        for turn in range(TURNS):
            # Whoever goes second finds warm caches, so the order changes.
            steps = [(piped, duty.run), (alone, bare.run)]
            for rates, run in steps if turn % 2 == 0 else reversed(steps):
                rates.append(frames_a_turn / run(frames_a_turn))
                progress.done += frames_a_turn
                show(progress)
        stages = duty.stages_us()
        duty.close()
    pipeline_fps, bare_fps = statistics.median(piped), statistics.median(alone)
    manifest = detector.manifest
    return Result(
        pipeline_fps=round(pipeline_fps, 2),
        bare_fps=round(bare_fps, 2),
        ratio=round(pipeline_fps / bare_fps, 4),
        rss_mib=round(memory, 1),
        stages_us=stages,
        first_frame_s=round(first_frame_s, 3),
        model=f"{manifest.name} {manifest.version} on {detector.runtime_name}, {detector.delegate}",
        source=settings.redacted_source,
    )


def _first_image(settings: CameraSettings) -> Image:
    reader = open_source(settings)
    reader.open()
    try:
        shot = reader.read()
    finally:
        reader.close()
    if shot is None:
        raise SourceEmpty(f"{settings.redacted_source} gave no frame", "Name a video or a folder of pictures.")
    return shot.image


class BareLoop:
    """Decode, resize, invoke, with OpenCV and the runtime and nothing of ours between them.

    The resized picture is written into the input tensor as it is: what normalising costs belongs to the pipeline.
    """

    def __init__(self, detector: ModelDetector, model: DetectSettings, settings: CameraSettings) -> None:
        self._size = (detector.manifest.input.width, detector.manifest.input.height)
        self._channels_first = detector.manifest.input.layout == "nchw"
        interpreter_of = _interpreter_class(detector.runtime_name)
        self._interpreter = interpreter_of(
            model_path=str(model_file(find_model(model.model))), num_threads=model.threads
        )
        self._interpreter.allocate_tensors()
        tensor = self._interpreter.get_input_details()[0]
        self._index = tensor["index"]
        self._input = np.empty(tensor["shape"], tensor["dtype"])
        self._pictures = _endless(Path(settings.source))

    def run(self, frames: int) -> float:
        """Seconds for so many frames."""
        began = time.perf_counter()
        for _ in range(frames):
            small = cv2.resize(next(self._pictures), self._size)
            self._input[0] = small.transpose(2, 0, 1) if self._channels_first else small
            self._interpreter.set_tensor(self._index, self._input)
            self._interpreter.invoke()
        return time.perf_counter() - began


def _endless(source: Path) -> Iterator[Image]:
    """The pictures of a video or folder over and over, as bare as OpenCV gives them."""
    some = True
    while some:
        some = False
        for image in _folder(source) if source.is_dir() else _video(source):
            some = True
            yield image
    raise SourceEmpty(f"{source} gave no frame", "Name a video or a folder of pictures that stays as it is.")


def _video(source: Path) -> Iterator[Image]:
    video = cv2.VideoCapture(str(source.resolve()))
    while True:
        read, image = video.read()
        if not read:
            return
        yield cast("Image", image)


def _folder(source: Path) -> Iterator[Image]:
    for file in sorted(source.iterdir()):
        image = cv2.imread(str(file)) if file.suffix.lower() in PICTURE_SUFFIXES else None
        if image is not None:
            yield cast("Image", image)


def _interpreter_class(runtime_name: str) -> Any:  # noqa: ANN401 - neither runtime ships types
    """The bare runtime's own class."""
    if runtime_name.startswith("tflite"):
        from tflite_runtime.interpreter import Interpreter  # noqa: PLC0415 - whichever is installed
    else:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - whichever is installed
    return Interpreter


class Duty:
    """The agent's own parts as on duty, fed by one camera at full speed."""

    def __init__(self, detector: ModelDetector, settings: CameraSettings, folder: Path) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._slots = FrameSlots()
        faults = Faults()
        boot = new_boot("bench", "bench", detector.manifest, self._clock)
        self._outbox = SqliteOutbox(
            folder / "outbox.db", settings=OutboxSettings(), boot=boot, clock=self._clock, faults=faults
        )
        self._outbox.open()
        lane = Lane(Tracker(TrackSettings()), MaskFilter((), settings.name), stream_cost=StreamCost())
        self._pipeline = Pipeline(
            frames=self._slots,
            inbox=Inbox(self._slots.wake),
            detector=detector,
            lanes={settings.name: lane},
            rules=_everything_matters(detector),
            outbox=self._outbox,
            asker=None,
            clock=self._clock,
            faults=faults,
            min_score=TrackSettings().low_score,
        )
        self._camera: Camera | None = None
        self._judged = 0

    def run(self, frames: int) -> float:
        """Seconds for so many frames."""
        if self._camera is None:
            self._camera = Camera(
                self._settings, open_source(self._settings), self._slots, self._clock, _nobody_listens, lambda: 0.0
            )
            self._camera.start()
        began = time.perf_counter()
        for _ in range(frames):
            frame = self._slots.take(None)
            while frame is None:
                if self._camera.failure is not None:
                    raise self._camera.failure
                frame = self._slots.take(None)
            self._pipeline.judge(frame)
        self._judged += frames
        return time.perf_counter() - began

    def stages_us(self) -> dict[str, float]:
        """Mean microseconds a frame, by stage."""
        return {
            name: round(1e6 * seconds / self._judged, 1) for name, seconds in asdict(self._pipeline.stages).items()
        }

    def close(self) -> None:
        """Stop reading."""
        if self._camera is not None:
            self._camera.stop()
        self._outbox.close()


def _everything_matters(detector: ModelDetector) -> RuleBook:
    """One rule on the model's first label, so that alerts are decided and committed as on duty."""
    label = next(label for label in detector.labels if label)
    numbers = iter(range(2**63))
    return RuleBook(
        rules=(RuleSettings(name="bench", labels=(label,)),),
        zones=(),
        asking=None,
        uncertain=detector.manifest.uncertain,
        new_id=lambda: f"{next(numbers):032x}",
    )


def _nobody_listens(name: str, state: CameraState, detail: str) -> None:
    del name, state, detail
