"""What the package is made for: Debian 12 and its Python, on either architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PYTHON: Final = "3.11"
"""Compiled wheels fit one Python; this is Debian 12's. Elsewhere: pip, and `vedette-agent install-service`."""
GLIBC: Final = "2.28"
"""The newest that a wheel may ask for; Debian 12 has 2.36."""
PLATFORMS: Final = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")


@dataclass(frozen=True, slots=True)
class Target:
    """One architecture, under Debian's name and the wheels'."""

    debian: str
    machine: str

    @property
    def platforms(self) -> tuple[str, ...]:
        """The wheels' tags that run on it."""
        return tuple(f"{platform}_{self.machine}" for platform in PLATFORMS)

    @property
    def markers(self) -> dict[str, str]:
        """What a requirement's condition is held against, whatever builds the package."""
        return {
            "python_version": PYTHON,
            "python_full_version": f"{PYTHON}.2",
            "implementation_name": "cpython",
            "implementation_version": f"{PYTHON}.2",
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": self.machine,
            "extra": "",
        }


TARGETS: Final = {target.debian: target for target in (Target("amd64", "x86_64"), Target("arm64", "aarch64"))}
