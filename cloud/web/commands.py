"""Commands over HTTP: what the dashboard reads, and where a device puts the picture that a `snapshot` asked for.

Nothing is issued here: that takes a shell on the service's machine (`cloud.cli`).
"""

from __future__ import annotations

from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue

from cloud.errors import NotFound
from cloud.offload.ports import TokenCheck
from cloud.ports import Clock
from cloud.store.commands import CommandRecord, CommandStore, State, snapshot_key
from cloud.web.admission import Admission, DoorSettings
from cloud.web.bodies import jpeg_body
from cloud.web.refusals import RefusingRoute
from wire.commands import SNAPSHOTS_PATH, CommandName, Outcome
from wire.fields import DEVICE_ID_PATTERN, ID_PATTERN
from wire.messages import Refusal

MAX_PAGE: Final = 200
_PICTURE_HEADERS: Final = {"Cache-Control": "private, max-age=60", "X-Content-Type-Options": "nosniff"}

HexId = Annotated[str, Path(pattern=ID_PATTERN)]


class Blobs(Protocol):
    """Bytes by key."""

    async def put(self, key: str, data: bytes) -> None:
        """Keep `data` durably under `key`."""

    async def get(self, key: str) -> bytes:
        """What is kept under `key`."""


class CommandView(BaseModel):
    """A command as the API shows it: who, what, when, and what came of it."""

    model_config = ConfigDict(frozen=True)

    id: str
    batch: str
    device: str
    name: str
    arguments: dict[str, JsonValue]
    issued_by: str
    issued_at: AwareDatetime
    expires_at: AwareDatetime
    state: State
    sent_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    progress: float | None
    outcome: Outcome | None
    reason: str
    result: dict[str, JsonValue]


class CommandPage(BaseModel):
    """Commands, newest first; `next` is the `before` of the following page."""

    model_config = ConfigDict(frozen=True)

    commands: tuple[CommandView, ...]
    next: str | None


class CommandsChanged(BaseModel):
    """The event `commands`: what `/api/commands` answers is no longer what it was before `at`."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime


def command_view(command: CommandRecord) -> CommandView:
    """The command as the API and `--json` show it."""
    return CommandView(
        id=command.id,
        batch=command.batch,
        device=command.device,
        name=command.name,
        arguments=dict(command.arguments),
        issued_by=command.issued_by,
        issued_at=command.issued_at,
        expires_at=command.expires_at,
        state=command.state,
        sent_at=command.sent_at,
        finished_at=command.finished_at,
        progress=command.progress,
        outcome=command.outcome,
        reason=command.reason,
        result=dict(command.result),
    )


def commands_router(
    *, commands: CommandStore, pictures: Blobs, tokens: TokenCheck, clock: Clock, settings: DoorSettings
) -> APIRouter:
    """The routes."""
    router = APIRouter(route_class=RefusingRoute, tags=["commands"], responses={404: {"model": Refusal}})
    admission = Admission(tokens, settings, clock)

    @router.get("/api/commands")
    async def list_commands(
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        device: Annotated[str | None, Query(pattern=DEVICE_ID_PATTERN)] = None,
    ) -> CommandPage:
        """Commands, newest first."""
        found = await commands.page(device, limit + 1, before)
        shown = found[:limit]
        following = str(shown[-1].number) if len(found) > limit else None
        return CommandPage(commands=tuple(command_view(command) for command in shown), next=following)

    @router.get("/api/commands/{command_id}")
    async def one_command(command_id: HexId) -> CommandView:
        """One command."""
        return command_view(await commands.find(command_id))

    @router.get("/api/commands/{command_id}/snapshot", response_class=Response)
    async def snapshot(command_id: HexId) -> Response:
        """The picture that it asked for."""
        data = await pictures.get(snapshot_key(await commands.find(command_id)))
        return Response(data, media_type="image/jpeg", headers=_PICTURE_HEADERS)

    @router.put(SNAPSHOTS_PATH + "/{command_id}", status_code=204)
    async def keep_snapshot(command_id: HexId, request: Request) -> Response:
        """From the device that was asked, and while it is asked."""
        device = await admission.device(request)
        command = await commands.find(command_id)
        if command.device != device or command.name != CommandName.SNAPSHOT or command.answered_by_device:
            raise NotFound(f"no snapshot {command_id} is asked of {device}")
        await pictures.put(snapshot_key(command), await jpeg_body(request, settings.body_timeout_s))
        return Response(status_code=204)

    return router
