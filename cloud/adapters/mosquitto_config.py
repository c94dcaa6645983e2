"""What mosquitto is started with: the rules that NATS is told by asking, as files. Pure.

mosquitto can't ask who a device is. So TLS says it: only holders of a certificate of our authority come in, the
certificate's name becomes user name and client id, whatever the client says, and the access list names topics by it.
Who enrols needs no reload; who is revoked is in a list that mosquitto reads on SIGHUP (`mosquitto_door`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud.adapters.mqtt_link import CLIENT_ID, MAX_UNACKED, NEVER_RETAINED
from wire.protocol import PROTOCOL
from wire.topics import ROOT, UPWARD

CONFIG_FILE: Final = "mosquitto.conf"
ACCESS_FILE: Final = "access.acl"
REVOKED_FILE: Final = "revoked.pem"

# The largest that a device says is 16 KiB, the largest that the cloud says, 500 acks, 18 KiB. Whoever sends more is
# disconnected; `message_size_limit` would take it, say so, and drop it.
_MAX_PACKET: Final = 32 * 1024
# By default it keeps 1,000 messages of a session that is away, and drops the rest. What a device may have under way
# bounds their number; this bounds what a hostile one makes the broker hold.
_MAX_QUEUED_BYTES: Final = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class MosquittoSettings:
    """Where it listens, and where its files lie.

    Attributes:
        host: The address to listen on; None for all of the machine's.
        folder: Where the files of this module are, and `ca_file`, `cert_file` and `key_file`.
        sessions: Where it keeps sessions and retained messages.
    """

    host: str | None
    port: int
    folder: Path
    sessions: Path
    ca_file: Path
    cert_file: Path
    key_file: Path


def render(settings: MosquittoSettings) -> str:
    """The configuration's text."""
    return f"""# Written by `vedette broker prepare`; changes here are lost.
per_listener_settings true

# After a kill -9 it has what it wrote last: each second. Sessions have no end (persistent_client_expiration): at each
# reload 2.0.11 enters those whose client is away in its list of ends anew, and goes on reading that of a client that
# came back and is gone.
persistence true
persistence_location {settings.sessions}/
autosave_interval 1

max_packet_size {_MAX_PACKET}
max_inflight_messages {MAX_UNACKED}
max_queued_messages 0
max_queued_bytes {_MAX_QUEUED_BYTES}
set_tcp_nodelay true
pid_file {settings.sessions}/mosquitto.pid
log_dest stderr
log_type error
log_type warning
log_type notice

listener {settings.port}{f" {settings.host}" if settings.host else ""}
allow_anonymous false
cafile {settings.ca_file}
certfile {settings.cert_file}
keyfile {settings.key_file}
crlfile {settings.folder / REVOKED_FILE}
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true
acl_file {settings.folder / ACCESS_FILE}
"""


def access_rules() -> str:
    """Who may say and hear what: the cloud all, a device what bears its own name."""
    every, own = f"{ROOT}/v{PROTOCOL}/+", f"{ROOT}/v{PROTOCOL}/%u"
    lines = [
        "# Written by `vedette broker prepare`; changes here are lost.",
        f"user {CLIENT_ID}",
        f"topic read {every}/up/#",
        f"topic write {every}/down/#",
        "# Only to clear what a device had retained there against the rules.",
        *(f"topic write {every}/up/{channel}" for channel in NEVER_RETAINED),
        "",
        "# %u is the name in the certificate.",
        *(f"pattern write {own}/up/{channel}" for channel in UPWARD),
        f"pattern read {own}/down/#",
    ]
    return "\n".join(lines) + "\n"
