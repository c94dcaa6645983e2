"""The read API: what the dashboard and programs ask."""

from __future__ import annotations

from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from cloud.domain import TelemetryPoint
from cloud.errors import NotFound
from cloud.ports import Clock
from cloud.store.alerts import AlertFilter, AlertStore
from cloud.store.devices import DeviceStore
from cloud.web.events import Feed
from cloud.web.login_gate import viewer_of
from cloud.web.views import AlertDetail, AlertPage, DeviceView, Summary, alert_detail, alert_view, device_view
from wire.fields import DEVICE_ID_PATTERN, ID_PATTERN
from wire.messages import PICTURES_PATH, AlertState, Refusal

MAX_PAGE: Final = 200
# A picture under its address never changes but once, when the alert's own replaces the crop that was asked about.
_PICTURE_HEADERS: Final = {"Cache-Control": "private, max-age=60", "X-Content-Type-Options": "nosniff"}

DeviceId = Annotated[str, Path(pattern=DEVICE_ID_PATTERN)]
HexId = Annotated[str, Path(pattern=ID_PATTERN)]


class Pictures(Protocol):
    """Bytes by key."""

    async def get(self, key: str) -> bytes:
        """What is kept under `key`."""


def read_router(
    *, alerts: AlertStore, devices: DeviceStore, pictures: Pictures, feed: Feed, clock: Clock
) -> APIRouter:
    """The routes for reading."""
    router = APIRouter(tags=["read"], responses={404: {"model": Refusal}, 503: {"model": Refusal}})
    _add_fleet_routes(router, devices, feed, clock)
    _add_alert_routes(router, alerts)
    _add_picture_routes(router, alerts, pictures)

    @router.get("/api/events", response_class=StreamingResponse)
    async def events(request: Request) -> StreamingResponse:
        """`alert`, `device`, `summary`, `rollout` and `commands` as they change, as server-sent events."""
        feed.check_room()
        viewer = viewer_of(request)
        return StreamingResponse(
            feed.listen(None if viewer is None else viewer.digest),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


def _add_fleet_routes(router: APIRouter, devices: DeviceStore, feed: Feed, clock: Clock) -> None:
    @router.get("/api/summary")
    async def summary() -> Summary:
        """The fleet's sums."""
        return await feed.summary()

    @router.get("/api/devices")
    async def list_devices() -> list[DeviceView]:
        """Every device, by name."""
        now = clock.wall()
        return [device_view(device, now) for device in await devices.all()]

    @router.get("/api/devices/{device}")
    async def one_device(device: DeviceId) -> DeviceView:
        """One device."""
        return device_view(await devices.find(device), clock.wall())

    @router.get("/api/devices/{device}/history")
    async def history(device: DeviceId) -> list[TelemetryPoint]:
        """A day of telemetry, oldest first: every 10 s in the last hour, every 5 min before."""
        return await devices.history(device)


def _add_alert_routes(router: APIRouter, alerts: AlertStore) -> None:
    @router.get("/api/alerts")
    async def list_alerts(
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        device: Annotated[str | None, Query(max_length=63)] = None,
        camera: Annotated[str | None, Query(max_length=63)] = None,
        state: AlertState | None = None,
    ) -> AlertPage:
        """Alerts, newest first."""
        found = await alerts.page(AlertFilter(device, camera, state), before, limit + 1)
        shown = found[:limit]
        following = str(shown[-1].record.number) if len(found) > limit else None
        return AlertPage(alerts=tuple(alert_view(full) for full in shown), next=following)

    @router.get("/api/alerts/{alert_id}")
    async def one_alert(alert_id: HexId) -> AlertDetail:
        """One alert with its history."""
        found = await alerts.some([alert_id])
        if not found:
            raise NotFound(f"there is no alert {alert_id}")
        return alert_detail(found[0], await alerts.history(alert_id))


def _add_picture_routes(router: APIRouter, alerts: AlertStore, pictures: Pictures) -> None:
    @router.get(PICTURES_PATH + "/{alert_id}", response_class=Response)
    async def picture(alert_id: HexId) -> Response:
        """The alert's picture, or failing that the latest crop that was asked about."""
        data = await pictures.get(await alerts.picture_key(alert_id))
        return Response(data, media_type="image/jpeg", headers=_PICTURE_HEADERS)

    @router.get("/api/questions/{question_id}/picture", response_class=Response)
    async def question_picture(question_id: HexId) -> Response:
        """The crop that was asked about."""
        data = await pictures.get(await alerts.question_picture_key(question_id))
        return Response(data, media_type="image/jpeg", headers=_PICTURE_HEADERS)
