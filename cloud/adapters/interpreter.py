"""What Python is told for a service that answers within milliseconds while it has much to do."""

from __future__ import annotations

import gc
import sys
from typing import Final

SWITCH_S: Final = 0.001
"""The database's thread gives the interpreter away for each row, and beside a busy event loop waits this long to have
it back."""


def settle() -> None:
    """Once everything is loaded: from now on short turns for threads, and short collections of garbage.

    What was loaded lives as long as the process. A full collection that looked at it as well stopped everything for
    0.1 to 0.3 s, and came every few seconds in a fleet's rush.
    """
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
