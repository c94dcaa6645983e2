"""How a command ends: errors as two lines for a person, and an exit code for programs.

| code | meaning |
|---|---|
| 0 | done; for `serve`, stopped as asked |
| 1 | a fault of the program's own, with a trace; without a word where whoever read its output went away |
| 2 | wrong usage, or wrong settings |
| 3 | the service can't start, or its database can't be used |
| 4 | there is no such device, rollout or operator |
| 5 | the device or the operator exists already |
| 6 | `command --wait`: a device refused, or failed |
| 7 | `command --wait`: it expired, or was not done in time |
| 8 | a rollout can't be started, or not do what is wanted of it |
| 9 | `rollout watch`: it halted, or was aborted |
| 10 | a release, its keys or the repository can't be used as wanted |
| 11 | `push test`: the receiver did not take it |
| 12 | `export`: the folder can't be written |
| 13 | `sim`: a message was lost or stored twice, or a lie was believed |
| 14 | what it prints can't be written |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cloud.cli.standard_output import UNWRITABLE
from cloud.errors import (
    DeviceExists,
    DeviceUnknown,
    ExportFailed,
    NotFound,
    OutputRefused,
    PushError,
    RolloutError,
    SettingsInvalid,
    StartRefused,
    StoreError,
)
from cloud.operators.errors import OperatorError, OperatorExists, OperatorUnknown
from cloud.registry.errors import RegistryError
from vision.errors import VisionError
from wire.errors import NotOurs, VedetteError

output: Final = Console(highlight=False, soft_wrap=True, markup=False)
errors: Final = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

EXIT_CODES: Final[tuple[tuple[type[VedetteError], int], ...]] = (
    (SettingsInvalid, 2),
    (NotOurs, 2),
    (StartRefused, 3),
    (StoreError, 3),
    (VisionError, 3),
    (DeviceUnknown, 4),
    (NotFound, 4),
    (DeviceExists, 5),
    (OperatorUnknown, 4),
    (OperatorExists, 5),
    (OperatorError, 2),
    (RolloutError, 8),
    (RegistryError, 10),
    (PushError, 11),
    (ExportFailed, 12),
    (OutputRefused, UNWRITABLE),
)


def exit_code(error: VedetteError) -> int:
    """The code that stands for the error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


@contextmanager
def told() -> Iterator[None]:
    """Say an error of ours to the person, and exit with its code.

    Raises:
        typer.Exit: Instead of the error.
    """
    try:
        yield
    except* VedetteError as group:
        error = _first(group)
    else:
        return
    errors.print(f"error: {error.what}", style="red")
    if error.mend:
        errors.print(error.mend)
    raise typer.Exit(exit_code(error))


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Progress on a terminal's standard error; elsewhere nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _first(group: BaseExceptionGroup[VedetteError]) -> VedetteError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
