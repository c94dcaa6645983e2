"""Video files, folders of pictures, V4L2 devices and network streams, read through OpenCV.

Timeouts: a stream's opening ends after the camera's `stall_timeout_s`, and so does its silence. OpenCV's V4L2 backend
gives up a read after ten seconds (`OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT` changes it). A file on a dead network drive has
no timeout at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np

from agent.capture.picture_size import picture_size
from agent.capture.settings import CameraSettings, SourceKind
from agent.capture.source import Shot, Source
from agent.errors import CameraLost, SourceEmpty, SourceMissing, SourceUnreadable
from vision.detections import Image

MAX_PIXELS: Final = 50_000_000
"""150 MB of BGR: more than any camera that makes sense here, less than what hurts a device."""
MAX_PICTURE_BYTES: Final = 200_000_000
PICTURE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
USUAL_FPS: Final = 25.0
"""For a file that does not say."""
MAX_JUMP_S: Final = 10.0
"""A file whose time leaps by more has a broken timestamp: playing it would halt the camera."""
# With frame threads the decoder holds back one frame per thread but the first: two keep up with 1080p on a small
# device, and cost one frame of delay.
STREAM_DECODER_THREADS: Final = 2
# When a read times out, FFmpeg hands out what its decoder threads hold back, one frame at a time with a timeout each,
# before it fails (measured with OpenCV 4.11 and 4.14): a silence lasts one timeout more than there are threads.
READS_PER_SILENCE: Final = STREAM_DECODER_THREADS + 1
SILENT: Final = 0
"""OpenCV's `LOG_LEVEL_SILENT`."""


def open_source(settings: CameraSettings) -> Source:
    """The source that the settings name; nothing is opened yet. To be called before any camera's thread runs."""
    _quieten()
    match settings.kind:
        case SourceKind.DEVICE:
            return DeviceSource(settings)
        case SourceKind.STREAM:
            return StreamSource(settings)
        case SourceKind.RECORDED:
            return RecordedSource(Path(settings.source), settings.folder_fps)


def _quieten() -> None:
    """Keep OpenCV and FFmpeg from writing to the terminal: what matters comes back as an error of ours.

    libjpeg and libpng can't be told: they write a line about each damaged picture.

    FFmpeg reads the environment at its first use, and again at each opening for the options. Whoever has set the
    variables wants them so. RTSP goes over TCP: lost UDP packets look like grey smears, which a detector takes for
    objects.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        _set_log_level()(SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")


def _set_log_level() -> Callable[[int], object]:
    # OpenCV 4.11, which goes with tflite-runtime, has it at the top; later ones in a module of its own.
    at_the_top: Callable[[int], object] | None = getattr(cv2, "setLogLevel", None)
    return at_the_top or cv2.utils.logging.setLogLevel


def _capture(source: str, backend: int, params: Sequence[int] = ()) -> cv2.VideoCapture | None:
    try:
        capture = cv2.VideoCapture(source, backend, list(params))
    except cv2.error:
        return None
    if capture.isOpened():
        return capture
    capture.release()
    return None


def _next_image(capture: cv2.VideoCapture) -> Image | None:
    try:
        got, image = capture.read()
    except cv2.error:
        return None
    return _as_bgr(image) if got else None


def _as_bgr(image: object) -> Image | None:
    """The picture if it is one: OpenCV's stub promises more than its devices keep."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,):
        return image
    return None


def _is_huge(capture: cv2.VideoCapture) -> bool:
    return capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT) > MAX_PIXELS


class DeviceSource:
    """A camera on USB or the board, through V4L2."""

    def __init__(self, settings: CameraSettings) -> None:
        self._path = Path(settings.source)
        self._size = None if settings.width is None or settings.height is None else (settings.width, settings.height)
        self._capture: cv2.VideoCapture | None = None

    @property
    def remark(self) -> str:
        """Nothing: a device has no end."""
        return ""

    def open(self) -> None:
        """Begin to stream, MJPEG where the device can: uncompressed, USB 2 carries 1080p at five frames a second."""
        self._demand_device()
        params = [cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")]
        if self._size is not None:
            params += [cv2.CAP_PROP_FRAME_WIDTH, self._size[0], cv2.CAP_PROP_FRAME_HEIGHT, self._size[1]]
        capture = _capture(str(self._path), cv2.CAP_V4L2, params) or _capture(str(self._path), cv2.CAP_V4L2)
        if capture is None:
            raise SourceUnreadable(
                f"{self._path} could not be opened as a camera",
                "See that no other program uses it, and that `v4l2-ctl --list-devices` names it as a capture device.",
            )
        # One buffer, so that the frame read is the newest; a driver that wants more keeps more.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._capture = capture

    def read(self) -> Shot | None:
        """The next picture."""
        image = None if self._capture is None else _next_image(self._capture)
        if image is None:
            raise CameraLost(f"{self._path} stopped giving pictures", "Check its cable and its power.")
        return Shot(image, None)

    def close(self) -> None:
        """Let go of the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _demand_device(self) -> None:
        if not self._path.exists():
            raise SourceMissing(
                f"there is no {self._path}", "Plug the camera in, or name another device in `source`."
            )
        if not self._path.is_char_device():
            raise SourceUnreadable(f"{self._path} is not a device", "Name a V4L2 device such as /dev/video0.")
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise SourceUnreadable(
                f"{self._path} may not be opened by this user", "Add the user of the agent to the group `video`."
            )


class StreamSource:
    """A network camera, through FFmpeg. Whatever comes over HTTP is taken to be live, too."""

    def __init__(self, settings: CameraSettings) -> None:
        self._url = settings.source
        self._shown = settings.redacted_source
        self._timeout_ms = round(settings.stall_timeout_s * 1000)
        self._capture: cv2.VideoCapture | None = None

    @property
    def remark(self) -> str:
        """Nothing: a stream has no end."""
        return ""

    def open(self) -> None:
        """Connect; blocks for as long as the timeout allows."""
        params = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            self._timeout_ms,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            self._timeout_ms // READS_PER_SILENCE,
            cv2.CAP_PROP_N_THREADS,
            STREAM_DECODER_THREADS,
        ]
        self._capture = _capture(self._url, cv2.CAP_FFMPEG, params)
        if self._capture is None:
            raise SourceUnreadable(
                f"{self._shown} could not be opened",
                "See that the camera is on and reachable, and that address, user and password are right.",
            )
        if _is_huge(self._capture):
            self.close()
            raise SourceUnreadable(
                f"the pictures of {self._shown} have more than {MAX_PIXELS // 10**6} megapixels",
                "Set the camera to a smaller picture.",
            )

    def read(self) -> Shot | None:
        """The next picture."""
        image = None if self._capture is None else _next_image(self._capture)
        if image is None:
            raise CameraLost(f"{self._shown} stopped giving pictures", "Check the camera and the network.")
        return Shot(image, None)

    def close(self) -> None:
        """Disconnect."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class _Reading(Protocol):
    """A recorded source that is open."""

    remark: str

    def read(self) -> Shot | None: ...

    def close(self) -> None: ...


class RecordedSource:
    """A video file or a folder of pictures; which of them shows when it is opened."""

    def __init__(self, path: Path, folder_fps: float) -> None:
        self._path = path
        self._folder_fps = folder_fps
        self._reading: _Reading | None = None
        self._remark = ""

    @property
    def remark(self) -> str:
        """What was wrong with the file or some of the pictures."""
        return self._remark if self._reading is None else self._reading.remark

    def open(self) -> None:
        """Begin at the start."""
        self._remark = ""
        try:
            if self._path.is_dir():
                self._reading = _Folder(self._path, self._folder_fps)
                return
            if not self._path.exists():
                raise SourceMissing(
                    f"there is no {self._path}", "Name a video file or a folder of pictures in `source`."
                )
        except OSError as refused:
            raise SourceUnreadable(
                f"{self._path} can't be read: {refused.strerror}", "See that the agent's user may read it."
            ) from refused
        self._reading = _VideoFile(self._path)

    def read(self) -> Shot | None:
        """The next picture, or None at the end."""
        if self._reading is None:
            return None
        return self._reading.read()

    def close(self) -> None:
        """Let go of the file."""
        if self._reading is not None:
            self._remark = self._reading.remark
            self._reading.close()
            self._reading = None


class _VideoFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._demand_file()
        # The full path, so that FFmpeg takes no part of it for the name of a protocol.
        capture = _capture(str(path.resolve()), cv2.CAP_FFMPEG)
        if capture is None:
            raise SourceUnreadable(
                f"{path} is no video that can be decoded", "Try it in a player, or convert it to H.264 in MP4."
            )
        self._capture = capture
        if _is_huge(capture):
            self.close()
            raise SourceUnreadable(
                f"the pictures of {path} have more than {MAX_PIXELS // 10**6} megapixels", "Scale the video down."
            )
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._step_s = 1.0 / fps if 0.01 <= fps <= 1000 else 1.0 / USUAL_FPS  # noqa: PLR2004 - else it is a time base
        self._promised = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._given = 0
        self._position_s = 0.0
        self.remark = ""

    def read(self) -> Shot | None:
        image = _next_image(self._capture)
        if image is None:
            self._ended()
            return None
        self._position_s = self._place(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0)
        self._given += 1
        return Shot(image, self._position_s)

    def close(self) -> None:
        self._capture.release()

    def _place(self, told_s: float) -> float:
        if self._given == 0:
            return told_s if 0.0 <= told_s < MAX_JUMP_S else 0.0
        leap_s = told_s - self._position_s
        if 0.0 < leap_s <= max(MAX_JUMP_S, 10 * self._step_s):
            return told_s
        return self._position_s + self._step_s

    def _ended(self) -> None:
        if self._given == 0:
            raise SourceEmpty(f"{self._path} holds no frame that can be decoded", "Try it in a player.")
        # Containers round their count; a tenth is no rounding.
        if self._given < 0.9 * self._promised:
            self.remark = (
                f"only {self._given} of {self._promised} frames could be read: the file is cut off or damaged"
            )

    def _demand_file(self) -> None:
        if not self._path.is_file():
            raise SourceUnreadable(f"{self._path} is not a file", "Name a video file or a folder of pictures.")
        if not os.access(self._path, os.R_OK):
            raise SourceUnreadable(f"{self._path} may not be read by this user", "Change its permissions.")
        if self._path.stat().st_size == 0:
            raise SourceEmpty(f"{self._path} is an empty file", "Fetch or record it again.")


class _Folder:
    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES and f.is_file())
        if not files:
            raise SourceEmpty(
                f"the folder {path} holds no picture", f"Put pictures in it: {', '.join(sorted(PICTURE_SUFFIXES))}."
            )
        self._files: Iterator[Path] = iter(files)
        self._total = len(files)
        self._given = self._skipped = 0
        self.remark = ""

    def read(self) -> Shot | None:
        for file in self._files:
            image = _decoded(file)
            if image is not None:
                shot = Shot(image, self._given / self._fps)
                self._given += 1
                return shot
            self._skipped += 1
            self.remark = (
                f"{self._skipped} of {self._total} pictures were skipped as unreadable, {file.name} the last"
            )
        if self._given == 0:
            raise SourceEmpty(
                f"none of the {self._total} pictures in {self._path} can be read", "See that they are whole."
            )
        return None

    def close(self) -> None:
        self._files = iter(())


def _decoded(file: Path) -> Image | None:
    """The picture, unless it is broken or too large to be decoded safely."""
    try:
        data = file.read_bytes() if file.stat().st_size <= MAX_PICTURE_BYTES else b""
        size = picture_size(data)
        if size is None or size[0] * size[1] > MAX_PIXELS:
            return None
        return _as_bgr(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    except (OSError, cv2.error):
        return None
