"""The evaluation data, which is no part of the project: what needs it is skipped where it is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vision.errors import ModelMissing
from vision.models import find_model

ROOT = Path(os.environ.get("VEDETTE_SHARED", Path(__file__).parents[3] / "shared" / "data"))


def shared(name: str) -> Path:
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"the evaluation file {name} is not there; VEDETTE_SHARED says where it would be")
    return path


def built(name: str) -> Path:
    try:
        return find_model(name)
    except ModelMissing as missing:
        pytest.skip(str(missing))
