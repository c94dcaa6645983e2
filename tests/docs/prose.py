"""The documents, and the code in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "deploy" / "models" / "README.md"])
FENCED = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
HEADING = re.compile(r"(?m)^#+ \S")
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"^(?:make|vedette|vedette-agent) [\w$-]")
OPERATOR = "docker compose run --rm operator "
"""Under compose, the command `vedette`."""


@dataclass(frozen=True)
class Typed:
    """A command as a document names it.

    Attributes:
        whole: From a block to be typed as it stands; in running text, what is required may be left out.
    """

    where: str
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.where}: {' '.join(self.words)}"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, *languages: str) -> list[str]:
    return [code for language, code in FENCED.findall(path.read_text("utf-8")) if language in languages]


def section(path: Path, heading: str, language: str = "sh") -> list[str]:
    """The code under a heading, up to the next heading of any level."""
    after = path.read_text("utf-8").partition(f"# {heading}\n")[2]
    assert after, f"{name_of(path)} has no heading {heading!r}"
    return [code for found, code in FENCED.findall(HEADING.split(after)[0]) if found == language]


def inline(path: Path) -> list[str]:
    return INLINE.findall(FENCED.sub("", path.read_text("utf-8")))


def typed() -> list[Typed]:
    found = []
    for path in DOCUMENTS:
        lines = [line for code in blocks(path, "sh", "bash") for line in code.splitlines()]
        for text, whole in [*((line, True) for line in lines), *((code, False) for code in inline(path))]:
            command = text.partition(" > ")[0]  # what follows is the shell's
            if command.startswith(OPERATOR):
                command = f"vedette {command.removeprefix(OPERATOR)}"
            if COMMAND.match(command):
                found.append(Typed(name_of(path), tuple(shlex.split(command)), whole))
    return found
