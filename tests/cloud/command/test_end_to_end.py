"""From the command line over the real broker to a real device's desk, and what it answers back in the table."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.adapters.data_dir import DataDir
from cloud.store.commands import CommandRecord, CommandStore
from cloud.store.database import open_database
from tests.cloud.command.device import real_device
from tests.cloud.running import Service, eventually, running
from tests.cloud.samples import BOUND_S, JPEG, connected, mqtt_client, new_id
from wire.codec import encode
from wire.commands import MAX_CLIP_BYTES, Command, Outcome, Phase, Response
from wire.topics import Channel, topic

pytestmark = pytest.mark.parts


def record(device: str = "cam-1", name: str = "ping", *, life_s: float = 60.0, **changes: object) -> CommandRecord:
    now = datetime.now(UTC)
    fields: dict[str, object] = {
        "id": new_id(), "batch": new_id(), "device": device, "name": name, "arguments": {}, "issued_by": "anna",
        "issued_at": now, "expires_at": now + timedelta(seconds=life_s),
    }  # fmt: skip
    return CommandRecord(**(fields | changes))  # type: ignore[arg-type]


async def issue(folder: Path, *issued: CommandRecord) -> None:
    async with open_database(DataDir(folder).database_url) as database:
        await CommandStore(database).add(issued)


async def shown(service: Service, issued: CommandRecord) -> dict[str, object]:
    found = await service.get(f"/api/commands/{issued.id}")
    assert isinstance(found, dict)
    return found


async def outcome(service: Service, issued: CommandRecord) -> dict[str, object]:
    async def over() -> bool:
        return (await shown(service, issued))["outcome"] is not None

    await eventually(over)
    return await shown(service, issued)


async def test_command_is_done_and_its_trail_kept(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as service:
        token = await service.enroll("cam-1")
        async with real_device(tmp_path, service.addresses.mqtt, "cam-1", token) as device:
            issued = record()
            await issue(tmp_path / "cloud", issued)
            found = await outcome(service, issued)
        assert (found["outcome"], found["result"], found["issued_by"]) == ("ok", {"times": 1}, "anna")
        assert device.ledger.bytes_by_reason()["responses"] > 0
        page = await service.get("/api/commands?device=cam-1")
        assert isinstance(page, dict)
        assert [one["id"] for one in page["commands"]] == [issued.id]


async def test_whoever_listens_is_told_that_the_trail_changed(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as service:
        token = await service.enroll("cam-1")
        issued, late = record(), record(life_s=0.2)
        async with (
            asyncio.timeout(BOUND_S),
            real_device(tmp_path, service.addresses.mqtt, "cam-1", token),
            service.http.stream("GET", "/api/events") as stream,
        ):
            lines = stream.aiter_lines()
            await anext(lines)

            async def until_told(of: CommandRecord) -> None:
                """Its outcome stands in what is read when an event comes."""
                async for line in lines:
                    if line == "event: commands" and (await shown(service, of))["outcome"] is not None:
                        return

            await issue(tmp_path / "cloud", issued)
            await until_told(issued)
            # The cloud's own conclusion, without a word from a device.
            await issue(tmp_path / "cloud", replace(late, device="cam-2"))
            await until_told(late)


async def test_offline_device_gets_it_when_it_comes(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as service:
        token = await service.enroll("cam-1")
        waits, missed = record(), record(life_s=0.2)
        await issue(tmp_path / "cloud", waits, missed)
        gone = await outcome(service, missed)
        assert (gone["outcome"], gone["reason"]) == ("expired", "the device was not there before it expired")
        assert (await shown(service, waits))["state"] == "queued"
        async with real_device(tmp_path, service.addresses.mqtt, "cam-1", token) as device:
            assert (await outcome(service, waits))["outcome"] == "ok"
        assert [task.id for task in device.effects] == [waits.id]


async def test_service_restarted_sends_what_waited_and_takes_what_was_answered_meanwhile(tmp_path: Path) -> None:
    issued = record()
    async with running(tmp_path / "cloud") as service:
        token = await service.enroll("cam-1")
        await issue(tmp_path / "cloud", issued)
    async with (
        running(tmp_path / "cloud") as service,
        real_device(tmp_path, service.addresses.mqtt, "cam-1", token) as device,
    ):
        assert (await outcome(service, issued))["outcome"] == "ok"
        service.broker().kill()
        after = record(name="mute", arguments={"for_s": 5})
        await issue(tmp_path / "cloud", after)
        assert (await outcome(service, after))["outcome"] == "ok"
    assert [task.id for task in device.effects] == [issued.id, after.id]


async def test_malformed_command_is_refused_in_words(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as service:
        token = await service.enroll("cam-1")
        async with real_device(tmp_path, service.addresses.mqtt, "cam-1", token) as device:
            wrong, unknown = record(name="mute", arguments={"for_s": "ages"}), record(name="open-door")
            await issue(tmp_path / "cloud", wrong, unknown)
            for issued, said in ((wrong, "for_s"), (unknown, "is no command")):
                found = await outcome(service, issued)
                assert found["outcome"] == "refused"
                assert said in str(found["reason"])
        assert device.effects == []


async def test_device_does_not_answer_for_another(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("cam-2")
        await service.enroll("cam-1")
        issued = record("cam-1")
        await issue(tmp_path, issued)
        response = Response(
            message_id=new_id(), device="cam-2", made_at=datetime.now(UTC), boot_id=new_id(), boot_seq=1,
            command_id=issued.id, name="ping", phase=Phase.DONE, outcome=Outcome.OK,
        )  # fmt: skip
        async with connected(service.addresses.mqtt, "cam-2", token) as device:
            await device.say(Channel.RESPONSES, response)
            await device.until_acked(response)
        assert (await shown(service, issued))["outcome"] is None


async def test_hundred_copies_have_one_effect_and_the_foreign_and_the_late_none(tmp_path: Path) -> None:
    """Straight to the broker, past the service's own care."""
    async with running(tmp_path / "cloud") as service:
        token = await service.enroll("cam-1")
        config = (tmp_path / "cloud" / "broker").glob("*.conf")
        password = _cloud_password(next(config).read_text("utf-8"))
        async with (
            real_device(tmp_path, service.addresses.mqtt, "cam-1", token) as device,
            mqtt_client(service.addresses.mqtt, "_other", password, user="_vedette_cloud") as cloud,
        ):
            first = record()
            await issue(tmp_path / "cloud", first)
            await outcome(service, first)
            old = datetime.now(UTC) - timedelta(hours=1)
            late = Command(
                message_id=new_id(), device="cam-1", made_at=old, expires_at=old + timedelta(minutes=5), name="ping"
            )
            foreign = late.model_copy(update={"message_id": new_id(), "device": "cam-2"})
            copied = late.model_copy(
                update={"message_id": new_id(), "expires_at": datetime.now(UTC) + timedelta(minutes=5)}
            )
            for one in (foreign, late, *[copied] * 100):
                await cloud.publish(topic("cam-1", Channel.COMMANDS), encode(one), qos=1)
            last = record()
            await issue(tmp_path / "cloud", last)
            await outcome(service, last)
        assert [task.id for task in device.effects] == [first.id, copied.message_id, last.id]
        assert device.faults.counts()["MessageInvalid"] == 1


async def test_snapshot_is_taken_from_the_device_that_was_asked_only(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token, other = await service.enroll("cam-1"), await service.enroll("cam-2")
        issued, ping = record(name="snapshot"), record()
        await issue(tmp_path, issued, ping)

        async def put(command: CommandRecord, bearer: str) -> int:
            headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "image/jpeg"}
            return (await service.http.put(f"/v1/snapshots/{command.id}", content=JPEG, headers=headers)).status_code

        assert (await service.http.get(f"/api/commands/{issued.id}/snapshot")).status_code == 404
        assert [await put(issued, "nobody's"), await put(issued, other), await put(ping, token)] == [401, 404, 404]
        assert [await put(issued, token), await put(issued, token)] == [204, 204]
        assert (await service.http.get(f"/api/commands/{issued.id}/snapshot")).content == JPEG


WEBM = b"\x1a\x45\xdf\xa3" + bytes(300_000)


async def test_clip_is_taken_from_the_device_that_was_asked_and_is_what_it_says(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token, other = await service.enroll("cam-1"), await service.enroll("cam-2")
        issued, ping = record(name="capture-clip"), record()
        await issue(tmp_path, issued, ping)

        async def put(command: CommandRecord, bearer: str, body: bytes = WEBM, kind: str = "video/webm") -> int:
            headers = {"Authorization": f"Bearer {bearer}", "Content-Type": kind}
            return (await service.http.put(f"/v1/clips/{command.id}", content=body, headers=headers)).status_code

        assert (await service.http.get(f"/api/commands/{issued.id}/clip")).status_code == 404
        assert [await put(issued, "nobody's"), await put(issued, other), await put(ping, token)] == [401, 404, 404]
        wrong = [(b"", "video/webm"), (b"\x1a\x45", "video/webm"), (WEBM, "video/x-msvideo"), (WEBM, "text/html")]
        assert [await put(issued, token, *one) for one in wrong] == [415] * 4
        assert await put(issued, token, WEBM + bytes(MAX_CLIP_BYTES)) == 413
        assert list((tmp_path / "blobs").rglob("*.webm*")) == []
        assert [await put(issued, token), await put(issued, token)] == [204, 204]
        shown = await service.http.get(f"/api/commands/{issued.id}/clip")
        assert (shown.content, shown.headers["content-type"]) == (WEBM, "video/webm")
        assert f'filename="{issued.id}.webm"' in shown.headers["content-disposition"]


async def test_clip_without_a_length_is_bounded_and_one_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")
        issued = record(name="capture-clip")
        await issue(tmp_path, issued)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "video/webm"}

        async def endless() -> AsyncIterator[bytes]:
            yield WEBM
            for _ in range(2 + MAX_CLIP_BYTES // 2**20):
                yield bytes(2**20)

        async def breaking() -> AsyncIterator[bytes]:
            yield WEBM
            raise ConnectionError

        url = f"/v1/clips/{issued.id}"
        assert (await service.http.put(url, content=endless(), headers=headers)).status_code == 413
        with pytest.raises(ConnectionError):
            await service.http.put(url, content=breaking(), headers=headers)
        await eventually(lambda: _empty(tmp_path / "blobs"))
        assert (await service.http.get(f"/api/commands/{issued.id}/clip")).status_code == 404


async def _empty(folder: Path) -> bool:
    kept = await asyncio.to_thread(lambda: [path for path in folder.rglob("*") if path.is_file()])
    return kept == []


@pytest.mark.system
async def test_command_line_waits_for_the_outcome(tmp_path: Path) -> None:
    async def types(*words: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cloud", "command", *words, "--data-dir", str(tmp_path / "cloud"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    async with running(tmp_path / "cloud") as service:
        token = await service.enroll("cam-1")
        await service.enroll("cam-2")
        async with real_device(tmp_path, service.addresses.mqtt, "cam-1", token):
            code, said = await types("cam-1", "ping", "--wait", "--json")
            assert (code, json.loads(said)[0]["outcome"]) == (0, "ok")
            code, said = await types("cam-1", "mute", "for_s=ages", "--wait")
            assert (code, "for_s" in said) == (6, True)
            code, said = await types("--all", "ping", "--wait", "--timeout", "2s")
            assert (code, "waits for the device" in said) == (7, True)


def _cloud_password(config: str) -> str:
    found = re.search(r'user:\s*"?_vedette_cloud"?[^}]*?pass(?:word)?:\s*"?([^",}\s]+)', config)
    assert found is not None, config
    return found[1]
