"""A question over HTTP, the verdict on the dashboard: with the real models, where they are built."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cloud.running import running
from tests.cloud.samples import alert, connected, question
from vision.errors import ModelMissing
from vision.models import DEFAULT_MODEL, UPGRADE_MODEL, find_model
from wire.codec import decode, encode
from wire.messages import QUESTION_HEADER, QUESTIONS_PATH, Decision, Verdict
from wire.topics import Channel

pytestmark = pytest.mark.parts


@pytest.mark.system
async def test_answer_to_a_question_stands_with_its_alert(tmp_path: Path) -> None:
    try:
        for model in (DEFAULT_MODEL, UPGRADE_MODEL):
            find_model(model)
    except ModelMissing as missing:
        pytest.skip(f"the default models are not built: {missing}")
    _, encoded = cv2.imencode(".jpg", np.full((120, 90, 3), 90, np.uint8))
    picture = encoded.tobytes()
    async with running(tmp_path, answer_questions=True) as service:
        token = await service.enroll("cam-1")
        about = alert()
        asked = question(about, deadline_ms=60_000)
        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            await device.say(Channel.ALERTS, about)
            await device.until_acked(about)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "image/jpeg",
            QUESTION_HEADER: encode(asked).decode(),
        }
        answer = await service.http.post(QUESTIONS_PATH, content=picture, headers=headers)
        assert answer.status_code == 200, answer.text
        verdict = decode(Verdict, answer.content)
        assert verdict.decision is Decision.RETRACTED
        shown = await service.get(f"/api/alerts/{about.id}")
        assert isinstance(shown, dict)
        assert shown["verdict"]["question_id"] == asked.message_id
        assert (await service.http.get(shown["picture_url"])).content == picture
        assert (await service.http.get(shown["verdict"]["picture_url"])).content == picture
        own = await service.http.put(
            f"/v1/pictures/{about.id}", content=picture + b"\0", headers={k: headers[k] for k in list(headers)[:2]}
        )
        assert own.status_code == 204, own.text
        assert (await service.http.get(shown["picture_url"])).content == picture + b"\0"
        await service.revoke("cam-1")
        refused = await service.http.post(QUESTIONS_PATH, content=picture, headers=headers)
        assert refused.status_code == 401
