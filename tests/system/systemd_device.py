"""The agent as a service on a node, and the cloud's service at the other end of its line."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.docs.prose import exported, section, written
from tests.system.engines import missing
from tests.system.parts import BOUND_S, Kept, environment, eventually
from tests.system.preloaded import programs
from tests.system.systemd_node import ROOT, Line, Network, Node, packages, system
from wire.messages import Alert
from workbench.demo.parts import cloud_folder
from workbench.demo.processes import Children

HOME = "usr/lib/vedette-agent"
SITE = f"{HOME}/lib/python3.11/site-packages"
UNIT = "vedette-agent"
GUIDE = ROOT / "docs" / "install-systemd.md"
NEWER = "+test1"

LINK = "[link]\n"
QUICK = {
    "[[rules]]\n": "update_every_s = 1\nend_after_s = 2\n",
    LINK: "keepalive_s = 5\nreconnect_max_s = 2\nstop_timeout_s = 20\nack_timeout_s = 3\n",
}
"""A service that missed what another got believes it once the device went back twice: after three ack timeouts."""

SELDOM = """
[telemetry]
every_s = 2

[asking]
max_per_minute = 6

[asking.budget]
questions_per_minute = 6
"""
"""The service's answers would take half a core from the node."""


def package() -> Path:
    """The package for this machine."""
    if shutil.which("dpkg") is None:
        missing("dpkg is not installed")
    return packages(system("dpkg", "--print-architecture").strip())


def need_same_sources(root: Path) -> None:
    for folder in ("agent", "vision", "wire"):
        for file in (ROOT / folder).rglob("*.py"):
            packed = root / SITE / file.relative_to(ROOT)
            if not packed.is_file() or packed.read_bytes() != file.read_bytes():
                missing(f"the package was made from another {file.relative_to(ROOT)}: make dist")


def newer(file: Path, folder: Path) -> Path:
    """The same package under a higher version, packed loosely."""
    system("dpkg-deb", "--raw-extract", file, folder / "tree")
    control = folder / "tree" / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", rf"\1{NEWER}", control.read_text()))
    system("dpkg-deb", "-Znone", "--build", folder / "tree", folder / "newer.deb")
    shutil.rmtree(folder / "tree")
    return folder / "newer.deb"


def configured(snippet: str, root: str | None = None) -> str:
    """What `device enroll` prints, with the camera named; as a person does it."""
    camera = 'source = "/srv/clip.avi"\nloop = true\nfps_limit = 5\n'
    text, count = re.subn(r'source = "/dev/video0".*\n', camera, snippet)
    assert count == 1
    if root is not None:
        text = text.replace("# root_file", "root_file")
    # Much to say, and links missed soon: what the tests wait for is seldom far off. A stop may deliver for longer.
    for heading, settings in QUICK.items():
        assert text.count(heading) == 1
        text = text.replace(heading, heading + settings)
    return text + SELDOM


def line_of_key(pem: str) -> str:
    """Of the private key in it."""
    return pem.partition("PRIVATE KEY-----\n")[2].splitlines()[0]


class Device:
    """A node with the agent as a service, and the service at the other end."""

    def __init__(self, node: Node, line: Line, folder: Path, children: Children, name: str = "gate-1") -> None:
        self.node = node
        self.line = line
        self.name = name
        self.folder = folder
        self.data_dir = cloud_folder(folder).root
        self.children = children
        self.store = Kept(self.data_dir / "vedette.db")
        self.outbox = Kept(node.root / "var/lib/private/vedette-agent/outbox.db")
        self.settings: dict[str, str] = {}
        self.first_alert_s = 0.0

    def serve(self, **more: str) -> None:
        """Start the service in its part of the network."""
        reading, writing = os.pipe()
        command = [
            "ip",
            "netns",
            "exec",
            self.line.network.cloud,
            sys.executable,
            "-m",
            "workbench",
            "serve",
            "--json",
        ]
        command += ["--data-dir", str(self.data_dir)]
        (serving, _, _) = section(GUIDE, "With a token")
        told = {name: value.replace("192.0.2.10", Network.CLOUD) for name, value in exported(serving).items()}
        self.settings = told | {f"VEDETTE_{name}": value for name, value in more.items()}
        child = self.children.start("cloud", command, self.settings, stdout=writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            ready, _, _ = select.select([said], [], [], BOUND_S)
            assert ready, child.log.read_text()
            assert said.readline(), child.log.read_text()

    def vedette(self, *words: str) -> str:
        """What a person types on the service's machine."""
        done = subprocess.run(
            [programs().vedette, *words],
            env=environment(VEDETTE_DATA_DIR=str(self.data_dir), **self.settings),
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def install(self, file: str) -> str:
        command = written("docs/install-systemd.md", "sudo apt install ./vedette-agent_0.1.0_arm64.deb")
        without_asking = " -y -q --allow-downgrades --no-install-recommends"
        return self.node.types(command.replace("./vedette-agent_0.1.0_arm64.deb", file) + without_asking)

    def take_in(self, agent_toml: str, root_json: str | None = None) -> None:
        """Enrol it with a token as the guide says, with `configured` of what the service prints as its settings."""
        enrolled = json.loads(self.vedette("device", "enroll", self.name, "--json"))
        if root_json is not None:
            self.node.write("/etc/vedette/root.json", root_json)
        (_, _, on_the_device) = section(GUIDE, "With a token")
        assert "active (running)" in self.node.types(
            on_the_device, {"agent.toml": agent_toml, "token": enrolled["token"]}
        )

    # --- what is said ---------------------------------------------------------------------------------------------

    def status(self) -> str:
        return self.node.says("systemctl", "status", UNIT, "--no-pager", "--full", "--lines=0")

    def pid(self) -> int:
        return int(self.node.property(UNIT, "MainPID") or 0)

    def restarts(self) -> int:
        return int(self.node.property(UNIT, "NRestarts"))

    def runs(self, *, after: int) -> bool:
        """Another process than `after` is ready."""
        return self.pid() not in {0, after} and self.node.property(UNIT, "ActiveState") == "active"

    def journal(self, *words: str) -> list[dict[str, str]]:
        lines = self.node.says("journalctl", "-u", UNIT, "-o", "json", *words).splitlines()
        return [json.loads(line) for line in lines]

    # --- what is kept ---------------------------------------------------------------------------------------------

    def stored(self) -> list[Alert]:
        rows = self.store.rows("SELECT message FROM alert_events ORDER BY number")
        alerts = [Alert.model_validate_json(row[0]) for row in rows]
        return [alert for alert in alerts if alert.device == self.name]

    def arrived(self) -> int:
        """How many messages are stored; their number alone, since it is asked for often."""
        rows = self.store.rows(f"SELECT COUNT(*) FROM alert_events WHERE device = '{self.name}'")  # noqa: S608
        return int(rows[0][0]) if rows else 0

    def waiting(self) -> int:
        return len(self.outbox.rows("SELECT message_id FROM outbox"))

    def update_state(self) -> str:
        """As it stands in the record on its disk."""
        file = self.node.root / "var/lib/private/vedette-agent/update.json"
        return str(json.loads(file.read_text())["state"]) if file.is_file() else "idle"

    def goes_on(self) -> None:
        """New alerts are stored."""
        before = self.arrived()
        eventually(lambda: self.arrived() > before + 3, f"alerts arrive:\n{self.status()}")

    def check_once_and_in_order(self) -> list[Alert]:
        """What is stored is all that the outbox ever numbered but for what waits there, once, and in that order."""
        stored = self.stored()
        by_camera: dict[str, list[int]] = defaultdict(list)
        for alert in stored:
            by_camera[alert.camera].append(alert.sequence)
        assert by_camera == {camera: list(range(1, len(seen) + 1)) for camera, seen in by_camera.items()}
        assert len({alert.message_id for alert in stored}) == len(stored)
        return stored

    def check_nothing_shows(self, private: Path, secrets: Sequence[str]) -> None:
        """Neither who may not look, nor journal, status and list of processes, see what the device is by."""
        rights = {path.name: path.stat().st_mode & 0o777 for path in (private, *private.iterdir())}
        assert rights == {"identity": 0o700} | dict.fromkeys(("device.pem", "authority.pem", "enrolment.json"), 0o600)
        as_anybody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat")
        for file in (f"/var/lib/{UNIT}/identity/device.pem", f"/run/credentials/{UNIT}.service/claim"):
            assert self.node.run(*as_anybody, file, check=False).returncode != 0, file
        shown = self.node.run("cat", f"/proc/{self.pid()}/environ", f"/proc/{self.pid()}/cmdline").stdout
        shown += self.node.says("journalctl", "--no-pager") + self.status()
        assert [secret for secret in secrets if secret in shown] == []
