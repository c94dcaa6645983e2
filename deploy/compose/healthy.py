"""Whether what runs in a container does its work: `healthy.py agent|cloud|broker|simulated`; 0 where it does.

Needs nothing but Python, and is in each image. A device is well when its cameras give pictures and it looks at them:
one whose link is cut goes on watching, and starting it again would mend nothing. Simulated devices do nothing but
speak, and are well when half of them are connected: flaky ones stay away for a while.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

PATIENCE_S: Final = 4.0
AGENT: Final = "VEDETTE_STATUS__LISTEN"
BROKER: Final = "127.0.0.1:8222"
SIMULATED: Final = "SIM_DEVICES"
SOCKETS: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
MQTTS: Final = 8883
ESTABLISHED: Final = "01"
"""TCP_ESTABLISHED in the kernel's include/net/tcp_states.h, as its tables of sockets write it."""


def main(part: str) -> str:
    """What is wrong; nothing where it is well."""
    match part:
        case "agent":
            port = os.environ.get(AGENT, "").rpartition(":")[2]
            return "" if not port else watching(_get(f"127.0.0.1:{port}", "/metrics"))
        case "cloud":
            told = json.loads((Path(os.environ["VEDETTE_DATA_DIR"]) / "serve.json").read_text("utf-8"))
            _get(urlsplit(told["http"]).netloc, "/readyz")
        case "broker":
            _get(BROKER, "/healthz?js-enabled-only=true")
        case "simulated":
            there = sum(connected(table.read_text("ascii")) for table in SOCKETS if table.exists())
            devices = int(os.environ[SIMULATED])
            return "" if 2 * there >= devices else f"{there} of {devices} devices are connected"
        case _:
            return f"there is no part {part!r}: agent, cloud, broker, simulated"
    return ""


def watching(figures: str) -> str:
    """What the agent's figures say is wrong; nothing where all its cameras are watched."""
    live, looked = {}, dict[str, float]()
    for line in figures.splitlines():
        series, _, value = line.rpartition(" ")
        name, _, labels = series.partition("{")
        if name == "vedette_agent_camera_live":
            live[labels] = float(value)
        elif name in {"vedette_agent_frames_judged_total", "vedette_agent_frames_still_total"}:
            looked[labels] = looked.get(labels, 0.0) + float(value)
    if not live:
        return "it names no camera"
    return ", ".join(
        f"{{{labels} {'is not live' if not is_live else 'was not looked at yet'}"
        for labels, is_live in live.items()
        if not is_live or not looked.get(labels)
    )


def connected(table: str) -> int:
    """How many connections to a broker there are in what the kernel says of its sockets."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return sum(row[2].endswith(f":{MQTTS:04X}") and row[3] == ESTABLISHED for row in rows)


def _get(netloc: str, path: str) -> str:
    connection = http.client.HTTPConnection(netloc, timeout=PATIENCE_S)
    try:
        # All three answer to this name, whatever address they listen on.
        connection.request("GET", path, headers={"Host": "localhost"})
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise OSError(f"{path} answers {answer.status}: {body[:500]}")
    return body


if __name__ == "__main__":
    try:
        wrong = main(*sys.argv[1:2] or [""])
    except (OSError, ValueError, KeyError, http.client.HTTPException) as failed:
        wrong = f"{type(failed).__name__}: {failed}"
    if wrong:
        sys.exit(wrong)
