"""The machine-readable contract, generated from the types: JSON Schema for each message, AsyncAPI for the topics."""

from __future__ import annotations

from typing import Any, Final

from wire.alerts import Acks, Alert
from wire.audits import Audit, AuditOutcome
from wire.channels import ON_CHANNEL
from wire.commands import Command, Response
from wire.envelope import Message, Refusal
from wire.identity import Certified, Claim, Enrolment, Renewal
from wire.model import Manifest
from wire.pictures import PictureNote
from wire.protocol import HISTORY, PROTOCOL
from wire.questions import Pending, Question, Verdict
from wire.status import Status
from wire.telemetry import Telemetry
from wire.topics import Channel, Direction
from wire.updates import Desired, GroupRelease, Reported

KINDS: Final = (
    Status,
    Telemetry,
    Alert,
    Acks,
    Verdict,
    Question,
    Pending,
    PictureNote,
    Refusal,
    Audit,
    AuditOutcome,
    Manifest,
    Desired,
    Reported,
    GroupRelease,
    Command,
    Response,
    Claim,
    Enrolment,
    Renewal,
    Certified,
)

SAID: Final[dict[Channel, str]] = {
    Channel.STATUS: "Birth, changes of state and the last will.",
    Channel.TELEMETRY: "Small figures, every half minute or so.",
    Channel.ALERTS: "New, updated and ended alerts; kept by the device until acked.",
    Channel.ACKS: "The messages that the cloud has committed.",
    Channel.VERDICTS: "Answers that came after their deadline.",
    Channel.REPORTED: "What runs, and how the latest update stands.",
    Channel.RESPONSES: "Answers to commands.",
    Channel.DESIRED: "What should run: a hint to look at the signed repository.",
    Channel.COMMANDS: "What an operator asks of the device.",
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema 2020-12 of every kind of message, by the name of its type."""
    return {
        kind.__name__: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **kind.model_json_schema(mode="serialization"),
        }
        for kind in KINDS
    }


def asyncapi() -> dict[str, Any]:
    """An AsyncAPI 3.0 document of the MQTT topics, seen from the device."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Vedette on MQTT",
            "version": f"{PROTOCOL}",
            "description": "\n".join(f"{c.number} ({c.date}): {c.what}" for c in HISTORY),
        },
        "channels": {channel.value: _channel(channel) for channel in Channel},
        "operations": {channel.value: _operation(channel) for channel in Channel},
        "components": {
            "messages": {
                kind.__name__: {
                    "contentType": "application/json",
                    "x-max-bytes": kind.MAX_BYTES,
                    "payload": kind.model_json_schema(
                        mode="serialization",
                        ref_template=f"#/components/messages/{kind.__name__}/payload/$defs/{{model}}",
                    ),
                }
                for kind in _spoken()
            }
        },
    }


def _spoken() -> tuple[type[Message], ...]:
    return tuple(ON_CHANNEL[channel] for channel in Channel)


def _channel(channel: Channel) -> dict[str, Any]:
    name = ON_CHANNEL[channel].__name__
    return {
        "address": f"vedette/v{PROTOCOL}/{{device}}/{channel.direction}/{channel}",
        "description": SAID[channel],
        "parameters": {"device": {"description": "The device's id, which is also its client id and user name."}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    return {
        "action": "send" if channel.direction is Direction.UP else "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retained, "bindingVersion": "0.2.0"}},
    }
