"""What the broker asks about a connection, and what it is told: signed claims, in the form that NATS wants. Pure.

The broker sends the connection's user name, password, MQTT client id and, over TLS, its verified certificate in a
JWT. A device gets in when it is one and the same in all: its user name is its client id is its device id, and so is
the name in its certificate or, where nothing is encrypted, whose token the password is.
The answer is a JWT with the device's permissions, signed with a key that only this process holds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud.errors import LinkRefused
from wire.topics import UPWARD

DEVICES_ACCOUNT: Final = "DEVICES"
# A session of MQTT needs a handful of subscriptions in the broker; this is far above, and still bounds a device.
MAX_DEVICE_SUBSCRIPTIONS: Final = 32
# Revoked devices are cut off at once; this is for the one whose cutting off got lost.
LIFETIME_S: Final = 24 * 3600


class Signer(Protocol):
    """An account's key pair."""

    @property
    def issuer(self) -> str:
        """Its public half, as NATS spells it."""

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Client(_Part):
    id: int
    mqtt_id: str = ""


class _Options(_Part):
    user: str = ""
    password: str = Field(default="", alias="pass", repr=False)


class _Tls(_Part):
    verified_chains: tuple[tuple[str, ...], ...] = ()


class _Server(_Part):
    id: str


class _Asked(_Part):
    user_nkey: str
    server_id: _Server
    client_info: _Client
    connect_opts: _Options
    client_tls: _Tls | None = None


class _Claims(_Part):
    nats: _Asked


@dataclass(frozen=True, slots=True)
class Connecting:
    """Someone who wants in.

    Attributes:
        connection: The broker's number of the connection.
        user_key: Names the connection in the answer.
        certificate: The leaf of the chain that TLS verified, PEM; None where there was none.
    """

    user: str
    password: str
    client_id: str
    connection: int
    server: str
    user_key: str
    certificate: str | None = None

    def __repr__(self) -> str:
        return f"Connecting(user={self.user!r}, client_id={self.client_id!r})"


def read_request(token: bytes) -> Connecting:
    """Read the broker's question.

    Its signature is not checked: on this account only the broker can send it.

    Raises:
        LinkRefused: It is not in the form that we know.
    """
    try:
        payload = token.split(b".")[1]
        claims = _Claims.model_validate_json(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    except (IndexError, binascii.Error, ValidationError) as error:
        raise LinkRefused(f"the broker's question can't be read ({type(error).__name__})") from None
    asked = claims.nats
    return Connecting(
        user=asked.connect_opts.user,
        password=asked.connect_opts.password,
        client_id=asked.client_info.mqtt_id,
        connection=asked.client_info.id,
        server=asked.server_id.id,
        user_key=asked.user_nkey,
        certificate=_leaf(asked.client_tls),
    )


class _Connection(_Part):
    cid: int
    mqtt_client: str = ""


class _Connections(_Part):
    connections: tuple[_Connection, ...] = ()


class _Answer(_Part):
    server: _Server


class _Listing(_Answer):
    data: _Connections


def read_server(answer: bytes) -> str:
    """The id of the server that answered.

    Raises:
        LinkRefused: It is not in the form that we know.
    """
    try:
        return _Answer.model_validate_json(answer).server.id
    except ValidationError as error:
        raise LinkRefused(f"the broker's answer can't be read ({type(error).__name__})") from None


def read_connections(answer: bytes) -> tuple[str, list[tuple[str, int]]]:
    """Read the broker's list of connections: the server's id, and of each its MQTT client id and its number.

    A connection that speaks no MQTT has an empty client id.

    Raises:
        LinkRefused: It is not in the form that we know.
    """
    try:
        listing = _Listing.model_validate_json(answer)
    except ValidationError as error:
        raise LinkRefused(f"the broker's list of connections can't be read ({type(error).__name__})") from None
    return listing.server.id, [(one.mqtt_client, one.cid) for one in listing.data.connections]


def _leaf(tls: _Tls | None) -> str | None:
    return tls.verified_chains[0][0] if tls and tls.verified_chains and tls.verified_chains[0] else None


def admit(who: Connecting, device: str, signer: Signer, now: int, until: int | None = None) -> bytes:
    """The answer that lets `device` in, to its own topics, and not beyond `until`."""
    user = {
        "sub": who.user_key,
        "aud": DEVICES_ACCOUNT,
        "name": device,
        "exp": now + LIFETIME_S if until is None else min(now + LIFETIME_S, until),
        "nats": {
            "type": "user",
            "version": 2,
            "subs": MAX_DEVICE_SUBSCRIPTIONS,
            "data": -1,
            "payload": -1,  # For MQTT the broker heeds the configuration's limit only.
            # Not `up.>`: what it had retained under names of its own invention would all come to the service.
            "pub": {"allow": [f"vedette.v1.{device}.up.{channel}" for channel in UPWARD]},
            # `down/#` in MQTT includes its parent; the last is how the broker itself delivers QoS 1.
            "sub": {"allow": [f"vedette.v1.{device}.down", f"vedette.v1.{device}.down.>", "$MQTT.sub.>"]},
        },
    }
    return _answer(who, {"jwt": _signed(user, signer, now)}, signer, now)


def refuse(who: Connecting, why: str, signer: Signer, now: int) -> bytes:
    """The answer that keeps it out; the reason is for the broker's log."""
    return _answer(who, {"error": why}, signer, now)


def _answer(who: Connecting, says: dict[str, str], signer: Signer, now: int) -> bytes:
    claims = {
        "sub": who.user_key,
        "aud": who.server,
        "nats": {"type": "authorization_response", "version": 2, **says},
    }
    return _signed(claims, signer, now).encode()


def _signed(claims: dict[str, Any], signer: Signer, now: int) -> str:
    whole = claims | {"iss": signer.issuer, "iat": now}
    whole["jti"] = _base64(hashlib.sha256(json.dumps(whole).encode()).digest())
    header = _base64(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    body = f"{header}.{_base64(json.dumps(whole).encode())}"
    return f"{body}.{_base64(signer.sign(body.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
