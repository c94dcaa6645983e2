"""`vedette rollout …`: brings a published release to a group of devices, stage by stage.

Like enrolling, these commands work on the database; a running service takes them up within a second, and one that is
started later goes on with them.

| code | meaning |
|---|---|
| 0 | done; for `watch`: it finished, or was rolled back as wanted |
| 2 | wrong usage |
| 4 | there is no such rollout, or device |
| 8 | refused: another one is not over, or it is not where that can be done |
| 9 | for `watch`: it halted, or was aborted |
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.table import Table

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli import rollout_options as read
from cloud.cli.rollout_watching import followed, show_followed
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption, database_of, settings_of
from cloud.cli.telling import output, told
from cloud.config import Settings
from cloud.deployment import DEFAULT_GROUP, Phase, Policy, Wish
from cloud.errors import SettingsInvalid
from cloud.registry.service import Registry
from cloud.rollout.start import start as begin
from cloud.store.rollouts import Placement, RolloutStore, Standing
from cloud.web.rollouts import RolloutDetail, read_rollout
from wire.updates import Gates

STOPPED: Final = 9
_GATES: Final = Gates()

rollout_app: Final = typer.Typer(help="Bring a release to the fleet, stage by stage.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="The beginning of the rollout's id.")]


@rollout_app.command()
def start(
    model: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A published release; the latest one.")],
    *,
    group: Annotated[str, typer.Option(help="Whose devices.")] = DEFAULT_GROUP,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE: only devices that bear it; several.")] = None,
    stages: Annotated[str, typer.Option(help="Percent of the devices, counting up.")] = "1,10,50,100",
    canary: Annotated[list[str] | None, typer.Option(help="A device that comes first; several.")] = None,
    soak: Annotated[str, typer.Option(help="How long a passed stage stands before the next.")] = "60s",
    max_failure_share: Annotated[float, typer.Option(help="Above it, it halts.")] = 0.1,
    min_tried: Annotated[int, typer.Option(help="Devices tried before the share counts.")] = 2,
    max_in_flight: Annotated[int, typer.Option(help="Devices at work on it at once.")] = 1000,
    timeout: Annotated[str, typer.Option(help="A device without progress for that long has failed.")] = "1h",
    vanish: Annotated[str, typer.Option(help="A device that is gone for that long has failed.")] = "10m",
    max_accuracy_drop: Annotated[float, typer.Option(help="Of the audited accuracy, 0..1.")] = 0.05,
    window: Annotated[list[str] | None, typer.Option(help="mon-fri/01:00-04:00, device time; several.")] = None,
    jitter: Annotated[str, typer.Option(help="Devices begin at a random time within this.")] = "0s",
    shadow_frames: Annotated[int, typer.Option(help="Trial on live frames; 0: none.")] = _GATES.shadow_frames,
    shadow_cpu_share: Annotated[float, typer.Option(help="Of a core, for the trial.")] = _GATES.shadow_cpu_share,
    min_agreement: Annotated[float, typer.Option(help="With the present model, F1.")] = _GATES.min_agreement,
    min_detection_ratio: Annotated[float, typer.Option(help="Against before.")] = _GATES.min_detection_ratio,
    max_detection_ratio: Annotated[float, typer.Option(help="Against before.")] = _GATES.max_detection_ratio,
    max_load_s: Annotated[float, typer.Option(help="To the first answer.")] = _GATES.max_load_s,
    max_latency_ratio: Annotated[float, typer.Option(help="Against before.")] = _GATES.max_latency_ratio,
    max_memory_mib: Annotated[float, typer.Option(help="Of the proving process.")] = _GATES.max_memory_mib,
    ask_disagreements: Annotated[
        int, typer.Option(help="Questions to the cloud in a device's trial, on what the two models disagree about.")
    ] = _GATES.ask_disagreements,
    probation_frames: Annotated[int, typer.Option(help="Before it is committed.")] = _GATES.probation_frames,
    probation: Annotated[str, typer.Option(help="Before it is committed.")] = f"{_GATES.probation_s:g}s",
    max_error_share: Annotated[float, typer.Option(help="Of frames, in probation.")] = _GATES.max_error_share,
    audit_factor: Annotated[float, typer.Option(help="Audits in probation, against else.")] = _GATES.audit_factor,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a rollout of a published release."""
    with told():
        gates = {
            "shadow_frames": shadow_frames,
            "shadow_cpu_share": shadow_cpu_share,
            "min_agreement": min_agreement,
            "min_detection_ratio": min_detection_ratio,
            "max_detection_ratio": max_detection_ratio,
            "max_load_s": max_load_s,
            "max_latency_ratio": max_latency_ratio,
            "max_memory_mib": max_memory_mib,
            "ask_disagreements": ask_disagreements,
            "probation_frames": probation_frames,
            "probation_s": read.seconds(probation, "--probation"),
            "max_error_share": max_error_share,
            "max_accuracy_drop": max_accuracy_drop,
            "audit_factor": audit_factor,
        }
        policy = _policy(
            {
                "stages": read.stages(stages),
                "canaries": tuple(canary or ()),
                "labels": read.labels(label or ()),
                "soak_s": read.seconds(soak, "--soak"),
                "max_failure_share": max_failure_share,
                "min_tried": min_tried,
                "max_in_flight": max_in_flight,
                "timeout_s": read.seconds(timeout, "--timeout"),
                "vanish_s": read.seconds(vanish, "--vanish"),
                "max_accuracy_drop": max_accuracy_drop,
                "gates": gates,
                "windows": tuple(read.window(one) for one in window or ()),
                "jitter_s": read.seconds(jitter, "--jitter"),
            }
        )
        rollout = asyncio.run(_start(settings_of(config, data_dir), model, read.group(group), policy))
        if as_json:
            typer.echo(rollout.model_dump_json())
            return
        _tell_started(rollout)


@rollout_app.command()
def watch(
    rollout: Annotated[str, typer.Argument(metavar="[ID]", help="The beginning of its id; else the latest.")] = "",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a rollout until it is over or halts; with --json one line for each change."""
    with told():
        last = asyncio.run(_watch(settings_of(config, data_dir), rollout, as_json=as_json))
    if last.phase in {Phase.HALTED, Phase.ABORTED}:
        raise typer.Exit(STOPPED)


@rollout_app.command("list")
def list_(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every rollout, the latest first."""
    with told():
        views = asyncio.run(_list(settings_of(config, data_dir)))
        if as_json:
            typer.echo(json.dumps([view.model_dump(mode="json") for view in views]))
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("rollout", "group", "release", "phase", "devices", "since", ""):
            table.add_column(heading, overflow="fold")
        for view in views:
            table.add_row(
                view.id[:8],
                view.group,
                f"{view.target.name} {view.target.version}",
                str(view.phase),
                f"{view.counts.committed} of {view.counts.eligible}",
                f"{view.created_at:%Y-%m-%d %H:%M}",
                view.reason,
            )
        output.print(table if views else "No rollout yet: vedette rollout start NAME")


@rollout_app.command()
def pause(rollout: IdArgument, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Tell nobody new, and hold back who has not switched yet."""
    _want(rollout, Wish.PAUSE, config, data_dir)


@rollout_app.command()
def resume(rollout: IdArgument, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Go on; after a halt, the failures so far don't count any more."""
    _want(rollout, Wish.RESUME, config, data_dir)


@rollout_app.command()
def abort(rollout: IdArgument, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """End it: who has switched stays so, who has not doesn't."""
    _want(rollout, Wish.ABORT, config, data_dir)


@rollout_app.command()
def rollback(rollout: IdArgument, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Return every device that it touched to what the group ran before."""
    _want(rollout, Wish.ROLLBACK, config, data_dir)


@rollout_app.command()
def place(
    device: Annotated[str, typer.Argument(help="The device's id.")],
    group: Annotated[str | None, typer.Option(help="The group that it belongs to.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, or KEY= to take it away; several.")] = None,
    pin: Annotated[bool | None, typer.Option("--pin/--unpin", help="Rollouts leave a pinned device alone.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a device belongs, or show it."""
    with told():
        given = read.labels(label or ())
        wanted = _policy({"labels": {key: value for key, value in given.items() if value}})
        if group is not None:
            read.group(group)
        labels = {key: wanted.labels.get(key) for key in given}
        change: dict[str, object] = {"group_name": group, "pinned": pin}
        placement = asyncio.run(
            _place(
                settings_of(config, data_dir),
                device,
                {key: value for key, value in change.items() if value is not None},
                labels,
            )
        )
        if as_json:
            shown = {
                "device": device,
                "group": placement.group,
                "labels": placement.labels,
                "pinned": placement.pinned,
            }
            typer.echo(json.dumps(shown))
            return
        named = "".join(f", {key}={value}" for key, value in (placement.labels or {}).items())
        output.print(f"{device}: group {placement.group}{named}{', pinned' if placement.pinned else ''}")


def _policy(values: dict[str, object]) -> Policy:
    try:
        return Policy.model_validate(values)
    except ValidationError as refused:
        first = refused.errors(include_url=False)[0]
        option = "-".join(str(step) for step in first["loc"] if isinstance(step, str)).replace("_", "-")
        why = first["msg"].removeprefix("Value error, ")
        raise SettingsInvalid(f"{option or 'stages'}: {why}", "See --help.") from None


def _want(rollout: str, wish: Wish, config: Path | None, data_dir: Path | None) -> None:
    with told():
        if not rollout:
            raise SettingsInvalid("no rollout is named", "`vedette rollout list` shows their ids.")
        before, wanted = asyncio.run(_wanted(settings_of(config, data_dir), rollout, wish))
        name = f"Rollout {wanted.rollout.id[:8]}"
        if wanted.wish is None:
            output.print(f"{name} stays {wanted.rollout.phase}: nothing has come of the {before} yet.")
        else:
            output.print(f"{name} will {wish} as soon as the service sees it, within a second if it runs.")


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[RolloutStore]:
    async with database_of(settings) as database:
        yield RolloutStore(database)


async def _start(settings: Settings, model: str, group: str, policy: Policy) -> RolloutDetail:
    clock = SystemClock()
    registry = Registry(DataDir(settings.data_dir).registry, clock)
    async with _store(settings) as store:
        rollout = await begin(store=store, signer=registry, clock=clock, model=model, group=group, policy=policy)
        return await read_rollout(store, rollout.id, clock)


async def _list(settings: Settings) -> list[RolloutDetail]:
    clock = SystemClock()
    async with _store(settings) as store:
        return [await read_rollout(store, rollout.id, clock) for rollout in await store.all()]


async def _wanted(settings: Settings, rollout: str, wish: Wish) -> tuple[Wish | None, Standing]:
    """What was wanted of it before, and is now."""
    async with _store(settings) as store:
        found = await store.find(rollout)
        return await store.wish(found.id), await store.want(found.id, wish)


async def _place(
    settings: Settings, device: str, change: dict[str, object], labels: dict[str, str | None]
) -> Placement:
    async with _store(settings) as store:
        return await store.place(device, change, labels)


async def _watch(settings: Settings, rollout: str, *, as_json: bool) -> RolloutDetail:
    async with _store(settings) as store:
        return await show_followed(followed(store, rollout, SystemClock()), as_json=as_json)


def _tell_started(rollout: RolloutDetail) -> None:
    target, policy = rollout.target, rollout.policy
    shares = " → ".join(f"{share:g} %" for share in policy.stages)
    output.print(
        f"Rollout {rollout.id[:8]}: {target.name} {target.version} to {rollout.counts.eligible} devices, {shares}"
    )
    back = rollout.back_to
    output.print(
        "It can't be rolled back: no signed release is known that they ran before."
        if back is None
        else f"A rollback would return them to {back.name} {back.version}."
    )
    output.print(f"Follow it: vedette rollout watch {rollout.id[:8]}")
