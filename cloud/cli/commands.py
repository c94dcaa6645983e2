"""All commands of the service, by name; each is imported when it is typed."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Final

import typer

from cloud.cli.later import add_later

SERVICE: Final = "The service"
FLEET: Final = "The fleet"
MODELS: Final = "Models"

app: Final = typer.Typer(
    name="vedette",
    help="Edge-to-cloud hybrid inference: the service, and its fleet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

COMMANDS: Final = (
    (
        SERVICE,
        "serve",
        "cloud.cli.serve:serve",
        "Run the cloud service on this machine: broker, ingest, answers, dashboard. Ctrl-C stops it.",
    ),
    (SERVICE, "operator", "cloud.cli.operator:operator_app", "The people who may log in to the dashboard."),
    (SERVICE, "push", "cloud.cli.push:push_app", "Alerts to webhooks, ntfy and the like: list, test."),
    (SERVICE, "broker", "cloud.cli.broker:broker_app", "A broker that is run elsewhere."),
    (
        SERVICE,
        "authority",
        "cloud.cli.authority:authority_app",
        "The authority that certifies devices, and replacing it.",
    ),
    (FLEET, "devices", "cloud.cli.devices:devices", "The fleet: who is there, with which model and cameras."),
    (FLEET, "device", "cloud.cli.devices:device_app", "One device: show, enroll, revoke."),
    (
        FLEET,
        "command",
        "cloud.cli.command:command",
        "Ask something of devices: ping, snapshot, capture-clip, update-model, mute … `command list` shows what was.",
    ),
    (
        FLEET,
        "audit",
        "cloud.cli.audit:audit",
        "How good the devices are, from frames that they drew at random: recall and precision with 95 % intervals.",
    ),
    (
        FLEET,
        "cost",
        "cloud.cli.cost:cost",
        "What the fleet sent and why, against streaming everything; with a price, what that costs.",
    ),
    (FLEET, "export", "cloud.cli.export:export_app", "What devices sent, for other programs: coco."),
    (
        MODELS,
        "model",
        "cloud.cli.model:model_app",
        "Models: import, evaluate, sign, publish, list, show; and their keys.",
    ),
    (MODELS, "rollout", "cloud.cli.rollout:rollout_app", "Bring a release to the fleet, stage by stage."),
)

for command in COMMANDS:
    add_later(app, *command)


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        typer.echo(f"vedette {version('vedette')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Edge-to-cloud hybrid inference: the service, and its fleet."""
