from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.adapters import opencv_source
from agent.adapters.opencv_source import open_source
from agent.capture.settings import CameraSettings
from agent.capture.source import Shot, Source
from agent.errors import CaptureError, SourceEmpty, SourceMissing, SourceUnreadable

SIZE = (64, 48)


def source_of(where: object, **settings: object) -> Source:
    return open_source(CameraSettings.model_validate({"name": "yard", "source": str(where)} | settings))


def shots(source: Source) -> list[Shot]:
    source.open()
    try:
        return list(iter(source.read, None))
    finally:
        source.close()


def picture(level: int) -> np.ndarray:
    image = np.full((SIZE[1], SIZE[0], 3), level, np.uint8)
    image[:, : SIZE[0] // 2] = 0
    return image


def write_clip(path: Path, levels: list[int], fps: float = 10.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, SIZE)
    for level in levels:
        writer.write(picture(level))
    writer.release()
    return path


def brightness(shot: Shot) -> float:
    return float(shot.image[:, SIZE[0] // 2 + 8 :].mean())


def test_a_video_gives_its_pictures_and_their_times(tmp_path: Path) -> None:
    read = shots(source_of(write_clip(tmp_path / "clip.avi", [40, 80, 120, 160])))
    assert [round(brightness(shot), -1) for shot in read] == [40, 80, 120, 160]
    assert [shot.position_s for shot in read] == pytest.approx([0.0, 0.1, 0.2, 0.3], abs=0.011)
    assert all(shot.image.shape == (48, 64, 3) and shot.image.dtype == np.uint8 for shot in read)


def test_pictures_stay_as_they_were_while_later_ones_are_read(tmp_path: Path) -> None:
    source = source_of(write_clip(tmp_path / "clip.avi", [40, 200]))
    source.open()
    first = source.read()
    assert first is not None
    kept = first.image.copy()
    assert source.read() is not None
    source.close()
    assert np.array_equal(first.image, kept)


def test_a_source_can_be_opened_again(tmp_path: Path) -> None:
    source = source_of(write_clip(tmp_path / "clip.avi", [40, 80]))
    assert len(shots(source)) == len(shots(source)) == 2


def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.avi", [40]).rename(tmp_path / "concat:a%03d.avi")
    assert len(shots(source_of("concat:a%03d.avi"))) == 1


def test_a_video_that_is_cut_off_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.avi", [40] * 50).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    source = source_of(cut)
    read = shots(source)
    assert 10 < len(read) < 40
    assert source.remark == f"only {len(read)} of 50 frames could be read: the file is cut off or damaged"


def _missing(folder: Path) -> Path:
    return folder / "missing.avi"


def _empty(folder: Path) -> Path:
    (folder / "empty.avi").touch()
    return folder / "empty.avi"


def _garbage(folder: Path) -> Path:
    (folder / "garbage.avi").write_bytes(bytes(range(256)) * 64)
    return folder / "garbage.avi"


def _frameless(folder: Path) -> Path:
    return write_clip(folder / "frameless.avi", [])


def _header_only(folder: Path) -> Path:
    whole = write_clip(folder / "whole.avi", [40] * 5).read_bytes()
    (folder / "header.avi").write_bytes(whole[: whole.index(b"movi") + 4])
    return folder / "header.avi"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def _no_pictures(folder: Path) -> Path:
    (folder / "notes.txt").write_text("nothing to see")
    return folder


def _broken_pictures(folder: Path) -> Path:
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "b.png").write_bytes(b"no png")
    return folder


def _no_device(folder: Path) -> str:
    return "/dev/video219"


def _other_device(folder: Path) -> str:
    return "/dev/null"


def _nobody_listens(folder: Path) -> str:
    return "rtsp://user:hunter2@127.0.0.1:1/camera"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (_missing, SourceMissing),
        (_empty, SourceEmpty),
        (_garbage, SourceUnreadable),
        (_frameless, (SourceEmpty, SourceUnreadable)),
        (_header_only, (SourceEmpty, SourceUnreadable)),
        (_pipe, SourceUnreadable),
        (_no_pictures, SourceEmpty),
        (_broken_pictures, SourceEmpty),
        (_no_device, SourceMissing),
        (_other_device, SourceUnreadable),
        (_nobody_listens, SourceUnreadable),
    ],
)
def test_bad_sources_are_named(
    make: Callable[[Path], object],
    error: type[CaptureError] | tuple[type[CaptureError], ...],
    tmp_path: Path,
) -> None:
    where = make(tmp_path)
    source = source_of(where)
    with pytest.raises(error) as caught:
        shots(source)
    assert caught.value.mend
    assert "hunter2" not in str(caught.value)


READ_ALL = """
import sys
from agent.adapters.opencv_source import open_source
from agent.capture.settings import CameraSettings
from agent.errors import CaptureError

for where in sys.argv[1:]:
    source = open_source(CameraSettings(name="yard", source=where))
    try:
        source.open()
        while source.read() is not None:
            pass
    except CaptureError as error:
        print(error.name)
    else:
        print("read", source.remark)
    source.close()
"""


def test_opencv_and_ffmpeg_print_nothing(tmp_path: Path) -> None:
    """In a process of its own: FFmpeg reads its log level once, at its first use."""
    whole = bytearray(write_clip(tmp_path / "damaged.avi", [40, 200] * 20).read_bytes())
    for at in range(9000, len(whole) - 9000, 97):
        whole[at] ^= 0x5A
    (tmp_path / "damaged.avi").write_bytes(whole)
    where = [_garbage(tmp_path), tmp_path / "damaged.avi", _other_device(tmp_path), _nobody_listens(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *map(str, where)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "SourceUnreadable",
        "read",
        "SourceUnreadable",
        "SourceUnreadable",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", [40])
    path.chmod(0)
    with pytest.raises(SourceUnreadable, match="may not be read"):
        shots(source_of(path))


def test_a_video_too_large_to_decode_safely_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv_source, "MAX_PIXELS", SIZE[0] * SIZE[1] - 1)
    with pytest.raises(SourceUnreadable, match="megapixels"):
        shots(source_of(write_clip(tmp_path / "clip.avi", [40])))


# A folder of pictures.


def test_a_folder_gives_its_pictures_in_order_at_its_rate(tmp_path: Path) -> None:
    for name, level in (("b.png", 80), ("a.JPG", 40), ("c.bmp", 120), ("d.webp", 160)):
        cv2.imwrite(str(tmp_path / name), picture(level))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.jpg").mkdir()
    source = source_of(tmp_path, folder_fps=2)
    read = shots(source)
    assert [round(brightness(shot), -1) for shot in read] == [40, 80, 120, 160]
    assert [shot.position_s for shot in read] == [0.0, 0.5, 1.0, 1.5]
    assert source.remark == ""


def test_grey_and_transparent_pictures_become_bgr(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), picture(90)[:, :, 0])
    cv2.imwrite(str(tmp_path / "clear.png"), np.full((48, 64, 4), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((48, 64), 90 * 257, np.uint16))
    assert [shot.image.shape for shot in shots(source_of(tmp_path))] == [(48, 64, 3)] * 3


def test_unreadable_pictures_are_skipped_and_counted(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture(40))
    (tmp_path / "b.jpg").write_bytes(b"not a picture")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    cv2.imwrite(str(tmp_path / "d.png"), picture(80))
    source = source_of(tmp_path)
    assert len(shots(source)) == 2
    assert source.remark == "2 of 4 pictures were skipped as unreadable, c.png the last"


def test_a_picture_that_would_fill_the_memory_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture(40))
    bomb = bytearray((tmp_path / "a.png").read_bytes())
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(bomb)
    decoded: list[int] = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: (decoded.append(len(data)), decode(data, flags))[1])
    source = source_of(tmp_path)
    assert len(shots(source)) == 1
    assert len(decoded) == 1
    assert "bomb.png" in source.remark
