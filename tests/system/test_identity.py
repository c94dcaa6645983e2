"""An agent enrolled over the real doors: it speaks, renews its certificate, and is turned away once revoked."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, Kept, environment, eventually, is_gone
from tests.system.preloaded import programs
from tests.system.test_rollout import vedette
from workbench.demo.parts import cloud_folder, start_agent, start_service
from workbench.demo.processes import Children

pytestmark = [pytest.mark.system, pytest.mark.timeout(6 * BOUND_S)]

SERVED = """
tls = true
http_port = 0
mqtt_port = 0
device_port = 0
[identity]
certificate_hours = 0.015
"""
"""Certificates of 54 seconds: two thirds are over within the test, and a busy machine starts an agent in them."""
# Little is asked, and of few frames: the service's answers would take half a core for as long as a certificate lasts.
TOLD = """
identity = "{identity}"
data_dir = "{data}"
[[cameras]]
name = "gate"
source = "{clip}"
loop = true
fps_limit = 5
[[rules]]
name = "anyone"
labels = ["person"]
[link]
reconnect_max_s = 1
[ask]
[asking]
max_per_minute = 12
[asking.budget]
questions_per_minute = 12
[telemetry]
every_s = 2
"""


def agent(*words: str, given: str = "", code: int = 0) -> str:
    done = subprocess.run(
        [programs().vedette_agent, *words],
        input=given, env=environment(), capture_output=True, text=True, timeout=BOUND_S, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def serial(identity: Path) -> str:
    return f"{x509.load_pem_x509_certificate((identity / 'device.pem').read_bytes()).serial_number:x}"


def test_enrolled_speaking_renewed_and_revoked(tmp_path: Path) -> None:
    need_models()
    clip = need_clip()
    root, config = cloud_folder(tmp_path).root, tmp_path / "serve.toml"
    config.write_text(SERVED)

    def operator(*words: str) -> str:
        return vedette(root, *words, "--config", str(config))

    children = Children(tmp_path)
    try:
        _, addresses = start_service(children, tmp_path, ["--config", str(config)])
        assert addresses.mqtt.startswith("mqtts://")
        claim = json.loads(operator("device", "enroll", "gate-1", "--json"))["claim"]
        identity = tmp_path / "gate-1" / "identity"
        identity.parent.mkdir()
        said = agent("enroll", "--identity", str(identity), given=claim + "\n")
        assert "gate-1 is enrolled" in said
        assert claim not in said
        rights = {file.name: oct(file.stat().st_mode & 0o777) for file in identity.iterdir()}
        assert rights == dict.fromkeys(("device.pem", "authority.pem", "enrolment.json"), "0o600")
        first = serial(identity)
        start_agent(
            children, tmp_path, "gate-1", TOLD.format(identity=identity, data=tmp_path / "gate-1" / "data", clip=clip)
        )
        assert "the claim was used already" in agent(
            "enroll", "--identity", str(tmp_path / "thief"), given=claim + "\n", code=1
        )
        kept = Kept(root / "vedette.db")
        eventually(lambda: len(kept.rows("SELECT id FROM alerts")) > 3, "alerts arrive over TLS")
        eventually(lambda: bool(kept.rows("SELECT id FROM questions")), "questions arrive over TLS")
        eventually(lambda: serial(identity) != first, "the certificate is renewed by itself")

        # Neither the broker nor HTTPS serves anybody beyond the end of the certificate that they came with.
        renewed = len(kept.rows("SELECT serial FROM certificates"))
        eventually(lambda: len(kept.rows("SELECT serial FROM certificates")) > renewed, "and again", 2 * BOUND_S)
        before = len(kept.rows("SELECT id FROM alerts"))
        eventually(lambda: len(kept.rows("SELECT id FROM alerts")) > before, "alerts go on arriving")
        asked = len(kept.rows("SELECT id FROM questions"))
        eventually(
            lambda: len(kept.rows("SELECT id FROM questions")) > asked, "questions go on arriving", 2 * BOUND_S
        )

        operator("device", "revoke", "gate-1")
        eventually(lambda: is_gone(kept, "gate-1"), "its connection is closed, and its last will said")
        assert json.loads(operator("device", "show", "gate-1", "--json"))["presence"] == "offline"
        assert "refused" in agent("renew", "--identity", str(identity), code=1)
        children.check()
    finally:
        children.stop_all()
    secret = claim.removeprefix("vdc1.")
    key = (identity / "device.pem").read_text().splitlines()[1]
    for folder, _, names in os.walk(tmp_path):
        for name in names:
            text = (Path(folder) / name).read_bytes()
            assert secret.encode() not in text, f"the claim's secret stands in {folder}/{name}"
            if Path(folder) != identity:
                assert key.encode() not in text, f"the device's key stands in {folder}/{name}"
