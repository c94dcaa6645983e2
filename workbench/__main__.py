"""The `vedette` command: the service's own commands, and what only a workbench has."""

from __future__ import annotations

from cloud.cli import app
from workbench.demo.command import demo
from workbench.sim.command import sim

app.command()(demo)
app.command()(sim)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
