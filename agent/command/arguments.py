"""What each command may be told, checked before anything is done."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from agent.command.errors import CommandRefused
from wire.commands import CommandName
from wire.fields import Digest, Name
from wire.model import ModelName, Version

MAX_MUTE_S: Final = 7 * 86_400.0
"""A camera muted for longer is one that somebody forgot; a schedule in the rules says it better."""


class Arguments(BaseModel):
    """Strict about names: an argument nobody reads is a mistake worth a message."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NoArguments(Arguments):
    """Of commands that need none."""


class SnapshotArguments(Arguments):
    """Of `snapshot`.

    Attributes:
        camera: May be left out where there is but one.
        quality: Of the JPEG.
        max_px: The longer side of the picture at most.
    """

    camera: Name | None = None
    quality: Annotated[int, Field(ge=10, le=95)] = 80
    max_px: Annotated[int, Field(ge=64, le=4096)] = 1920


class ClipArguments(Arguments):
    """Of `capture-clip`: what the camera sees from now on.

    Attributes:
        camera: May be left out where there is but one.
        for_s: The clip's length.
        max_px: The longer side of the picture at most.
        fps: Pictures a second; a camera that gives fewer repeats them.
    """

    camera: Name | None = None
    for_s: Annotated[float, Field(ge=1, le=60)] = 10.0
    max_px: Annotated[int, Field(ge=64, le=1280)] = 640
    fps: Annotated[int, Field(ge=1, le=10)] = 5


class LogLevelArguments(Arguments):
    """Of `set-log-level`; holds until the agent starts again or its configuration is reloaded."""

    level: Literal["debug", "info", "warning", "error"]


class MuteArguments(Arguments):
    """Of `mute`: one rule, one camera, one rule on one camera, or with neither the whole device.

    Attributes:
        for_s: From now on; 0 ends it.
    """

    rule: Name | None = None
    camera: Name | None = None
    for_s: Annotated[float, Field(ge=0.0, le=MAX_MUTE_S)]


class ConfigArguments(Arguments):
    """Of `set-config`: one of the three.

    Attributes:
        toml: The tables to replace, as they would stand in the agent's file.
        config: The same as JSON.
        reset: Go back to the agent's file.
    """

    toml: Annotated[str, Field(max_length=12_000)] | None = None
    config: dict[str, JsonValue] | None = None
    reset: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.toml is not None) + (self.config is not None) + self.reset != 1:
            msg = "say one of `toml`, `config` or `reset`"
            raise ValueError(msg)
        return self


class UpdateModelArguments(Arguments):
    """Of `update-model`. What is desired and signed decides; a model that is named here must be that one.

    Attributes:
        now: Don't wait for a maintenance window, where `updates.may_skip_window` says so.
    """

    model: ModelName | None = None
    version: Version | None = None
    digest: Digest | None = None
    now: bool = False


ARGUMENTS: Final[dict[str, type[Arguments]]] = {
    CommandName.PING: NoArguments,
    CommandName.SNAPSHOT: SnapshotArguments,
    CommandName.CAPTURE_CLIP: ClipArguments,
    CommandName.SET_CONFIG: ConfigArguments,
    CommandName.UPDATE_MODEL: UpdateModelArguments,
    CommandName.ROLLBACK_MODEL: NoArguments,
    CommandName.RESTART: NoArguments,
    CommandName.DIAGNOSE: NoArguments,
    CommandName.SET_LOG_LEVEL: LogLevelArguments,
    CommandName.MUTE: MuteArguments,
}


def read_arguments(name: str, given: dict[str, JsonValue]) -> Arguments:
    """The arguments of a command.

    Raises:
        CommandRefused: The command is not known, or what is wrong with its arguments.
    """
    kind = ARGUMENTS.get(name)
    if kind is None:
        raise CommandRefused(f"{name!r} is no command of this agent", f"It knows {', '.join(sorted(ARGUMENTS))}.")
    try:
        return kind.model_validate(given)
    except ValidationError as refused:
        lines = [_line(error["loc"], error["type"], error["msg"], kind) for error in refused.errors()[:5]]
        raise CommandRefused(f"the arguments of {name} can't be used: {'; '.join(lines)}") from None


def _line(path: tuple[int | str, ...], kind: str, message: str, model: type[Arguments]) -> str:
    key = ".".join(str(step) for step in path)
    if kind == "extra_forbidden":
        known = ", ".join(model.model_fields) or "none"
        return f"{key[:60]} is no argument of it (it takes {known})"
    said = message.removeprefix("Value error, ")
    return f"{key[:60]}: {said}" if key else said
