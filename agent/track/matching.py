"""Which detection is which object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from agent.boxes import overlap
from agent.domain import Box

Candidate = tuple[float, int, int]
"""How likely a row and a column belong together, and which."""


def pair(rows: Sequence[int], columns: Sequence[int], likeness: Callable[[int, int], float]) -> list[tuple[int, int]]:
    """Pair rows with columns, likeliest first; a likeness of 0 or less is never paired.

    Greedy: on the demo clip the optimal assignment made as many identity switches, and took a third longer.
    """
    candidates = [
        (value, row, column) for row in rows for column in columns if (value := likeness(row, column)) > 0.0
    ]
    candidates.sort(key=likeliest_first)
    return list(first_come(candidates))


def touching(rows: Sequence[Box], columns: Sequence[Box], least: float) -> list[Candidate]:
    """All pairs of boxes that overlap (intersection over union) by `least` or more, likeliest first."""
    found = []
    # Nearly all pairs end at the first comparisons; a call for each would cost more than the rest of the tracking.
    sides = [(column, *other) for column, other in enumerate(columns)]
    for row, one in enumerate(rows):
        left, top, right, bottom = one
        for column, x1, y1, x2, y2 in sides:
            if x1 < right and x2 > left and y1 < bottom and y2 > top:
                value = overlap(one, columns[column])
                if value >= least and value > 0.0:
                    found.append((value, row, column))
    found.sort(key=likeliest_first)
    return found


def likeliest_first(candidate: Candidate) -> Candidate:
    """The order in which candidates are paired."""
    value, row, column = candidate
    return (-value, row, column)


def first_come(candidates: Iterable[Candidate]) -> Iterator[tuple[int, int]]:
    """Pair in the order given; who is paired is not paired again."""
    rows: set[int] = set()
    columns: set[int] = set()
    for _, row, column in candidates:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            yield row, column
