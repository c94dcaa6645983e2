"""What a replayed device is told."""

import pytest

from agent.config import check_config
from agent.decide.settings import RuleSettings
from agent.detect.settings import DetectSettings, LookSettings
from workbench.errors import ReplayRefused
from workbench.replay.device import Setup, setup_of

SQUARE = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]
CONFIG = {
    "device": "gate-1",
    "data_dir": "data",
    "cameras": [
        {"name": "gate", "source": "gate.avi"},
        {"name": "yard", "source": "yard.avi", "motion": {}},
    ],
    "zones": [
        {"name": "door", "camera": "gate", "polygon": SQUARE},
        {"name": "lawn", "camera": "yard", "polygon": SQUARE},
    ],
    "masks": [{"camera": "yard", "polygon": SQUARE}],
    "rules": [
        {"name": "anyone", "labels": ["person"]},
        {"name": "cars", "labels": ["car", "bus"], "cameras": ["yard"], "zones": ["lawn"]},
    ],
    "looks": {"per_frame": 1.5},
}


def told(camera=None):
    return setup_of(check_config(CONFIG, "a file"), camera)


def test_the_first_camera_is_meant_where_none_is_named():
    setup = told()
    assert (setup.camera, setup.labels) == ("gate", ("person",))
    assert ([zone.name for zone in setup.zones], setup.masks, setup.motion) == (["door"], (), None)
    assert setup.looks.per_frame == 1.5


def test_what_belongs_to_a_camera_goes_with_it():
    setup = told("yard")
    assert setup.labels == ("bus", "car", "person")
    assert ([zone.name for zone in setup.zones], len(setup.masks)) == (["lawn"], 1)
    assert setup.motion is not None


def test_a_camera_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ReplayRefused, match="no camera 'roof'") as refused:
        told("roof")
    assert "gate, yard" in refused.value.mend


def test_what_is_given_beside_a_file_comes_first():
    changed = told().changed(model="nanodet-g-416-fp16", looks=LookSettings(per_frame=0.0))
    assert (changed.model.model, changed.looks.per_frame) == ("nanodet-g-416-fp16", 0.0)
    assert told().changed(model=None, looks=None) == told()


def test_each_reason_is_switched_off_by_itself():
    setup = Setup(DetectSettings(), (RuleSettings(name="anyone", labels=("person",)),))
    others = setup.each_reason_off()
    assert "uncertain" in others
    assert all(other != setup for other in others.values())
    assert len({repr(other) for other in others.values()}) == len(others)


def test_a_camera_s_own_budget_goes_with_it_or_else_that_of_each():
    budget = {"each_camera": {"bytes": "100MB/month"}, "cameras": {"yard": {"bytes": "20MB/day"}}}
    config = check_config({**CONFIG, "asking": {"budget": budget}}, "a file")
    assert setup_of(config, "gate").camera_limits.bytes == "100MB/month"
    assert setup_of(config, "yard").camera_limits.bytes == "20MB/day"
    assert told().camera_limits.bytes is None
