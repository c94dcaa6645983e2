"""Prometheus' text exposition format, version 0.0.4. Pure.

The official client would do, and takes 0.9 MiB of the device's memory for registries and locks that are of no use
where all values are read at once when asked for. What is written here is read by its parser in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value; `suffix` is `_sum` or `_count` in a summary."""

    value: float
    labels: Labels = ()
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples. A counter's name ends in `_total`."""

    name: str
    kind: Literal["counter", "gauge", "summary"]
    meaning: str
    samples: tuple[Sample, ...]


def by_label(label: str, values: Iterable[tuple[str, float]]) -> tuple[Sample, ...]:
    """One sample for each value of the label."""
    return tuple(Sample(value, ((label, name),)) for name, value in values)


def text_of(families: Iterable[Family]) -> str:
    """The families as text; one without samples is left out."""
    return "".join(line + "\n" for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.meaning)}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        labels = ",".join(f'{name}="{_escaped(value, quoted=True)}"' for name, value in sample.labels)
        yield f"{family.name}{sample.suffix}{'{' + labels + '}' if labels else ''} {float(sample.value)!r}"


def _escaped(text: str, *, quoted: bool = False) -> str:
    plain = text.replace("\\", "\\\\").replace("\n", "\\n")
    return plain.replace('"', '\\"') if quoted else plain
