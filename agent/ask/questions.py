"""From what the rules ask to what is sent. Pure: ids, numbers and times are handed in."""

from __future__ import annotations

import json
from datetime import datetime

from agent.boxes import inside
from agent.domain import Ask, Box
from wire.codec import encode
from wire.messages import Message, Question, Redaction

LEAST_DEADLINE_MS = 1


def question_message(
    ask: Ask,
    *,
    region: Box,
    device: str,
    boot_id: str,
    boot_seq: int,
    made_at: datetime,
    seen_at: datetime,
    model_digest: str,
    redaction: Redaction | None = None,
) -> Question:
    """The message that asks `ask` about a picture of `region`."""
    return Question(
        message_id=ask.id,
        device=device,
        made_at=made_at,
        boot_id=boot_id,
        boot_seq=boot_seq,
        alert_id=ask.alert_id,
        camera=ask.camera,
        track=ask.track,
        label=ask.label,
        score=ask.score,
        box=inside(ask.box),
        region=region,
        reason=ask.reason,
        seen_at=seen_at,
        deadline_ms=max(LEAST_DEADLINE_MS, round(ask.deadline_s * 1000)),
        model_digest=model_digest,
        redaction=redaction,
        context=ask.context or None,
    )


def header_value(message: Message) -> str:
    """The message as an HTTP header: ASCII, so that labels in any script pass every proxy.

    Raises:
        wire.errors.MessageTooLarge: It is over its limit.
    """
    return json.dumps(json.loads(encode(message)), ensure_ascii=True, separators=(",", ":"))
