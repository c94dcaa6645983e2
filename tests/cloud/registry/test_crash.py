"""A process that dies at any step of a change leaves a repository that devices accept, before and after."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.registry.service import Registry
from tests.cloud.registry.samples import Device, FolderFetcher, Shop
from wire.updates import ModelRef

# Dies by itself at the n-th file system call that changes something, as far as Python tells of them.
VICTIM = """
import os, sys
from pathlib import Path
from cloud.adapters.clock import SystemClock
from cloud.registry.ceremony import rotate
from cloud.registry.keys import KeyFolder
from cloud.registry.service import Registry
from wire.updates import ModelRef

act, original, copies = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
ref = ModelRef.model_validate_json(sys.argv[4])

def die_at(step):
    left = step
    def hook(event, arguments):
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
            left -= 1
            if left == 0:
                os._exit(9)
    sys.addaudithook(hook)

def change(home):
    registry = Registry(home / "registry", SystemClock())
    if act == "publish":
        registry.publish("tiny", "2")
    elif act == "group":
        registry.set_group("default", [ref], {"tiny": 1})
    else:
        rotate(registry.folder, [KeyFolder(home / "keys")], act, SystemClock().wall())

import shutil
for step in range(1, 200):
    home = copies / str(step)
    shutil.copytree(original, home)
    child = os.fork()
    if child == 0:
        die_at(step)
        change(home)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
else:
    sys.exit("it never came to an end")
"""


@pytest.mark.system
@pytest.mark.parametrize("act", ["publish", "group", "timestamp", "targets"])
def test_death_at_any_step_leaves_a_valid_repository(shop: Shop, tmp_path: Path, act: str) -> None:
    ref = shop.release("tiny", "1")
    shop.registry.set_group("default", [ref])
    shop.stage("tiny", "2")
    shop.sign("tiny", "2")
    original, copies = tmp_path / "original", tmp_path / "copies"
    original.mkdir()
    for name in ("registry", "keys"):
        shutil.copytree(tmp_path / name, original / name)
    arguments = [act, str(original), str(copies), ref.model_dump_json()]
    subprocess.run([sys.executable, "-c", VICTIM, *arguments], check=True, timeout=60)
    homes = sorted(copies.iterdir(), key=lambda home: int(home.name))
    assert len(homes) > 8
    for home in homes:
        _check(shop, home, ref, recovered=False, act=act)
        Registry(home / "registry", shop.clock).renew()
        _check(shop, home, ref, recovered=True, act=act)
        assert not {"pending", "committing"} & {file.name for file in (home / "registry").iterdir()}
    print(f"{act}: died at {len(homes) - 1} steps")  # noqa: T201 - the figure that is to be shown


def _check(shop: Shop, home: Path, ref: ModelRef, *, recovered: bool, act: str) -> None:
    """A new device takes the repository; while a new root waits for its timestamp it has to come again."""
    registry = Registry(home / "registry", shop.clock)
    newest = registry.folder.metadata / "2.root.json"
    if (
        act in ("timestamp", "targets")
        and not recovered
        and newest.exists()
        and (home / "registry" / "committing").exists()
    ):
        return
    device = Device(home / f"device-{recovered}", "", shop.root, FolderFetcher(registry.folder))
    assert device.group()["sequence"] in ((1, 2) if act == "group" else (1,))
    assert device.fetch("models/tiny/1/model.tflite") == b"a model"
    published = {each.ref.version for each in registry.releases() if each.published}
    assert published == {"1", "2"} if act == "publish" and "2" in published else published == {ref.version}
