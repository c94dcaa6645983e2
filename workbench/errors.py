"""What the workbench can fail at.

WorkbenchError
├── ClipUnavailable    no demo video can be had on this machine
├── DemoFailed         a part of the demo did not start, or died
└── ReplayRefused      a replay can't be made of what was given
    ├── BudgetUnclear  a budget that says nothing
    ├── LabelsMissing  what was asked for needs labels, or labels that fit the clip
    └── MemoryUnusable remembered detections can't be read or kept
"""

from __future__ import annotations

from wire.errors import VedetteError


class WorkbenchError(VedetteError):
    """The workbench can't do what was asked."""


class ClipUnavailable(WorkbenchError):
    """No demo video can be had."""


class DemoFailed(WorkbenchError):
    """A part of the demo did not start, or died."""


class ReplayRefused(WorkbenchError):
    """A replay can't be made of what was given."""


class BudgetUnclear(ReplayRefused):
    """A budget says nothing."""


class LabelsMissing(ReplayRefused):
    """There are no labels, or none that fit the clip."""


class MemoryUnusable(ReplayRefused):
    """Remembered detections can't be read or kept."""
