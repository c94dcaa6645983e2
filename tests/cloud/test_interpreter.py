"""What Python is told for the service."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from cloud.adapters.interpreter import SWITCH_S, settle


@pytest.fixture
def as_before() -> Iterator[None]:
    interval = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval)
    gc.unfreeze()


@pytest.mark.usefixtures("as_before")
def test_what_is_loaded_is_not_looked_at_again_and_threads_have_short_turns() -> None:
    loaded = len(gc.get_objects())
    settle()
    assert gc.get_freeze_count() > loaded / 2
    assert len(gc.get_objects()) < loaded / 10
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
