"""The demo's terminal: figures that move, for a person; nothing but the end for a program."""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workbench.demo.figures import Figures, RolloutFigures

KB: Final = 1000
UNITS: Final = ("B", "kB", "MB", "GB", "TB")


class Screen:
    """Draws the figures in place; used as a context."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def say(self, line: str) -> None:
        """A line above the figures."""
        # A command that is broken over two lines can't be copied.
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def begin(self, dashboard: str) -> None:
        """Start drawing. A file or pipe gets the figures at the end, and the dashboard's address now."""
        if not self._console.is_terminal:
            self.say(f"The dashboard is at {dashboard}")
        self._live.start()

    def show(self, figures: Figures, elapsed_s: float) -> None:
        """Draw."""
        self._live.update(_drawn(figures, elapsed_s), refresh=True)

    def end(self) -> None:
        """Leave the last figures where they are."""
        self._live.stop()
        if not self._console.is_terminal:
            self._console.print()


def _drawn(figures: Figures, elapsed_s: float) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", justify="right", min_width=14)
    table.add_column()
    for name, value in _rows(figures, elapsed_s):
        table.add_row(name, Text(value))
    return Group(Text(""), table)


def _rows(figures: Figures, elapsed_s: float) -> list[tuple[str, str]]:
    states = f"{figures.confirmed} confirmed, {figures.retracted} retracted, {figures.provisional} provisional"
    saved = figures.saved_share
    sent = f"{size(figures.bytes_sent)} sent"
    if saved is not None:
        sent += f", {size(figures.bytes_if_streamed)} if every frame were streamed: {saved:.1%} saved"
    first = "waiting" if figures.first_alert_s is None else f"after {figures.first_alert_s:.1f} s"
    rollout = [("rollout", _rollout(figures.rollout))] if figures.rollout is not None else []
    return [
        ("dashboard", figures.dashboard),
        ("source", figures.source),
        ("running", f"{elapsed_s:.0f} s   (Ctrl-C stops everything)"),
        ("devices", ", ".join(f"{name} {state}" for name, state in figures.devices.items()) or "starting"),
        ("cameras", "\n".join(f"{name} {state}" for name, state in figures.cameras.items()) or "starting"),
        ("first alert", first),
        ("frames", str(figures.frames)),
        ("alerts", f"{figures.alerts_stored}: {states}"),
        ("questions", f"{figures.asks} asked of the cloud, {figures.answers} answered"),
        ("bytes", sent),
        ("agent memory", f"{figures.agent_rss_mib:.0f} MiB"),
        *rollout,
    ]


def _rollout(rollout: RolloutFigures) -> str:
    states = "\n".join(f"{device} {state}" for device, state in rollout.devices.items())
    why = rollout.reason or f"{rollout.updated} run it"
    return f"{rollout.model} {rollout.phase}: {why}\n{states}".rstrip()


def size(count: float) -> str:
    """A number of bytes as people say it."""
    for unit in UNITS[:-1]:
        if count < KB:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= KB
    return f"{count:.1f} {UNITS[-1]}"
