"""What a lying device says beside the truth, each with who must refuse it. Pure.

Nothing of it may be stored, reach another device, or keep the liar's own honest alerts from being stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wire.codec import encode
from wire.messages import Alert
from wire.topics import Channel, topic
from workbench.sim.mqtt import Publish, Subscribe

_OVER_OUR_LIMIT: Final = 6_000
"""An alert holds 4 KiB at most."""
_OVER_THE_BROKERS: Final = 40_000
"""The embedded broker takes 32 KiB, and hangs up at more."""


class Lie(StrEnum):
    """The kinds."""

    NO_JSON = "no-json"
    NO_PROTOCOL = "no-protocol"
    NEWER_PROTOCOL = "newer-protocol"
    BROKEN_FIELD = "broken-field"
    OVERSIZE = "oversize"
    FLOOD = "flood"
    OTHERS_NAME = "others-name"
    OTHERS_ALERT = "others-alert"
    WRONG_SEQUENCE = "wrong-sequence"
    OTHERS_TOPIC = "others-topic"
    FORGED_ACK = "forged-ack"
    FORGED_COMMAND = "forged-command"
    EAVESDROPPING = "eavesdropping"
    OTHERS_ID = "others-id"
    """Connects under another device's client id."""


COUNTED_AS: Final[dict[Lie, str]] = {
    Lie.NO_JSON: "ingest.refused.NotOurs",
    Lie.NO_PROTOCOL: "ingest.refused.NotOurs",
    Lie.NEWER_PROTOCOL: "ingest.refused.NewerProtocol",
    Lie.BROKEN_FIELD: "ingest.refused.MessageInvalid",
    Lie.OVERSIZE: "ingest.refused.MessageTooLarge",
    Lie.OTHERS_NAME: "ingest.refused.MessageInvalid",
    Lie.OTHERS_ALERT: "ingest.refused.AlertForeign",
    Lie.WRONG_SEQUENCE: "ingest.left",
    Lie.OTHERS_ID: "auth.refused.client_id",
}
"""The service's counter that goes up; the others are the broker's to refuse, and reach the service not at all."""


@dataclass(frozen=True, slots=True)
class Told:
    """A lie in packets.

    Attributes:
        message_id: Must never be in the store; None where it has none.
    """

    packets: tuple[Publish | Subscribe, ...]
    message_id: str | None = None


def tell(lie: Lie, alert: Alert, victim: str, victims_alert: str, mid: int) -> Told:
    """The lie, made from an honest alert of a camera that there is not.

    Args:
        lie: Its kind; not `OTHERS_ID`, which is told when connecting.
        alert: Under an id and a message id of its own.
        victim: Another device.
        victims_alert: An alert of that device's, or of any other.
        mid: For the packet.
    """
    own = topic(alert.device, Channel.ALERTS)
    honest = alert.model_dump(mode="json", exclude_none=True)

    def say(on: str, payload: bytes, message_id: str | None = alert.message_id) -> Told:
        return Told((Publish(on, payload, 1, False, mid),), message_id)

    match lie:
        case Lie.NO_JSON:
            return say(own, b"\x80\x04not json at all", None)
        case Lie.NO_PROTOCOL:
            return say(own, b'{"hello": "world"}', None)
        case Lie.NEWER_PROTOCOL:
            return say(own, _json(honest | {"protocol": 99}))
        case Lie.BROKEN_FIELD:
            return say(own, _json(honest | {"score": 17.0, "model_digest": "sha256:none"}))
        case Lie.OVERSIZE:
            return say(own, _json(honest | {"padding": "x" * _OVER_OUR_LIMIT}))
        case Lie.FLOOD:
            return say(own, _json(honest | {"padding": "x" * _OVER_THE_BROKERS}))
        case Lie.OTHERS_NAME:
            return say(own, _json(honest | {"device": victim}))
        case Lie.OTHERS_ALERT:
            return say(own, encode(alert.model_copy(update={"id": victims_alert})))
        case Lie.WRONG_SEQUENCE:
            return say(own, encode(alert.model_copy(update={"sequence": 1000})))
        case Lie.OTHERS_TOPIC:
            return say(topic(victim, Channel.ALERTS), _json(honest | {"device": victim}))
        case Lie.FORGED_ACK:
            forged = {"message_ids": [alert.message_id]}
            return say(topic(victim, Channel.ACKS), _json(_envelope(honest, victim) | forged), None)
        case Lie.FORGED_COMMAND:
            forged_command = {"name": "mute", "expires_at": "2999-01-01T00:00:00Z", "arguments": {"for_s": 600_000}}
            return say(topic(victim, Channel.COMMANDS), _json(_envelope(honest, victim) | forged_command), None)
        case _:
            return Told((Subscribe(mid, ((f"vedette/v1/{victim}/down/#", 1),)),))


def _envelope(honest: dict[str, object], victim: str) -> dict[str, object]:
    kept = {key: honest[key] for key in ("protocol", "message_id", "made_at")}
    return kept | {"device": victim}


def _json(values: object) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()
