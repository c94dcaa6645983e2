"""What holds for every test: the same examples each time, and no time lost to the collector of garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A run says of the code, not of its luck or of a busy machine; `--hypothesis-profile=default` looks for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

TESTS = Path(__file__).parent
LONGEST = (
    "system/test_systemd.py",
    "system/test_documents.py",
    "system/test_rollout.py",
    "system/test_demo.py",
    "system/test_sim.py",
    "system/test_identity.py",
    "system/test_audit.py",
    "system/test_mosquitto.py",
    "system/test_broker_units.py",
    "system/test_home_assistant.py",
    "system/test_objective.py",
    "system/test_outage.py",
    # Beside them, in a process of its own, what only computes.
    "system/test_arm64.py",
    "agent/update/prover/test_hostile_models.py",
    "system/test_package.py",
    "system/test_accuracy.py",
    "agent/update/worker/test_crashes.py",
    "cloud/registry/test_evaluating.py",
    "vision/test_golden.py",
)
"""Half a minute and more; what takes minutes is not to be what one of two workers begins last."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests live to the end of the run: looking through them again and again took a quarter of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; what `make system` gives to its two workers is a file."""
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(LONGEST)))
