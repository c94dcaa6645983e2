"""The package and the agent's image for arm64, run under emulation: the default model finds what it finds here.

Emulation says nothing about speed.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.docs.prose import written
from tests.system.docker_engine import Engine, engine, have_arm64_base, need_wheel
from tests.system.engines import missing, need_clip, need_models
from tests.system.systemd_node import ROOT, cached_debian, packages, system

pytestmark = [pytest.mark.system, pytest.mark.computing, pytest.mark.timeout(600)]

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
DETECT = ("detect", "--min-score", str(MIN_SCORE - SCORES_APART), "--jsonl")
RUN_S = 300
"""About 20 s on two idle cores; the rest is for whatever else runs there."""


IMAGE = "vedette-agent:arm64"
BUILT_WITHIN_S = 1500
"""Two minutes on two idle cores, and ten where a dozen other programs wanted them too."""
MAX_IMAGE_MB = 400
AARCH64 = 183
"""EM_AARCH64, of ELF's machines."""
MACHINES = """\
import collections, pathlib, struct
found = collections.Counter()
for top in ("/usr", "/opt"):
    for path in pathlib.Path(top).rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                head = file.read(20)
            if head[:4] == b"\\x7fELF":
                found[struct.unpack("<H", head[18:20])[0]] += 1
print(dict(found))
"""
CONTAINED = (
    "--rm",
    "--platform",
    "linux/arm64",
    "--read-only",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
)
NO_PROCESSORS = ("--tmpfs", "/sys/devices/system/cpu")
"""Under emulation it sees this machine's, in /proc and /sys: LiteRT takes them for arm64's and ends with a
segmentation fault. Where they are real nothing is to be hidden."""


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
    there = arm / "srv" / "there.jsonl"
    done = subprocess.run(
        [*into(arm), *PROGRAM, *DETECT, f"/srv/{there.name}", "--source", "/srv/pictures"],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S,
    )
    assert done.returncode == 0, done.stderr
    same(detected_here(pictures, tmp_path), found(there.read_text()))


@pytest.fixture
def docker() -> Iterator[Engine]:
    """An engine of this test's own: under the name of the Dockerfile's base there is an image of arm64 in it."""
    need_models()
    need_wheel()
    need_emulation()
    with engine(own=True) as found:
        have_arm64_base(found)
        yield found


@pytest.mark.timeout(2 * BUILT_WITHIN_S)
def test_the_agents_image_builds_for_arm64_and_detects_the_same(
    docker: Engine, pictures: Path, tmp_path: Path
) -> None:
    begun = time.monotonic()
    told = written(
        "docs/compose.md",
        "docker build --platform linux/arm64 --target agent --tag vedette-agent:arm64 --file deploy/compose/Dockerfile .",  # noqa: E501 - as the page has it
    )
    *build, file, _ = shlex.split(told)[1:]
    docker.run(*build, ROOT / file, ROOT, timeout_s=BUILT_WITHIN_S)
    image = docker.inspect("image", IMAGE)
    size_mb = image["Size"] / 1e6
    print(f"\nbuilt in {time.monotonic() - begun:.0f} s, {size_mb:.0f} MB")  # noqa: T201 - for `-s`
    assert (image["Os"], image["Architecture"], image["Config"]["User"]) == ("linux", "arm64", "10001:10001")
    assert size_mb <= MAX_IMAGE_MB
    inside = docker.run("run", *CONTAINED, "--entrypoint", "python", IMAGE, "-c", MACHINES, timeout_s=RUN_S)
    machines = ast.literal_eval(inside)
    assert set(machines) == {AARCH64}, "every program and library is of the one architecture"
    assert docker.run("run", *CONTAINED, IMAGE, "--version", timeout_s=RUN_S).split()[0] == "vedette"

    results = tmp_path / "results"
    results.mkdir()
    results.chmod(0o777)  # whoever the image's user is here
    pictures.chmod(0o755)
    mounts = ("--volume", f"{pictures}:/pictures:ro", "--volume", f"{results}:/results")
    command = (*DETECT, "/results/there.jsonl", "--source", "/pictures")
    docker.run("run", *CONTAINED, *NO_PROCESSORS, *mounts, IMAGE, *command, timeout_s=RUN_S)
    same(detected_here(pictures, tmp_path), found((results / "there.jsonl").read_text()))


def detected_here(pictures: Path, folder: Path) -> list[list[dict[str, Any]]]:
    here = folder / "here.jsonl"
    command = [sys.executable, "-m", "agent", *DETECT, str(here), "--source", str(pictures)]
    subprocess.run(command, check=True, timeout=RUN_S)
    return found(here.read_text())


def same(ours: list[list[dict[str, Any]]], theirs: list[list[dict[str, Any]]]) -> None:
    """What is sure on one side is on the other as well."""
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
