"""One camera: a thread that reads a source into its slot, and comes back when it is lost.

A read that blocks inside a driver can't be interrupted from Python. It is left to its own timeout (sources have one,
see the adapters), while `check_stall`, called from another thread, tells the world that the camera is lost. Should a
driver never return, that camera stays lost until the agent is restarted; the others don't notice, and `stop` does not
wait for it beyond its bound.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.capture.pace import Backoff, ClipTime, RateLimit
from agent.capture.settings import CameraSettings
from agent.capture.slots import FrameSlots
from agent.capture.source import Shot, Source
from agent.domain import Clock, Frame
from agent.errors import CaptureError
from wire.messages import CameraState

OnState = Callable[[str, CameraState, str], None]
"""Told the camera's name, its new state and a printable detail; called from the camera's threads, one at a time, so
it should return soon."""
Pause = Callable[[threading.Event, float], bool]
"""Waits until the event is set or the seconds are over; returns whether it was set."""

STOPPED: Final = "stopped"
STOP_BOUND_S: Final = 2.0
"""A frame takes milliseconds; a read that lasts longer is waiting for a camera that is gone."""
MAX_DETAIL: Final = 500
"""As long as the wire's `Text` may be."""
SIGN_OF_LIFE_S: Final = 1.0
"""A source that can't keep up with real time still shows one frame a second, late as it is."""


@dataclass(frozen=True, slots=True)
class CameraCounts:
    """What a camera has done since its start.

    Attributes:
        captured: Pictures that the source gave.
        dropped: Of these, left out because the judge or the reader was behind.
        thinned: Of these, left out by `fps_limit`.
        reopened: Times it came back after it was lost.
    """

    captured: int
    dropped: int
    thinned: int
    reopened: int


def pause(stop: threading.Event, seconds: float) -> bool:
    """The pause of real time; tests have one that they turn by hand."""
    return stop.wait(seconds)


class Camera:
    """Reads a source in a thread of its own.

    Args:
        settings: The camera's settings.
        source: Used by the camera's thread only.
        slots: Where frames go; the camera adds its own slot.
        clock: The agent's clock.
        on_state: Told of every change of state.
        random: Uniform in 0..1, for the jitter between retries.
        wait: How to pause.
    """

    def __init__(
        self,
        settings: CameraSettings,
        source: Source,
        slots: FrameSlots,
        clock: Clock,
        on_state: OnState,
        random: Callable[[], float],
        wait: Pause = pause,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._source = source
        self._slot = slots.add(settings.name)
        self._clock = clock
        self._on_state = on_state
        self._wait = wait
        self._backoff = Backoff(settings.reconnect_initial_s, settings.reconnect_max_s, random)
        self._limit = RateLimit(settings.fps_limit)
        self._all_frames = settings.pace == "max"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {settings.name}", daemon=True)
        # Held while a state changes and is told, so that two threads can't tell their news in the wrong order.
        self._telling = threading.Lock()
        self._told: tuple[CameraState, str] | None = None
        self._failure: CaptureError | None = None
        # Written by the camera's thread alone; read by anyone.
        self._reading_since: float | None = None
        self._live_since: float | None = None
        self._shown_at = 0.0
        self._was_lost = False
        self._captured = self._dropped = self._thinned = self._reopened = 0

    @property
    def state(self) -> CameraState:
        """How it is doing."""
        return self._told[0] if self._told is not None else CameraState.STARTING

    @property
    def counts(self) -> CameraCounts:
        """What it has done so far; exact once it has ended."""
        return CameraCounts(self._captured, self._dropped, self._thinned, self._reopened)

    @property
    def failure(self) -> CaptureError | None:
        """What ended a source that is read at pace "max"; None for a clean end."""
        return self._failure

    def start(self) -> None:
        """Begin to read."""
        self._tell(CameraState.STARTING, "")
        self._thread.start()

    def stop(self, timeout_s: float = STOP_BOUND_S) -> bool:
        """Stop reading; returns whether the thread ended in time. One that did not ends with its blocked read."""
        self.request_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def request_stop(self) -> None:
        """Have the thread end soon, without waiting for it."""
        self._stop.set()
        self._slot.withdraw()

    def check_stall(self) -> None:
        """Report the camera as lost if its present read has lasted too long; called from time to time."""
        with self._telling:
            since = self._reading_since
            if since is not None and self._clock.monotonic() - since >= self._settings.stall_timeout_s:
                self._change(CameraState.LOST, f"no picture for {self._settings.stall_timeout_s:g} s")

    def _run(self) -> None:
        detail = "the reading thread failed"
        try:
            detail = self._keep_reading()
        finally:
            self._tell(CameraState.ENDED, detail)
            self._slot.end()

    def _keep_reading(self) -> str:
        while True:
            try:
                self._play_to_the_end()
            except CaptureError as error:
                if self._stop.is_set():
                    return STOPPED
                if self._all_frames:
                    self._failure = error
                    return str(error)
                if self._lose(error):
                    return STOPPED
                continue
            return STOPPED if self._stop.is_set() else self._source.remark

    def _lose(self, error: CaptureError) -> bool:
        now = self._clock.monotonic()
        lived_s = 0.0 if self._live_since is None else now - self._live_since
        self._live_since = None
        self._was_lost = True
        self._tell(CameraState.LOST, str(error))
        return self._wait(self._stop, self._backoff.next_s(lived_s=lived_s))

    def _play_to_the_end(self) -> None:
        """Open and read, again and again where it loops, until it ends, fails or is told to stop."""
        clip: ClipTime | None = None
        while not self._stop.is_set():
            try:
                self._reading_since = self._clock.monotonic()
                self._source.open()
                while not self._stop.is_set():
                    self._reading_since = self._clock.monotonic()
                    shot = self._source.read()
                    self._reading_since = None
                    if shot is None:
                        break
                    self._came_alive()
                    clip = clip or ClipTime(self._clock.monotonic())
                    self._pass_on(shot, clip)
            finally:
                self._reading_since = None
                self._source.close()
            if not self._settings.loop:
                return
            if clip is not None:
                clip.begin_again()

    def _came_alive(self) -> None:
        if self._live_since is None:
            self._live_since = self._clock.monotonic()
            self._reopened += self._was_lost
            self._was_lost = False
        self._tell(CameraState.LIVE, "")

    def _pass_on(self, shot: Shot, clip: ClipTime) -> None:
        index = self._captured
        self._captured += 1
        now = self._clock.monotonic()
        due = now if shot.position_s is None else clip.due(shot.position_s)
        if not self._limit.admits(due):
            self._thinned += 1
            return
        if shot.position_s is not None and not self._all_frames:
            if due > now:
                if self._wait(self._stop, due - now):
                    return
                now = self._clock.monotonic()
            elif now >= due + clip.gap_s > due and now - self._shown_at < SIGN_OF_LIFE_S:
                # The picture after this one is due already.
                self._dropped += 1
                return
        frame = Frame(self.name, index, shot.image, now, shot.position_s)
        self._shown_at = now
        if self._all_frames:
            self._slot.offer(frame)
        else:
            self._dropped += self._slot.put(frame)

    def _tell(self, state: CameraState, detail: str) -> None:
        with self._telling:
            self._change(state, detail)

    def _change(self, state: CameraState, detail: str) -> None:
        news = state, _printable(detail)
        if news != self._told:
            self._told = news
            self._on_state(self.name, *news)


def _printable(text: str) -> str:
    """Details travel in messages, and may hold a path that someone else chose."""
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_DETAIL])
