import tomllib

import pytest

from agent.capture.settings import SourceKind
from agent.config import check_config
from workbench.demo.plan import DEVICES, FLEET, Cloud, Scene, agent_config


@pytest.mark.parametrize("device", FLEET, ids=lambda device: device.name)
@pytest.mark.parametrize(
    ("source", "recorded"),
    [("/a folder/with \"quotes\" and 'more'\\.avi", True), ("/dev/video0", False), ("rtsp://u:p@camera/é", False)],
)
def test_the_agents_understand_what_they_are_told(device, source, recorded, tmp_path):
    scene = Scene(source, recorded, ["person", "hot dog"], DEVICES)

    cloud = Cloud("mqtt://127.0.0.1:1883", "http://127.0.0.1:8080", tmp_path / "token", tmp_path / "root.json")
    told = agent_config(device, scene, tmp_path, cloud)
    config = check_config(tomllib.loads(told), "the demo's")

    assert config.device == device.name
    assert config.cameras[0].source == source
    assert config.cameras[0].loop is recorded
    assert (config.cameras[0].kind is SourceKind.RECORDED) is recorded
    assert config.rules[0].labels == ("person", "hot dog")
    assert bool(config.zones) is device.zoned
    assert config.ask is not None
    assert config.trust.root_file == tmp_path / "root.json"
    assert config.cameras[0].fps_limit is None


def test_a_larger_fleet_shares_the_machine(tmp_path):
    cloud = Cloud("mqtt://127.0.0.1:1883", "http://127.0.0.1:8080", tmp_path / "token", tmp_path / "root.json")
    told = agent_config(FLEET[4], Scene("clip.avi", True, ["person"], FLEET[:5]), tmp_path, cloud)
    assert check_config(tomllib.loads(told), "the demo's").cameras[0].fps_limit == 5


def test_no_two_devices_share_a_name_or_a_camera():
    assert len({device.name for device in FLEET}) == len({device.camera for device in FLEET}) == len(FLEET)
