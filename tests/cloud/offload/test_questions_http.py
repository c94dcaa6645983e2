from __future__ import annotations

import asyncio
import json
import struct

import httpx
import pytest
from fastapi import FastAPI

from cloud.offload.pictures import AlertPictures, Decoding
from cloud.web.admission import DoorSettings
from cloud.web.questions import questions_router
from tests.cloud.offload.fakes import BOUND_S, Tokens, hex_id, jpeg, question
from wire import codec
from wire.messages import (
    MAX_PICTURE_BYTES,
    PICTURE_HEADER,
    Decision,
    Hide,
    Pending,
    PictureNote,
    Redaction,
    Refusal,
    Verdict,
)

PICTURE = jpeg()
NOW = "2026-05-01T12:00:00Z"
TOKEN = {"Authorization": "Bearer token-1"}


def header(asked):
    return json.dumps(asked.model_dump(mode="json", exclude_none=True), ensure_ascii=True)


def headers(asked=None, **changes):
    asked = asked or question()
    sent = {**TOKEN, "Content-Type": "image/jpeg", "Vedette-Question": header(asked)}
    return {key: value for key, value in (sent | changes).items() if value is not None}


class Door:
    """The routes over the in-memory world, as a client sees them."""

    def __init__(self, world, service, **settings):
        self.world = world
        app = FastAPI()
        app.include_router(
            questions_router(
                service=service,
                pictures=AlertPictures(world.blobs, world.store, Decoding()),
                tokens=Tokens(**{"token-1": "cam-1", "token-2": "cam-2"}),
                clock=world.clock,
                settings=DoorSettings(**settings),
                new_id=lambda: hex_id(77),
            )
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cloud")

    async def ask(self, asked=None, content=PICTURE, **changes):
        return await self.client.post("/v1/questions", content=content, headers=headers(asked, **changes))

    async def keep(self, alert_id, content=PICTURE, **changes):
        sent = {**TOKEN, "Content-Type": "image/jpeg"} | changes
        return await self.client.put(f"/v1/pictures/{alert_id}", content=content, headers=sent)


@pytest.fixture
async def service(world):
    async with world.service() as running:
        yield running


@pytest.fixture
async def door(world, service):
    made = Door(world, service)
    async with made.client:
        yield made


def refused(response, status, error):
    assert response.status_code == status, response.text
    said = Refusal.model_validate_json(response.content)
    assert said.error == error
    return said


def nothing_kept(world):
    return world.blobs.kept == {} and world.store.questions == {} and world.judge.shown == []


async def test_a_question_is_answered(door):
    response = await door.ask()
    assert response.status_code == 200
    verdict = codec.decode(Verdict, response.content)
    assert verdict.decision is Decision.CONFIRMED


async def test_the_same_question_again_is_answered_alike(door):
    assert (await door.ask()).content == (await door.ask()).content
    assert len(door.world.judge.shown) == 1


async def test_past_the_deadline_the_answer_is_202_and_the_verdict_follows(door):
    door.world.judge.gate.clear()
    asking = asyncio.create_task(door.ask(question(deadline_ms=500)))
    await asyncio.wait_for(door.world.judge.begun.acquire(), BOUND_S)
    door.world.clock.advance(0.5)
    response = await asyncio.wait_for(asking, BOUND_S)
    assert response.status_code == 202
    pending = codec.decode(Pending, response.content)
    assert (pending.question_id, pending.device) == (hex_id(1), "cam-1")
    door.world.judge.gate.set()
    assert (await door.world.link.next()).late


@pytest.mark.parametrize(
    "encode",
    [lambda text: text.encode("ascii"), lambda text: json.dumps(json.loads(text), ensure_ascii=False).encode()],
)
async def test_labels_beyond_ascii_arrive_escaped_or_raw(door, encode):
    asked = question(label="Fußgänger")
    response = await door.ask(asked, **{"Vedette-Question": encode(header(asked))})
    assert response.status_code == 200
    assert door.world.store.questions[hex_id(1)][0].label == "Fußgänger"


@pytest.mark.parametrize(
    "token",
    [None, "Bearer", "Bearer nobody", "Basic dG9rZW4tMQ==", "Bearer token-1 token-2", "Bearer " + "x" * 600],
)
async def test_without_a_good_token_nobody_gets_in(door, token):
    response = await door.ask(Authorization=token)
    refused(response, 401, "TokenRefused")
    assert response.headers["www-authenticate"] == "Bearer"
    assert nothing_kept(door.world)


async def test_a_device_asks_in_its_own_name_only(door):
    said = refused(await door.ask(question(device="cam-2")), 403, "DeviceMismatch")
    assert "cam-1" in said.message
    assert nothing_kept(door.world)


async def test_another_devices_question_id_is_a_conflict(door):
    await door.ask()
    stolen = await door.ask(question(device="cam-2"), Authorization="Bearer token-2")
    refused(stolen, 409, "QuestionNotYours")


def broken(**changes):
    return json.dumps(json.loads(header(question())) | changes)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (None, "MessageInvalid"),
        ("", "NotOurs"),
        ("hello", "NotOurs"),
        ("[1]", "NotOurs"),
        ("[" * 3000, "NotOurs"),
        (broken(protocol=99), "NewerProtocol"),
        (broken(deadline_ms=0), "MessageInvalid"),
        (broken(box=[0.5, 0.5, 0.1, 0.1]), "MessageInvalid"),
        (broken(region=[0, 0, 2, 1]), "MessageInvalid"),
        (broken(message_id="../../etc/passwd"), "MessageInvalid"),
        (broken(padding="x" * 5000), "MessageTooLarge"),
        (b"\xff\xfe{}", "NotOurs"),
    ],
)
async def test_a_header_that_is_no_question_is_refused_with_its_error(door, sent, error):
    refused(await door.ask(**{"Vedette-Question": sent}), 400, error)
    assert nothing_kept(door.world)


@pytest.mark.parametrize("kind", [None, "image/png", "multipart/form-data", "application/octet-stream"])
async def test_a_body_of_another_kind_is_refused(door, kind):
    refused(await door.ask(**{"Content-Type": kind}), 415, "NotJpeg")


def with_size(picture, width, height):
    """The same JPEG with other dimensions in its frame header: a decompression bomb."""
    at = picture.index(b"\xff\xc0") + 5
    return picture[:at] + struct.pack(">HH", height, width) + picture[at + 4 :]


@pytest.mark.parametrize(
    "picture",
    [b"", b"GIF89a", PICTURE[: len(PICTURE) // 2], PICTURE[:3], with_size(PICTURE, 13000, 13000), b"\xff\xd8" * 500],
    ids=["empty", "gif", "half", "stub", "bomb", "markers"],
)
async def test_a_body_that_cannot_be_decoded_safely_is_refused(door, picture):
    refused(await door.ask(content=picture), 422, "PictureUnreadable")
    assert nothing_kept(door.world)


async def test_a_body_that_says_it_is_too_large_is_not_read(door):
    async def never():
        raise AssertionError("the body was read")
        yield b""

    response = await door.ask(content=never(), **{"Content-Length": str(MAX_PICTURE_BYTES + 1)})
    refused(response, 413, "PictureTooLarge")


async def test_a_body_that_grows_too_large_is_not_read_to_its_end(door):
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1
            yield b"\xff" * 65536

    refused(await door.ask(content=endless()), 413, "PictureTooLarge")
    assert sent * 65536 <= MAX_PICTURE_BYTES + 2 * 65536


async def test_a_body_that_never_comes_is_not_waited_for(world, service):
    door = Door(world, service, body_timeout_s=0.01)

    async def stalled():
        yield PICTURE[:10]
        await asyncio.Event().wait()

    refused(await door.ask(content=stalled()), 408, "BodyTooSlow")


async def test_who_asks_too_often_waits(world, service):
    door = Door(world, service, requests_per_s=0.5, burst=2)
    assert [(await door.ask(question(number))).status_code for number in (1, 2)] == [200, 200]
    response = await door.ask(question(3))
    refused(response, 429, "TooManyRequests")
    assert response.headers["retry-after"] == "2"
    world.clock.advance(2)
    assert (await door.ask(question(3))).status_code == 200


async def test_overload_says_when_to_come_again(world):
    world.judge.gate.clear()
    async with world.service(max_open=1) as service:
        door = Door(world, service)
        first = asyncio.create_task(door.ask(question(1)))
        await asyncio.wait_for(world.judge.begun.acquire(), BOUND_S)
        response = await door.ask(question(2))
        refused(response, 503, "TooManyQuestions")
        assert response.headers["retry-after"] == "1"
        world.judge.gate.set()
        assert (await first).status_code == 200


async def test_trouble_of_our_own_is_503_with_its_name(door):
    door.world.store.refuses_verdicts = True
    refused(await door.ask(), 503, "StoreFailed")


async def test_a_picture_of_an_alert_is_kept_and_a_repeat_is_harmless(door):
    assert [(await door.keep(hex_id(9))).status_code for _ in range(2)] == [204, 204]
    key = f"alerts/cam-1/{hex_id(9)}.jpg"
    assert door.world.blobs.kept == {key: PICTURE}
    assert door.world.store.pictures == {hex_id(9): ("cam-1", key, len(PICTURE))}


def note(alert_id: str, device: str = "cam-1") -> dict[str, str]:
    made = PictureNote(
        message_id=alert_id, device=device, made_at=NOW, camera="yard", region=(0, 0, 0.5, 1),
        redaction=Redaction(hide=Hide.HEADS, hidden=0.1),
    )  # fmt: skip
    return {PICTURE_HEADER: made.model_dump_json()}


async def test_what_a_device_says_of_its_picture_is_kept_with_it(door):
    assert (await door.keep(hex_id(9), **note(hex_id(9)))).status_code == 204
    kept = door.world.store.notes[hex_id(9)]
    assert (kept.region, kept.redaction.hidden) == ((0, 0, 0.5, 1), 0.1)


async def test_a_note_about_another_picture_or_none_at_all_is_refused(door):
    refused(await door.keep(hex_id(9), **note(hex_id(8))), 403, "DeviceMismatch")
    refused(await door.keep(hex_id(9), **note(hex_id(9), "cam-2")), 403, "DeviceMismatch")
    refused(await door.keep(hex_id(9), **{PICTURE_HEADER: "{}"}), 400, "NotOurs")
    assert door.world.store.pictures == {}


@pytest.mark.parametrize("alert_id", ["x", "0" * 31, "A" * 32, "%2e%2e" + "0" * 30])
async def test_a_picture_of_no_alert_id_is_refused(door, alert_id):
    refused(await door.keep(alert_id), 400, "MessageInvalid")


async def test_pictures_of_alerts_pass_the_same_checks(door):
    refused(await door.keep(hex_id(9), content=with_size(PICTURE, 13000, 13000)), 422, "PictureUnreadable")
    refused(await door.keep(hex_id(9), Authorization="Bearer nobody"), 401, "TokenRefused")
    refused(await door.keep(hex_id(9), **{"Content-Type": "text/plain"}), 415, "NotJpeg")
    assert door.world.store.pictures == {}
