"""What each command does, through ports."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from pydantic import JsonValue

from agent.command.arguments import (
    Arguments,
    ClipArguments,
    ConfigArguments,
    LogLevelArguments,
    MuteArguments,
    SnapshotArguments,
    UpdateModelArguments,
)
from agent.command.clip import RECORDING_SHARE, ClipStore, Recorder
from agent.command.errors import CommandRefused
from agent.command.ports import Action, Control, Frames, ModelCommands, Picture, Result, SnapshotStore, Task
from agent.domain import Frame
from agent.errors import ConfigInvalid, PictureWithheld
from wire.commands import CommandName
from wire.messages import MAX_PICTURE_BYTES, Redaction

A = TypeVar("A", bound=Arguments)

FRAME_WAIT_S: Final = 5.0
"""A camera that runs gives a frame within it, even at one in two seconds and beside slow ones."""
MAX_REPORT: Final = 12_000
"""Characters; an answer has 16 KiB for everything."""

Encode = Callable[[Frame, int, int], Picture]
"""Frame, quality, longer side at most; what of it may leave. Raises PictureWithheld where nothing may."""


class Actions:
    """All commands of the agent; `table` is what the desk wants."""

    def __init__(
        self,
        control: Control,
        frames: Frames,
        *,
        encode: Encode,
        snapshots: SnapshotStore | None,
        recorder: Recorder,
        clips: ClipStore | None,
        models: Callable[[], ModelCommands | None],
    ) -> None:
        self._control = control
        self._frames = frames
        self._encode = encode
        self._snapshots = snapshots
        self._recorder = recorder
        self._clips = clips
        self._models = models

    def table(self) -> dict[str, Action]:
        """By name."""
        return {
            CommandName.PING: self._ping,
            CommandName.SNAPSHOT: self._snapshot,
            CommandName.CAPTURE_CLIP: self._capture_clip,
            CommandName.SET_CONFIG: self._set_config,
            CommandName.UPDATE_MODEL: self._update_model,
            CommandName.ROLLBACK_MODEL: self._roll_back_model,
            CommandName.RESTART: self._restart,
            CommandName.DIAGNOSE: self._diagnose,
            CommandName.SET_LOG_LEVEL: self._set_log_level,
            CommandName.MUTE: self._mute,
        }

    async def _ping(self, _task: Task) -> Result:
        return self._control.facts()

    async def _snapshot(self, task: Task) -> Result:
        wanted = _told(task, SnapshotArguments)
        camera = self._camera(wanted.camera)
        if self._snapshots is None:
            raise CommandRefused("there is no cloud to send a picture to", "Add [ask] to the configuration.")
        frame = await self._frames.next(camera, FRAME_WAIT_S)
        if frame is None:
            raise CommandRefused(f"camera {camera} gave no frame within {FRAME_WAIT_S:g} s", "Look at its state.")
        try:
            picture = await asyncio.to_thread(self._encode, frame, wanted.quality, wanted.max_px)
        except PictureWithheld as withheld:
            raise CommandRefused(withheld.what, withheld.mend) from withheld
        size = len(picture.jpeg)
        if size > MAX_PICTURE_BYTES:
            raise CommandRefused(f"the picture has {size} bytes", "Ask for a lower quality or a smaller one.")
        task.progress(0.5, f"sending {size} bytes")
        await self._snapshots.put(task.id, picture)
        result: dict[str, JsonValue] = {
            "camera": camera,
            "bytes": size,
            "picture": f"/api/commands/{task.id}/snapshot",
        }
        return result | _told_of(picture.redaction)

    async def _capture_clip(self, task: Task) -> Result:
        wanted = _told(task, ClipArguments)
        camera = self._camera(wanted.camera)
        if self._clips is None:
            raise CommandRefused("there is no cloud to send a clip to", "Add [ask] to the configuration.")
        try:
            file = await self._recorder.record(task.id, camera, wanted, task.progress)
        except PictureWithheld as withheld:
            raise CommandRefused(withheld.what, withheld.mend) from withheld
        try:
            clip = await file.finish()
            task.progress(RECORDING_SHARE, f"sending {clip.size} bytes")
            await self._clips.put(task.id, camera, clip)
        finally:
            file.discard()
        result: dict[str, JsonValue] = {
            "camera": camera,
            "bytes": clip.size,
            "seconds": round(clip.pictures / wanted.fps, 3),
            "media_type": clip.media_type,
            "clip": f"/api/commands/{task.id}/clip",
        }
        return result | _told_of(clip.redaction)

    async def _set_config(self, task: Task) -> Result:
        wanted = _told(task, ConfigArguments)
        overrides: Mapping[str, object] | None = wanted.config
        if wanted.toml is not None:
            try:
                overrides = tomllib.loads(wanted.toml)
            except (ValueError, RecursionError) as broken:
                raise CommandRefused(f"it is not TOML: {broken}", "Mend it at that place.") from None
        try:
            changed = await asyncio.to_thread(self._control.set_config, None if wanted.reset else overrides)
        except ConfigInvalid as refused:
            raise CommandRefused(refused.what, refused.mend) from refused
        return {"changed": list[JsonValue](changed)}

    async def _update_model(self, task: Task) -> Result:
        return await self._model_commands().update(_told(task, UpdateModelArguments), task.progress)

    async def _roll_back_model(self, task: Task) -> Result:
        return await self._model_commands().roll_back(task.progress)

    async def _restart(self, _task: Task) -> None:
        self._control.restart()

    async def _diagnose(self, _task: Task) -> Result:
        return {"report": (await asyncio.to_thread(self._control.report))[-MAX_REPORT:]}

    async def _set_log_level(self, task: Task) -> Result:
        level = _told(task, LogLevelArguments).level
        self._control.set_log_level(level)
        return {"level": level}

    async def _mute(self, task: Task) -> Result:
        wanted = _told(task, MuteArguments)
        if wanted.camera is not None:
            self._camera(wanted.camera)
        await self._control.mute(wanted.rule, wanted.camera, wanted.for_s)
        return {"for_s": wanted.for_s}

    def _camera(self, name: str | None) -> str:
        cameras = self._frames.cameras
        if name is None and len(cameras) == 1:
            return cameras[0]
        if name is None:
            raise CommandRefused(f"there are several cameras: {', '.join(cameras)}", "Name one.")
        if name not in cameras:
            raise CommandRefused(f"there is no camera {name!r}", f"The cameras are {', '.join(cameras)}.")
        return name

    def _model_commands(self) -> ModelCommands:
        models = self._models()
        if models is None:
            raise CommandRefused(
                "this device takes no model updates",
                "Set trust.root_file in its configuration; see docs/operating.md.",
            )
        return models


def _told(task: Task, kind: type[A]) -> A:
    """The command's arguments, as `agent.command.arguments` read them."""
    if not isinstance(task.arguments, kind):
        raise CommandRefused(f"the arguments are those of another command ({type(task.arguments).__name__})")
    return task.arguments


def _told_of(redaction: Redaction | None) -> dict[str, JsonValue]:
    return {} if redaction is None else {"redaction": redaction.model_dump(mode="json")}
