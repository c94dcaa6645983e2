from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from cloud.web.admission import DoorSettings
from cloud.web.audits import audits_router
from tests.cloud.audit.fakes import audit
from tests.cloud.audit.test_service import PICTURE, World
from tests.cloud.offload.fakes import Tokens, hex_id
from wire import codec
from wire.audits import Audit, AuditOutcome
from wire.messages import Pending, Refusal


class Door:
    """The route over the in-memory world, as a client sees it."""

    def __init__(self, world: World, client: httpx.AsyncClient) -> None:
        self.world = world
        self.client = client

    async def send(
        self, sent: Audit | None = None, content: bytes = PICTURE, **changes: str | None
    ) -> httpx.Response:
        header = json.dumps((sent or audit()).model_dump(mode="json", exclude_none=True))
        headers = {
            "Authorization": "Bearer token-1",
            "Content-Type": "image/jpeg",
            "Vedette-Audit": header,
            **changes,
        }
        given = {name: value for name, value in headers.items() if value is not None}
        return await self.client.post("/v1/audits", content=content, headers=given)

    async def ask(self, audit_id: str = hex_id(1), bearer: str = "token-1") -> httpx.Response:
        return await self.client.get(f"/v1/audits/{audit_id}", headers={"Authorization": f"Bearer {bearer}"})


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    world = World()
    async with world.service() as service:
        app = FastAPI()
        app.include_router(
            audits_router(
                service=service,
                tokens=Tokens(**{"token-1": "cam-1", "token-2": "cam-2"}),
                clock=world.clock,
                settings=DoorSettings(burst=8),
                new_id=lambda: hex_id(77),
            )
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cloud") as client:
            yield Door(world, client)


async def test_an_audit_is_answered_with_its_outcome(door: Door) -> None:
    answer = await door.send()
    assert answer.status_code == 200
    outcome = codec.decode(AuditOutcome, answer.content)
    assert (outcome.audit_id, outcome.counts[0].there) == (hex_id(1), 1)


async def test_one_that_takes_too_long_is_accepted(door: Door) -> None:
    door.world.judge.gate.clear()
    sent = asyncio.create_task(door.send())
    await door.world.begun()
    door.world.clock.advance(1)
    answer = await sent
    assert answer.status_code == 202
    assert codec.decode(Pending, answer.content).question_id == hex_id(1)


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"Authorization": None}, 401, "TokenRefused"),
        ({"Authorization": "Bearer nobody"}, 401, "TokenRefused"),
        ({"Authorization": "Bearer token-2"}, 403, "DeviceMismatch"),
        ({"Vedette-Audit": None}, 400, "MessageInvalid"),
        ({"Vedette-Audit": "{}"}, 400, "NotOurs"),
        ({"Vedette-Audit": "x" * 8000}, 400, "MessageTooLarge"),
        ({"Content-Type": "image/png"}, 415, "NotJpeg"),
    ],
)
async def test_what_is_turned_away(door: Door, changes: dict[str, str | None], status: int, error: str) -> None:
    answer = await door.send(**changes)
    assert (answer.status_code, Refusal.model_validate_json(answer.content).error) == (status, error)
    assert door.world.keeper.audits == {}


async def test_a_probability_of_nothing_is_no_audit(door: Door) -> None:
    broken = audit().model_copy(update={"probability": 0.0})
    answer = await door.send(broken)
    refusal = Refusal.model_validate_json(answer.content)
    assert (answer.status_code, refusal.error) == (400, "MessageInvalid")
    assert "probability" in refusal.message


async def test_another_device_s_id_is_refused(door: Door) -> None:
    await door.send()
    answer = await door.send(audit(device="cam-2"), Authorization="Bearer token-2")
    assert (answer.status_code, Refusal.model_validate_json(answer.content).error) == (409, "AuditNotYours")


async def test_a_device_that_sends_too_many_is_told_to_wait(door: Door) -> None:
    answers = [(await door.send()).status_code for _ in range(9)]
    assert answers == [200] * 8 + [429]


async def test_an_outcome_that_was_late_can_be_asked_for(door: Door) -> None:
    door.world.judge.gate.clear()
    sent = asyncio.create_task(door.send())
    await door.world.begun()
    door.world.clock.advance(1)
    assert (await sent).status_code == 202
    early = await door.ask()
    assert (early.status_code, codec.decode(Pending, early.content).question_id) == (202, hex_id(1))
    door.world.judge.gate.set()
    again = await door.send()
    late = await door.ask()
    assert (late.status_code, codec.decode(AuditOutcome, late.content).audit_id) == (200, hex_id(1))
    assert late.content == again.content


@pytest.mark.parametrize(
    ("audit_id", "bearer", "status", "error"),
    [
        (hex_id(1), "nobody", 401, "TokenRefused"),
        (hex_id(1), "token-2", 409, "AuditNotYours"),
        (hex_id(2), "token-1", 404, "NotFound"),
        ("x" * 32, "token-1", 400, "MessageInvalid"),
    ],
)
async def test_an_outcome_is_told_to_none_but_its_device(
    door: Door, audit_id: str, bearer: str, status: int, error: str
) -> None:
    await door.send()
    answer = await door.ask(audit_id, bearer)
    assert (answer.status_code, Refusal.model_validate_json(answer.content).error) == (status, error)


async def test_who_asks_for_outcomes_too_often_is_told_to_wait(door: Door) -> None:
    await door.send()
    assert [(await door.ask()).status_code for _ in range(8)] == [200] * 7 + [429]
