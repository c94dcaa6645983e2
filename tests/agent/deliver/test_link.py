from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from agent.deliver.telemetry import Snapshot
from tests.agent.deliver.conftest import IMPATIENT, Device
from tests.agent.deliver.network import PASSWORDS, Cloud, SmallMosquitto, TlsMosquitto
from tests.agent.deliver.samples import DIGEST, WALL, FixedFigures, change
from wire.codec import encode
from wire.messages import (
    Acks,
    AlertEvent,
    CameraState,
    CameraStatus,
    Decision,
    ModelStatus,
    Presence,
    Verdict,
)
from wire.topics import Channel, topic

pytestmark = pytest.mark.parts

VERDICTS = topic("cam-1", Channel.VERDICTS)
ACKS = topic("cam-1", Channel.ACKS)


def verdict(number: int = 7, **fields: object) -> Verdict:
    given: dict[str, object] = {
        "message_id": f"{number:032x}", "device": "cam-1", "made_at": WALL, "question_id": f"{number:032x}",
        "alert_id": "3" * 32, "decision": Decision.CONFIRMED, "model": "big 1", "took_ms": 3.0, "late": True,
    }  # fmt: skip
    return Verdict.model_validate(given | fields)


async def test_alerts_arrive_in_order_and_leave_the_outbox_with_the_clouds_ack(cloud, device):
    await device.record(*(change(n, camera) for n in range(1, 101) for camera in ("yard", "door")))
    await cloud.until(lambda: len(cloud.alerts) == 200)
    await device.until(lambda: device.box.depth() == 0)
    assert cloud.in_order("yard") == cloud.in_order("door") == list(range(1, 101))
    assert cloud.repeats == 0


@pytest.mark.parametrize("settings", [IMPATIENT])
async def test_without_the_clouds_ack_alerts_stay_and_are_sent_again(cloud, device):
    cloud.acking = False
    await device.record(change(1), change(2))
    await cloud.until(lambda: cloud.repeats >= 2)
    assert device.box.depth() == 2
    cloud.acking = True
    await device.until(lambda: device.box.depth() == 0)
    assert cloud.in_order("yard") == [1, 2]


@pytest.mark.parametrize("settings", [IMPATIENT])
async def test_what_nobody_heard_comes_before_what_was_heard_beyond_it(broker, device):
    """A broker just started takes alerts before the cloud is back; they are acked to the device, and vanish."""
    await device.until(lambda: device.link.online)
    await device.record(*(change(number) for number in range(1, 11)))
    await device.until(lambda: device.ledger.bytes_by_reason().get("alerts"))
    cloud = Cloud(broker.port)
    cloud.start()
    await cloud.listening.wait()
    await device.record(*(change(number) for number in range(11, 21)))
    await device.until(lambda: device.box.depth() == 0)
    await cloud.stop()
    assert cloud.in_order("yard") == list(range(1, 21))


async def test_birth_change_and_goodbye_are_retained_statuses(cloud, device):
    await cloud.until(lambda: len(cloud.statuses) == 1)
    model = ModelStatus(name="ssd", version="1", digest=DIGEST, runtime="litert", delegate="xnnpack")
    device.link.set_status(model, (CameraStatus(name="yard", state=CameraState.LIVE),))
    await cloud.until(lambda: len(cloud.statuses) == 2)
    device.link.set_status(model, (CameraStatus(name="yard", state=CameraState.LIVE),))
    await device.end()
    await cloud.until(lambda: cloud.statuses[-1].presence is Presence.OFFLINE)
    birth, changed, goodbye = cloud.statuses
    assert (birth.presence, birth.model) == (Presence.ONLINE, None)
    assert (changed.presence, changed.model, changed.cameras[0].state) == (Presence.ONLINE, model, CameraState.LIVE)
    assert goodbye.reason == "stopped"
    assert [s.boot_seq for s in cloud.statuses] == sorted({s.boot_seq for s in cloud.statuses})


async def test_nothing_is_said_of_a_device_after_its_goodbye(cloud, device):
    await cloud.until(lambda: cloud.statuses and cloud.telemetry)

    class Changing(FixedFigures):
        """Something changes while the goodbye is on its way."""

        def snapshot(self) -> Snapshot:
            device.link.set_status(None, (CameraStatus(name="yard", state=CameraState.ENDED),))
            return super().snapshot()

    device.link._figures = Changing()
    await device.end()
    await cloud.until(lambda: cloud.statuses[-1].presence is Presence.OFFLINE)
    last = cloud.statuses[0].model_copy(update={"message_id": "e" * 32, "reason": "the test's own"})
    await cloud.say(topic("cam-1", Channel.STATUS), encode(last))
    await cloud.until(lambda: cloud.statuses[-1] == last)
    assert (cloud.statuses[-2].presence, cloud.statuses[-2].reason) == (Presence.OFFLINE, "stopped")


async def test_a_cut_link_is_reported_by_the_last_will(cloud, device, proxy):
    await cloud.until(lambda: len(cloud.statuses) == 1)
    await proxy.cut()
    await cloud.until(lambda: len(cloud.statuses) == 2)
    assert (cloud.statuses[1].presence, cloud.statuses[1].reason) == (Presence.OFFLINE, "the connection was lost")
    await proxy.mend()
    await cloud.until(lambda: cloud.statuses[-1].presence is Presence.ONLINE)


async def test_alerts_of_an_outage_arrive_once_it_is_over(cloud, device, proxy):
    await device.record(change(1))
    await cloud.until(lambda: len(cloud.alerts) == 1)
    await proxy.cut()
    await device.until(lambda: "LinkLost" in device.faults.counts())
    for number in range(2, 50):
        await device.record(change(number))
    await proxy.mend()
    await cloud.until(lambda: len(cloud.alerts) == 49)
    assert cloud.in_order("yard") == list(range(1, 50))
    await device.until(lambda: device.box.depth() == 0)


async def test_what_was_not_acked_before_a_cut_is_sent_again_at_once_after_it(cloud, proxy, tmp_path):
    cloud.acking = False
    device = Device(proxy.port, tmp_path / "outbox.db", {})
    device.start()
    await device.record(change(1), change(2))
    await cloud.until(lambda: len(cloud.alerts) == 2)
    await proxy.cut()
    cloud.acking = True
    await proxy.mend()
    await device.until(lambda: device.box.depth() == 0)
    assert (cloud.repeats, cloud.in_order("yard")) == (2, [1, 2])
    await device.end()


@pytest.mark.parametrize("settings", [IMPATIENT])
async def test_a_link_that_is_dead_and_does_not_say_so_is_given_up(cloud, device, proxy):
    await device.until(lambda: device.link.online)
    proxy.swallow(on=True)
    await device.record(change(1))
    await device.until(lambda: "LinkLost" in device.faults.counts())
    proxy.swallow(on=False)
    await cloud.until(lambda: len(cloud.alerts) == 1)


async def test_alerts_of_an_earlier_run_are_delivered_by_the_next(cloud, proxy, tmp_path):
    before = Device(proxy.port, tmp_path / "outbox.db", {})
    before.box.record([change(1), change(2)])
    before.box.close()
    after = Device(proxy.port, tmp_path / "outbox.db", {}, boot_number=2)
    after.start()
    await after.record(change(3))
    await cloud.until(lambda: len(cloud.alerts) == 3)
    await after.end()
    assert cloud.in_order("yard") == [1, 2, 3]


async def test_stopping_delivers_what_is_left(cloud, device):
    await device.until(lambda: device.link.online)
    await device.record(*(change(n) for n in range(1, 301)))
    await device.end()
    assert len(cloud.alerts) == 300


async def test_stopping_without_acks_takes_no_longer_than_it_may(cloud, proxy, tmp_path):
    cloud.acking = False
    device = Device(proxy.port, tmp_path / "outbox.db", {"stop_timeout_s": 0.2})
    device.start()
    await device.record(change(1))
    await cloud.until(lambda: len(cloud.alerts) == 1)
    await device.end()
    await cloud.until(lambda: cloud.statuses and cloud.statuses[-1].reason == "stopped")


async def test_late_verdicts_become_answers(cloud, device):
    await device.until(lambda: device.link.online)
    await cloud.say(VERDICTS, encode(verdict()))
    await device.until(lambda: device.answers)
    assert device.answers[0].question_id == f"{7:032x}"
    assert device.link.answers == 1


async def test_a_verdict_is_kept_by_the_broker_until_its_consequences_are_committed(cloud, proxy, tmp_path):
    """The agent dies after it heard the verdict: the next one hears it again."""
    first = Device(proxy.port, tmp_path / "outbox.db", {}, on_answer=lambda _: Future())
    first.start()
    await first.until(lambda: first.link.online)
    await cloud.say(VERDICTS, encode(verdict()))
    await first.until(lambda: first.answers)
    first.task.cancel()
    await asyncio.gather(first.task, return_exceptions=True)
    first.box.close()
    second = Device(proxy.port, tmp_path / "outbox.db", {}, boot_number=2)
    second.start()
    await second.until(lambda: second.answers)
    await second.end()
    third = Device(proxy.port, tmp_path / "outbox.db", {}, boot_number=3)
    third.start()
    await third.until(lambda: third.link.online)
    await cloud.say(VERDICTS, encode(verdict(8)))
    await third.until(lambda: third.answers)
    await third.end()
    assert [answer.question_id for answer in third.answers] == [f"{8:032x}"]


async def test_what_is_not_ours_is_counted_and_ignored(cloud, device):
    await device.until(lambda: device.link.online)
    newer = encode(verdict()).replace(b'"protocol":1', b'"protocol":99')
    acks = Acks(message_id="a" * 32, device="cam-2", made_at=WALL, message_ids=("b" * 32,))
    for rubbish in (b"\xff\x00", b"{}", newer, encode(verdict(took_ms=1.0)).replace(b"1.0", b"-1"), b"x" * 7_000):
        await cloud.say(VERDICTS, rubbish)
    await cloud.say(ACKS, encode(acks))
    await cloud.say(ACKS, b"x" * 70_000)
    await cloud.say(VERDICTS, encode(verdict()))
    ignored = {"NotOurs": 2, "NewerProtocol": 1, "MessageInvalid": 2, "MessageTooLarge": 2}
    # What comes on one topic may come before what was said earlier on another.

    def counted() -> dict[str, int]:
        return {name: count for name, count in device.faults.counts().items() if name != "LinkLost"}

    await device.until(lambda: device.answers and sum(counted().values()) >= sum(ignored.values()))
    assert counted() == ignored


async def test_a_retained_message_is_no_verdict(cloud, proxy, tmp_path):
    await cloud.say(VERDICTS, encode(verdict(1)), retain=True)
    device = Device(proxy.port, tmp_path / "outbox.db", {})
    device.start()
    await device.until(lambda: device.faults.counts().get("NotOurs"))
    await cloud.say(VERDICTS, b"", retain=True)
    await cloud.say(VERDICTS, encode(verdict(2)))
    await device.until(lambda: device.answers)
    await device.end()
    assert [answer.question_id for answer in device.answers] == [f"{2:032x}"]


async def test_a_wrong_password_is_a_refusal_that_says_what_to_check(broker, proxy, tmp_path):
    device = Device(proxy.port, tmp_path / "outbox.db", {}, password="wrong")
    device.start()
    await device.until(lambda: device.faults.counts().get("LinkRefused", 0) >= 2)
    assert not device.link.online
    device.password = "right"
    await device.until(lambda: device.link.online)
    await device.end()


async def test_telemetry_and_all_else_is_accounted_for(cloud, device):
    await device.record(change(1))
    await cloud.until(lambda: cloud.telemetry and cloud.alerts)
    await device.until(lambda: device.box.depth() == 0)
    assert cloud.telemetry[0].errors == {"LinkLost": 2}
    spent = device.ledger.bytes_by_reason()
    assert set(spent) == {"alerts", "status", "telemetry", "protocol"}
    [alert] = cloud.alerts.values()
    assert 0 <= spent["alerts"] - len(encode(alert)) <= 40


@pytest.mark.parametrize("protocol", ["auto", "5"])
async def test_mqtt_5_is_spoken_where_it_is_understood(cloud, broker, proxy, tmp_path, protocol):
    device = Device(proxy.port, tmp_path / "outbox.db", {"protocol": protocol})
    device.start()
    if protocol == "5" and type(broker).__name__ == "Nats":
        await device.until(lambda: "LinkRefused" in device.faults.counts())
    else:
        await device.record(*(change(n) for n in range(1, 101)))
        await cloud.until(lambda: len(cloud.alerts) == 100)
        await cloud.say(VERDICTS, encode(verdict()))
        await device.until(lambda: device.answers)
        assert not device.faults.counts()
        assert cloud.in_order("yard") == list(range(1, 101))
    await device.end()


@pytest.mark.system
@pytest.mark.parametrize("settings", [IMPATIENT])
async def test_the_broker_killed_twice_loses_nothing_and_keeps_the_order(broker, cloud, device):
    number = 0
    for _ in range(2):
        for _ in range(40):
            number += 1
            await device.record(change(number, "yard"), change(number, "door"))
        await broker.kill()
        for _ in range(20):
            number += 1
            await device.record(change(number, "yard"), change(number, "door"))
        await broker.start()
    number += 1
    await device.record(change(number, "yard", event=AlertEvent.NEW), change(number, "door"))
    await cloud.until(lambda: len(cloud.alerts) == 2 * number)
    await device.until(lambda: device.box.depth() == 0)
    assert cloud.in_order("yard") == cloud.in_order("door") == list(range(1, number + 1))


@pytest.mark.system
async def test_a_broker_is_believed_only_under_a_certificate_that_is_trusted(tmp_path):
    broker = TlsMosquitto(tmp_path)
    await broker.start()
    url = f"mqtts://127.0.0.1:{broker.port}"
    strict = Device(broker.port, tmp_path / "outbox.db", {"url": url})
    strict.start()
    await strict.until(lambda: "LinkLost" in strict.faults.counts())
    assert not strict.link.online
    await strict.end()
    trusting = Device(broker.port, tmp_path / "outbox.db", {"url": url, "ca_file": broker.certificate})
    trusting.start()
    await trusting.until(lambda: trusting.link.online)
    await trusting.end()
    await broker.kill()


async def test_a_ca_file_that_is_none_is_named_and_tried_again(tmp_path):
    settings = {"url": "mqtts://127.0.0.1:1", "ca_file": tmp_path / "ca.pem"}
    (tmp_path / "ca.pem").write_text("no certificate")
    device = Device(1, tmp_path / "outbox.db", settings)
    device.start()
    await device.until(lambda: device.faults.counts().get("ConfigInvalid", 0) >= 2)
    await device.end()


@pytest.mark.system
async def test_an_alert_over_the_brokers_limit_does_not_hold_up_the_others(tmp_path):
    broker = SmallMosquitto(tmp_path)
    await broker.start()
    device = Device(broker.port, tmp_path / "outbox.db", {"protocol": "5", "stop_timeout_s": 0})
    device.start()
    await device.record(change(1, reason="x" * 500), change(2))
    await device.until(lambda: device.faults.counts().get("MessageTooLarge"))
    await device.until(lambda: device.ledger.bytes_by_reason().get("alerts"))
    assert device.box.depth() == 1
    await device.end()
    await broker.kill()


async def test_a_new_certificate_is_taken_up_by_a_new_connection_that_nobody_takes_for_an_outage(cloud, device):
    await device.record(change(1))
    await cloud.until(lambda: len(cloud.alerts) == 1)
    device.link.connect_anew()
    await cloud.until(lambda: len(cloud.statuses) == 2)
    await device.record(change(2))
    await cloud.until(lambda: len(cloud.alerts) == 2)
    assert {status.presence for status in cloud.statuses} == {Presence.ONLINE}
    assert device.faults.counts() == {}


async def test_what_a_broker_refused_is_tried_again_at_once_under_a_new_certificate(cloud, proxy, tmp_path):
    patient = {"reconnect_min_s": 300.0, "reconnect_max_s": 300.0}
    device = Device(proxy.port, tmp_path / "outbox.db", patient, password="wrong")
    device.start()
    await device.until(lambda: "LinkRefused" in device.faults.counts())
    device.password = PASSWORDS["cam-1"]
    device.link.connect_anew()
    await device.record(change(1))
    await cloud.until(lambda: len(cloud.alerts) == 1)
    await device.end()
