"""What `--source` may be, as far as it shows before anything is started."""

import os

import pytest
from typer.testing import CliRunner

from vision.errors import ModelMissing
from vision.models import find_model
from workbench.__main__ import app
from workbench.demo.plan import DEVICES
from workbench.demo.run import chosen_scene


@pytest.fixture(autouse=True)
def _model():
    try:
        find_model("default")
    except ModelMissing as missing:
        if os.environ.get("VEDETTE_REQUIRE_ENGINES") == "1":
            raise
        pytest.skip(str(missing))


def test_a_file_is_played_in_a_loop_by_all(tmp_path, monkeypatch):
    (tmp_path / "clip.avi").touch()
    monkeypatch.chdir(tmp_path)
    scene, said = chosen_scene("clip.avi", print)
    assert scene.source == said == str(tmp_path / "clip.avi")
    assert scene.recorded
    assert scene.devices == DEVICES
    assert {"person", "cat"} <= set(scene.labels)


def test_a_webcam_is_opened_by_one_agent_only():
    scene, _ = chosen_scene("0", print)
    assert (scene.source, scene.recorded, len(scene.devices)) == ("/dev/video0", False, 1)


def test_a_streams_password_is_not_shown():
    scene, said = chosen_scene("rtsp://me:secret@camera/1", print)
    assert (scene.recorded, len(scene.devices)) == (False, 2)
    assert "secret" not in said


def test_as_many_devices_as_are_wanted_but_one_for_a_webcam():
    assert [device.name for device in chosen_scene("rtsp://camera/1", print, 5)[0].devices][-1] == "road-5"
    assert len(chosen_scene("rtsp://camera/1", print, 1)[0].devices) == 1
    assert len(chosen_scene("0", print, 5)[0].devices) == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [("no-such.avi", "there is no file or folder no-such.avi"), ("ftp://x/y", "no camera is read over ftp://")],
)
def test_a_source_that_cannot_be_is_refused_before_anything_starts(source, said):
    refused = CliRunner().invoke(app, ["demo", "--source", source])
    assert said in refused.stderr
    assert refused.exit_code == 2


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "taken").write_text("a file")
    refused = CliRunner().invoke(app, ["demo", "--source", str(tmp_path), "--data-dir", str(tmp_path / "taken")])
    assert "taken can't be made" in refused.stderr
    assert refused.exit_code == 2
