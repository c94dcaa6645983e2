"""From an alert and a template to a request. Pure.

Templates are Python's `string.Template`: they name values, and can't call, look up or loop. Labels come out of model
files and may hold anything printable. In a JSON body each value is put in before the text is made into JSON, and in a
header all that can't stand there is left out, so no value can add a key or a header.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from string import Template
from typing import Final

from cloud.push.settings import Moment, PushSettings
from wire.messages import Alert

VERSION: Final = 1
"""Of the default body."""
DELIVERY_HEADER: Final = "Vedette-Delivery"
"""The message's id: the same again is the same message."""
SIGNATURE_HEADER: Final = "Vedette-Signature"
_PLAIN: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent; the address is the sender's."""

    method: str
    headers: Mapping[str, str]
    body: bytes


def build(push: PushSettings, alert: Alert, moment: Moment, *, test: bool = False) -> Request:
    """The request about a message; neither signed nor authorised yet."""
    values = values_of(push, alert, moment)
    content_type = _PLAIN if push.body is not None else _JSON
    headers = {"Content-Type": push.content_type or content_type, DELIVERY_HEADER: alert.message_id}
    headers |= {name: _in_header(_filled(text, values)) for name, text in push.headers.items()}
    return Request(push.method, headers, _body(push, alert, moment, values, test=test))


def sign(request: Request, secret: bytes, at: datetime) -> Request:
    """The request with a signature over the time and the body: `t=UNIX SECONDS,v1=HMAC-SHA256 of "t.body"`."""
    seconds = int(at.timestamp())
    digest = hmac.new(secret, f"{seconds}.".encode() + request.body, hashlib.sha256).hexdigest()
    return Request(request.method, {**request.headers, SIGNATURE_HEADER: f"t={seconds},v1={digest}"}, request.body)


def values_of(push: PushSettings, alert: Alert, moment: Moment) -> dict[str, str]:
    """What the placeholders stand for."""
    return {
        "moment": str(moment),
        "device": alert.device,
        "camera": alert.camera,
        "rule": alert.rule,
        "label": alert.label,
        "zone": alert.zone or "",
        "state": str(alert.state),
        "decided_by": str(alert.decided_by),
        "score": f"{alert.score:.2f}",
        "percent": f"{alert.score:.0%}".rstrip("%"),
        "reason": alert.reason,
        "seen_at": alert.seen_last_at.isoformat(timespec="seconds"),
        "alert_id": alert.id,
        "picture_url": _picture_url(push, alert),
    }


def _picture_url(push: PushSettings, alert: Alert) -> str:
    return f"{push.base_url.rstrip('/')}{alert.picture}" if push.base_url and alert.picture else ""


def _body(push: PushSettings, alert: Alert, moment: Moment, values: Mapping[str, str], *, test: bool) -> bytes:
    if push.body is not None:
        return _filled(push.body, values).encode()
    if push.fields:
        return _json({key: _filled(text, values) for key, text in push.fields.items()})
    return _json(
        {
            "version": VERSION,
            "push": push.name,
            "moment": str(moment),
            "test": test,
            "picture_url": values["picture_url"],
            "alert": alert.model_dump(mode="json", exclude_none=True),
        }
    )


def _filled(text: str, values: Mapping[str, str]) -> str:
    return Template(text).substitute(values)


def _in_header(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
