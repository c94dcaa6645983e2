"""What can go wrong while the package is made.

PackagingError
├── PackerMissing       a program that it takes is not installed
├── WheelsMissing       the wheels for the target can't be had
├── ClosureBroken       what was fetched does not hold all that it needs itself
└── LibraryUnknown      something needs a shared library of which no Debian package is known
"""

from __future__ import annotations

from wire.errors import VedetteError


class PackagingError(VedetteError):
    """The package can't be made."""


class PackerMissing(PackagingError):
    """A program that it takes is not installed."""


class WheelsMissing(PackagingError):
    """The wheels for the target can't be had."""


class ClosureBroken(PackagingError):
    """What was fetched does not hold all that it needs itself."""


class LibraryUnknown(PackagingError):
    """Something needs a shared library of which no Debian package is known."""
