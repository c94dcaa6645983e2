"""The package for arm64, run under emulation: the default model finds what it finds here.

Emulation says nothing about speed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.system.engines import missing, need_clip, need_models
from tests.system.systemd_node import cached_debian, packages, system

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

INCLUDED = ("python3-minimal", "python3", "libstdc++6", "zlib1g")
HOME = "usr/lib/vedette-agent"
REGISTERED = Path("/proc/sys/fs/binfmt_misc")
QEMU = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
PICTURES = 3
APART = 60
"""Frames between two pictures."""
BOXES_APART = 0.01
SCORES_APART = 0.08
"""It is int8, which each processor's kernels round in their own way: on x86-64, with and without XNNPACK, scores
differ by 0.015, here by 0.04. NanoDet, in floating point, gave the same to four digits, in a minute more."""
MIN_SCORE = 0.5
RUN_S = 300
"""About 20 s on two idle cores; the rest is for whatever else runs there."""


PROGRAM = (f"/{HOME}/bin/python3", f"/{HOME}/bin/vedette-agent")


def into(root: Path) -> tuple[str, ...]:
    return (str(shutil.which("chroot")), str(root))


def need_emulation() -> None:
    if os.geteuid() != 0:
        missing("a root filesystem for another architecture takes root")
    if platform.machine() == "aarch64":
        return
    if not (REGISTERED / "register").exists():
        system("mount", "-t", "binfmt_misc", "binfmt_misc", REGISTERED, check=False)
    if not (REGISTERED / "qemu-aarch64").exists():
        if not QEMU.is_file():
            missing("aarch64 is not emulated here (Debian's package `qemu-user-static`)")
        try:
            (REGISTERED / "register").write_text(QEMU.read_text())
        except OSError as refused:
            missing(f"aarch64 can't be emulated here: {refused}")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    clip = cv2.VideoCapture(str(need_clip()))
    for number in range(PICTURES):
        clip.set(cv2.CAP_PROP_POS_FRAMES, number * APART)
        there, picture = clip.read()
        assert there
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    clip.release()
    return folder


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[Path]:
    """A root filesystem of arm64 with the package's files in it."""
    need_models()
    need_emulation()
    made = packages("arm64")
    base = cached_debian("arm64", INCLUDED, "--arch=arm64", "--variant=extract")
    folder = tmp_path_factory.mktemp("arm64")
    root, upper, work = (folder / name for name in ("root", "upper", "work"))
    for path in (root, upper, work):
        path.mkdir()
    system("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={base},upperdir={upper},workdir={work}", root)
    try:
        system("/bin/sh", "-ec", f"dpkg-deb --fsys-tarfile '{made}' | tar -x -C '{root}' ./{HOME}")
        shutil.copytree(pictures, root / "srv" / "pictures")
        told = subprocess.run(
            [*into(root), PROGRAM[0], "-c", "import platform; print(platform.machine())"],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.stdout.strip() != "aarch64":
            missing(f"programs of aarch64 do not run here: {told.stderr.strip()[-200:]}")
        yield root
    finally:
        system("umount", "--lazy", root, check=False)


def found(lines: str) -> list[list[dict[str, Any]]]:
    """The detections of each picture."""
    return [json.loads(line)["detections"] for line in lines.splitlines()]


def test_the_same_detections_as_here(arm: Path, pictures: Path, tmp_path: Path) -> None:
    options = ["detect", "--min-score", str(MIN_SCORE - SCORES_APART), "--jsonl"]
    here = tmp_path / "here.jsonl"
    subprocess.run(
        [sys.executable, "-m", "agent", *options, str(here), "--source", str(pictures)],
        check=True,
        timeout=RUN_S,
    )
    there = arm / "srv" / "there.jsonl"
    done = subprocess.run(
        [*into(arm), *PROGRAM, *options, f"/srv/{there.name}", "--source", "/srv/pictures"],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = found(here.read_text()), found(there.read_text())
    assert len(ours) == len(theirs) == PICTURES
    matched = [
        pair
        for mine, other in zip(ours, theirs, strict=True)
        for pair in [*_pairs(mine, other), *_pairs(other, mine)]
    ]
    assert len(matched) > PICTURES, "there are people in the pictures"
    furthest = max(abs(one["score"] - that["score"]) for one, that in matched)
    print(f"\n{len(matched)} compared, scores at most {furthest:.4f} apart")  # noqa: T201 - for `-s`


def _pairs(
    those: list[dict[str, Any]], others: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each sure detection with its like on the other side."""
    for one in those:
        if one["score"] < MIN_SCORE:
            continue
        like = [that for that in others if that["label"] == one["label"] and _boxes_apart(one, that) <= BOXES_APART]
        assert like, f"{one} is not among {others}"
        nearest = min(like, key=lambda that: abs(one["score"] - that["score"]))
        assert abs(one["score"] - nearest["score"]) <= SCORES_APART, f"{one} is {nearest}"
        yield one, nearest


def _boxes_apart(one: dict[str, Any], that: dict[str, Any]) -> float:
    return max(abs(a - b) for a, b in zip(one["box"], that["box"], strict=True))
