"""The agent and all that it needs, for another machine: fetched as wheels, pruned, and checked to be whole."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.debian.errors import ClosureBroken, LibraryUnknown, PackerMissing, WheelsMissing
from deploy.debian.target import GLIBC, PYTHON, Target

NOT_FOR_A_DEVICE: Final = (
    # The wheel holds both sides; a device carries none of the cloud's code.
    "cloud",
    "workbench",
    # Console scripts of the machine that built them.
    "bin",
    # What only builds, converts or compiles models, or serves an interface that the agent does not use.
    "ai_edge_litert/aot",
    "ai_edge_litert/tools",
    "ai_edge_litert/vendors",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    # That interface's own library. The package loads it where it is there: without it the interpreter's answers are
    # the same, and a process is 1.6 MiB smaller.
    "ai_edge_litert/libLiteRt.so",
    # Cascades from before neural networks.
    "cv2/data",
    # For those who compile against it, or test it.
    "numpy/_core/include",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/**/_examples",
    "numpy/**/tests",
    "numpy/_core/*_tests.*.so",
    "numpy/_core/_simd.*.so",
    "securesystemslib/_vendor/**/test_data",
    "**/*.pyi",
    "**/.gitignore",
    "**/*.sh",
)
LIBRARIES: Final = {
    "libc.so.6": f"libc6 (>= {GLIBC})",
    "libm.so.6": f"libc6 (>= {GLIBC})",
    "libpthread.so.0": f"libc6 (>= {GLIBC})",
    "libdl.so.2": f"libc6 (>= {GLIBC})",
    "librt.so.1": f"libc6 (>= {GLIBC})",
    "ld-linux-x86-64.so.2": f"libc6 (>= {GLIBC})",
    "ld-linux-aarch64.so.1": f"libc6 (>= {GLIBC})",
    "libgcc_s.so.1": "libgcc-s1 (>= 4.2)",
    "libstdc++.so.6": "libstdc++6 (>= 8)",
    "libz.so.1": "zlib1g",
}
"""manylinux lets a wheel take these from the system; all others it brings along."""
_NEEDED: Final = re.compile(r"\(NEEDED\).*\[(.+)\]")


def fetch(wheel: Path, constraints: Path, target: Target, site: Path) -> None:
    """Install the agent's wheel and what it needs on the target into `site`.

    Raises:
        WheelsMissing: They can't be had; says what pip says.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--implementation", "cp", "--python-version", PYTHON, "--only-binary", ":all:"]
    command += [word for platform in target.platforms for word in ("--platform", platform)]
    command += [
        "--constraint",
        str(constraints),
        "--target",
        str(site),
        f"vedette[agent] @ {wheel.resolve().as_uri()}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WheelsMissing(
            f"pip could not fetch the wheels for {target.debian}:\n{done.stderr.strip()}",
            "Look at your connection and pip's settings, and run it again.",
        )


def prune(site: Path) -> None:
    """Take away what a device never uses, from the folders and from the lists of what is installed."""
    for pattern in NOT_FOR_A_DEVICE:
        for path in sorted(site.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for record in site.glob("*.dist-info/RECORD"):
        rows = [row for row in csv.reader(io.StringIO(record.read_text("utf-8"))) if (site / row[0]).exists()]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        record.write_text(text.getvalue(), "utf-8")
        for by_pip in ("REQUESTED", "INSTALLER", "direct_url.json"):
            (record.parent / by_pip).unlink(missing_ok=True)


def check_closure(site: Path, target: Target) -> list[Distribution]:
    """What is installed, in order of name.

    pip holds conditions against the Python that it runs in, not against the one that it installs for, so that another
    Python here may leave out something there.

    Raises:
        ClosureBroken: Something is missing, or too old.
    """
    found = {canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(site)])}
    missing = [
        f"{name} needs {need}"
        for name, one in found.items()
        for need in _needs(one, "agent" if name == "vedette" else "", target)
        if (there := found.get(canonicalize_name(need.name))) is None or not need.specifier.contains(there.version)
    ]
    if missing or "vedette" not in found:
        raise ClosureBroken(
            f"not all is there that is needed: {'; '.join(missing) or 'vedette itself'}",
            f"Build with Python {PYTHON}, or correct constraints.txt.",
        )
    return [found[name] for name in sorted(found)]


def _needs(one: Distribution, extra: str, target: Target) -> Iterator[Requirement]:
    for line in one.requires or ():
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({**target.markers, "extra": extra}):
            if canonicalize_name(need.name) == "vedette":  # its extras name each other
                for inner in need.extras:
                    yield from _needs(one, inner, target)
            else:
                yield need


def system_libraries(site: Path) -> list[str]:
    """The Debian packages that the compiled parts need.

    Raises:
        PackerMissing: There is no readelf.
        LibraryUnknown: One needs a library that it does not bring, and that is in no package known here.
    """
    readelf = shutil.which("readelf")
    if readelf is None:
        raise PackerMissing("readelf is not installed", "apt-get install binutils")
    files = [path for path in site.rglob("*") if ".so" in path.name and path.is_file()]
    brought = {path.name for path in files}
    command = [readelf, "--dynamic", "--wide", *map(str, files)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={"LC_ALL": "C"}).stdout
    needed = set(_NEEDED.findall(said)) - brought
    if unknown := sorted(needed - LIBRARIES.keys()):
        raise LibraryUnknown(
            f"{', '.join(unknown)} is needed and not brought along", "Say in LIBRARIES which package has it."
        )
    return sorted({LIBRARIES[name] for name in needed})
