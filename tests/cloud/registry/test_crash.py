"""A process that dies, or whose disk refuses, at any system call of a change leaves a repository that devices accept.

The repository here has four bins instead of 128: each further one is the same calls over again. The trial of a model
is left out of `import`: it is a process of its own that writes nothing. Everything else is as the program does it,
and every call of it on a file of the registry or the keys is a case.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.registry import ceremony
from cloud.registry.evaluation.shelf import EvaluationSets
from cloud.registry.service import Registry
from tests.cloud.registry.crash_server import REFUSED, ROTATED, act
from tests.cloud.registry.labelled import write_coco
from tests.cloud.registry.samples import Device, FolderFetcher, open_shop, reopen_shop
from tests.cloud.registry.test_evaluating import tiny
from tests.fork_server import ForkServer

WRITING = frozenset(
    "write fsync rename link unlink unlinkat mkdir rmdir chmod sendfile copy_file_range".split()  # noqa: SIM905 - legible
)
READING = frozenset(["openat", "read", "newfstatat", "getdents64", "flock"])
CALLS = ",".join(sorted(WRITING | READING))
FULL = frozenset(["openat", "write", "fsync", "rename", "link", "mkdir", "sendfile", "copy_file_range"])
"""What a full disk refuses."""
KILL = "signal=KILL"
CHANGES = ("import", "sign", "publish", "group", "evalset")
READS_EACH = 3
"""Of the calls that only read, every third is made to fail: the same few are made for each file of metadata."""

NAMED = frozenset(
    [
        "RegistryUnwritable", "RegistryBroken", "KeyUnusable", "SourceRefused", "ManifestInvalid", "ModelMissing",
        "ModelUnreadable", "LabelsUnreadable", "PictureAbsent", "PictureTorn",
    ]
)  # fmt: skip
"""What a refusal may be called, each with a mend."""

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """In memory where there is a folder for that: the same calls, without a disk behind them."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def befores(memory: Path) -> dict[str, Path]:
    """The shop as it is before each act."""
    home = memory / "shop"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ceremony, "BIN_BITS", 2)
        shop = open_shop(home)
    ref = shop.release("tiny", "1")
    shop.registry.set_group("default", [ref])
    (home / "ref.json").write_text(ref.model_dump_json())
    tiny(home / "made", version="2")
    kept: dict[str, Path] = {}

    def keep(*names: str) -> None:
        for name in names:
            kept[name] = shutil.copytree(home, memory / f"before-{name}")

    write_coco(home / "set")
    keep("import", "group", "evalset", *ROTATED)
    act(home, "import")
    keep("sign")
    shop.sign("tiny", "2")
    keep("publish")
    return kept


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer("tests.cloud.registry.crash_server") as running:
        yield running


def fresh(before: Path, home: Path) -> Path:
    shutil.rmtree(home, ignore_errors=True)
    return shutil.copytree(before, home)


def cases(points: list[tuple[str, int, str]], injection: str) -> list[tuple[str, int]]:
    """Where it makes a difference: dying matters before what changes the disk, and only that can find it full."""
    changing = [(call, number) for call, number, line in points if call in WRITING or "O_CREAT" in line]
    if injection == KILL:
        return changing
    if injection == "error=ENOSPC":
        return [(call, number) for call, number in changing if call in FULL]
    # That of an open file, which Python asks for a good block size, is done without.
    telling = [(call, number) for call, number, line in points if "AT_EMPTY_PATH" not in line]
    reading = [point for point in telling if point not in set(changing)]
    return changing + reading[::READS_EACH]


@pytest.mark.parametrize(
    ("name", "injection"),
    [*itertools.product(CHANGES, (KILL, "error=ENOSPC", "error=EIO")), *itertools.product(ROTATED, (KILL,))],
)
def test_every_file_system_call_of_a_change(
    server: ForkServer, befores: dict[str, Path], memory: Path, name: str, injection: str, capsys
) -> None:
    home, before = memory / "run", befores[name]
    looked_at = [home / folder for folder in ("registry", "keys", "made", "set")]
    points = cases(server.points(fresh(before, home), name, CALLS, looked_at, memory / "trace"), injection)
    ends: Counter[str] = Counter()
    broken: list[str] = []
    for call, number in points:
        status = server.inject(fresh(before, home), name, call, number, injection)
        said = (home / "said").read_text() if (home / "said").exists() else "done"
        ends["killed" if injection == KILL else said.splitlines()[-1]] += 1
        try:
            _check_end(injection, status, said)
            _check_world(home, name, recovered=False)
            act(home, name)
            _check_world(home, name, recovered=True)
        except Exception as wrong:  # noqa: BLE001 - every case is looked at, and each that is broken named
            broken.append(f"{call} #{number}: {type(wrong).__name__}: {wrong}")
    with capsys.disabled():
        sys.stdout.write(f"\n{name}, {injection} at {len(points)} system calls: {dict(ends)}, {len(broken)} broken\n")
    assert len(points) >= 10
    assert not broken, "\n".join(broken)


def _check_end(injection: str, status: int, said: str) -> None:
    if injection == KILL:
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return
    assert os.waitstatus_to_exitcode(status) in (0, REFUSED), said
    assert said in NAMED | {"done"}, said


def _check_world(home: Path, name: str, *, recovered: bool) -> None:
    """A new device takes the repository; while a new root waits for its timestamp it has to come again."""
    shop = reopen_shop(home)
    waiting = (shop.folder.root / "committing").exists()
    if name in ROTATED and waiting and not recovered and (shop.folder.metadata / "2.root.json").exists():
        return
    if recovered and name in ("import", "sign"):
        if name == "import":
            shop.sign("tiny", "2")
        Registry(shop.folder.root, shop.clock).publish("tiny", "2")
    first_root = (shop.folder.metadata / "1.root.json").read_bytes()
    device = Device(home / f"device-{recovered}", "", first_root, FolderFetcher(shop.folder))
    sequence = device.group()["sequence"]
    assert sequence == 2 if name == "group" and recovered else sequence in (1, 2)
    assert device.fetch("models/tiny/1/model.tflite") == b"a model"
    if recovered and name in ("import", "sign", "publish"):
        assert device.fetch("models/tiny/2/model.tflite") == (home / "made" / "model.tflite").read_bytes()
    if recovered and name == "evalset":
        assert len(EvaluationSets(shop.folder).get("yard").pictures) == 3
    if recovered:
        left = [
            file.name for file in shop.folder.root.rglob("*") if file.name.startswith((".", "pending", "committ"))
        ]
        assert left == []
