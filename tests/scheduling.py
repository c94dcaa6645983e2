"""What `make system` gives to its workers: whole files, and those that start a Docker engine as if they were one."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

ENGINE = frozenset({"tests/system/test_compose.py", "tests/system/test_arm64.py"})
"""Two engines on one machine would write each other's rules for the network."""


class ByFile(LoadFileScheduling):
    """Files in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "a Docker engine" if file in ENGINE else file
