"""A real Home Assistant in an environment of its own, set up through its own interface; and a mosquitto beside it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.system.engines import missing
from tests.system.parts import eventually
from workbench.clip import cache_folder
from workbench.demo.processes import Child, Children

START_S = 180.0
PASSWORDS = {"homeassistant": "ha-secret", "vedette": "bridge-secret"}
CLIENT = "http://vedette.test/"
SLOW = re.compile(r"Updating state for \S+ \(.+\) took [\d.]+ seconds|Update of \S+ is taking over \d+ seconds")
"""What it says where it had to wait for a processor, four tenths of a second long."""


def need_home_assistant() -> Path:
    """The program; `.ci/run` installs it, see docs/development.md."""
    folder = os.environ.get("VEDETTE_HOME_ASSISTANT")
    program = (Path(folder) if folder else cache_folder().parent / "homeassistant-venv") / "bin" / "hass"
    if not program.is_file() or not program.parent.with_name(".ready").is_file():
        missing("Home Assistant is not installed: deploy/setup/home-assistant.sh")
    return program


class Mosquitto:
    """The broker of somebody's home: users with passwords, and nothing that is kept over a restart."""

    def __init__(self, children: Children, folder: Path, port: int) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        passwd = shutil.which("mosquitto_passwd")
        if program is None or passwd is None:
            missing("mosquitto is not installed: apt-get install mosquitto")
        self.port = port
        words = folder / "mosquitto.passwords"
        words.touch(mode=0o600)
        for name, word in PASSWORDS.items():
            subprocess.run([passwd, "-b", str(words), name, word], check=True, capture_output=True)
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {words}\nuser root\nlog_dest stderr\n"
        )
        self._command = [program, "-c", str(config)]
        self._children = children
        self._child = self._start()

    def forget_everything(self) -> None:
        self._children.stop(self._child)
        self._child = self._start()

    def _start(self) -> Child:
        return self._children.start("mosquitto", self._command, {})


class HomeAssistant:
    """Started, taken through its onboarding, and connected to the broker, all as a person's browser would."""

    def __init__(self, children: Children, folder: Path, port: int, broker: Mosquitto) -> None:
        self._program = need_home_assistant()
        self._children = children
        self._config = folder / "homeassistant"
        self._config.mkdir()
        (self._config / "configuration.yaml").write_text(
            f"http:\n  server_host: 127.0.0.1\n  server_port: {port}\n"
            "frontend:\nlogger:\n  default: warning\n  logs:\n    homeassistant.components.mqtt: info\n"
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        self.start()
        self._onboard()
        self._add_mqtt(broker)

    def start(self) -> None:
        # --skip-pip: what its parts need is installed already; it fetches nothing.
        command = [str(self._program), "--config", str(self._config), "--skip-pip"]
        self.child = self._children.start("home-assistant", command, {})
        until = time.monotonic() + START_S
        while not self._answers():
            assert self.child.died() is None, self.child.log.read_text("utf-8", "replace")[-4000:]
            assert time.monotonic() < until, f"Home Assistant does not answer within {START_S:.0f} s"
            threading.Event().wait(0.2)

    def stop(self) -> None:
        self._children.stop(self.child)

    def _answers(self) -> bool:
        try:
            return self._http.get("/manifest.json").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _onboard(self) -> None:
        who = {"name": "Test", "username": "test", "password": "test-secret", "client_id": CLIENT, "language": "en"}
        code = self._post("/api/onboarding/users", who)["auth_code"]
        grant = {"grant_type": "authorization_code", "code": code, "client_id": CLIENT}
        answer = self._http.post("/auth/token", data=grant)
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _add_mqtt(self, broker: Mosquitto) -> None:
        flow = self._post("/api/config/config_entries/flow", {"handler": "mqtt"})
        told = {
            "broker": "127.0.0.1",
            "port": broker.port,
            "username": "homeassistant",
            "password": PASSWORDS["homeassistant"],
        }
        done = self._post(f"/api/config/config_entries/flow/{flow['flow_id']}", told)
        assert done["type"] == "create_entry", done

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._http.post(path, json=body)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    # --- what a person sees and does --------------------------------------------------------------------------------

    def states(self) -> dict[str, dict[str, Any]]:
        answer = self._http.get("/api/states")
        return {one["entity_id"]: one for one in answer.json()} if answer.is_success else {}

    def state(self, entity: str) -> str | None:
        """None where there is no such entity."""
        answer = self._http.get(f"/api/states/{entity}")
        return answer.json()["state"] if answer.is_success else None

    def becomes(self, entity: str, wanted: str | Callable[[str], bool]) -> None:
        def so() -> bool:
            state = self.state(entity)
            return state is not None and (state == wanted if isinstance(wanted, str) else wanted(state))

        try:
            eventually(so, f"{entity} becomes {wanted}")
        except AssertionError as late:
            there = sorted(self.states())
            raise AssertionError(f"{late}; it is {self.state(entity)!r}; there are {there}") from None

    def of(self, device: str) -> set[str]:
        """The entities of a device, by its slug."""
        return {entity for entity in self.states() if f".vedette_{device}_" in entity}

    def attributes(self, entity: str) -> dict[str, Any]:
        answer = self._http.get(f"/api/states/{entity}")
        return answer.json()["attributes"] if answer.is_success else {}

    def does(self, domain: str, service: str, entity: str) -> None:
        self._post(f"/api/services/{domain}/{service}", {"entity_id": entity})

    def picture(self, entity: str) -> bytes | None:
        """None while it has none: the only alert that had one may just have been retracted."""
        answer = self._http.get(f"/api/image_proxy/{entity}")
        return answer.content if answer.is_success else None

    def complaints(self) -> list[str]:
        """What its log says against our documents and states."""
        lines = self.child.log.read_text("utf-8", "replace").splitlines()
        serious = [line for line in lines if ("WARNING" in line or "ERROR" in line) and not SLOW.search(line)]
        return [line for line in serious if "vedette" in line.lower()]
