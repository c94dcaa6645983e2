"""Where the alerts of a run are worth less than those of the device alone, which F1 does not show. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from workbench.replay.events import AlertFigures
from workbench.replay.scoring import Alerting, standard_error

BEYOND: Final = 2.0
"""Standard errors: a difference of fewer is what repeats of the same run differ by."""
LEAST: Final = 0.5
"""In the last digit that is told: a smaller difference would not be seen."""

Alertings = Sequence[Mapping[str, Alerting]]
"""Of each repeat, by label."""


def caution(run: Alertings, alone: Alertings) -> str | None:
    """What to say where a run finds fewer in time than the device alone, or raises more false alerts.

    Each repeat is held against the one of the device alone that began alike. Alerts count as they stand at the end.

    Args:
        run: What is advised.
        alone: The device alone.

    Returns:
        One or two sentences; None where nothing is worse by more than chance, or the labels don't say who is who.
    """
    pairs = [(one, other) for one, other in zip(run, alone, strict=False) if one and other]
    said = []
    if lost := _worse(pairs, _in_time, -1.0, 2):
        said.append(f"finds fewer in time: {lost}")
    if more := _worse(pairs, _false_alerts, 1.0, 1):
        said.append(f"raises more false alerts: {more}")
    if not said:
        return None
    chance = "" if len(pairs) > 1 else " Of one run each this may be chance: --repeats tells."
    return f"Than the device alone it {', and it '.join(said)}.{chance}"


def _worse(
    pairs: Sequence[tuple[Mapping[str, Alerting], Mapping[str, Alerting]]],
    figure: Callable[[Sequence[AlertFigures]], float | None],
    sign: float,
    digits: int,
) -> str:
    """Both figures, where the first is worse by more than chance; worse is more where `sign` is above 0."""
    found = [(figure(_kept(one)), figure(_kept(other))) for one, other in pairs]
    known = [(one, other) for one, other in found if one is not None and other is not None]
    if not known:
        return ""
    differences = [sign * (one - other) for one, other in known]
    mean, error = statistics.fmean(differences), standard_error(differences)
    if mean <= BEYOND * (error or 0.0) or mean < LEAST * 10**-digits:
        return ""
    here, there = (statistics.fmean(values) for values in zip(*known, strict=True))
    beside = "" if error is None else f" (a difference of {_told(mean, digits)} ± {_told(error, digits)})"
    return f"{_told(here, digits)} instead of {_told(there, digits)}{' a run' if sign > 0 else ''}{beside}"


def _kept(alerting: Mapping[str, Alerting]) -> list[AlertFigures]:
    return [worth.kept for worth in alerting.values()]


def _in_time(kept: Sequence[AlertFigures]) -> float | None:
    """The share of events that were found in time, over all labels."""
    events = sum(one.events for one in kept)
    return sum(one.in_time * one.events for one in kept) / events if events else None


def _false_alerts(kept: Sequence[AlertFigures]) -> float:
    """Alerts about nobody."""
    return sum((1.0 - one.precision) * one.alerts for one in kept)


def _told(value: float, digits: int) -> str:
    """A share as the field writes it, .80; a count with what is before its point."""
    return f"{value:.{digits}f}" if digits == 1 else f"{value:.{digits}f}".removeprefix("0")
