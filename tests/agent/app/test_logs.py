from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import logging
from agent.app.logs import begin_logging
begin_logging("info", "{form}")
logging.getLogger("agent.part").error("two\\nlines")
logging.getLogger("agent.part").info("fine")
"""


def logged(path: Path, stream: str, form: str = "auto") -> list[str]:
    with path.open("wb") as file:
        found = os.fstat(file.fileno())
        stream = stream.format(dev=found.st_dev, ino=found.st_ino)
        subprocess.run(
            [sys.executable, "-c", SCRIPT.format(form=form)],
            stderr=file,
            check=True,
            env={**os.environ, "JOURNAL_STREAM": stream},
        )
    return path.read_text().splitlines()


def test_the_journal_gets_priorities_and_no_times(tmp_path: Path) -> None:
    assert logged(tmp_path / "log", "{dev}:{ino}") == ["<3>agent.part: two", "<3>lines", "<6>agent.part: fine"]


def test_another_stream_gets_times(tmp_path: Path) -> None:
    first, second, third = logged(tmp_path / "log", "{dev}:1", "text")
    assert first.endswith("ERROR   agent.part: two")
    assert second == "lines"
    assert third.split("Z ")[0].count(":") == 2


def test_what_nobody_reads_as_it_comes_is_json(tmp_path: Path) -> None:
    first, second = logged(tmp_path / "log", "{dev}:1")
    assert json.loads(first)["message"] == "two\nlines"
    assert json.loads(second)["level"] == "info"
