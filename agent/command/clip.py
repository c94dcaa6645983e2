"""A clip of what a camera sees from now on.

Pictures are taken on their way to the judging thread, as a snapshot is, and set on a grid of times: each stands from
its own time until the next one's. So a camera that stutters gives a clip as long as what it shows, and while the
encoder is busy frames pass it by; nothing waits for it. Nothing is kept of what was before the command: a ring of
recent pictures would cost every device its memory and encoding, always, for a question that is rarely asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from agent.command.arguments import ClipArguments
from agent.command.errors import CommandRefused
from agent.command.ports import Frames, Progress
from agent.domain import Frame
from agent.errors import CameraLost
from agent.redact.door import Redacted
from wire.messages import Redaction

FIRST_FRAME_S: Final = 5.0
"""A camera that runs gives a frame within it."""
LOST_AFTER_S: Final = 10.0
"""As long as a camera may stall before it is taken for lost (`cameras.stall_timeout_s`)."""
RECORDING_SHARE: Final = 0.8
"""Of the command's progress; the rest is sending."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A finished clip on disk.

    Attributes:
        media_type: One of `wire.commands.CLIP_TYPES`.
        size: In bytes.
        pictures: How many there are, repeated ones included.
        redaction: The most that was painted over in any of them; None where nothing was.
    """

    path: Path
    media_type: str
    size: int
    pictures: int
    redaction: Redaction | None = None


class ClipFile(Protocol):
    """A clip that is being written; off the event loop, and behind everything else that wants the processor."""

    async def add(self, picture: Redacted, times: int) -> None:
        """Show it for so many pictures.

        Raises:
            DiskFull, ClipTooLarge: as their names say.
        """

    async def finish(self) -> Clip:
        """Write what is left.

        Raises:
            DiskFull, ClipTooLarge, ClipUnplayable: as their names say.
        """

    def discard(self) -> None:
        """Remove the file, once the encoder has let go of it; returns at once, and may be called twice."""


class ClipFolder(Protocol):
    """Where clips are written."""

    async def begin(self, command_id: str, width: int, height: int, fps: int) -> ClipFile:
        """A new clip of that size.

        Raises:
            CommandRefused: There is no room for one, or no encoder.
        """


class ClipStore(Protocol):
    """Where clips go."""

    async def put(self, command_id: str, camera: str, clip: Clip) -> None:
        """Send it to the cloud.

        Raises:
            CloudUnreachable: It did not get through.
            CommandFailed: The cloud did not take it.
        """


@dataclass(frozen=True, slots=True)
class Grid:
    """Times at which a clip shows a picture: `fps` a second from `began` on, `slots` of them. Pure."""

    began: float
    fps: int
    slots: int

    def slot(self, at: float) -> int:
        """The slot nearest to `at`, at most one after the last."""
        return min(self.slots, max(0, round((at - self.began) * self.fps)))


class Recorder:
    """Records one clip."""

    def __init__(
        self,
        frames: Frames,
        folder: ClipFolder,
        cut: Callable[[Frame], Redacted],
        shrink: Callable[[Redacted, int], Redacted],
    ) -> None:
        """Prepare.

        Args:
            frames: Where pictures come from.
            folder: Where the clip is written.
            cut: The whole frame, as far as it may leave; raises PictureWithheld where it may not.
            shrink: A picture, its longer side at most so many pixels, both sides even.
        """
        self._frames = frames
        self._folder = folder
        self._cut = cut
        self._shrink = shrink

    async def record(self, command_id: str, camera: str, wanted: ClipArguments, progress: Progress) -> ClipFile:
        """Everything but the finish. Whoever gets the file discards it.

        Raises:
            CommandRefused: The camera gives no picture, or there is no room.
            CameraLost: It stopped giving pictures.
            DiskFull, ClipTooLarge, PictureWithheld: as their names say.
        """
        first = await self._frames.next(camera, FIRST_FRAME_S)
        if first is None:
            raise CommandRefused(f"camera {camera} gave no frame within {FIRST_FRAME_S:g} s", "Look at its state.")
        grid = Grid(first.at, wanted.fps, round(wanted.for_s * wanted.fps))
        picture = await asyncio.to_thread(self._shown, first, wanted.max_px)
        del first  # a frame is megabytes
        height, width = picture.image.shape[:2]
        file = await self._folder.begin(command_id, width, height, wanted.fps)
        try:
            filled = 0
            while filled < grid.slots:
                following = await self._after(camera, grid, filled)
                until = grid.slot(following.at)
                await file.add(picture, until - filled)
                if until // grid.fps > filled // grid.fps:
                    share = RECORDING_SHARE * until / grid.slots
                    progress(share, f"recorded {until / grid.fps:.0f} of {wanted.for_s:g} s")
                filled = until
                if filled < grid.slots:
                    picture = await asyncio.to_thread(self._shown, following, wanted.max_px)
                del following
        except BaseException:
            file.discard()
            raise
        return file

    def _shown(self, frame: Frame, max_px: int) -> Redacted:
        return self._shrink(self._cut(frame), max_px)

    async def _after(self, camera: str, grid: Grid, filled: int) -> Frame:
        """The first frame that belongs into a slot after those that are filled."""
        while True:
            frame = await self._frames.next(camera, LOST_AFTER_S)
            if frame is None:
                into = f"{filled / grid.fps:.1f} s into the clip"
                raise CameraLost(
                    f"camera {camera} gave no picture for {LOST_AFTER_S:g} s, {into}",
                    "Look at its state; the clip was dropped.",
                )
            if grid.slot(frame.at) > filled:
                return frame
