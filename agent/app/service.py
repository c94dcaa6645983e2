"""`vedette-agent install-service` and `uninstall-service`, for installations that no package manager looks after."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import agent
from agent.adapters.durable_file import replace_file
from agent.errors import ServiceRefused
from agent.supervise.unit import DEVICES, MARK, UNIT, Entry, closed_at, fitted

SYSTEMD_RUNS: Final = Path("/run/systemd/system")
"""sd_booted(3)."""
USER_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Service:
    """What is to be installed.

    Attributes:
        config: The agent's TOML file; written as an example where there is none.
        user: Who runs the agent; None for a user that systemd makes for the time it runs.
        devices: Which drop-ins go beside the unit.
        prefix: The root of the system that it is installed into.
    """

    config: Path
    user: str | None = None
    devices: Sequence[str] = ("v4l2",)
    prefix: Path = Path("/")

    @property
    def unit(self) -> Path:
        """Where the unit goes: among the administrator's own, as no package put it there."""
        return self._under(Path("/etc/systemd/system") / UNIT)

    @property
    def packaged(self) -> Path:
        """Where a package's unit would be."""
        return self._under(Path("/usr/lib/systemd/system") / UNIT)

    @property
    def dropins(self) -> dict[str, Path]:
        """Where each drop-in goes."""
        folder = self.unit.parent / f"{UNIT}.d"
        return {name: folder / f"{name}.conf" for name in DEVICES}

    @property
    def example(self) -> Path:
        """Where the configuration goes."""
        return self._under(self.config)

    def _under(self, path: Path) -> Path:
        return self.prefix / path.relative_to("/")


def unit_text(service: Service) -> str:
    """The unit, fitted to this installation.

    Raises:
        ServiceRefused: The service's user could not start the program, or there is none.
    """
    program = Path(sys.prefix) / "bin" / "vedette-agent"
    if not program.is_file():
        raise ServiceRefused(
            f"there is no command {program}", "Install the package first: pip install 'vedette[agent]'."
        )
    if not service.config.is_absolute():
        raise ServiceRefused(f"{service.config} is not absolute", "Name the file as the service will find it.")
    uid, gids = _identity(service.user)
    reads = [program, Path(sys.prefix), Path(sys.base_prefix), Path(agent.__file__).parent]
    for folder in reads:
        if (closed := closed_at(_entries(folder), uid=uid, gids=gids)) is not None:
            raise ServiceRefused(
                f"the service's user may not enter {closed}, where the program is",
                "Install it elsewhere, as `pipx install --global` does, or name a user who may: --user NAME.",
            )
    shipped = (_shipped() / UNIT).read_text("utf-8")
    return fitted(shipped, program=program, config=service.config, user=service.user, reads=reads)


def install(service: Service, say: Say) -> None:
    """Write the unit, its drop-ins, and an example of a configuration; harmless twice.

    Raises:
        ServiceRefused: It can't be installed; nothing was changed that was there before.
    """
    wanted = _wanted(service)
    unwanted = [path for name, path in service.dropins.items() if name not in service.devices and path.exists()]
    for path in (service.unit, *service.dropins.values()):
        if path.exists() and not _is_ours(path):
            raise ServiceRefused(f"{path} was not written by this command", "Move it away, or keep using it.")
    try:
        for path, content in wanted.items():
            _write(path, content, say)
        for path in unwanted:
            path.unlink()
            say(f"removed {path}")
    except OSError as refused:
        raise ServiceRefused(f"can't write: {refused}", "Run it as root, with sudo.") from None
    _systemctl(service, "daemon-reload")


def uninstall(service: Service, say: Say) -> None:
    """Stop it, and take away what `install` wrote; the configuration and the data stay.

    Raises:
        ServiceRefused: The unit is somebody else's, or can't be removed.
    """
    written = [path for path in (service.unit, *service.dropins.values()) if path.exists()]
    for path in written:
        if not _is_ours(path):
            raise ServiceRefused(f"{path} was not written by this command", "Remove it by hand.")
    if not written:
        say("there is no service of ours")
        return
    _systemctl(service, "disable", "--now", UNIT)
    try:
        for path in written:
            path.unlink()
            say(f"removed {path}")
        folder = service.unit.parent / f"{UNIT}.d"
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as refused:
        raise ServiceRefused(f"can't remove: {refused}", "Run it as root, with sudo.") from None
    _systemctl(service, "daemon-reload")


def _wanted(service: Service) -> dict[Path, str]:
    """What is to be in which file."""
    text = unit_text(service)
    if service.packaged.exists():
        raise ServiceRefused(f"{service.packaged} is a package's", "Use that, or remove the package first.")
    wanted = {service.unit: text}
    for name in service.devices:
        wanted[service.dropins[name]] = MARK + (_shipped() / f"{name}.conf").read_text("utf-8")
    if not service.example.exists():
        wanted[service.example] = (_shipped() / "agent.toml").read_text("utf-8")
    return wanted


def _shipped() -> Path:
    """The wheel carries the units inside the package; a checkout has them where they are written."""
    package = Path(agent.__file__).parent
    inside = package / "systemd"
    return inside if inside.is_dir() else package.parent / "deploy" / "systemd"


def _identity(user: str | None) -> tuple[int | None, Collection[int]]:
    if user is None:
        return None, ()
    try:
        known = pwd.getpwnam(user) if USER_NAME.fullmatch(user) else None
    except KeyError:
        known = None
    if known is None:
        raise ServiceRefused(f"there is no user {user!r}", f"Make one: useradd --system {user}; or leave --user out.")
    return known.pw_uid, os.getgrouplist(user, known.pw_gid)


def _entries(path: Path) -> Iterator[Entry]:
    real = path.resolve()
    folders = [*reversed(real.parents), *([real] if real.is_dir() else [])]
    for folder in folders:
        found = folder.stat()
        yield Entry(str(folder), found.st_mode, found.st_uid, found.st_gid)


def _is_ours(path: Path) -> bool:
    return path.read_text("utf-8", "replace").startswith(MARK)


def _write(path: Path, content: str, say: Say) -> None:
    if path.exists() and path.read_text("utf-8") == content:
        say(f"{path} is as it should be")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content.encode())
    path.chmod(0o644)
    say(f"wrote {path}")


def _systemctl(service: Service, *words: str) -> None:
    """Have systemd know; nothing where the files are for another system, or no systemd runs here."""
    if service.prefix != Path("/") or not SYSTEMD_RUNS.is_dir():
        return
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)  # noqa: S607 - the system's own
    except OSError as refused:
        raise ServiceRefused(f"systemctl can't be run: {refused}", "Look after systemd by hand.") from None
    if done.returncode != 0:
        raise ServiceRefused(f"systemctl {' '.join(words)}: {done.stderr.strip()}", "Run it as root, with sudo.")
