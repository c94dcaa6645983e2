"""Scratch folders: those of the dead are cleared away, those of the living are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloud.registry.errors import RegistryUnwritable
from cloud.registry.files import scratch_folder


def test_scratch_of_the_living_stays_while_others_come(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as mine:
        (mine / "half").write_bytes(b"half a model")
        with scratch_folder(tmp_path) as another:
            assert another != mine
        assert not another.exists()
        assert (mine / "half").read_bytes() == b"half a model"
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


def test_scratch_of_the_dead_goes(tmp_path: Path) -> None:
    left = tmp_path / ".scratch-dead"
    left.mkdir()
    (left / "half").write_bytes(b"half a model")
    with scratch_folder(tmp_path) as mine:
        assert not left.exists()
        assert mine.exists()


def test_what_was_renamed_stays(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as mine:
        mine.rename(tmp_path / "kept")
    with scratch_folder(tmp_path):
        assert (tmp_path / "kept").is_dir()


def test_folder_that_can_t_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RegistryUnwritable, match="file"), scratch_folder(tmp_path / "file" / "below"):
        os.abort()
