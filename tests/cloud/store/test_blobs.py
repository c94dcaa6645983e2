"""Blobs and the end of a program that used them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from cloud.store.blobs import LocalBlobs

TIMES = 20
COMMAND = """
import asyncio, pathlib, sys
from cloud.store.blobs import LocalBlobs

async def once():
    blobs = LocalBlobs(pathlib.Path(sys.argv[1]))
    return len(await blobs.get("clips/gate/a.webm"))

assert asyncio.run(once()) == 300_000
"""


def test_a_command_that_ends_at_once_is_not_aborted(tmp_path: Path) -> None:
    """Called as coroutines of its own, the store aborted about every second such program at its end."""
    asyncio.run(LocalBlobs(tmp_path).put("clips/gate/a.webm", b"x" * 300_000))
    ended = [
        subprocess.run([sys.executable, "-c", COMMAND, str(tmp_path)], capture_output=True, check=False, timeout=120)
        for _ in range(TIMES)
    ]
    assert [(one.returncode, one.stderr) for one in ended] == [(0, b"")] * TIMES
