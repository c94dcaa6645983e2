"""The simulation's terminal: bars and figures that move, for a person; nothing but the end for a program."""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from workbench.sim.figures import Figures

BAR: Final = 32


class Screen:
    """Draws the figures in place."""

    def __init__(self, console: Console, commands: int, *, rollout: bool) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._commands = commands
        self._rollout = rollout

    def say(self, line: str) -> None:
        """A line above the figures."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def begin(self) -> None:
        """Start drawing."""
        if self._console.is_terminal:
            self._live.start()

    def show(self, figures: Figures, waiting: int, elapsed_s: float) -> None:
        """Draw.

        Args:
            figures: As they stand.
            waiting: Messages that the cloud has not acked.
            elapsed_s: Since the command began.
        """
        if self._console.is_terminal:
            self._live.update(self._drawn(figures, waiting, elapsed_s), refresh=True)

    def end(self) -> None:
        """Leave the last figures where they are."""
        if self._console.is_terminal:
            self._live.stop()

    def _drawn(self, figures: Figures, waiting: int, elapsed_s: float) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="dim", justify="right", min_width=10)
        table.add_column()
        table.add_row("dashboard", Text(figures.dashboard))
        table.add_row("now", Text(f"{figures.phase}, {elapsed_s:.0f} s   (Ctrl-C brings it to its end)"))
        mix = ", ".join(f"{count} {kind}" for kind, count in figures.personalities.items())
        table.add_row("devices", _bar(figures.online, figures.devices, f"online ({mix})"))
        delays = (
            ""
            if figures.alert_p99_s is None
            else f"; p50 {figures.alert_p50_s:.3f} s, p99 {figures.alert_p99_s:.3f} s"
        )
        table.add_row("alerts", Text(f"{figures.alerts_raised} raised; {waiting} messages wait{delays}"))
        if self._commands:
            table.add_row("commands", _bar(figures.commands_done, self._commands, "done"))
        if self._rollout:
            states = ", ".join(f"{count} {state}" for state, count in figures.rollout_states.items())
            table.add_row("rollout", _bar(figures.updated, figures.devices, figures.rollout or "waits"))
            table.add_row("", Text(states))
        if figures.lies_told:
            table.add_row("lies", Text(f"{sum(figures.lies_told.values())} told"))
        table.add_row("memory", Text(f"{figures.rss_mib:.0f} MiB, {figures.kb_per_device:.1f} kB a device"))
        return Group(Text(""), table)


def _bar(done: int, whole: int, words: str) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        ProgressBar(total=max(1, whole), completed=min(done, whole), width=BAR), Text(f"{done} of {whole} {words}")
    )
    return grid


def summary(figures: Figures) -> str:
    """The end, for a person."""
    p99 = "–" if figures.alert_p99_s is None else f"{figures.alert_p99_s:.2f} s"
    kept = f"{figures.alerts_raised} alerts raised, {figures.alerts_stored} stored, {figures.duplicates} twice"
    lines = [
        f"{figures.online} of {figures.devices} devices online at the end, connected within {figures.connected_s} s.",
        f"{kept}, {figures.messages_lost} messages lost; p99 {p99} from raising to the cloud's ack.",
    ]
    if figures.commands:
        said = ", ".join(f"{count} {outcome}" for outcome, count in figures.commands.items())
        lines.append(f"Commands: {said}, in {figures.commands_s} s.")
    if figures.rollout_states:
        said = ", ".join(f"{count} {state}" for state, count in figures.rollout_states.items())
        if not figures.rollout:  # a service elsewhere has its own operator
            lines.append(f"Updates: {said}.")
        else:
            lines.append(f"Rollout {figures.rollout}: {figures.updated} updated ({said}), in {figures.rollout_s} s.")
    if figures.lies_told:
        lines.append(f"{sum(figures.lies_told.values())} lies told, {figures.lies_stored} of them stored.")
    if figures.refusals:
        lines.append("Trouble: " + ", ".join(f"{count} {what}" for what, count in figures.refusals.items()) + ".")
    sealed = ", TLS included" if figures.tls else ""
    lines.append(f"{figures.kb_per_device:.1f} kB a device here{sealed}; {figures.wall_s:.0f} s in all.")
    return "\n".join(lines)
