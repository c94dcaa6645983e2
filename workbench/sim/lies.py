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
from wire.protocol import PROTOCOL
from wire.topics import ROOT, Channel, topic
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


_FAR_AHEAD: Final = 1000
_PLACES: Final = {
    Lie.OTHERS_TOPIC: Channel.ALERTS,
    Lie.FORGED_ACK: Channel.ACKS,
    Lie.FORGED_COMMAND: Channel.COMMANDS,
}
"""Topics of the victim's; every other lie is told on the liar's own."""
_BYTES: Final = {Lie.NO_JSON: b"\x80\x04not json at all", Lie.NO_PROTOCOL: b'{"hello": "world"}'}
_CHANGED: Final[dict[Lie, dict[str, object]]] = {
    Lie.NEWER_PROTOCOL: {"protocol": 99},
    Lie.BROKEN_FIELD: {"score": 17.0, "model_digest": "sha256:none"},
    Lie.OVERSIZE: {"padding": "x" * _OVER_OUR_LIMIT},
    Lie.FLOOD: {"padding": "x" * _OVER_THE_BROKERS},
}
_FORGED: Final[dict[Lie, dict[str, object]]] = {
    Lie.FORGED_ACK: {"message_ids": ["0" * 32]},
    Lie.FORGED_COMMAND: {"name": "mute", "expires_at": "2999-01-01T00:00:00Z", "arguments": {"for_s": 600_000}},
}


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
    if lie is Lie.EAVESDROPPING:
        return Told((Subscribe(mid, ((f"{ROOT}/v{PROTOCOL}/{victim}/down/#", 1),)),))
    message_id: str | None = alert.message_id
    where = _PLACES.get(lie)
    on = topic(alert.device, Channel.ALERTS) if where is None else topic(victim, where)
    honest = alert.model_dump(mode="json", exclude_none=True)
    if lie is Lie.OTHERS_ALERT:
        payload = encode(alert.model_copy(update={"id": victims_alert}))
    elif lie is Lie.WRONG_SEQUENCE:
        payload = encode(alert.model_copy(update={"sequence": _FAR_AHEAD}))
    elif lie in _BYTES:
        payload, message_id = _BYTES[lie], None
    elif lie in _FORGED:
        envelope = {key: honest[key] for key in ("protocol", "message_id", "made_at")} | {"device": victim}
        payload, message_id = _json(envelope | _FORGED[lie]), None
    else:
        said = {"device": victim} if lie in {Lie.OTHERS_NAME, Lie.OTHERS_TOPIC} else _CHANGED[lie]
        payload = _json(honest | said)
    return Told((Publish(on, payload, qos=1, mid=mid),), message_id)


def _json(values: object) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()
