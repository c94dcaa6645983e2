"""What a replica does at its start: it learns who it is, gets its identity, and becomes `vedette-agent run`.

1. Without an identity it asks the desk for a claim. The desk says who it is, too.
2. `vedette-agent enroll` redeems the claim with the service, as on any device: the key is made here, and stays here.
3. The settings are written: the same number has the same camera, zone and habits, whenever it starts.
4. It waits its turn, so that not all load their models at once, and runs the agent in its place.

Needs nothing but Python and the agent.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.compose.fleet.names import NoDevice, Replica, replica_of

DATA: Final = Path("/data")
CLIPS: Final = Path("/clips")
TRUST: Final = Path("/trust/root.json")
DESK: Final = "http://desk:8090"
VIDEOS: Final = (".avi", ".mp4", ".mkv", ".mov")

PLACES: Final = ("gate", "yard", "plaza", "bridge", "depot", "pier", "lane")
ZONES: Final = {
    "whole": ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),
    "left": ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),
    "right": ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)),
    "near": ((0.0, 0.45), (1.0, 0.45), (1.0, 1.0), (0.0, 1.0)),
    "far": ((0.0, 0.0), (1.0, 0.0), (1.0, 0.55), (0.0, 0.55)),
}
LINKS: Final = ((20, 5), (30, 10), (60, 20))
"""Keep-alive and the longest pause before connecting again, in seconds."""
FPS: Final = 2.0
"""Ten devices of this rate take half of two cores with the default model, and one and a half with NanoDet: nobody is
starved, not even while a new model is tried beside the old one."""
TWO_CAMERAS_EVERY: Final = 5
TURN_S: Final = 0.7
TURNS: Final = 12
"""The first dozen starts within nine seconds, the next one beside it."""
DESK_WITHIN_S: Final = 120.0
AGAIN_S: Final = 1.0


class StartFailed(Exception):
    """The device can't start; says why. Compose tries it again."""


def settings(replica: Replica, video: Path) -> str:
    """The agent's file of this device: the same for the same number."""
    number = replica.number - 1
    place = PLACES[number % len(PLACES)]
    zone, corners = list(ZONES.items())[number % len(ZONES)]
    keepalive_s, reconnect_max_s = LINKS[number % len(LINKS)]
    names = [place, f"{place}-back"] if replica.number % TWO_CAMERAS_EVERY == 0 else [place]
    cameras = "".join(
        f"""
[[cameras]]
name = {json.dumps(name)}
source = {json.dumps(str(video))}
loop = true
fps_limit = {FPS}
"""
        for name in names
    )
    polygon = json.dumps([list(corner) for corner in corners])
    return f"""\
# Written at each start; changes here are lost.
identity = "{DATA}/identity"
data_dir = "{DATA}/agent"
log_format = "json"
{cameras}
[[zones]]
name = "{zone}"
camera = "{place}"
polygon = {polygon}

[[rules]]
name = "someone-{zone}"
labels = ["person"]
cameras = ["{place}"]
zones = ["{zone}"]
frames_to_confirm = 2
cooldown_s = {5 * (1 + number % 3)}
{_elsewhere(names[1:])}
[tracking]              # at two frames a second everything takes longer
coast_s = 1.5
tentative_s = 1.5
max_age_s = 4

[ask]

[link]
keepalive_s = {keepalive_s}
reconnect_max_s = {reconnect_max_s}

[telemetry]
every_s = 10

[status]                # for Prometheus, on a network that only the fleet is on
listen = "0.0.0.0:9180"
allow_plaintext = true

[trust]
root_file = "{TRUST}"
"""


def _elsewhere(cameras: list[str]) -> str:
    return "".join(
        f"""
[[rules]]
name = "anyone-{camera}"
labels = ["person"]
cameras = ["{camera}"]
frames_to_confirm = 2
cooldown_s = 30
"""
        for camera in cameras
    )


def turn_s(replica: Replica) -> float:
    """How long it waits before it runs."""
    return (replica.number - 1) % TURNS * TURN_S


def video_in(folder: Path) -> Path:
    """The clip to watch.

    Raises:
        StartFailed: There is none.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in VIDEOS)
    if not found:
        raise StartFailed(f"there is no video in {folder}: `make clip` fetches one, or set VEDETTE_CLIPS to a folder")
    return found[-1]


def enrolled(identity: Path) -> Replica | None:
    """Who it is already; None before its enrolment.

    Raises:
        StartFailed: What is kept is not this fleet's.
    """
    try:
        return replica_of(json.loads((identity / "enrolment.json").read_text("utf-8"))["device"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, NoDevice) as broken:
        raise StartFailed(f"{identity} can't be used ({broken}): remove the container with its volume") from None


def ask_desk(desk: str, within_s: float = DESK_WITHIN_S) -> tuple[Replica, str]:
    """Who it is, and its claim; waits for a desk that is not there yet.

    Raises:
        StartFailed: The desk refused, or does not come.
    """
    until = time.monotonic() + within_s
    while True:
        connection = http.client.HTTPConnection(urlsplit(desk).netloc, timeout=15)
        try:
            connection.request("POST", "/claims")
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as failed:
            if time.monotonic() > until:
                raise StartFailed(f"{desk} does not answer: {failed}") from None
            time.sleep(AGAIN_S)
            continue
        finally:
            connection.close()
        if status != http.client.OK:
            raise StartFailed(f"the desk refused: {body[:500].decode('utf-8', 'replace')}")
        said = json.loads(body)
        return replica_of(said["device"]), str(said["claim"])


def main() -> None:
    """Become the agent."""
    identity = DATA / "identity"
    video = video_in(CLIPS)
    replica = enrolled(identity)
    if replica is None:
        replica, claim = ask_desk(os.environ.get("VEDETTE_FLEET_DESK", DESK))
        # By standard input: whoever lists processes would read an argument.
        command = ["vedette-agent", "enroll", "--identity", str(identity)]
        if subprocess.run(command, input=f"{claim}\n", text=True, check=False).returncode != 0:
            raise StartFailed(f"{replica.device} could not be enrolled")
    config = DATA / "agent.toml"
    config.write_text(settings(replica, video), "utf-8")
    time.sleep(turn_s(replica))
    os.execvp("vedette-agent", ["vedette-agent", "run", "--config", str(config)])  # noqa: S606, S607


if __name__ == "__main__":
    try:
        main()
    except StartFailed as failed:
        sys.exit(f"StartFailed: {failed}")
