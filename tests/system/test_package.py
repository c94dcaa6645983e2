"""The packages as `make dist` made them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.system.engines import missing
from tests.system.systemd_node import packages, system

pytestmark = [pytest.mark.system, pytest.mark.computing, pytest.mark.timeout(600)]
MAX_INSTALLED_KIB = 350 * 1024


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_lintian_objects_to_nothing_but_what_is_overridden(architecture: str) -> None:
    package = packages(architecture)
    lintian = shutil.which("lintian")
    if lintian is None:
        missing("lintian is not installed (Debian's package `lintian`)")
    done = subprocess.run(
        [lintian, "--allow-root", "--fail-on", "error,warning", str(package)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_what_it_says_of_itself(architecture: str) -> None:
    package = packages(architecture)
    size, depends, names = (
        system("dpkg-deb", "--field", package, field).strip() for field in ("Installed-Size", "Depends", "Package")
    )
    assert names == "vedette-agent"
    assert int(size) <= MAX_INSTALLED_KIB
    assert depends.startswith("python3.11, libc6 (>= 2.28), ")
    held = system("dpkg-deb", "--contents", package)
    assert "/site-packages/agent/__main__.py" in held
    for unwanted in ("/site-packages/cloud/", "/site-packages/workbench/", "/__pycache__/"):
        assert unwanted not in held
