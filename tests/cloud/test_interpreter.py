"""What Python is told for the service."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from cloud.adapters.interpreter import COLLECT_AFTER, settle


@pytest.fixture
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("as_before")
def test_what_is_loaded_is_not_looked_at_again() -> None:
    gc.collect()
    loaded = len(gc.get_objects())
    settle()
    assert gc.get_freeze_count() > loaded / 2
    assert len(gc.get_objects()) < loaded / 10
    assert gc.get_threshold() == COLLECT_AFTER
