"""The broker's configuration file. Pure.

Three accounts. DEVICES holds the cloud and the devices, and is the only one with MQTT sessions. AUTH holds whoever
answers the broker's question who a connection is. SYS may close connections. The three passwords are random: those of
the embedded broker are new at each start and never leave the machine, those of one that runs elsewhere are kept
(`broker_secrets`). A device is not among the users here, it is asked for (`nats_callout`).
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloud.adapters.mqtt_link import CLIENT_ID, MAX_UNACKED, NEVER_RETAINED

LOOPBACK: Final = "127.0.0.1"
AUTH_USER: Final = "auth"
SYSTEM_USER: Final = "system"

# The largest that a device says is 16 KiB, the largest that the cloud says, 500 acks, 18 KiB; the broker adds headers
# of its own. Whoever sends more is disconnected. With MAX_UNACKED it bounds what a flood can make the cloud hold.
_MAX_PAYLOAD: Final = 32 * 1024
# A device that can't be told who it is within this is refused, and tries again.
AUTH_TIMEOUT_S: Final = 5
# What was delivered and not acknowledged comes again after this; also what its receiver lost in a crash.
_ACK_WAIT_S: Final = 10
# The broker keeps a consumer for each subscription of QoS 1, of which a device has four, and, unless told otherwise,
# no more than 1,000 of them: from the 250th device on all would be refused. This is for 100,000 devices.
_MAX_CONSUMERS: Final = 400_000
_MAX_STORE_BYTES: Final = 4 * 1024**3
# What a device says is the device's; those but to clear what it had retained there against the rules.
_CLOUD_SAYS: Final = ("vedette.v1.*.down.>", *(f"vedette.v1.*.up.{channel}" for channel in NEVER_RETAINED))


def _password() -> str:
    return secrets.token_hex(32)


@dataclass(frozen=True, slots=True)
class BrokerSecrets:
    """The passwords of the cloud's own connections."""

    cloud: str = field(default_factory=_password, repr=False)
    auth: str = field(default_factory=_password, repr=False)
    system: str = field(default_factory=_password, repr=False)


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """Files in PEM; the broker reads them again on SIGHUP."""

    ca_file: Path
    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker listens and keeps its sessions.

    Attributes:
        client_port: For the cloud's own connections.
        folder: Below it sessions, retained messages and the configuration.
        tls: What MQTT is served under, and whose certificates are believed; None for plain text.
        client_host: Beyond loopback, the cloud's connections are under TLS as well.
        sessions: Where sessions and messages are kept instead.
        health_port: On loopback, where `/healthz` says whether it works; None for nowhere.
    """

    mqtt_host: str
    mqtt_port: int
    client_port: int
    folder: Path
    tls: BrokerTls | None = None
    client_host: str = LOOPBACK
    sessions: Path | None = None
    health_port: int | None = None


def render(settings: BrokerSettings, passwords: BrokerSecrets, issuer: str) -> str:
    """The configuration's text.

    Args:
        settings: Where it listens and what it keeps.
        passwords: Of the users in it.
        issuer: The public key that signs what devices may do.
    """
    sessions = settings.sessions or settings.folder / "sessions"
    health = "" if settings.health_port is None else f"http: {LOOPBACK}:{settings.health_port}\n"
    return f"""# Written by Vedette; changes here are lost.
host: {json.dumps(settings.client_host)}
port: {settings.client_port}
{"" if settings.client_host == LOOPBACK else _tls(settings.tls).lstrip()}{health}server_name: vedette
max_payload: {_MAX_PAYLOAD}
jetstream {{ store_dir: {json.dumps(str(sessions))}, max_file_store: {_MAX_STORE_BYTES} }}
mqtt {{
  host: {json.dumps(settings.mqtt_host)}, port: {settings.mqtt_port}
  max_ack_pending: {MAX_UNACKED}, ack_wait: "{_ACK_WAIT_S}s"
{_tls(settings.tls)}}}
accounts {{
  DEVICES: {{ jetstream: {{ max_consumers: {_MAX_CONSUMERS} }}, users: [ {{
    user: {CLIENT_ID}, password: {passwords.cloud},
    permissions: {{ publish: {json.dumps(_CLOUD_SAYS)}, subscribe: ["vedette.v1.>", "$MQTT.sub.>"] }}
  }} ] }}
  AUTH: {{ users: [ {{ user: {AUTH_USER}, password: {passwords.auth} }} ] }}
  SYS: {{ users: [ {{ user: {SYSTEM_USER}, password: {passwords.system} }} ] }}
}}
system_account: SYS
authorization {{
  timeout: {AUTH_TIMEOUT_S}
  auth_callout {{ issuer: {issuer}, account: AUTH, auth_users: [ {AUTH_USER}, {SYSTEM_USER}, {CLIENT_ID} ] }}
}}
"""


def _tls(tls: BrokerTls | None) -> str:
    if tls is None:
        return ""
    files = {"cert_file": tls.cert_file, "key_file": tls.key_file, "ca_file": tls.ca_file}
    spelt = ", ".join(f"{name}: {json.dumps(str(path))}" for name, path in files.items())
    return f'  tls {{ {spelt}, verify: true, min_version: "1.2", timeout: {AUTH_TIMEOUT_S} }}\n'
