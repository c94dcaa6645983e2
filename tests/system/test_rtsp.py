"""A real RTSP camera: it streams, hangs, dies and comes back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.opencv_source import open_source
from agent.adapters.system_clock import SystemClock
from agent.capture.camera import Camera
from agent.capture.cameras import Cameras
from agent.capture.settings import CameraSettings
from agent.capture.slots import FrameSlots
from tests.ports import free_port
from wire.messages import CameraState

pytestmark = [pytest.mark.system, pytest.mark.timeout(5 * 60)]

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
NEEDED = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0');"
    "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
    "assert all(map(Gst.ElementFactory.find, ('videotestsrc', 'x264enc', 'rtph264pay')))"
)
PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,ugly}"
BOUND_S = 60.0


class RtspCamera:
    """The server's process."""

    def __init__(self, port: int | None = None) -> None:
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SERVER), str(port or free_port())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def recover(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class States:
    """What the camera told, to be waited for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._told: list[tuple[CameraState, str]] = []

    def __call__(self, _name: str, state: CameraState, detail: str) -> None:
        with self._changed:
            self._told.append((state, detail))
            self._changed.notify_all()

    def next(self, state: CameraState) -> str:
        """Wait for the state, forget all up to it, and return its detail."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(told is state for told, _ in self._told), BOUND_S), (
                f"never {state}: {self._told}"
            )
            at = next(index for index, (told, _) in enumerate(self._told) if told is state)
            detail = self._told[at][1]
            del self._told[: at + 1]
            return detail


@pytest.fixture(autouse=True, scope="module")
def _engine() -> None:
    try:
        subprocess.run([SYSTEM_PYTHON, "-c", NEEDED], capture_output=True, timeout=60, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        message = f"no GStreamer RTSP server: apt-get install {PACKAGES}"
        if os.environ.get("VEDETTE_REQUIRE_ENGINES") == "1":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def server() -> Iterator[RtspCamera]:
    made = RtspCamera()
    yield made
    made.kill()


class Watched:
    """One camera of ours, looking at the server."""

    def __init__(self, url: str, stall_timeout_s: float) -> None:
        settings = CameraSettings(
            name="yard", source=url, reconnect_initial_s=0.2, reconnect_max_s=0.5, stall_timeout_s=stall_timeout_s
        )
        self.slots, self.states = FrameSlots(), States()
        clock = SystemClock()
        self.camera = Camera(settings, open_source(settings), self.slots, clock, self.states, random.random)
        self.cameras = Cameras([self.camera], clock)
        self.cameras.start()

    def see(self, frames: int) -> list[int]:
        seen = []
        for _ in range(frames):
            frame = self.slots.take(BOUND_S)
            assert frame is not None
            assert frame.image.shape == (240, 320, 3)
            assert frame.image.max() > 200, "the ball is white"
            assert frame.position_s is None
            seen.append(frame.index)
        return seen


@pytest.fixture
def watch() -> Iterator[type[Watched]]:
    made: list[Watched] = []

    class Kept(Watched):
        def __init__(self, url: str, stall_timeout_s: float = BOUND_S) -> None:
            super().__init__(url, stall_timeout_s)
            made.append(self)

    yield Kept
    for watched in made:
        assert watched.cameras.stop(BOUND_S) == ()


def test_frames_arrive_the_camera_dies_and_comes_back(server: RtspCamera, watch: type[Watched]) -> None:
    yard = watch(f"rtsp://user:secret@127.0.0.1:{server.port}/camera")
    yard.states.next(CameraState.LIVE)
    before = yard.see(10)

    server.kill()
    lost = yard.states.next(CameraState.LOST)
    assert lost.startswith(f"rtsp://***@127.0.0.1:{server.port}/camera stopped giving pictures.")

    again = RtspCamera(server.port)
    try:
        yard.states.next(CameraState.LIVE)
        after = yard.see(5)
    finally:
        again.kill()
    assert before + after == sorted(set(before + after)), "frames are counted on"
    assert yard.camera.counts.reopened == 1


def test_a_camera_that_hangs_is_lost_and_found_again(server: RtspCamera, watch: type[Watched]) -> None:
    yard = watch(f"rtsp://user:secret@127.0.0.1:{server.port}/camera", stall_timeout_s=3.0)
    yard.states.next(CameraState.LIVE)
    yard.see(3)

    server.hang()
    yard.states.next(CameraState.LOST)

    server.recover()
    yard.states.next(CameraState.LIVE)
    yard.see(5)


def test_a_wrong_password_is_reported_without_it(server: RtspCamera, watch: type[Watched]) -> None:
    yard = watch(f"rtsp://user:wrong-one@127.0.0.1:{server.port}/camera")
    lost = yard.states.next(CameraState.LOST)
    assert "could not be opened" in lost
    assert "wrong-one" not in lost
