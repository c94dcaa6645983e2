"""What a person lists on the command line: policies, budgets, labels, models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from cloud.infer.default import DEFAULT_MODELS, InferSettings
from wire.fields import Label
from workbench.errors import BudgetUnclear, ReplayRefused
from workbench.replay.budget import Budget, parse_budget
from workbench.replay.policies import Policy

ALL: Final = "all"
ONE_BUDGET: Final = "5%"
BUDGETS: Final = "1%,2%,5%,10%"
_LABEL: Final = TypeAdapter[str](Label)


def chosen_policies(text: str) -> list[Policy]:
    """Policies as a person lists them.

    Raises:
        ReplayRefused: One is unknown, or left empty.
    """
    known = f"They are {', '.join(Policy)}, or {ALL} for each."
    names = [name.strip() for name in text.split(",")]
    if names == [ALL]:
        return list(Policy)
    for name in names:
        if not name:
            raise ReplayRefused(f"--policy {text!r} {_gap(names, 'policy')}", known)
        if name not in list(Policy):
            raise ReplayRefused(f"there is no policy {name!r}", known)
    return [Policy(name) for name in dict.fromkeys(names)]


def chosen_budgets(text: str) -> list[Budget]:
    """Budgets as a person lists them.

    Raises:
        BudgetUnclear: One says nothing.
    """
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        mend = f"Write 5% of sending every frame, or 200MB/month; several as in {BUDGETS}."
        raise BudgetUnclear(f"--budget {text!r} {_gap(names, 'budget')}", mend)
    return list(dict.fromkeys(parse_budget(name) for name in names))


def _gap(names: Sequence[str], what: str) -> str:
    return f"has a comma with no {what} beside it" if len(names) > 1 else f"names no {what}"


def chosen_labels(given: Sequence[str]) -> tuple[str, ...]:
    """Labels, of which each had an option of its own.

    Raises:
        ReplayRefused: One can't be a label.
    """
    for name in given:
        try:
            _LABEL.validate_python(name.strip())
        except ValidationError as refused:
            said = refused.errors()[0]["msg"]
            mend = "Write what the model calls it, as in --label person; several each with a --label of its own."
            raise ReplayRefused(f"--label {name!r} is no label: {said}", mend) from None
    return tuple(dict.fromkeys(name.strip() for name in given))


def chosen_cloud(given: Sequence[str]) -> InferSettings:
    """The cloud's models, of which each had an option of its own; the default ones where none is given.

    Raises:
        ReplayRefused: One is left empty, several were given as one, or they are too many.
    """
    for name in given:
        if not name.strip():
            raise ReplayRefused("--cloud-model '' names no model", "Name one, or leave it out for the default ones.")
        if "," in name and not Path(name).exists():
            mend = f"Give each with an option of its own: --cloud-model {' --cloud-model '.join(_parts(name))}."
            raise ReplayRefused(f"--cloud-model {name!r} is no single model", mend)
    try:
        return InferSettings(models=tuple(given) or DEFAULT_MODELS)
    except ValidationError:
        raise ReplayRefused(f"{len(given)} models can't be asked together", "Name 8 at the most.") from None


def _parts(name: str) -> list[str]:
    return [part.strip() for part in name.split(",") if part.strip()]
