"""What a newly enrolled device's settings need to hold."""

from __future__ import annotations

import json

from cloud.adapters.data_dir import Addresses
from cloud.config import Settings


def agent_snippet(device: str, settings: Settings, running: Addresses | None) -> str:
    """TOML for the agent, with the addresses of the running service, or else those of its settings."""
    mqtt = f"mqtt://{_in_url(settings.mqtt_host)}:{settings.mqtt_port}" if running is None else running.mqtt
    http = f"http://{_in_url(settings.http_host)}:{settings.http_port}" if running is None else running.http
    return f"""device = {json.dumps(device)}

[link]
url = "{mqtt}"
token_file = "/etc/vedette/token"

[ask]
url = "{http}"
"""


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
