"""Forks a process for each line on stdin, so that only one act on a registry is traced, injected into or killed.

A line is `HOME ACT`: the child says its process id, waits for a byte in the pipe HOME/go, and does ACT in the shop
that lies there. It exits with 0, or, having written the name of a refusal of ours that says a mend to HOME/said, with
3; anything else is a fault. Its wait status is said last.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from pathlib import Path
from unittest.mock import patch

from cloud.adapters.clock import SystemClock
from cloud.registry import staging
from cloud.registry.ceremony import rotate
from cloud.registry.evaluation.building import Sources
from cloud.registry.evaluation.shelf import EvaluationSets
from cloud.registry.keys import KeyFolder
from cloud.registry.layout import RegistryFolder
from cloud.registry.service import Registry
from cloud.registry.signing import sign_release
from vision.manifest import load_manifest
from wire.errors import VedetteError
from wire.updates import ModelRef

REFUSED = 3
ROTATED = ("timestamp", "targets")


def act(home: Path, name: str) -> None:
    folder = RegistryFolder(home / "registry")
    registry = Registry(folder.root, SystemClock())
    if name == "import":
        # The trial is a process of its own that writes nothing; without it a case takes a tenth of the time.
        with patch.object(staging, "try_model", lambda scratch, **_: load_manifest(scratch / "manifest.json")):
            staging.stage(folder, str(home / "made"), staging.Overrides())
    elif name == "sign":
        sign_release(folder, [KeyFolder(home / "keys")], "tiny", "2", SystemClock().wall())
    elif name == "publish":
        registry.publish("tiny", "2")
    elif name == "evalset":
        sources = Sources(home / "set" / "pictures", home / "set" / "labels.json")
        EvaluationSets(folder).add("yard", sources, lambda done, of: None)
    elif name in ROTATED:
        rotate(folder, [KeyFolder(home / "keys")], name, SystemClock().wall())
    else:
        ref = ModelRef.model_validate_json((home / "ref.json").read_bytes())
        registry.set_group("default", [ref], {"tiny": 1})


def child(home: Path, name: str) -> int:
    try:
        act(home, name)
    except VedetteError as refused:
        (home / "said").write_text(refused.name if refused.mend else f"{refused.name} without a mend")
        return REFUSED
    except BaseException:  # noqa: BLE001 - what it is, is told; the test fails for it
        (home / "said").write_text(traceback.format_exc())
        return 1
    return 0


def main() -> None:
    for line in sys.stdin:
        home, name = line.split()
        go = os.open(Path(home) / "go", os.O_RDWR)
        pid = os.fork()
        if pid == 0:
            status = 1
            # Not a call that is counted: whether strace sees the one during which it attached is chance.
            select.select([go], [], [])
            try:
                status = child(Path(home), name)
            finally:
                os._exit(status)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitpid(pid, 0)[1]}\n")
        sys.stdout.flush()
        os.close(go)


if __name__ == "__main__":
    main()
