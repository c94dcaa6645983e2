"""Secrets show nowhere: looked for in all that a service and an agent write and say, while they do what they can do.

With tokens and passwords in addresses, this is `test_watching`'s; here it is certificates, claims, what operators
log in with, and all that the service keeps to itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, Kept, eventually
from tests.system.planted import Planted
from tests.system.test_identity import agent
from tests.system.test_rollout import vedette
from wire.identity import read_claim
from workbench.demo.parts import cloud_folder, start_agent, start_service
from workbench.demo.processes import Children

pytestmark = [pytest.mark.system, pytest.mark.timeout(4 * BOUND_S)]

SERVED = """
tls = true
http_port = 0
mqtt_port = 0
device_port = 0
log_level = "debug"
log_format = "json"
[login]
always = true
"""
CAMERA = "planted@with:signs"
TOLD = """
identity = "{identity}"
data_dir = "{data}"
log_level = "debug"
[[cameras]]
name = "gate"
source = "{clip}"
loop = true
[[cameras]]
name = "yard"
source = "rtsp://viewer:{password}@127.0.0.1:{port}/live?token=planted-in-the-query"
reconnect_initial_s = 0.2
[[rules]]
name = "anyone"
labels = ["person"]
[asking]
uncertain = [0.2, 0.9]
[link]
reconnect_max_s = 1
[ask]
[telemetry]
every_s = 1
first_after_s = 0
[status]
listen = "127.0.0.1:0"
"""
LOOKED_FOR = ("SELECT 1 FROM alerts", "SELECT 1 FROM verdicts")
"""An object may be asked about before there is an alert of it."""
OWN_PASSWORD = re.compile(r"password: ([0-9a-f]{64})")


def test_nothing_secret_is_written_or_said(tmp_path: Path) -> None:
    need_models()
    clip = need_clip()
    root, config, own = cloud_folder(tmp_path).root, tmp_path / "serve.toml", tmp_path / "gate-1"
    config.write_text(SERVED)
    own.mkdir()
    planted, said = Planted(), {}

    def operator(*words: str, code: int = 0) -> str:
        said[" ".join(words)] = out = vedette(root, *words, "--config", str(config), code=code)
        return out

    children = Children(tmp_path)
    try:
        operator("model", "keys", "create", "--keys", str(tmp_path / "offline"), "--demo")
        password, token = (
            vedette(root, "operator", *words, "--config", str(config)).strip()
            for words in (("add", "anna", "--generate"), ("token", "anna", "backup"))
        )
        service, addresses = start_service(children, tmp_path, ["--config", str(config)])
        session = log_in(addresses.http, password)
        plant_what_the_operator_has(planted, password, token, session)
        claim = json.loads(vedette(root, "device", "enroll", "gate-1", "--json", "--config", str(config)))["claim"]
        said["enroll"] = agent("enroll", "--identity", str(own / "identity"), given=f"{claim}\n")
        said["thief"] = agent("enroll", "--identity", str(tmp_path / "thief"), given=f"{claim}\n", code=1)
        said["broken"] = agent("enroll", "--identity", str(tmp_path / "thief"), given=f"{claim[:-9]}\n", code=1)
        told = TOLD.format(identity=own / "identity", data=own / "data", clip=clip, password=CAMERA, port=free_port())
        device = start_agent(children, tmp_path, "gate-1", told)

        plant_what_the_device_has(planted, own, claim)
        plant_what_the_service_has(planted, root)
        kept = Kept(root / "vedette.db")
        eventually(lambda: all(map(kept.rows, LOOKED_FOR)), "an alert, and an answered question", 2 * BOUND_S)
        eventually(lambda: "yard" in device.log.read_text(), "the other camera is missed")
        operator("command", "gate-1", "diagnose", "--wait", "--json")
        operator("command", "gate-1", "set-log-level", "level=debug", "--wait", "--json")
        said["renew"] = agent("renew", "--identity", str(own / "identity"))
        planted.add_key("the device's next key", own / "identity" / "device.pem")
        operator("devices")
        operator("device", "show", "gate-1", "--json")

        found = planted.in_processes((service.process.pid, device.process.pid))
        page = re.search(r"status page at (http://[^\"]+)", device.log.read_text())
        assert page is not None
        found += planted.in_answers(page[1], ("", "metrics"))
        for shown in ({"Cookie": f"vedette={session}"}, {"Authorization": f"Bearer {token}"}):
            found += planted.in_answers(addresses.http, _paths(addresses.http, kept, shown), shown)
        assert httpx.post(f"{addresses.http}/login", data={"name": password}, timeout=BOUND_S).status_code == 403
        operator("operator", "list", "--json")
        operator("device", "revoke", "gate-1")
        said["revoked"] = agent("renew", "--identity", str(own / "identity"), code=1)
        eventually(
            lambda: json.loads(operator("device", "show", "gate-1", "--json"))["presence"] == "offline", "offline"
        )
        children.check()
    finally:
        children.stop_all()
    for what, text in said.items():
        found += planted.find(what, text.encode())
    found += planted.in_files(tmp_path)
    assert found == []
    assert planted.looked_at >= {"cloud.log", "gate-1.log", "vedette.db", "outbox.db", "cmdline", "environ"}


def plant_what_the_device_has(planted: Planted, own: Path, claim: str) -> None:
    planted.add("the claim", claim.removeprefix("vdc1."))
    planted.add("the claim's secret", read_claim(claim).secret)
    planted.add("the camera's password", CAMERA, own / "agent.toml")
    planted.add("the camera's token", "planted-in-the-query", own / "agent.toml")
    planted.add_key("the device's key", own / "identity" / "device.pem")


def log_in(base: str, password: str) -> str:
    """The session's token; a guess before it goes wrong."""
    for guess, code in ((password[1:], 401), (password, 303)):
        form = {"name": "anna", "password": guess}
        answer = httpx.post(f"{base}/login", data=form, headers={"Origin": base}, timeout=BOUND_S)
        assert answer.status_code == code, answer.text
    return answer.cookies["vedette"]


def plant_what_the_operator_has(planted: Planted, password: str, token: str, session: str) -> None:
    planted.add("the operator's password", password)
    planted.add("the password that was guessed", password[1:])
    planted.add("the program's token", token)
    planted.add("the operator's session", session)


def plant_what_the_service_has(planted: Planted, root: Path) -> None:
    online = [file for file in (root / "registry" / "keys").rglob("*") if file.is_file()]
    assert online
    for file in (*sorted((root / "identity").glob("*.key")), *online):
        planted.add_key(file.name, file)
    config = root / "broker" / "broker.conf"
    passwords = OWN_PASSWORD.findall(config.read_text())
    assert len(passwords) == 3
    for number, password in enumerate(passwords):
        planted.add(f"the broker's password {number}", password, config)


def _paths(base: str, kept: Kept, shown: dict[str, str]) -> Iterator[str]:
    """Everything of the operator's door that can be read, as it describes itself."""
    values = {
        "device": "gate-1",
        "alert_id": kept.rows("SELECT id FROM alerts")[0][0],
        "question_id": kept.rows("SELECT id FROM questions")[0][0],
    }
    openapi = httpx.get(f"{base}/openapi.json", timeout=BOUND_S, headers=shown)
    described: dict[str, dict[str, Any]] = openapi.json()["paths"]
    yield from ("/", "/metrics", "/openapi.json")
    for path, methods in described.items():
        named = re.findall(r"{(\w+)[^}]*}", path)
        if "get" in methods and path != "/api/events" and set(named) <= values.keys():
            yield re.sub(r"{(\w+)[^}]*}", lambda name: str(values[name[1]]), path)
