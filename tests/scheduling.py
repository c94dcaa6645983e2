"""What `make system` gives to its workers, and in which order: whole files, the longest first."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

LONGEST = (
    "system/test_compose.py",
    "system/test_arm64.py",
    "system/test_systemd.py",
    "agent/update/prover/test_hostile_models.py",
    "system/test_documents.py",
    "system/test_rollout.py",
    "system/test_demo.py",
    "system/test_sim.py",
    "agent/update/worker/test_crashes.py",
    "system/test_audit.py",
    "system/test_identity.py",
    "system/test_package.py",
    "system/test_accuracy.py",
    "system/test_broker_units.py",
    "cloud/registry/test_evaluating.py",
    "system/test_mosquitto.py",
    "system/test_objective.py",
    "cloud/registry/test_crash.py",
    "cloud/test_end_to_end.py",
)
"""Half a minute and more; what takes seven is not to be what one of the workers begins last."""
DOCKER = frozenset({"tests/system/test_compose.py", "tests/system/test_arm64.py"})
"""They start an engine where none runs, and two at a time would write each other's rules for the network."""


class ByFile(LoadFileScheduling):
    """Files in the order in which they were collected; those that start a Docker engine are as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "docker" if file in DOCKER else file
