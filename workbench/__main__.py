"""The `vedette` command: the service's own commands, and what only a workbench has."""

from __future__ import annotations

from typing import Final

from cloud.cli import add_later, app
from cloud.cli.standard_output import run

WORKBENCH: Final = "Try and measure"

COMMANDS: Final = (
    (
        WORKBENCH,
        "demo",
        "workbench.demo.command:demo",
        "Everything on this machine, on real video: the service, agents, the dashboard. Ctrl-C stops it all.",
    ),
    (
        WORKBENCH,
        "replay",
        "workbench.replay.command:replay",
        "The whole hybrid on a clip, offline: what a policy would cost, and what it would catch.",
    ),
    (
        WORKBENCH,
        "sim",
        "workbench.sim.command:sim",
        "A simulated fleet that speaks the real protocol to a service started for it, or to one that runs.",
    ),
    (
        WORKBENCH,
        "gain",
        "workbench.gain.command:gain_app",
        "What devices rank questions by: learn it from recorded answers.",
    ),
)

for command in COMMANDS:
    add_later(app, *command)


def main() -> None:
    """Run the command line."""
    run(app)


if __name__ == "__main__":
    main()
