"""Commands of the documents that `tests/system/test_documents.py` does not type: another test does, or none can here.

All others it types as they stand. So a command that is new is typed, or named in one of these two tables.
"""

from __future__ import annotations

from typing import Final

from tests.docs.prose import ROOT, commands_under

BROKER_UNITS: Final = (
    "tests/system/test_broker_units.py::test_mosquitto_runs_as_the_documents_say_and_reads_its_lists_again_by_itself"
)
CONFORMANCE: Final = (
    './env/bin/pytest tuf_conformance --entrypoint "/path/to/vedette/.venv/bin/python'
    ' /path/to/vedette/tests/conformance/client.py"'
)
ARM64_IMAGE: Final = (
    "docker build --platform linux/arm64 --target agent --tag vedette-agent:arm64 --file deploy/compose/Dockerfile ."
)
ELSEWHERE: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    ".ci/run": {"README.md": ("make test",), "docs/development.md": ("make check",)},
    "tests/system/test_demo.py::test_what_the_readme_says_first": {"README.md": ("make demo",)},
    "tests/system/test_sim.py::test_all_that_was_raised_is_stored_once_and_liars_harm_nobody": {
        "docs/simulating.md": ("vedette sim --devices 100 --mix all",)
    },
    "tests/system/test_sim.py::test_ctrl_c_ends_all_that_was_started_and_keeps_what_was_raised": {
        "docs/simulating.md": (
            "vedette sim --devices 1000",
            "vedette sim --devices 50 --duration 0 --http-port 8080",
            "vedette sim --devices 1000 --no-rollout --commands 0 --alerts-per-minute 10",
        )
    },
    "tests/system/test_sim.py::test_a_service_elsewhere_is_used_with_what_its_operator_printed": {
        "docs/simulating.md": ("# Against a service that runs elsewhere",)
    },
    BROKER_UNITS: {"docs/brokers.md": ("# mosquitto",)},
    "tests/system/systemd_device.py::install": {
        "docs/install-systemd.md": ("sudo apt install ./vedette-agent_0.1.0_arm64.deb",)
    },
    "tests/system/systemd_device.py::take_in": {"docs/install-systemd.md": ("# With a token",)},
    "tests/system/test_systemd.py::test_a_certificate_instead_of_a_token": {
        "docs/install-systemd.md": ("# With a certificate",)
    },
    "tests/system/test_systemd.py::test_a_camera_of_the_machine_may_be_opened": {
        "docs/install-systemd.md": ("# Cameras and accelerators",)
    },
    "tests/system/test_systemd.py::test_removed_and_installed_by_hand_and_purged": {
        "docs/install-systemd.md": ("# Without the package",)
    },
    "tests/system/test_compose.py::test_one_rollout_over_all_of_it": {"docs/compose.md": ("# A rollout",)},
    "tests/system/test_compose.py::fleet": {
        "docs/compose.md": (
            "docker compose --profile chaos up --detach --scale agent=3 --scale far-agent=4",
            "docker compose run --rm operator devices",
            "docker compose down --volumes",
        ),
    },
    "tests/system/test_compose.py::watched": {"docs/compose.md": ("docker compose up --detach --wait prometheus",)},
    "tests/system/test_compose.py::test_simulated_devices_get_certificates_and_their_alerts_arrive": {
        "docs/compose.md": ("SIM_DEVICES=1000 docker compose up --detach --wait simulated",)
    },
    "tests/system/test_arm64.py::test_the_agents_image_builds_for_arm64_and_detects_the_same": {
        "docs/compose.md": (ARM64_IMAGE,)
    },
    "tests/deploy/test_make_fleet.py::test_it_ends_with_where_to_look_and_how_to_stop": {
        "docs/compose.md": ("make fleet",)
    },
}
"""Who types it: a test, or what runs in CI. It quotes the command, or the heading (`# …`) whose commands it types."""

NOT_HERE: Final[dict[str, dict[str, str]]] = {
    "docs/development.md": {
        "make setup": "it makes what the tests run in; `make test`, which CI runs, needs the same",
        "make fast": "it is the first half of `make test`, which runs this",
    },
    "docs/compose.md": {
        "cd deploy/compose": "the test is everywhere at home: it names the file",
        "docker compose up --detach --wait --scale agent=15": "fifteen agents are too many for two cores",
    },
    "docs/tuf-conformance.md": {
        CONFORMANCE: "the suite is not on PyPI, and takes a clone of its repository",
    },
}
"""Why nobody types it."""


def typed_elsewhere() -> set[tuple[str, str]]:
    """Document and command of either table."""
    told = [(document, one) for typed in ELSEWHERE.values() for document, found in typed.items() for one in found]
    return {
        *((document, command) for document, one in told for command in _meant(document, one)),
        *((document, command) for document, reasons in NOT_HERE.items() for command in reasons),
    }


def _meant(document: str, one: str) -> list[str]:
    return commands_under(ROOT / document, one[2:]) if one.startswith("# ") else [one]
