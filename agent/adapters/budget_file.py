"""What is left of the budget for questions, in a file. Implements `agent.judging.ports.BalanceKeeper`."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Final

from agent.adapters.durable_file import replace_file
from agent.ask.budget import Balance
from agent.deliver.faults import Faults
from agent.errors import OutboxUnwritable

log = logging.getLogger(__name__)

MAX_BYTES: Final = 65_536
"""Sixty-four cameras take a tenth of it."""
EMPTY: Final = Balance(others=0.0)
"""What a file that can't be read is taken for: losing it must not fill the buckets."""
OTHERS: Final = "*"
"""Stands for those that are not named, which no camera's name can."""


class BudgetFile:
    """One JSON object of names and bytes.

    Args:
        path: Of the file.
        faults: Where a disk that refuses is counted.
    """

    def __init__(self, path: Path, faults: Faults) -> None:
        self._path = path
        self._faults = faults

    def load(self) -> Balance | None:
        """What an earlier run left; None where there was none, and empty buckets where its file can't be read."""
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(MAX_BYTES + 1)[:MAX_BYTES])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as broken:
            log.warning("%s can't be read (%s): questions begin with an empty budget", self._path, broken)
            return EMPTY
        if not isinstance(found, dict) or not all(_is_number(value) for value in found.values()):
            log.warning("%s is no balance: questions begin with an empty budget", self._path)
            return EMPTY
        left = {str(name): float(value) for name, value in found.items()}
        return Balance(left, left.pop(OTHERS, None))

    def keep(self, balance: Balance) -> None:
        """Replace the file; a disk that refuses is counted, and asking goes on."""
        left = dict(balance.left) if balance.others is None else {**balance.left, OTHERS: balance.others}
        try:
            replace_file(self._path, json.dumps({name: round(one) for name, one in left.items()}).encode())
        except OSError as refused:
            self._faults.note(
                OutboxUnwritable(f"{self._path} can't be written ({refused})", "Free some space, or look after it.")
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
