"""What the workbench can fail at.

WorkbenchError
├── ClipUnavailable   no demo video can be had on this machine
└── DemoFailed        a part of the demo did not start, or died
"""

from __future__ import annotations

from wire.errors import VedetteError


class WorkbenchError(VedetteError):
    """The workbench can't do what was asked."""


class ClipUnavailable(WorkbenchError):
    """No demo video can be had."""


class DemoFailed(WorkbenchError):
    """A part of the demo did not start, or died."""
