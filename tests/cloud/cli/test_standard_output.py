"""What becomes of a command whose output can't be written, as the shell that typed it sees it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.adapters.data_dir import DataDir
from cloud.cli.standard_output import UNWRITABLE
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)
FULL = Path("/dev/full")
BUFFER = 8192
DEVICES = 200
"""Their list does not fit into the buffer, which a shorter one leaves only with a flush."""

LONG = ("-m", "cloud", "devices")
SHORT = ("-m", "workbench", "device", "show", "cam-000", "--json")
HELP = ("-m", "workbench", "replay", "--help")
VERSION = ("-m", "cloud", "--version")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = DataDir(tmp_path_factory.mktemp("data"))
    data.make()

    async def enroll() -> None:
        async with open_database(data.database_url) as database:
            await DeviceStore(database).add_all({f"cam-{n:03}": f"{n:064}" for n in range(DEVICES)}, NOW)

    asyncio.run(enroll())
    return data.root


def typed(words: tuple[str, ...], output: int, unbuffered: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        stdout=output,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        text=True,
        timeout=120,
        check=False,
    )


def into_a_full_device(words: tuple[str, ...], unbuffered: str) -> subprocess.CompletedProcess[str]:
    with FULL.open("w") as full:
        return typed(words, full.fileno(), unbuffered)


def to_nobody(words: tuple[str, ...], unbuffered: str) -> subprocess.CompletedProcess[str]:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        return typed(words, gone.fileno(), unbuffered)


@pytest.mark.parametrize(("words", "unbuffered"), [(LONG, ""), ((*LONG, "--json"), ""), (SHORT, ""), (SHORT, "1")])
def test_a_full_device_is_told_once_and_has_an_exit_code_of_its_own(
    fleet: Path, words: tuple[str, ...], unbuffered: str
) -> None:
    done = into_a_full_device((*words, "--data-dir", str(fleet)), unbuffered)
    assert done.stderr.count("the standard output can't be written: No space left on device") == 1
    assert "Traceback" not in done.stderr
    assert done.returncode == UNWRITABLE


@pytest.mark.parametrize(("words", "unbuffered"), [(HELP, ""), (VERSION, "1")])
def test_what_is_said_before_a_command_is_chosen_is_held_to_the_same(words: tuple[str, ...], unbuffered: str) -> None:
    done = into_a_full_device(words, unbuffered)
    assert done.stderr.count("the standard output can't be written: No space left on device") == 1
    assert "Traceback" not in done.stderr
    assert done.returncode == UNWRITABLE


@pytest.mark.parametrize(("words", "unbuffered"), [(LONG, ""), (SHORT, "1")])
def test_a_reader_that_went_away_is_not_worth_a_word(fleet: Path, words: tuple[str, ...], unbuffered: str) -> None:
    done = to_nobody((*words, "--data-dir", str(fleet)), unbuffered)
    assert done.stderr == ""
    assert done.returncode == 1


def test_what_is_written_arrives_whole(fleet: Path) -> None:
    done = typed((*LONG, "--json", "--data-dir", str(fleet)), subprocess.PIPE, "")
    assert len(done.stdout) > BUFFER
    assert len(json.loads(done.stdout)) == DEVICES


def test_a_command_that_failed_before_it_printed_keeps_its_own_code(fleet: Path) -> None:
    words = ("-m", "cloud", "device", "show", "nobody", "--data-dir", str(fleet))
    assert into_a_full_device(words, "").returncode == 4
