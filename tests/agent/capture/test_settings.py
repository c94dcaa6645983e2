from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.capture.settings import CameraSettings, SourceKind


@pytest.mark.parametrize(
    ("source", "kind", "kept"),
    [
        ("clip.avi", SourceKind.RECORDED, "clip.avi"),
        ("/srv/pictures", SourceKind.RECORDED, "/srv/pictures"),
        (0, SourceKind.DEVICE, "/dev/video0"),
        ("2", SourceKind.DEVICE, "/dev/video2"),
        ("/dev/v4l/by-id/usb-cam-index0", SourceKind.DEVICE, "/dev/v4l/by-id/usb-cam-index0"),
        ("/dev/shm/clip.avi", SourceKind.RECORDED, "/dev/shm/clip.avi"),
        ("rtsp://cam.local:554/a", SourceKind.STREAM, "rtsp://cam.local:554/a"),
        ("HTTPS://cam/video.mjpg", SourceKind.STREAM, "HTTPS://cam/video.mjpg"),
    ],
)
def test_a_source_is_known_by_its_text(source: object, kind: SourceKind, kept: str) -> None:
    settings = CameraSettings.model_validate({"name": "yard", "source": source})
    assert settings.kind is kind
    assert settings.source == kept


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"source": "ftp://cam/x"}, ["source", "ftp://", "rtsp://"]),
        ({"source": "rtsp:///stream"}, ["source", "names no host"]),
        ({"source": "rtsp://cam:99999/x"}, ["source", "port"]),
        ({"source": "http://[::1/x"}, ["source", "names no host"]),
        ({"source": ""}, ["source"]),
        ({"source": "a\0b"}, ["source", "NUL"]),
        ({"source": 300}, ["source", "0 to 255"]),
        ({"source": True}, ["source"]),
        ({"name": "no/slash"}, ["name"]),
        ({"fps_limit": 0}, ["fps_limit"]),
        ({"pace": "fast"}, ["pace", "realtime", "max"]),
        ({"source": "rtsp://cam/x", "pace": "max"}, ["pace"]),
        ({"source": 0, "loop": True}, ["loop"]),
        ({"width": 640, "height": 480}, ["width", "/dev/video"]),
        ({"source": 0, "width": 640}, ["give both or neither"]),
        ({"reconnect_initial_s": 5, "reconnect_max_s": 2}, ["reconnect_max_s"]),
        ({"stall_timeout_s": 0}, ["stall_timeout_s"]),
        ({"speed": 3}, ["speed"]),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        CameraSettings.model_validate({"name": "yard", "source": "clip.avi"} | wrong)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://user:hunter2@cam:554/a", "rtsp://***@cam:554/a"),
        ("rtsp://user:hun@ter2@cam/a", "rtsp://***@cam/a"),
        ("http://cam/v?user=u&pwd=hunter2", "http://cam/v?***"),
        ("http://cam/v#hunter2", "http://cam/v"),
        ("rtsp://cam/a", "rtsp://cam/a"),
        ("clip?.avi", "clip?.avi"),
    ],
)
def test_a_password_is_not_shown(source: str, shown: str) -> None:
    settings = CameraSettings(name="yard", source=source)
    assert settings.redacted_source == shown
    assert source not in repr(settings)


def test_a_message_about_a_wrong_url_does_not_repeat_its_password() -> None:
    with pytest.raises(ValidationError) as caught:
        CameraSettings(name="yard", source="rtps://user:hunter2@cam/a")
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_source_or_a_named_error(text: str) -> None:
    for source in (text, f"rtsp://{text}"):
        try:
            settings = CameraSettings(name="yard", source=source)
        except ValidationError:
            continue
        assert settings.redacted_source
