"""`vedette rollout watch`: a rollout as it goes on, until it is over or halts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from cloud.cli.telling import output
from cloud.deployment import Fate, Phase, Wish
from cloud.ports import Clock
from cloud.store.rollouts import RolloutStore
from cloud.web.rollouts import RolloutDetail, read_rollout

LOOK_EVERY_S: Final = 0.5
_FAILURES_SHOWN: Final = 12
_BAR: Final = 40
_OVER: Final = frozenset({Phase.FINISHED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.HALTED})
_BACK: Final = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class Watched:
    """A rollout as it stands, and what a person wants of it that the service has not seen yet."""

    view: RolloutDetail
    wish: Wish | None


async def followed(store: RolloutStore, rollout: str, clock: Clock) -> AsyncIterator[Watched]:
    """The rollout, twice a second, until it is over or halts, and nothing else is wanted of it.

    Args:
        store: Where it stands.
        rollout: The beginning of its id; empty for the latest.
        clock: To wait by.

    Raises:
        NotFound: There is none, or several.
    """
    while True:
        # The wish first: one that is granted in between shows in the phase.
        wish = await store.wish(rollout)
        view = await read_rollout(store, rollout, clock)
        yield Watched(view, wish)
        if view.phase in _OVER and wish is None:
            return
        rollout = view.id
        await clock.sleep(LOOK_EVERY_S)


async def show_followed(watching: AsyncIterator[Watched], *, as_json: bool) -> RolloutDetail:
    """Show it as it goes on; with `as_json` one line for each change. The last of it."""
    watched = await anext(watching)
    with Live(console=output, auto_refresh=False, transient=False) as live:
        _show(live, watched, None, as_json=as_json)
        async for following in watching:
            _show(live, following, watched, as_json=as_json)
            watched = following
    if not as_json and not output.is_terminal:
        output.print()
    return watched.view


def _show(live: Live, watched: Watched, before: Watched | None, *, as_json: bool) -> None:
    if not as_json:
        live.update(_progress(watched), refresh=True)
    elif before is None or before.view != watched.view:
        typer.echo(watched.view.model_dump_json())


def _progress(watched: Watched) -> Group:
    view = watched.view
    counts, stages = view.counts, view.policy.stages
    head = Text(f"{view.target.name} {view.target.version} → {view.group}   {view.phase}", style="bold")
    stage = Text(f"stage {view.stage + 1} of {len(stages)} ({stages[view.stage]:g} %, {view.stage_devices} devices)")
    # A bar alone does not end its line.
    bar = Padding(ProgressBar(total=max(1, counts.eligible), completed=counts.committed, width=_BAR), 0)
    done = "returned" if view.phase in _BACK else "run it"
    sums = Text(
        f"{counts.committed} of {counts.eligible} {done}, {counts.pending} at work, {counts.failed} failed,"
        f" {counts.away} away" + (f", {counts.excused} excused" if counts.excused else "")
    )
    states = Text("   ".join(f"{state} {count}" for state, count in view.states.items()), style="dim")
    failures = [
        Text(f"✗ {device.device}: {device.reason}", style="red")
        for device in view.devices
        if device.fate is Fate.FAILED
    ]
    parts: list[RenderableType] = [head, stage, bar, sums, states, *failures[:_FAILURES_SHOWN]]
    if len(failures) > _FAILURES_SHOWN:
        parts.append(Text(f"and {counts.failed + counts.excused - _FAILURES_SHOWN} more", style="red"))
    if view.reason:
        parts.append(Text(view.reason, style="yellow"))
    if watched.wish is not None:
        parts.append(Text(f"it shall {watched.wish}, which the service has not seen yet", style="yellow"))
    return Group(*parts)
