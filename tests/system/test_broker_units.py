"""Debian's mosquitto under systemd, made Vedette's by the three files of `deploy/broker`, as the documents say it.

The service is on the other end of the node's line, and has the node's folder under the name that it has there.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.prose import section
from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, Kept, environment, eventually
from tests.system.systemd_node import INCLUDED, ROOT, Network, Node, booted, cached_debian, need_node_tools, networked
from workbench.demo.parts import cloud_folder
from workbench.demo.processes import Children

pytestmark = [pytest.mark.system, pytest.mark.timeout(4 * BOUND_S)]

BROKER = "10.213.77.2"
UNITS = ROOT / "deploy" / "broker"
FOLDER = "etc/vedette-broker"
SERVED = f"""
tls = true
http_port = 0
device_port = 0
device_host = "{Network.CLOUD}"
mqtt_port = 8883
answer_questions = false
[identity]
names = ["{Network.CLOUD}"]
[broker]
kind = "mosquitto"
host = "{BROKER}"
folder = "/{FOLDER}"
"""
TOLD = """
identity = "{folder}/identity"
data_dir = "{folder}/data"
[[cameras]]
name = "gate"
source = "{clip}"
loop = true
fps_limit = 3
[[rules]]
name = "anyone"
labels = ["person"]
[link]
reconnect_max_s = 1
"""
SHARING = f"""
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
mkdir /{FOLDER}
mount --bind "$1" /{FOLDER}
shift
exec "$@"
"""
"""In a mount namespace of its own: the node's folder is where it is on the node, and this machine's /etc stays."""


class Site:
    def __init__(self, node: Node, network: Network, folder: Path) -> None:
        self.node = node
        self.folder = folder
        self.config = folder / "service.toml"
        self.config.write_text(SERVED)
        self.root = cloud_folder(folder).root
        self.children = Children(folder)
        self._beside = ["unshare", "--mount", "sh", "-euc", SHARING, "sh", str(node.root / FOLDER)]
        self._beside += ["ip", "netns", "exec", network.cloud, sys.executable, "-m"]

    def vedette(self, *words: str, module: str = "workbench", given: str = "") -> str:
        own = ["--data-dir", str(self.root), "--config", str(self.config)] if module == "workbench" else []
        done = subprocess.run(
            [*self._beside, module, *words, *own],
            input=given, env=environment(), capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def serve(self) -> None:
        reading, writing = os.pipe()
        own = ["--json", "--data-dir", str(self.root), "--config", str(self.config)]
        child = self.children.start("cloud", [*self._beside, "workbench", "serve", *own], {}, stdout=writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            ready, _, _ = select.select([said], [], [], BOUND_S)
            assert ready, child.log.read_text()
            assert said.readline(), child.log.read_text()

    def watch(self, device: str) -> None:
        """An agent that was taken in."""
        own = self.folder / device
        own.mkdir()
        claim = json.loads(self.vedette("device", "enroll", device, "--json"))["claim"]
        self.vedette("enroll", "--identity", str(own / "identity"), module="agent", given=claim + "\n")
        (own / "agent.toml").write_text(TOLD.format(folder=own, clip=need_clip()))
        self.children.start(device, [*self._beside, "agent", "run", "--config", str(own / "agent.toml")], {})

    def presence(self, device: str) -> str | None:
        found = Kept(self.root / "vedette.db").rows("SELECT id, presence FROM devices")
        return dict(found).get(device)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    need_models()
    need_clip()
    need_node_tools()
    debian = cached_debian("mosquitto", (*INCLUDED, "mosquitto"), "--variant=minbase")
    with networked() as network, booted(tmp_path / "node", network.line(), lambda _: None, debian=debian) as node:
        site = Site(node, network, tmp_path)
        try:
            yield site
        finally:
            site.children.stop_all()
            (tmp_path / "journal.log").write_text(node.says("journalctl", "--no-pager"))


def test_mosquitto_runs_as_the_documents_say_and_reads_its_lists_again_by_itself(site: Site) -> None:
    node = site.node
    folder_and_files, units = section(ROOT / "docs" / "brokers.md", "mosquitto")
    install, folder, prepare = folder_and_files.splitlines()
    # It is there already: the node has no network to fetch it over.
    assert node.says("dpkg-query", "-W", "-f", "${Package}", install.split()[-1]) == "mosquitto"
    node.run("useradd", "--system", "vedette")
    node.types(folder)
    # The service is not on this node, and nobody's but root's.
    assert prepare == "sudo -u vedette vedette broker prepare --config service.toml"
    site.vedette("broker", "prepare")
    shutil.copytree(UNITS, node.root / "srv/deploy/broker")
    node.types(f"cd /srv\n{units}")
    main = node.property("mosquitto", "MainPID")
    user = node.run("stat", "--format=%U", f"/proc/{main}").stdout.strip()
    assert user == "mosquitto"

    site.serve()
    for device in ("gate-1", "gate-2"):
        site.watch(device)
    eventually(lambda: {site.presence("gate-1"), site.presence("gate-2")} == {"online"}, "both are there")

    site.vedette("device", "revoke", "gate-1")
    eventually(lambda: site.presence("gate-1") == "offline", "mosquitto has read the list, and it is cut off")
    assert site.presence("gate-2") == "online"
    assert node.property("mosquitto", "MainPID") == main, "a revocation restarts nothing"
    assert (
        "cat: "
        in node.run("setpriv", "--reuid=65534", "--clear-groups", "cat", f"/{FOLDER}/broker.key", check=False).stderr
    )

    node.run("systemctl", "restart", "mosquitto")
    stored = Kept(site.root / "vedette.db")
    before = len(stored.rows("SELECT message_id FROM alert_events"))
    eventually(lambda: len(stored.rows("SELECT message_id FROM alert_events")) > before, "gate-2 is heard again")
    assert site.presence("gate-1") == "offline"
    site.children.check()
