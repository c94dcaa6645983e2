import sys
import zipfile

import cv2
import numpy as np
import pytest

from workbench import clip
from workbench.errors import ClipUnavailable


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return clip.cache_folder()


def fake_pip_with_wheel_of(tmp_path, members, monkeypatch):
    """A stand-in `python` whose `-m pip download` leaves a wheel with these members in its working folder."""
    wheel = tmp_path / "photographs.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        for name, data in members.items():
            out.writestr(f"skimage/data/{name}", data)
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\ncp {wheel} .\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def png(width, height):
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    picture = np.dstack([np.tile(ramp, (height, 1))] * 3)
    return cv2.imencode(".png", picture)[1].tobytes()


def test_without_apt_a_pan_over_photographs_is_drawn_and_said_to_be_one(cache, tmp_path, monkeypatch):
    fake_pip_with_wheel_of(tmp_path, dict.fromkeys(clip.PHOTOGRAPH_NAMES, png(500, 400)), monkeypatch)
    said = []
    got = clip.demo_clip(said.append, use_apt=False)
    assert "photographs" in got.description
    assert said
    video = cv2.VideoCapture(str(got.path))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == clip.PAN_FRAMES_EACH * len(clip.PHOTOGRAPH_NAMES)
    frames = [video.read()[1] for _ in range(2)]
    assert frames[0].shape == (clip.PAN_SIZE[1], clip.PAN_SIZE[0], 3)
    assert (frames[0] != frames[1]).any()


def test_the_pan_is_drawn_once(cache, tmp_path, monkeypatch):
    fake_pip_with_wheel_of(tmp_path, dict.fromkeys(clip.PHOTOGRAPH_NAMES, png(500, 400)), monkeypatch)
    first = clip.demo_clip(lambda _: None, use_apt=False)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert clip.demo_clip(lambda _: None, use_apt=False).path == first.path


def test_a_photograph_that_is_none_is_refused_and_nothing_half_made_stays(cache, tmp_path, monkeypatch):
    fake_pip_with_wheel_of(tmp_path, dict.fromkeys(clip.PHOTOGRAPH_NAMES, b"no picture"), monkeypatch)
    with pytest.raises(ClipUnavailable, match="--source"):
        clip.demo_clip(lambda _: None, use_apt=False)
    assert list(cache.iterdir()) == []


def test_apt_that_fails_falls_back_and_says_why(cache, tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (programs / name).write_text("#!/bin/sh\necho 'E: no such package' >&2; exit 100\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    fake_pip_with_wheel_of(tmp_path, dict.fromkeys(clip.PHOTOGRAPH_NAMES, png(500, 400)), monkeypatch)
    said = []
    got = clip.demo_clip(said.append)
    assert got.path.name == "photograph-pan.avi"
    assert any("no such package" in line for line in said)


def test_a_torn_clip_in_the_cache_is_not_used(cache, tmp_path, monkeypatch):
    cache.mkdir(parents=True)
    (cache / "vtest.avi").write_bytes(b"RIFF torn")
    fake_pip_with_wheel_of(tmp_path, dict.fromkeys(clip.PHOTOGRAPH_NAMES, png(500, 400)), monkeypatch)
    assert clip.demo_clip(lambda _: None, use_apt=False).path.name == "photograph-pan.avi"
