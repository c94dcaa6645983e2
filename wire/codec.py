"""Bytes to messages and back, with limits; nothing else decodes what came over the wire."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import ValidationError

from wire.channels import ON_CHANNEL
from wire.envelope import Message
from wire.errors import MessageInvalid, MessageTooLarge, NewerProtocol, NotOurs
from wire.protocol import PROTOCOL
from wire.topics import Topic, parse

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """The message's bytes: UTF-8 JSON without blanks, fields in the order of their definition.

    Raises:
        MessageTooLarge: It is over its kind's limit.
    """
    data = message.model_dump_json(exclude_none=True).encode()
    _check_size(type(message), len(data))
    return data


def decode(kind: type[M], data: bytes) -> M:
    """Read a message of a known kind.

    Raises:
        MessageTooLarge: It is over its kind's limit; it was not parsed.
        NotOurs: It is no JSON object, or names no protocol.
        NewerProtocol: Its maker speaks a higher protocol number.
        MessageInvalid: A field breaks the contract.
    """
    _check_size(kind, len(data))
    try:
        message = kind.model_validate_json(data)
    except ValidationError as refused:
        _refuse_what_is_not_ours(data)
        first = refused.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the message"
        raise MessageInvalid(f"{kind.__name__}: {where}: {first['msg']}") from None
    if message.protocol > PROTOCOL:
        raise _newer(message.protocol)
    return message


def decode_on(topic: str, data: bytes) -> tuple[Topic, Message]:
    """Read what came on an MQTT topic, and hold its device against the topic's.

    Raises:
        NotOurs, NewerProtocol, MessageTooLarge, MessageInvalid: as `parse` and `decode`.
    """
    where = parse(topic)
    message = decode(ON_CHANNEL[where.channel], data)
    if message.device != where.device:
        raise MessageInvalid(f"a message on {where.device}'s topic says that it is {message.device}'s")
    return where, message


def _check_size(kind: type[Message], size: int) -> None:
    if size > kind.MAX_BYTES:
        raise MessageTooLarge(f"{kind.__name__} of {size} bytes is over the limit of {kind.MAX_BYTES}")


def _newer(protocol: int) -> NewerProtocol:
    return NewerProtocol(
        f"the message is of protocol {protocol}, this program speaks {PROTOCOL}", "Update this program."
    )


def _refuse_what_is_not_ours(data: bytes) -> None:
    """Tell foreign bytes and newer programs from broken messages; the slow path, after a refusal."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise NotOurs("the message is not JSON") from None
    if not isinstance(found, dict) or type(found.get("protocol")) is not int:
        raise NotOurs("the message names no protocol")
    if found["protocol"] > PROTOCOL:
        raise _newer(found["protocol"])
