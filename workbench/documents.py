"""Writes the documents that are generated from types into `docs/reference`, or says which are out of date."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from wire.schema import asyncapi, json_schemas

FOLDER: Final = Path(__file__).parent.parent / "docs" / "reference"


def documents() -> dict[str, str]:
    """File name to text, for each generated document."""
    found: dict[str, Any] = {"wire.schema.json": json_schemas(), "asyncapi.json": asyncapi()}
    return {name: json.dumps(value, indent=1, ensure_ascii=False) + "\n" for name, value in found.items()}


def stale(folder: Path = FOLDER) -> list[str]:
    """The names of the documents that differ from what the types say now."""
    return [
        name
        for name, text in documents().items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text
    ]


def main() -> int:
    """Write, or check with `--check`; 1 where a document is out of date."""
    parser = argparse.ArgumentParser(prog="python -m workbench.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a document is out of date")
    arguments = parser.parse_args()
    late = stale()
    if arguments.check:
        for name in late:
            sys.stderr.write(f"docs/reference/{name} is out of date: run `make documents`\n")
        return 1 if late else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in late:
        (FOLDER / name).write_text(documents()[name], "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
