"""The `vedette` command: the service's own commands, and what only a workbench has."""

from __future__ import annotations

from cloud.cli import app
from workbench.demo.command import demo
from workbench.gain.command import gain_app
from workbench.replay.command import replay
from workbench.sim.command import sim

app.command()(demo)
app.command()(replay)
app.command()(sim)
app.add_typer(gain_app, name="gain")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
