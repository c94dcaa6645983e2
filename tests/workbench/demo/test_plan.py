import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.adapters.identity_folder import Enrolled
from agent.capture.settings import SourceKind
from agent.config import check_config
from workbench.demo.plan import DEVICES, FLEET, Scene, agent_config


def enrolled(folder: Path, device: str) -> Path:
    """An identity folder, as far as a configuration looks into it."""
    made = folder / "identity"
    made.mkdir()
    said = Enrolled(
        device=device,
        http="https://127.0.0.1:8443",
        mqtt="mqtts://127.0.0.1:8883",
        renew_at=datetime(2026, 11, 1, tzinfo=UTC),
        expires_at=datetime(2026, 12, 1, tzinfo=UTC),
    )
    (made / "enrolment.json").write_text(said.model_dump_json())
    return made


@pytest.mark.parametrize("device", FLEET, ids=lambda device: device.name)
@pytest.mark.parametrize(
    ("source", "recorded"),
    [("/a folder/with \"quotes\" and 'more'\\.avi", True), ("/dev/video0", False), ("rtsp://u:p@camera/é", False)],
)
def test_the_agents_understand_what_they_are_told(device, source, recorded, tmp_path):
    scene = Scene(source, recorded, ["person", "hot dog"], DEVICES)

    told = agent_config(
        device, scene, tmp_path, identity=enrolled(tmp_path, device.name), root_file=tmp_path / "root.json"
    )
    config = check_config(tomllib.loads(told), "the demo's")

    assert config.device == device.name
    assert config.cameras[0].source == source
    assert config.cameras[0].loop is recorded
    assert (config.cameras[0].kind is SourceKind.RECORDED) is recorded
    assert config.rules[0].labels == ("person", "hot dog")
    assert bool(config.zones) is (device.part is not None)
    assert config.ask is not None
    assert (config.link.url, config.ask.url) == ("mqtts://127.0.0.1:8883", "https://127.0.0.1:8443")
    assert config.link.cert_file == config.ask.cert_file == tmp_path / "identity" / "device.pem"
    assert config.trust.root_file == tmp_path / "root.json"
    assert config.cameras[0].fps_limit is None
    assert config.looks.per_frame == "auto", "as enrolment's settings say"


def test_a_larger_fleet_shares_the_machine(tmp_path):
    scene, identity = Scene("clip.avi", True, ["person"], FLEET[:5]), enrolled(tmp_path, FLEET[4].name)
    told = agent_config(FLEET[4], scene, tmp_path, identity=identity, root_file=tmp_path / "root.json")
    assert check_config(tomllib.loads(told), "the demo's").cameras[0].fps_limit == 5


def test_no_two_devices_share_a_name_or_a_camera():
    assert len({device.name for device in FLEET}) == len({device.camera for device in FLEET}) == len(FLEET)
