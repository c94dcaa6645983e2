"""The documents, and the code in them."""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "deploy" / "models" / "README.md"])
FENCED = re.compile(r"(?ms)^ *```(\w*)\n(.*?)^ *```$")
"""In a list, a block stands as far to the right as the item does."""
HEADING = re.compile(r"(?m)^#+ \S")
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"^(?:make|vedette|vedette-agent) [\w$-]")
REMARK = re.compile(r"\s# .*")
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
    return [
        textwrap.dedent(code) for language, code in FENCED.findall(path.read_text("utf-8")) if language in languages
    ]


def section(path: Path, heading: str, language: str = "sh") -> list[str]:
    """The code under a heading, up to the next heading of any level."""
    after = path.read_text("utf-8").partition(f"# {heading}\n")[2]
    assert after, f"{name_of(path)} has no heading {heading!r}"
    return [textwrap.dedent(code) for found, code in FENCED.findall(_section(after)) if found == language]


def commands(path: Path) -> list[str]:
    """What the blocks of a document tell a person to type, in their order; what is only a remark left out."""
    return _lines(blocks(path, "sh"))


def commands_under(path: Path, heading: str) -> list[str]:
    return _lines(section(path, heading))


def _lines(found: list[str]) -> list[str]:
    lines = [REMARK.sub("", line).strip() for code in found for line in code.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def written(document: str, command: str) -> str:
    """The command, for a test that types it elsewhere than beside all the others; it must stand in the document."""
    assert command in commands(ROOT / document), f"{document} does not tell to type {command!r} any more"
    return command


def exported(code: str) -> dict[str, str]:
    """The variables that a block exports."""
    words = [shlex.split(line) for line in code.splitlines() if line.startswith("export ")]
    return dict(word.split("=", 1) for line in words for word in line[1:])


def _section(after: str) -> str:
    """Up to the next heading; a remark in a block is none."""
    fences = [match.span() for match in FENCED.finditer(after)]
    for heading in HEADING.finditer(after):
        if not any(begin <= heading.start() < end for begin, end in fences):
            return after[: heading.start()]
    return after


def inline(path: Path) -> list[str]:
    return INLINE.findall(FENCED.sub("", path.read_text("utf-8")))


def typed() -> list[Typed]:
    found = []
    for path in DOCUMENTS:
        lines = [line for code in blocks(path, "sh", "bash") for line in code.splitlines()]
        for text, whole in [*((line, True) for line in lines), *((code, False) for code in inline(path))]:
            command = REMARK.sub("", text.partition(" > ")[0]).strip()  # what follows is the shell's
            if command.startswith(OPERATOR):
                command = f"vedette {command.removeprefix(OPERATOR)}"
            if COMMAND.match(command):
                found.append(Typed(name_of(path), tuple(shlex.split(command)), whole))
    return found
