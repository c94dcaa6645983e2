"""Tables for the documents, made from settings types and their docstrings: key, type, default, meaning."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import textwrap
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_ENTRY: Final = re.compile(r"^    (\w+(?:, \w+)*): (.+)$")
_BOUNDS: Final = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_PLAIN: Final[dict[object, str]] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
    dict: "table of text",
}


@dataclass(frozen=True, slots=True)
class _Section:
    """One table of the file.

    Attributes:
        path: Its key from the top; empty for the top itself.
        heading: As its file writes it.
    """

    path: str
    heading: str
    model: type[BaseModel]


def reference(model: type[BaseModel], heading: str, *, toml: bool = True) -> str:
    """Markdown for a type and every table within it.

    Args:
        model: What the file holds.
        heading: Of what stands at the file's top.
        toml: Tables are headed `[like.this]` and `[[like.this]]`; otherwise `like.this`.
    """
    return "\n".join(_section(section) for section in _sections(_Section("", heading, model), toml=toml))


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings say of each field: the type's own, those it inherits from, or that of the field's type."""
    found: dict[str, str] = {}
    inner = {name: _inner(field.annotation) for name, field in model.model_fields.items()}
    for name, kind in inner.items():
        if issubclass(kind, BaseModel | StrEnum):
            found[name] = inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]
    for one in reversed(model.__mro__):
        found |= _attributes(inspect.cleandoc(one.__dict__.get("__doc__") or ""))
    for name, kind in inner.items():
        if issubclass(kind, StrEnum) and (choices := _choices(kind)):
            found[name] = f"{found[name]} {choices}"
    return {name: text for name, text in found.items() if name in inner}


def _sections(top: _Section, *, toml: bool) -> Iterator[_Section]:
    yield top
    for name, field in top.model.model_fields.items():
        inner = _inner(field.annotation)
        if issubclass(inner, BaseModel):
            path = f"{top.path}.{name}" if top.path else name
            repeated = any(get_origin(part) is tuple for part in (field.annotation, *get_args(field.annotation)))
            written = (f"[[{path}]]" if repeated else f"[{path}]") if toml else path
            yield from _sections(_Section(path, f"`{written}`", inner), toml=toml)


def _section(section: _Section) -> str:
    said = meanings(section.model)
    rows = [
        f"| `{field.alias or name}` | {_type(field)} | {_default(field)} | {said.get(name, '')} |"
        for name, field in section.model.model_fields.items()
    ]
    summary = inspect.cleandoc(section.model.__doc__ or "").partition("Attributes:")[0].strip()
    head = f"### {section.heading}\n\n{summary}\n"
    return "\n".join([head, "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""])


# --- from docstrings ------------------------------------------------------------------------------------------------


def _attributes(doc: str) -> dict[str, str]:
    """The entries of a docstring's Attributes; `a, b: …` speaks of both."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in doc.partition("Attributes:\n")[2].splitlines():
        if entry := _ENTRY.match(line):
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.startswith("     "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        elif line.strip():
            break
    return found


def _choices(one: type[StrEnum]) -> str:
    """What the docstrings below an enum's members say of them; they are in its source only."""
    said: dict[str, str] = {}
    nodes = [
        node for top in ast.parse(textwrap.dedent(inspect.getsource(one))).body for node in ast.iter_child_nodes(top)
    ]
    for before, after in itertools.pairwise(nodes):
        if isinstance(before, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            said[ast.unparse(before.targets[0])] = " ".join(str(after.value.value).split())
    return " ".join(f'`"{member.value}"`: {said[member.name]}' for member in one if member.name in said)


# --- from annotations -----------------------------------------------------------------------------------------------


def _inner(annotation: Any) -> type:  # noqa: ANN401 - an annotation may be anything
    """The last type that an annotation holds, inside unions, lists and annotations; of several, a table."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation
    parts = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    found = [_inner(part) for part in parts if part is not type(None)]
    return next((one for one in found if issubclass(one, BaseModel)), *found[:1] or (object,))


def _type(field: FieldInfo) -> str:
    if any(isinstance(one, BeforeValidator) for one in field.metadata):
        return "text"  # it is made into something else before it is checked
    return ", ".join([_spelt(field.annotation), *_bounds(field.metadata)])


def _spelt(annotation: Any) -> str:  # noqa: ANN401 - an annotation may be anything
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join([_spelt(parts[0]), *_bounds(parts[1:])])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(part)}`" for part in parts)
    if origin in {Union, types.UnionType}:
        return " or ".join(_spelt(part) for part in parts if part is not type(None))
    if origin is tuple:
        if ... in parts:
            return f"list of {_spelt(parts[0])}".replace("list of table", "tables")
        return f"[{', '.join(_spelt(part).partition(',')[0] for part in parts)}]"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " or ".join(f'`"{value}"`' for value in annotation)
    is_table = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return "table" if is_table else _PLAIN.get(origin or annotation, "text")


def _bounds(metadata: Iterable[object]) -> list[str]:
    flat = [part for one in metadata for part in (one.metadata if isinstance(one, FieldInfo) else [one])]
    return [
        f"{sign} {_plain(getattr(one, name))}" for one in flat for name, sign in _BOUNDS.items() if hasattr(one, name)
    ]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is PydanticUndefined:
        return "`{}`" if field.default_factory is dict else "see above"
    if value is None or isinstance(value, BaseModel):
        return "–" if value is None else ""
    return f"`{json.dumps(_plain(value))}`"


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value) if isinstance(value, Path) else value
