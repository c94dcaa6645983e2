"""The settings that a newly enrolled device starts from."""

from __future__ import annotations

import ipaddress
import json
from typing import Final
from urllib.parse import urlsplit

from cloud.adapters.data_dir import Addresses, DataDir
from cloud.config import MQTT_PORT, MQTTS_PORT, Settings
from cloud.doors import service_hosts
from cloud.registry.layout import RegistryFolder
from wire.identity import Claim

ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
DEFAULT_HTTP_PORT: Final[int] = Settings.model_fields["http_port"].default
DEFAULT_DEVICE_PORT: Final[int] = Settings.model_fields["device_port"].default


def device_addresses(settings: Settings, running: Addresses | None) -> tuple[str, str]:
    """Where devices find HTTPS and MQTT: of the running service, or else by its settings."""
    if running:
        return running.devices, running.mqtt
    host = service_hosts(settings)[0]
    return _url("https", host, settings.device_port or DEFAULT_DEVICE_PORT), _url(
        "mqtts", settings.broker.host or host, settings.broker_port or MQTTS_PORT
    )


def claim_text(claim: Claim) -> str:
    """What an operator hands over: a command to paste on the device. The claim goes in by standard input."""
    return f"""\
On the device, before {claim.expires_at:%Y-%m-%d %H:%M} UTC, and once:

vedette-agent enroll <<'CLAIM'
{claim.spell()}
CLAIM

Whoever has this claim can become {claim.device}: hand it over as you would a password.
Its key and certificate come into the folder `identity`. The agent's settings:
"""


def claimed_snippet(settings: Settings) -> str:
    """A whole `agent.toml` for who redeems a claim: what is left to do is to name the camera."""
    return f"""\
# Save this as agent.toml, in the folder where the claim was pasted. Then:
{_HOW_TO_RUN}\
# Device id, addresses, key and certificate; of the service under systemd "/var/lib/vedette-agent/identity".
identity = "identity"
{_WATCHED}
{_ASK}{_AUDIT}{_trusted(settings)}"""


def external_text(device: str) -> str:
    """What an operator has to do where an authority of their own certifies devices."""
    return f"""\
{device} is taken in. Have your authority certify a key of its own, with the common name {device}.
The agent's settings:
"""


def external_snippet(device: str, settings: Settings, running: Addresses | None) -> str:
    """A whole `agent.toml` for a device of an external authority: its files, and the camera, are to be named."""
    http, mqtt = device_addresses(settings, running)
    return f"""\
# Save this as agent.toml, with what your authority gave out beside it. Then:
{_HOW_TO_RUN}\
device = {json.dumps(device)}
{_WATCHED}
[link]
url = "{mqtt}"
{_FILES}
{_ASK}url = "{http}"
{_FILES}{_AUDIT}{_trusted(settings)}"""


def agent_snippet(device: str, settings: Settings, running: Addresses | None) -> str:
    """A whole `agent.toml`: what is left to do is to name the camera, and to put the token into its file.

    It names the addresses of the running service, or else those of its settings.
    """
    mqtt = (
        running.mqtt
        if running
        else _url("mqtt", settings.broker.host or settings.mqtt_host, settings.broker_port or MQTT_PORT)
    )
    http = running.http if running else _url("http", settings.http_host, settings.http_port or DEFAULT_HTTP_PORT)
    return f"""\
# Save this as agent.toml, and the token beside it in the file `token`. Then:
{_HOW_TO_RUN}\
device = {json.dumps(device)}
{_WATCHED}{_asked(mqtt, http)}{_trusted(settings)}"""


def _asked(mqtt: str, http: str) -> str:
    note = _LOOPBACK_NOTE if _is_loopback(mqtt) or _is_loopback(http) else ""
    return f"""
{note}[link]
url = "{mqtt}"
token_file = "token"

{_ASK}url = "{http}"
{_AUDIT}"""


def _trusted(settings: Settings) -> str:
    there = RegistryFolder(DataDir(settings.data_dir).registry).metadata.is_dir()
    return _TRUST if there else ""


_HOW_TO_RUN: Final = """\
#   vedette-agent check --config agent.toml
#   vedette-agent run --config agent.toml
# Relative paths are taken from the folder in which the agent is started.
"""
_WATCHED: Final = """\
data_dir = "vedette-data"  # alerts and questions wait here until they are delivered

[[cameras]]
name = "camera-1"
source = "/dev/video0"  # or an rtsp:// or http:// URL, a video file, a folder of pictures
# loop = true           # begin a file or folder again when it ends

[[rules]]
name = "person"
labels = ["person"]     # any labels of the model; the default model knows COCO's 80
# min_score = 0.35      # weaker detections don't count for this rule
# frames_to_confirm = 3 # in so many frames an object must be seen before an alert
# picture = "always"    # send a picture with each alert; else only with a question; or "never"

[looks]                 # parts of a frame are judged again, closely, as far as the device keeps pace: fewer false and
per_frame = "auto"      # double alerts for up to three times the work; 0: never
"""
_ASK: Final = """\
# Cut-outs of objects are shown, and the whole frame where an answer leaves a doubt (asking.again_with_context).
[ask]                   # without this table nothing is asked, and nothing but messages leaves
"""
_AUDIT: Final = """
[audit]                 # whole frames, drawn at random, tell how good the device is: vedette audit
per_hour = 6            # of each camera, on average, some 16 kB each; 0: never
"""
_FILES: Final = """\
ca_file = "ca.pem"      # who signed the service's certificate
cert_file = "device.pem"
key_file = "device.key"
"""
_TRUST: Final = """
[trust]                 # for model updates; made on the service's machine: vedette model keys show-root > root.json
# root_file = "root.json"
"""
_LOOPBACK_NOTE: Final = (
    "# These addresses are the service's machine itself; on another, write its name or address there.\n"
)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url(scheme: str, host: str, port: int) -> str:
    reachable = "127.0.0.1" if host in ANYWHERE else host
    return f"{scheme}://[{reachable}]:{port}" if ":" in reachable else f"{scheme}://{reachable}:{port}"
