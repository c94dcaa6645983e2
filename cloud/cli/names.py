"""A list of device ids, as `vedette device enroll --from` reads it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from cloud.errors import SettingsInvalid

MAX_BYTES: Final = 16 << 20
"""A quarter of a million of the longest ids."""
STANDARD_INPUT: Final = Path("-")


def read_names(file: Path | None) -> list[str]:
    """The ids in the file, one on each line; empty lines and what follows a `#` are left out.

    Raises:
        SettingsInvalid: It can't be read, names nobody, or somebody twice.
    """
    if file is None or file == STANDARD_INPUT:
        text = sys.stdin.read(MAX_BYTES)
    else:
        try:
            with file.open(encoding="utf-8") as opened:
                text = opened.read(MAX_BYTES)
        except (OSError, UnicodeDecodeError) as refused:
            raise SettingsInvalid(f"{file} can't be read: {refused}", "Name a text file with --from.") from None
    names = [name for line in text.splitlines() if (name := line.partition("#")[0].strip())]
    seen: set[str] = set()
    twice = next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]
    if twice is not None:
        raise SettingsInvalid(f"{twice} is named twice", "Name each device once.")
    if not names:
        raise SettingsInvalid("no device is named", "Write one id on each line.")
    return names
