"""The whole over mosquitto, started from the files that the service writes for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cloud.broker.mosquitto import program
from tests.ports import free_port
from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, Kept, eventually, is_gone
from tests.system.test_identity import TOLD, agent
from tests.system.test_rollout import GATES, SETTLED_S, release, vedette
from vision.models import UPGRADE_MODEL
from wire.messages import Alert
from workbench.demo.parts import cloud_folder, start_agent, start_service
from workbench.demo.processes import Children

pytestmark = [pytest.mark.system, pytest.mark.timeout(6 * BOUND_S)]

SERVED = """
tls = true
http_port = 0
device_port = 0
mqtt_port = {port}
[broker]
kind = "mosquitto"
host = "127.0.0.1"
folder = "{folder}/for-mosquitto"
sessions = "{folder}/sessions"
pid_file = "{folder}/sessions/mosquitto.pid"
"""


def test_an_agent_is_heard_answered_commanded_updated_and_turned_away_over_mosquitto(tmp_path: Path) -> None:
    need_models()
    clip, broker, port = need_clip(), program(), free_port()
    root, config = cloud_folder(tmp_path).root, tmp_path / "serve.toml"
    config.write_text(SERVED.format(folder=tmp_path, port=port))

    def operator(*words: str) -> str:
        return vedette(root, *words, "--config", str(config))

    started_with = Path(operator("broker", "prepare").split()[-1])
    (tmp_path / "sessions").mkdir()
    if os.geteuid() == 0:
        # It would become another user, who may not read the test's folder.
        started_with.write_text("user root\n" + started_with.read_text())
    children = Children(tmp_path)
    try:
        children.start("mosquitto", [broker, "-c", str(started_with)], {})
        _, addresses = start_service(children, tmp_path, ["--config", str(config), "--mqtt-port", str(port)])
        assert addresses.mqtt == f"mqtts://127.0.0.1:{port}"
        claim = json.loads(operator("device", "enroll", "gate-1", "--json"))["claim"]
        own = tmp_path / "gate-1"
        own.mkdir()
        agent("enroll", "--identity", str(own / "identity"), given=claim + "\n")
        told = TOLD.format(identity=own / "identity", data=own / "data", clip=clip)
        keys = str(tmp_path / "keys")
        operator("model", "keys", "create", "--keys", keys, "--demo")
        (own / "root.json").write_text(operator("model", "keys", "show-root"))
        told += f'[trust]\nroot_file = "{own / "root.json"}"\n'
        start_agent(children, tmp_path, "gate-1", told)
        kept = Kept(root / "vedette.db")
        eventually(lambda: len(kept.rows("SELECT id FROM alerts")) > 3, "alerts are stored")
        eventually(lambda: bool(kept.rows("SELECT * FROM verdicts")), "questions are answered", 2 * BOUND_S)
        (answered,) = json.loads(operator("command", "gate-1", "ping", "--wait", "--json"))
        assert (answered["state"], answered["outcome"]) == ("done", "ok"), answered
        outbox = Kept(own / "data" / "outbox.db")
        eventually(
            lambda: bool(outbox.rows("SELECT name FROM camera")) and len(waiting(outbox)) < 4, "alerts are acked"
        )

        release(root, Path(keys), UPGRADE_MODEL)
        operator("rollout", "start", UPGRADE_MODEL, "--canary", "gate-1", *GATES)
        eventually(lambda: updated(operator) == "committed", "the release is rolled out", SETTLED_S)

        operator("device", "revoke", "gate-1")
        # It is shown as offline at once; that mosquitto has read its list, the last will tells.
        eventually(lambda: is_gone(kept, "gate-1"), "its connection is closed, and its last will said")
        # What was heard before may be committed after the last will was; of what is said from here on, nothing.
        gone_at = datetime.now(UTC)
        eventually(lambda: len(made_since(outbox, "outbox", gone_at)) > 10, "it goes on watching")
        assert made_since(kept, "alert_events", gone_at) == []
        children.check()
    finally:
        children.stop_all()


def updated(operator: Callable[..., str]) -> str:
    """How the device says that its update stands."""
    reported = json.loads(operator("device", "show", "gate-1", "--json"))["reported"]
    return str(reported and reported["state"])


def made_since(where: Kept, table: str, moment: datetime) -> list[Alert]:
    """The messages about alerts in there that were made after that."""
    column = {"outbox": "payload", "alert_events": "message"}[table]
    rows = where.rows(f"SELECT {column} FROM {table}")  # noqa: S608 - our own names
    return [alert for (text,) in rows if (alert := Alert.model_validate_json(text)).made_at > moment]


def waiting(outbox: Kept) -> list[tuple[object, ...]]:
    return outbox.rows("SELECT message_id FROM outbox")
