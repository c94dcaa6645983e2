"""httpx without its command line, which would bring rich and pygments into memory wherever they are installed."""

from __future__ import annotations

import sys
from types import ModuleType


def _no_command_line() -> None:
    """Stands where httpx looks for its `main`."""


_cli = ModuleType("httpx._main")
_cli.main = _no_command_line  # type: ignore[attr-defined] # a module made by hand declares nothing
sys.modules.setdefault("httpx._main", _cli)

import httpx  # noqa: E402 - after its command line was taken out

__all__ = ["httpx"]
