"""What was measured, held against its goal, as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure should keep; both ends count as kept."""

    at_least: float | None = None
    at_most: float | None = None

    def kept(self, value: float) -> bool:
        """Whether it is."""
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= value <= high

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        key: Its name in the JSON, unit last.
        what: What it is, for a person.
        value: None where it could not be measured; `note` says why.
        digits: Behind the point, in the table.
    """

    key: str
    what: str
    value: float | None
    unit: str = ""
    goal: Goal | None = None
    note: str = ""
    digits: int = 1

    @property
    def kept(self) -> bool | None:
        """Whether the goal is kept; None where there is none, or nothing was measured."""
        return None if self.goal is None or self.value is None else self.goal.kept(self.value)


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that were taken together, and how."""

    name: str
    how: str
    figures: tuple[Figure, ...]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def table(sections: Sequence[Section]) -> str:
    """For a person."""
    rows = [figure for section in sections for figure in section.figures]
    width = max((len(figure.what) for figure in rows), default=0)
    lines = []
    for section in sections:
        lines += ["", section.name]
        lines += [
            f"  {figure.what:<{width}}  {_value(figure)}  {_goal(figure)}".rstrip() for figure in section.figures
        ]
        lines += [f"  {line}" for line in _folded(section.how)]
    return "\n".join(lines)


def for_programs(sections: Sequence[Section]) -> dict[str, Any]:
    """A JSON object: every figure by its key, and which goals were kept."""
    rows = [figure for section in sections for figure in section.figures]
    return {
        "figures": {figure.key: None if figure.value is None else round(figure.value, 4) for figure in rows},
        "goals": {
            figure.key: {"goal": str(figure.goal), "kept": figure.kept} for figure in rows if figure.goal is not None
        },
        "how": {section.name: section.how for section in sections},
    }


def _value(figure: Figure) -> str:
    return (
        f"{'–':>10} {figure.note}" if figure.value is None else f"{figure.value:10.{figure.digits}f} {figure.unit:<6}"
    )


def _goal(figure: Figure) -> str:
    if figure.goal is None or figure.value is None:
        return figure.note if figure.value is not None else ""
    verdict = "kept" if figure.kept else "MISSED"
    return f"{verdict} ({figure.goal}) {figure.note}".rstrip()


def _folded(text: str, width: int = 100) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
