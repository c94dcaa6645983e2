"""Commands that are imported when they are typed.

All that `vedette` stands on takes two seconds of a processor to import. `--help`, completion and a mistyped word need
none of it, and a command needs its own part only.
"""

from __future__ import annotations

import re
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

_WITHIN_A_PARAGRAPH: Final = re.compile(r"(?<!\n)\n(?=[^\n ])")


class Later(TyperCommand):
    """Known by name and summary; the command itself, or group of commands, takes over as soon as it is typed.

    Attributes:
        place: Where that is: `module:name` of a function, or of a `typer.Typer`.
    """

    place: ClassVar[str]

    @cached_property
    def real(self) -> TyperCommand | TyperGroup:
        """The command itself, imported now."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(module), attribute)
        alone = typer.Typer(add_completion=False)
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=self.name)
        else:
            alone.command(self.name)(found)
        made = cast("TyperCommand | TyperGroup", get_group(alone).commands[self.name or ""])
        _flow(made)
        return made

    def make_context(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - typer keeps the type to itself
        """That of the command itself: whoever made it goes on with the context's command."""
        return self.real.make_context(*args, **extra)


def add_later(app: typer.Typer, panel: str, name: str, place: str, summary: str) -> None:
    """Let the app have a command that is imported when it is typed.

    Args:
        app: What is typed before it.
        panel: The heading that `--help` shows it under.
        name: What is typed.
        place: As `Later.place`.
        summary: The first sentence of its own help.
    """
    kind = type("Later", (Later,), {"place": place})
    app.command(name, cls=kind, help=summary, rich_help_panel=panel)(_unreached)


def _flow(command: TyperCommand | TyperGroup) -> None:
    """Typer shows where the source's lines end; only those that are set in are meant to be lines of their own."""
    command.help = _WITHIN_A_PARAGRAPH.sub(" ", command.help or "")
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            _flow(cast("TyperCommand | TyperGroup", inner))


def _unreached() -> None:
    """Typer wants a function; the command's own is called instead."""
