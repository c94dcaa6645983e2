"""Packs the agent for Debian: `python -m deploy.debian.build --wheel FILE [--arch amd64]… [--out DIR] [--json]`.

The package brings a virtual environment of its own under /usr/lib/vedette-agent, put together from wheels for the
target, so that either architecture can be packed on either; the models are in the agent's wheel. Takes Debian's
dpkg-deb and binutils.

Exit codes: 0 done, 1 it could not be packed (standard error says why and what to do), 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from email.utils import formatdate
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from agent.__main__ import COMMANDS
from agent.command_line import argument_parser
from deploy.debian.errors import PackagingError, PackerMissing
from deploy.debian.manpage import manual
from deploy.debian.site import check_closure, fetch, prune, system_libraries
from deploy.debian.target import PYTHON, TARGETS, Target

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
SYSTEMD: Final = ROOT / "deploy" / "systemd"
NAME: Final = "vedette-agent"
HOME: Final = f"usr/lib/{NAME}"
MAINTAINER: Final = "Vedette maintainers <maintainers@vedette.invalid>"
MAX_INSTALLED_MIB: Final = 350
"""A card of 8 GB holds the system, two packages during an upgrade, and the models."""
ACTIVE_DROPIN: Final = "v4l2.conf"
"""Cameras of the machine itself are what most have; the others are linked by hand."""
LAUNCHER: Final = f"""\
#!/{HOME}/bin/python3 -I
import sys

from agent.__main__ import main

sys.exit(main())
"""
CONTROL: Final = """\
Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size_kib}
Depends: {depends}
Recommends: systemd, ca-certificates
Section: video
Priority: optional
Description: watches cameras, raises alerts over MQTT, asks a cloud when unsure
 The device's side of Vedette: a small detector judges the pictures of the
 machine's cameras, follows what it finds, and raises alerts by rules, with the
 network cut as well; they wait on disk until they are delivered. Where it is
 unsure it sends a cut-out of the picture to the cloud side, if one is named.
 .
 It runs as a hardened systemd service, brings two detection models, and its
 own Python packages.
"""


def pack(wheel: Path, target: Target, version: str, out: Path, *, quick: bool = False) -> Path:
    """Make the package of one architecture; its file.

    Raises:
        PackagingError: It can't be made; nothing is left behind.
    """
    packer = shutil.which("dpkg-deb")
    if packer is None:
        raise PackerMissing("dpkg-deb is not installed", "Packages are made on Debian or Ubuntu.")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vedette-deb-") as folder:
        tree = Path(folder) / "tree"
        site = tree / HOME / "lib" / f"python{PYTHON}" / "site-packages"
        fetch(wheel, ROOT / "constraints.txt", target, site)
        prune(site)
        brought = check_closure(site, target)
        depends = [f"python{PYTHON}", *system_libraries(site)]
        lay_out(tree, version, brought)
        _modes(tree)
        size_kib = sum(-(-path.lstat().st_size // 1024) for path in tree.rglob("*") if not path.is_dir())
        if size_kib > MAX_INSTALLED_MIB * 1024:
            raise PackagingError(
                f"{size_kib // 1024} MiB would be installed, over {MAX_INSTALLED_MIB}",
                "Prune more in NOT_FOR_A_DEVICE.",
            )
        _control(tree, version, target, size_kib, depends)
        file = out / f"{NAME}_{version}_{target.debian}.deb"
        # zstd would be quicker, and is unknown to the tools of older releases.
        compression = ["-Zgzip", "-z1"] if quick else ["-Zxz", "-z6", "--threads-max=2"]
        command = [packer, "--root-owner-group", *compression, "--build", str(tree), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(wheel))
        if done.returncode != 0:
            raise PackagingError(f"dpkg-deb failed: {done.stderr.strip()}", "Look after the disk.")
    return file


def lay_out(tree: Path, version: str, brought: Sequence[Distribution]) -> None:
    """Put everything beside the Python packages into its place."""
    home = tree / HOME
    _write(home / "pyvenv.cfg", f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON}\n")
    _write(home / "bin" / NAME, LAUNCHER)
    (home / "bin" / "python3").symlink_to(f"../../../bin/python{PYTHON}")
    command = tree / "usr" / "bin" / NAME
    command.parent.mkdir(parents=True)
    command.symlink_to(f"../lib/{NAME}/bin/{NAME}")

    units = tree / "lib" / "systemd" / "system"
    _copy(SYSTEMD / f"{NAME}.service", units)
    _copy(SYSTEMD / ACTIVE_DROPIN, units / f"{NAME}.service.d")
    for dropin in sorted(SYSTEMD.glob("*.conf")):
        if dropin.name != ACTIVE_DROPIN:
            _copy(dropin, tree / "usr/share" / NAME / "systemd")
    _copy(SYSTEMD / "agent.toml", tree / "etc" / "vedette")

    doc = tree / "usr/share/doc" / NAME
    _write(doc / "copyright", _copyright(brought))
    _write_gz(doc / "changelog.gz", _changelog(version))
    _write_gz(tree / "usr/share/man/man1" / f"{NAME}.1.gz", manual(argument_parser(COMMANDS), version))
    overrides = (HERE / "control" / "lintian-overrides").read_text("utf-8")
    _write(tree / "usr/share/lintian/overrides" / NAME, overrides)


def _control(tree: Path, version: str, target: Target, size_kib: int, depends: Sequence[str]) -> None:
    control = tree / "DEBIAN"
    _write(
        control / "control",
        CONTROL.format(
            name=NAME,
            version=version,
            architecture=target.debian,
            maintainer=MAINTAINER,
            size_kib=size_kib,
            depends=", ".join(depends),
        ),
    )
    _write(control / "conffiles", "/etc/vedette/agent.toml\n")
    for script in ("postinst", "prerm", "postrm"):
        _copy(HERE / "control" / script, control)
        (control / script).chmod(0o755)


def _copyright(brought: Sequence[Distribution]) -> str:
    """What stands under which licence; the texts lie in the packages' own folders."""
    lines = [
        "Copyright 2026 the authors of Vedette.",
        "",
        "The agent, the modules agent, vision and wire, is Vedette's, under Apache-2.0; see",
        "/usr/share/common-licenses/Apache-2.0. The detection models in vision/models carry their licences",
        "and notices beside them. The Python packages brought along:",
        "",
    ]
    for one in brought:
        name = one.metadata["Name"]
        if name != "vedette":
            said = one.metadata.json
            licence = str(said.get("license_expression") or said.get("license") or "see its files")
            lines.append(f"  {name} {one.version}: {' '.join(licence.split())[:70]}")
    lines += ["", f"Their texts: /{HOME}/lib/python{PYTHON}/site-packages/*.dist-info", ""]
    return "\n".join(lines)


def _changelog(version: str) -> str:
    when = formatdate(float(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    return (
        f"{NAME} ({version}) stable; urgency=medium\n\n  * See the project's CHANGELOG.\n\n -- {MAINTAINER}  {when}\n"
    )


def _environment(wheel: Path) -> dict[str, str]:
    """One time for all files, so that the same wheel gives the same package."""
    return {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", str(int(wheel.stat().st_mtime)))}


def _modes(tree: Path) -> None:
    """Whatever mask or wheel made them: readable by all, writable by root; the one program is executable."""
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path == tree / HOME / "bin" / NAME else 0o644)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _write_gz(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _copy(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / file.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack what the command line names; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.debian.build", description="Packs the agent for Debian.")
    parser.add_argument("--wheel", type=Path, required=True, help="the project's wheel, with the models inside")
    parser.add_argument("--arch", action="append", choices=sorted(TARGETS), help="repeat for several (both)")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="where the packages go (dist)")
    parser.add_argument("--quick", action="store_true", help="pack loosely, for a test")
    parser.add_argument("--json", action="store_true", help="for programs")
    chosen = parser.parse_args(arguments)
    try:
        version = _version(chosen.wheel)
        made = []
        for name in chosen.arch or sorted(TARGETS):
            print(f"packing for {name}", file=sys.stderr)
            made.append(pack(chosen.wheel, TARGETS[name], version, chosen.out, quick=chosen.quick))
    except PackagingError as failed:
        sys.stderr.write(f"{failed.name}: {failed}\n")
        return 1
    print(json.dumps({"packages": [str(file) for file in made]}) if chosen.json else "\n".join(map(str, made)))
    return 0


def _version(wheel: Path) -> str:
    """The wheel's version, after making sure that it is one with models inside."""
    try:
        with zipfile.ZipFile(wheel) as file:
            names = file.namelist()
    except (OSError, zipfile.BadZipFile) as refused:
        raise PackagingError(f"{wheel} can't be read: {refused}", "Run `make dist`.") from None
    if not any(name.startswith("vision/models/") for name in names):
        raise PackagingError(f"{wheel} holds no models", "Run `make dist`, which builds them into it.")
    return wheel.name.split("-")[1]


if __name__ == "__main__":
    sys.exit(main())
