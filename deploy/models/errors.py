"""What can go wrong while a model is built.

BuildError
├── RecipeInvalid        the recipe, or the ranges beside it, breaks its form
├── ToolMissing          a Python package that only building needs is not installed
├── ArchiveMissing       npm is absent or could not fetch it; says what to place where
├── ArchiveRefused       not the pinned bytes, or something in it that a plain archive does not hold
├── GraphRefused         the graph holds what the converter does not know
├── ClipUnreadable       the clip to calibrate on gave no frames
├── DigestMismatch       the model came out different from the one that was pinned
└── OutputUnwritable     the disk is full or refuses
"""

from __future__ import annotations

from wire.errors import VedetteError


class BuildError(VedetteError):
    """A model could not be built."""


class RecipeInvalid(BuildError):
    """The recipe, or the ranges beside it, breaks its form."""


class ToolMissing(BuildError):
    """A package that building needs is not installed."""


class ArchiveMissing(BuildError):
    """The archive is not here and can't be fetched."""


class ArchiveRefused(BuildError):
    """The archive is not what was pinned, or not safe to read."""


class GraphRefused(BuildError):
    """The graph holds what the converter does not know."""


class ClipUnreadable(BuildError):
    """The clip to calibrate on gave no frames."""


class DigestMismatch(BuildError):
    """The model came out different from the one that was pinned."""


class OutputUnwritable(BuildError):
    """The model can't be written."""
