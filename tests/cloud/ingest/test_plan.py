"""What a batch changes, whatever order and repetition the network makes of it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.domain import Arrival, CameraOrder, DeviceRecord, Known, StandingAlert, Totals
from cloud.ingest.order import GAP_WAIT_S, RETURNS
from cloud.ingest.plan import Gap, Plan, plan
from tests.cloud.samples import NOW, alert, new_id, status, telemetry
from wire.messages import Alert, AlertEvent, AlertState, CameraTelemetry, Presence, UpMessage

ENROLLED = {name: DeviceRecord(name, NOW) for name in ("cam-1", "cam-2")}
NOTHING = Known(ENROLLED, {}, frozenset())
LATER = Known(ENROLLED, {}, frozenset(), {("cam-1", "yard"): CameraOrder("cam-1", "yard", last=10)})
"""Ten messages of the camera have come: what has a lower sequence is not beyond a gap."""


def arrivals(*messages: UpMessage) -> list[Arrival]:
    return [Arrival(message, NOW + timedelta(seconds=i)) for i, message in enumerate(messages)]


def after(known: Known, done: Plan) -> Known:
    """What is known once the plan is carried out."""
    standing = {write.alert.id: replace(write, is_new=False) for write in done.writes.alerts}
    events = {(event.device, event.message_id) for event, _ in done.writes.events}
    devices = {device.id: device for device in done.writes.devices}
    orders = {(order.device, order.camera): order for order in done.writes.orders}
    return Known(
        {**known.devices, **devices},
        {**known.alerts, **standing},
        known.messages | events,
        {**known.orders, **orders},
    )


def life(alert_id: str) -> list[Alert]:
    return [
        alert(id=alert_id, sequence=1),
        alert(id=alert_id, sequence=2, revision=1, state=AlertState.CONFIRMED),
        alert(id=alert_id, sequence=3, revision=2, event=AlertEvent.END, state=AlertState.CONFIRMED),
        alert(id=alert_id, sequence=4, revision=3, state=AlertState.RETRACTED),
    ]


def test_new_alert_is_stored_and_acked() -> None:
    message = alert()
    done = plan(arrivals(message), NOTHING)
    assert [write.alert for write in done.writes.alerts] == [message]
    assert done.writes.alerts[0].is_new
    assert done.acks == {"cam-1": (message.message_id,)}
    assert [device.last_seen_at for device in done.writes.devices] == [NOW]


def test_repeat_changes_nothing_and_is_acked_again() -> None:
    message = alert()
    known = after(NOTHING, plan(arrivals(message), NOTHING))
    done = plan(arrivals(message), known)
    assert (done.writes.events, done.writes.alerts) == ((), ())
    assert done.acks == {"cam-1": (message.message_id,)}
    assert done.repeats == 1


@given(st.data())
def test_highest_revision_stands_and_each_message_is_kept_once_in_any_order(data: st.DataObject) -> None:
    messages = [*life(new_id()), *life(new_id())]
    chaos = random.Random(data.draw(st.integers(0, 2**32)))
    sent = messages + chaos.choices(messages, k=6)
    chaos.shuffle(sent)
    known, events, acked = LATER, [], set()
    while sent:
        size = data.draw(st.integers(1, 6))
        batch, sent = sent[:size], sent[size:]
        done = plan(arrivals(*batch), known)
        assert {id_ for ids in done.acks.values() for id_ in ids} == {message.message_id for message in batch}
        acked.update(*done.acks.values())
        events += [event.message_id for event, _ in done.writes.events]
        assert {write.alert.id: write.is_new for write in done.writes.alerts} == {
            write.alert.id: write.alert.id not in known.alerts for write in done.writes.alerts
        }
        known = after(known, done)
    assert sorted(events) == sorted(message.message_id for message in messages)
    assert acked == {message.message_id for message in messages}
    for standing in known.alerts.values():
        assert standing.alert.revision == 3
        assert standing.alert.state is AlertState.RETRACTED
        assert standing.ended


class Sender:
    """A device that sends what is not acked, from the oldest on, each time it goes back."""

    def __init__(self, count: int, first: int = 1) -> None:
        self.outbox = [alert(sequence=number) for number in range(first, first + count)]
        self.known = NOTHING
        self.stored: list[int] = []
        self.gaps: list[Gap] = []

    def send(self, chosen: list[Alert], batch: int) -> None:
        """Of what is sent, only `chosen` arrive, so many at a time."""
        for start in range(0, len(chosen), batch):
            done = plan(arrivals(*chosen[start : start + batch]), self.known)
            self.known = after(self.known, done)
            self.stored += [event.sequence for event, _ in done.writes.events]
            self.gaps += done.gaps
            acked = set(done.acks.get("cam-1", ()))
            self.outbox = [message for message in self.outbox if message.message_id not in acked]


@given(st.data(), st.integers(1, 20), st.integers(1, 7))
def test_whatever_a_broken_connection_swallowed_is_stored_in_order(data, count: int, batch: int) -> None:
    device = Sender(count)
    arrive = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    device.send([message for message, there in zip(device.outbox, arrive, strict=True) if there], batch)
    device.send(device.outbox, batch)
    assert device.stored == list(range(1, count + 1))
    assert (device.outbox, device.gaps) == ([], [])


@given(st.data(), st.integers(1, 20), st.integers(1, 7))
def test_what_a_device_has_lost_holds_nothing_up(data, count: int, batch: int) -> None:
    device = Sender(count)
    kept = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    device.outbox = [message for message, there in zip(device.outbox, kept, strict=True) if there]
    held = [message.sequence for message in device.outbox]
    for _ in range(3 * count):
        device.send(device.outbox, batch)
    assert device.outbox == []
    assert device.stored == held
    lost = {number for gap in device.gaps for number in range(gap.first, gap.last + 1)}
    assert lost == set(range(1, max(held, default=0) + 1)) - set(held)


@given(st.data(), st.integers(1, 12))
def test_nothing_is_lost_however_often_the_connection_breaks(data, count: int) -> None:
    device = Sender(count)
    for _ in range(4):
        some = data.draw(st.lists(st.integers(0, count - 1), max_size=12))
        device.send([device.outbox[place] for place in some if place < len(device.outbox)], 3)
    for _ in range(3 * count):
        device.send(device.outbox, 3)
    assert device.outbox == []
    assert sorted(device.stored) == list(range(1, count + 1))


def test_what_came_before_its_predecessor_is_neither_stored_nor_acked() -> None:
    first, second, third = (alert(sequence=number) for number in (1, 2, 3))
    done = plan(arrivals(first, third), NOTHING)
    assert [event.sequence for event, _ in done.writes.events] == [1]
    assert done.acks == {"cam-1": (first.message_id,)}
    assert done.left == 1
    again = plan(arrivals(second, third), after(NOTHING, done))
    assert again.acks == {"cam-1": (second.message_id, third.message_id)}


def test_what_a_broker_repeats_is_no_sign_that_the_device_went_back() -> None:
    first, second, third = (alert(sequence=number) for number in (1, 2, 3))
    repeated = after(NOTHING, plan(arrivals(second, third, second, third), NOTHING))
    assert repeated.messages == frozenset()
    done = plan(arrivals(first, second, third), repeated)
    assert [event.sequence for event, _ in done.writes.events] == [1, 2, 3]
    assert done.gaps == ()


def test_what_the_broker_marks_as_repeated_never_makes_a_gap_final() -> None:
    """A service that can't keep up hears the same again each ten seconds, however often."""
    first, second, third = (alert(sequence=number) for number in (1, 2, 3))
    known = after(NOTHING, plan(arrivals(second, third), NOTHING))
    for times in range(1, 10):
        at = NOW + timedelta(seconds=10 * times)
        repeats = [Arrival(message, at, again=True) for message in (second, third)]
        done = plan(repeats, known)
        assert (done.acks, done.gaps, done.left) == ({}, (), 2)
        known = after(known, done)
    done = plan(arrivals(first, second, third), known)
    assert [event.sequence for event, _ in done.writes.events] == [1, 2, 3]


def test_a_device_that_goes_back_between_the_broker_s_repeats_still_counts() -> None:
    second = alert(sequence=2)
    known = after(NOTHING, plan(arrivals(second), NOTHING))
    for _ in range(RETURNS):
        known = after(known, plan([Arrival(second, NOW, again=True)], known))
        done = plan(arrivals(second), known)
        known = after(known, done)
    assert done.gaps == (Gap("cam-1", "yard", 1, 1),)


def test_other_cameras_and_devices_wait_for_no_gap() -> None:
    ahead, door, theirs = alert(sequence=7), alert(sequence=1, camera="door"), alert("cam-2", sequence=1)
    done = plan(arrivals(ahead, door, theirs), NOTHING)
    assert done.acks == {"cam-1": (door.message_id,), "cam-2": (theirs.message_id,)}


def test_gap_is_waited_for_only_so_long() -> None:
    """Each new message drops the one before, so none is ever sent twice."""
    waiting = after(NOTHING, plan([Arrival(alert(sequence=5), NOW)], NOTHING))
    soon = plan([Arrival(alert(sequence=6), NOW + timedelta(seconds=GAP_WAIT_S))], waiting)
    assert soon.acks == {}
    late = plan([Arrival(alert(sequence=7), NOW + timedelta(seconds=GAP_WAIT_S + 1))], after(waiting, soon))
    assert [event.sequence for event, _ in late.writes.events] == [7]
    assert late.gaps == (Gap("cam-1", "yard", 1, 6),)


def test_older_revision_enters_the_history_only() -> None:
    _, confirmed, ended, _ = life(new_id())
    known = after(LATER, plan(arrivals(confirmed), LATER))
    first = alert(id=confirmed.id)
    done = plan(arrivals(first), known)
    assert [event.message_id for event, _ in done.writes.events] == [first.message_id]
    assert done.writes.alerts == ()
    assert done.out_of_order == 1
    late_end = plan(arrivals(ended), after(LATER, plan(arrivals(life(ended.id)[3]), LATER)))
    assert [(write.alert.revision, write.ended) for write in late_end.writes.alerts] == [(3, True)]


def test_nobody_is_heard_under_another_device_s_alert() -> None:
    mine = alert()
    known = after(NOTHING, plan(arrivals(mine), NOTHING))
    theirs = alert("cam-2", id=mine.id, revision=9, state=AlertState.RETRACTED)
    done = plan(arrivals(theirs), known)
    assert (done.writes.events, done.writes.alerts, done.acks) == ((), (), {})
    assert [(one.device, one.error.name) for one in done.refused] == [("cam-2", "AlertForeign")]


def test_device_that_is_not_enrolled_is_neither_stored_nor_acked() -> None:
    done = plan(arrivals(alert("stranger")), NOTHING)
    assert (done.writes.events, done.writes.devices, done.acks) == ((), (), {})
    assert [one.error.name for one in done.refused] == ["DeviceUnknown"]


def test_retained_status_and_last_will_are_no_signs_of_life() -> None:
    kept = plan([Arrival(status(), NOW, retained=True)], NOTHING)
    assert [(device.presence, device.last_seen_at) for device in kept.writes.devices] == [(Presence.ONLINE, None)]
    will = plan(arrivals(status(presence=Presence.OFFLINE)), NOTHING)
    assert [(device.presence, device.last_seen_at) for device in will.writes.devices] == [(Presence.OFFLINE, None)]


def test_last_will_keeps_what_the_birth_said() -> None:
    birth, will = status(boot_seq=5), status(boot_seq=1, presence=Presence.OFFLINE)
    (device,) = plan(arrivals(birth, will), NOTHING).writes.devices
    assert (device.presence, device.status, device.online_status) == (Presence.OFFLINE, will, birth)


def test_older_birth_of_the_same_boot_changes_nothing() -> None:
    newer, older = status(boot_seq=7, reason="camera lost"), status(boot_seq=6)
    done = plan(arrivals(newer, older), NOTHING)
    assert done.writes.devices[0].status == newer
    assert done.out_of_order == 1


def test_figures_of_a_device_taken_for_gone_bring_it_back() -> None:
    (device,) = plan(arrivals(status(presence=Presence.OFFLINE), telemetry()), NOTHING).writes.devices
    assert device.presence is Presence.ONLINE


def test_last_figures_that_the_goodbye_overtook_do_not_bring_a_stopped_device_back() -> None:
    goodbye = status(presence=Presence.OFFLINE, boot_seq=9, reason="stopped")
    known = after(NOTHING, plan(arrivals(status(), goodbye), NOTHING))
    done = plan(arrivals(telemetry(boot_seq=8)), known)
    (device,) = done.writes.devices
    assert (device.presence, device.totals.frames) == (Presence.OFFLINE, 100)
    for later in (telemetry(boot_seq=10), telemetry(boot_seq=1, boot_id="cc" * 16)):
        (device,) = plan(arrivals(later), after(known, done)).writes.devices
        assert device.presence is Presence.ONLINE


def test_totals_add_up_over_restarts() -> None:
    first, again = telemetry(), telemetry(bytes_by_reason={"alerts": 500})
    other_boot = telemetry(boot_id="cc" * 16, bytes_by_reason={"alerts": 10}, cameras=())
    (device,) = plan(arrivals(first, again, other_boot), NOTHING).writes.devices
    assert device.totals == Totals(frames=100, stream_bytes=5000, bytes_by_reason={"alerts": 510})


def test_reasons_are_bounded_however_many_are_invented() -> None:
    total = Totals()
    for boot in range(10):
        invented = {f"r{boot}-{i}": 1 for i in range(32)}
        total = total.plus(Totals(bytes_by_reason=invented))
    assert len(total.bytes_by_reason) <= 32
    assert sum(total.bytes_by_reason.values()) == 320


def test_chart_point_sums_the_cameras() -> None:
    cameras = tuple(
        CameraTelemetry(name=name, captured=10, judged=9, fps=5, inference_ms=ms) for name, ms in (("a", 3), ("b", 8))
    )
    ((device, point),) = plan(arrivals(telemetry(cameras=cameras)), NOTHING).writes.points
    assert (device, point.fps, point.frames, point.inference_ms, point.bytes_sent) == ("cam-1", 10, 20, 8, 1000)


def test_standing_alert_keeps_the_time_of_its_first_arrival() -> None:
    first, second = life(new_id())[:2]
    known = replace(LATER, alerts={first.id: StandingAlert(first, False, NOW, NOW)})
    (write,) = plan([Arrival(second, NOW + timedelta(hours=1))], known).writes.alerts
    assert (write.first_received_at, write.received_at) == (NOW, NOW + timedelta(hours=1))
