"""What a batch of messages changes. Pure: messages and what is known in, writes and acks out.

The rules:
1. A message that is stored already changes nothing and is acked again: its first ack was lost.
2. The highest revision of an alert is what stands; an older one only enters the history.
3. An alert belongs to the device that raised it first; under its id, nobody else is heard or acked.
4. Whatever a device says live is a sign of life. What the broker had kept is not.
5. A device that was taken for gone and reports its figures is there.
6. A camera's messages are taken in the order of their sequence; what comes beyond a gap is neither stored nor acked,
   and comes again (`cloud.ingest.order`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cloud.domain import (
    Arrival,
    CameraOrder,
    DeviceRecord,
    Known,
    StandingAlert,
    TelemetryPoint,
    Writes,
)
from cloud.errors import AlertForeign, DeviceUnknown
from cloud.ingest.order import left, taken
from wire.commands import Response
from wire.errors import VedetteError
from wire.messages import Alert, AlertEvent, Presence, Status, Telemetry, UpMessage
from wire.updates import Reported


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that is not taken, and why."""

    device: str
    error: VedetteError


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages of a camera that its device does not hold any more."""

    device: str
    camera: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about a batch.

    Attributes:
        acks: Message ids to ack, by device, in the order of arrival.
        repeats: Messages that were stored before.
        out_of_order: Alert messages that came after a later revision.
        left: Alert messages that came beyond a gap, and are to come again.
        gaps: What will never come.
    """

    writes: Writes
    acks: dict[str, tuple[str, ...]]
    refused: tuple[Refused, ...] = ()
    repeats: int = 0
    out_of_order: int = 0
    left: int = 0
    gaps: tuple[Gap, ...] = ()


def plan(arrivals: Sequence[Arrival], known: Known) -> Plan:
    """Decide on the arrivals, in their order."""
    return _Planning(known).take(arrivals)


class _Planning:
    def __init__(self, known: Known) -> None:
        self._known = known
        self._devices: dict[str, DeviceRecord] = {}
        self._alerts: dict[str, StandingAlert] = {}
        self._messages = set(known.messages)
        self._events: list[tuple[Alert, datetime]] = []
        self._points: list[tuple[str, TelemetryPoint]] = []
        self._responses: list[tuple[Response, datetime]] = []
        self._acks: dict[str, dict[str, None]] = {}
        self._refused: list[Refused] = []
        self._repeats = 0
        self._out_of_order = 0
        self._orders: dict[tuple[str, str], CameraOrder] = {}
        self._left = 0
        self._gaps: list[Gap] = []

    def take(self, arrivals: Sequence[Arrival]) -> Plan:
        for arrival in arrivals:
            message = arrival.message
            if message.device not in self._known.devices:
                error = DeviceUnknown(
                    f"{message.device} is not enrolled", f"`vedette device enroll {message.device}`."
                )
                self._refused.append(Refused(message.device, error))
                continue
            self._alive(arrival)
            self._message(arrival, message)
        writes = Writes(
            events=tuple(self._events),
            alerts=tuple(self._alerts.values()),
            devices=tuple(self._devices.values()),
            points=tuple(self._points),
            responses=tuple(self._responses),
            orders=tuple(self._orders.values()),
        )
        acks = {device: tuple(ids) for device, ids in self._acks.items()}
        return Plan(
            writes, acks, tuple(self._refused), self._repeats, self._out_of_order, self._left, tuple(self._gaps)
        )

    def _message(self, arrival: Arrival, message: UpMessage) -> None:
        match message:
            case Alert():
                self._alert(arrival, message)
            case Response():
                # Acked whether or not it changes anything: the device need not say it again.
                self._acks.setdefault(message.device, {})[message.message_id] = None
                self._responses.append((message, arrival.received_at))
            case Status():
                self._status(message)
            case Telemetry():
                self._telemetry(arrival, message)
            case Reported():
                self._reported(message)

    # --- alerts --------------------------------------------------------------------------------------------------

    def _alert(self, arrival: Arrival, alert: Alert) -> None:
        before = self._alerts.get(alert.id) or self._known.alerts.get(alert.id)
        if before is not None and before.alert.device != alert.device:
            error = AlertForeign(f"alert {alert.id} belongs to another device", "Give each alert an id of its own.")
            self._refused.append(Refused(alert.device, error))
            return
        known = (alert.device, alert.message_id) in self._messages
        if not known and not self._is_next(alert, arrival):
            self._left += 1
            return
        self._acks.setdefault(alert.device, {})[alert.message_id] = None
        if known:
            self._repeats += 1
            return
        self._messages.add((alert.device, alert.message_id))
        self._events.append((alert, arrival.received_at))
        after = self._amended(alert, before, arrival.received_at)
        if after != before:
            self._alerts[alert.id] = after

    def _is_next(self, alert: Alert, arrival: Arrival) -> bool:
        at, again = arrival.received_at, arrival.again
        key = (alert.device, alert.camera)
        order = self._orders.get(key) or self._known.orders.get(key) or CameraOrder(alert.device, alert.camera)
        after = taken(order, alert.sequence, at, again=again)
        if after is None:
            self._orders[key] = left(order, alert.sequence, at, again=again)
            return False
        if alert.sequence > order.last + 1:
            self._gaps.append(Gap(alert.device, alert.camera, order.last + 1, alert.sequence - 1))
        if after != order:
            self._orders[key] = after
        return True

    def _amended(self, alert: Alert, before: StandingAlert | None, at: datetime) -> StandingAlert:
        ends = alert.event is AlertEvent.END
        if before is None:
            return StandingAlert(alert, ends, at, at, is_new=True)
        if alert.revision > before.alert.revision:
            return replace(before, alert=alert, ended=before.ended or ends, received_at=at)
        self._out_of_order += 1
        return replace(before, ended=before.ended or ends)

    # --- devices -------------------------------------------------------------------------------------------------

    def _device(self, device: str) -> DeviceRecord:
        return self._devices.get(device) or self._known.devices[device]

    def _alive(self, arrival: Arrival) -> None:
        if arrival.retained or _is_last_will(arrival.message):
            return
        device = self._device(arrival.message.device)
        self._devices[device.id] = replace(device, last_seen_at=arrival.received_at)

    def _status(self, status: Status) -> None:
        device = self._device(status.device)
        if device.status is not None and _outdated(status, device.status):
            self._out_of_order += 1
            return
        online = status if status.presence is Presence.ONLINE else device.online_status
        self._devices[device.id] = replace(device, presence=status.presence, status=status, online_status=online)

    def _telemetry(self, arrival: Arrival, telemetry: Telemetry) -> None:
        device = self._device(telemetry.device)
        rebooted = device.telemetry is not None and device.telemetry.boot_id != telemetry.boot_id
        self._devices[device.id] = replace(
            device,
            presence=device.presence if _before_goodbye(telemetry, device.status) else Presence.ONLINE,
            past=device.totals if rebooted else device.past,
            telemetry=telemetry,
        )
        self._points.append((device.id, TelemetryPoint.of(telemetry, arrival.received_at)))

    def _reported(self, reported: Reported) -> None:
        device = self._device(reported.device)
        before = device.reported
        if before is not None and before.boot_id == reported.boot_id and before.boot_seq > reported.boot_seq:
            self._out_of_order += 1
            return
        self._devices[device.id] = replace(device, reported=reported)


def _is_last_will(message: UpMessage) -> bool:
    return isinstance(message, Status) and message.presence is Presence.OFFLINE


def _before_goodbye(telemetry: Telemetry, status: Status | None) -> bool:
    """Its last words before a stop, which the goodbye may overtake: the two come on topics that keep no order.

    A last will is no goodbye: numbered when its connection began, it came before all telemetry.
    """
    return (
        status is not None
        and status.presence is Presence.OFFLINE
        and status.boot_id == telemetry.boot_id
        and status.boot_seq > telemetry.boot_seq
    )


def _outdated(status: Status, stored: Status) -> bool:
    """An older birth or change of the same boot, delivered again.

    Not so a last will: it was numbered when its connection began, and comes when it ends.
    """
    return (
        status.presence is Presence.ONLINE and status.boot_id == stored.boot_id and status.boot_seq < stored.boot_seq
    )
