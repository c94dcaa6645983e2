"""What enrolling prints is a whole file, which the agent takes as it is."""

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.app.check import check
from agent.config import check_config
from cloud.adapters.data_dir import Addresses
from cloud.cli.snippet import agent_snippet, claimed_snippet
from cloud.config import Settings
from vision.errors import ModelMissing
from vision.models import find_model

RUNNING = Addresses(
    "http://127.0.0.1:8080", "mqtt://127.0.0.1:1883", "http://127.0.0.1:8080/", 1, "http://127.0.0.1:8080"
)


@pytest.mark.parametrize(
    ("settings", "running"),
    [
        ({}, None),
        ({}, RUNNING),
        ({"http_port": 0, "mqtt_port": 0}, None),
        ({"http_host": "::", "mqtt_host": "::1"}, None),
    ],
)
def test_the_agent_takes_it(settings, running):
    config = check_config(tomllib.loads(agent_snippet("gate-1", Settings(**settings), running)), "printed")
    assert config.device == "gate-1"
    assert config.link.token_file is not None
    assert config.link.address.port == 1883
    assert config.ask is not None
    assert config.ask.url.endswith(":8080")


def test_who_redeems_a_claim_needs_no_address_and_no_token():
    printed = tomllib.loads(claimed_snippet(Settings(tls=True)))
    assert printed["identity"] == "identity"
    assert not {"device", "link"} & printed.keys()
    assert printed["ask"] == {}


# The address that `ask` needs is the identity's to say.
CLAIMED = (
    claimed_snippet(Settings(tls=True)).replace('identity = "identity"', 'device = "gate-1"').replace("[ask]", "")
)


@pytest.mark.parametrize("printed", [agent_snippet("gate-1", Settings(), None), CLAIMED])
def test_its_other_suggestions_are_taken_too(printed):
    lines = printed.splitlines()
    uncommented = [line.removeprefix("# ") if " = " in line else line for line in lines]
    config = check_config(tomllib.loads("\n".join(uncommented).replace("/dev/video0", "clip.mp4")), "printed")
    assert config.cameras[0].loop
    assert config.rules[0].picture == "always"


def test_a_root_of_trust_is_suggested_where_there_is_one(tmp_path):
    settings = Settings(data_dir=tmp_path)
    assert "[trust]" not in agent_snippet("gate-1", settings, None)
    (tmp_path / "registry" / "repository" / "metadata").mkdir(parents=True)
    printed = agent_snippet("gate-1", settings, None)
    assert "vedette model keys show-root > root.json" in printed
    assert check_config(tomllib.loads(printed), "printed").trust.root_file is None
    wanted = printed.replace("# root_file", "root_file")
    assert check_config(tomllib.loads(wanted), "printed").trust.root_file == Path("root.json")


def test_an_address_of_this_machine_only_is_pointed_out():
    near = "the service's machine itself"
    assert near in agent_snippet("gate-1", Settings(), None)
    far = Settings(http_host="10.0.0.5", mqtt_host="10.0.0.5", allow_plaintext=True)
    assert near not in agent_snippet("gate-1", far, None)


def test_it_is_found_fit_once_camera_and_token_are_there(tmp_path, monkeypatch):
    try:
        find_model("default")
    except ModelMissing as missing:
        pytest.skip(str(missing))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), np.zeros((48, 64, 3), np.uint8))
    printed = agent_snippet("gate-1", Settings(), RUNNING).replace('"/dev/video0"', '"pictures"')
    config = check_config(tomllib.loads(printed), "printed")
    assert [finding.what for finding in check(config).findings if finding.error] == ["token"]
    (tmp_path / "token").write_text("vdt_secret\n")
    assert check(config).fit
