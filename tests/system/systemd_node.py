"""A machine of its own with a real systemd: booted by systemd-nspawn, on a network with nobody but the service on it.

Nothing of it outlives `close`. The Debian that it boots is built once, and kept in the user's cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from tests.system.engines import missing
from workbench.clip import cache_folder

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
INCLUDED = ("systemd", "systemd-sysv", "dbus", "libpam-systemd", "procps", "ca-certificates", "python3")
"""What a fresh Debian server has of what the package needs; the node has no network to fetch more over."""
TOOLS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "dpkg-deb": "dpkg",
}
BOOT_S = 180.0
AT_THE_NODE = """
sudo() { "$@"; }
nano() { cat "/srv/given/${1##*/}" > "$1"; rm "/srv/given/${1##*/}"; }
"""
"""Who is there is root already, and writes without an editor."""
HIERARCHIES = [
    path for name in ("systemd", "unified") if (path := Path("/sys/fs/cgroup") / name / "cgroup.procs").exists()
]
"""Of a machine with both versions of cgroups, where systemd in the node needs a group of its own in each."""


def need_node_tools() -> None:
    if os.geteuid() != 0:
        missing("booting a systemd node takes root")
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            missing(f"{tool} is not installed (Debian's package `{package}`)")


def system(*words: object, check: bool = True) -> str:
    """Run a tool of this machine."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0 or not check, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def packages(architecture: str) -> Path:
    """The agent's package as `make dist` made it; `VEDETTE_DIST` names another folder than `dist`."""
    folder = Path(os.environ.get("VEDETTE_DIST", ROOT / "dist"))
    found = sorted(folder.glob(f"vedette-agent_*_{architecture}.deb"))
    if not found:
        missing(f"there is no package for {architecture} in {folder}: make dist")
    return found[-1]


def base() -> Path:
    """The Debian that nodes boot."""
    return cached_debian("node", INCLUDED, "--variant=minbase")


def cached_debian(name: str, included: tuple[str, ...], *options: str) -> Path:
    """A Debian's root folder, not to be written to; half a minute and a network the first time."""
    contents = hashlib.sha256(" ".join((SUITE, *included, *options)).encode()).hexdigest()[:12]
    folder = cache_folder().parent / "nodes" / f"{name}-{SUITE}-{contents}"
    if not folder.is_dir():
        if shutil.which("mmdebstrap") is None:
            missing("mmdebstrap is not installed (Debian's package `mmdebstrap`)")
        being_built = folder.with_name(f"{folder.name}.{os.getpid()}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            system("mmdebstrap", *options, f"--include={','.join(included)}", SUITE, being_built)
        except AssertionError as failed:
            shutil.rmtree(being_built, ignore_errors=True)
            missing(f"no Debian can be had to run: {str(failed)[-300:]}")
        being_built.rename(folder)
    return folder


OWN = ("etc/machine-id", "etc/vedette/token", "var/lib/private/vedette-agent", "var/lib/systemd/random-seed")
"""What a node has for itself, and must not share with one that begins as its copy."""


class Network:
    """The service's network namespace with a bridge in it, and one more for each node, on a line of its own."""

    CLOUD = "10.213.77.1"

    def __init__(self) -> None:
        self.cloud = f"vedette-c{os.getpid()}"
        self.lines: list[Line] = []
        system("ip", "netns", "add", self.cloud)
        system("ip", "-n", self.cloud, "link", "set", "lo", "up")
        system("ip", "-n", self.cloud, "link", "add", "eth0", "type", "bridge")
        system("ip", "-n", self.cloud, "address", "add", f"{self.CLOUD}/24", "dev", "eth0")
        system("ip", "-n", self.cloud, "link", "set", "eth0", "up")

    def line(self) -> Line:
        """One more."""
        self.lines.append(Line(self, len(self.lines) + 1))
        return self.lines[-1]

    def close(self) -> None:
        for namespace in (self.cloud, *(line.namespace for line in self.lines)):
            system("ip", "netns", "delete", namespace, check=False)


class Line:
    """From the bridge to a node's namespace; it can be cut and mended."""

    def __init__(self, network: Network, number: int) -> None:
        self.network = network
        self.namespace = f"vedette-n{number}-{os.getpid()}"
        self._port = f"port{number}"
        system("ip", "netns", "add", self.namespace)
        there = ("type", "veth", "peer", "eth0", "netns", self.namespace)
        system("ip", "-n", network.cloud, "link", "add", self._port, *there)
        system("ip", "-n", network.cloud, "link", "set", self._port, "master", "eth0", "up")
        address = f"{network.CLOUD.rpartition('.')[0]}.{number + 1}/24"
        system("ip", "-n", self.namespace, "address", "add", address, "dev", "eth0")
        for device in ("lo", "eth0"):
            system("ip", "-n", self.namespace, "link", "set", device, "up")

    def cut(self) -> None:
        system("ip", "-n", self.network.cloud, "link", "set", self._port, "down")

    def mend(self) -> None:
        system("ip", "-n", self.network.cloud, "link", "set", self._port, "up")


class Node:
    """A booted machine.

    Args:
        folder: Where what it writes lies; not on a filesystem that is an overlay itself.
        namespace: Its network.
        like: The folder of a node whose disk this one begins with.
        debian: The root folder of what it boots, if not `base`.
    """

    def __init__(self, folder: Path, namespace: str, like: Path | None = None, *, debian: Path | None = None) -> None:
        self.root = folder / "root"
        self._name = namespace
        upper, work = folder / "upper", folder / "work"
        for path in (self.root, work):
            path.mkdir(parents=True)
        if like is None:
            upper.mkdir()
        else:
            system("cp", "-a", like / "upper", upper)
            for path in OWN:
                system("rm", "-rf", upper / path)
        layers = f"lowerdir={debian or base()},upperdir={upper},workdir={work}"
        system("mount", "-t", "overlay", "overlay", "-o", layers, self.root)
        # The disk ends with the node: that dpkg has each of a package's files written out to it takes seconds.
        own = self.root / "etc/dpkg/dpkg.cfg.d/in-a-test"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text("force-unsafe-io\n")
        self._log = (folder / "console.log").open("wb")
        self._namespace = namespace
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self) -> None:
        """Start it, and wait until systemd says that it runs."""
        groups = [procs.parent / self._name for procs in HIERARCHIES]
        for group in groups:
            group.mkdir(exist_ok=True)
        into = "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups)
        command = [
            "systemd-nspawn",
            "--quiet",
            "--directory",
            str(self.root),
            "--boot",
            "--register=no",
            "--keep-unit",
        ]
        command += [f"--network-namespace-path=/run/netns/{self._namespace}", f"--machine={self._name}"]
        command += ["--console=pipe"]
        self._nspawn = subprocess.Popen(
            ["/bin/sh", "-c", f'{into}exec "$@"', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        until = time.monotonic() + BOOT_S
        while self.says("systemctl", "is-system-running") not in {"running", "degraded"}:
            if self._nspawn.poll() is not None or time.monotonic() > until:
                self.close()
                missing(f"systemd does not boot here: {Path(self._log.name).read_text('utf-8', 'replace')[-500:]}")
            threading.Event().wait(0.1)

    def run(self, *words: object, check: bool = True, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as its root."""
        command = ["nsenter", "-t", str(self._pid()), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        done = subprocess.run(
            [*command, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env=environment,
        )
        assert done.returncode == 0 or not check, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def types(self, block: str, given: Mapping[str, str] | None = None) -> str:
        """Run what a document says, as root; `given` is what a person writes in the editor, by the file's name."""
        for name, text in (given or {}).items():
            self.write(f"/srv/given/{name}", text, 0o600)
        return self.run("bash", "-euc", AT_THE_NODE + block, timeout_s=240).stdout

    def says(self, *words: object) -> str:
        """What a command prints, whatever it ends with; nothing before there is a machine to run it in."""
        try:
            return self.run(*words, check=False).stdout.strip()
        except ProcessLookupError:
            return ""

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode)
        file.write_text(text)
        file.chmod(mode)

    def property(self, unit: str, name: str) -> str:
        return self.says("systemctl", "show", unit, "--property", name, "--value")

    def _pid(self) -> int:
        """The init of the machine, as this one sees it."""
        assert self._nspawn is not None
        if not self._init or not psutil.pid_exists(self._init):
            found = [c for c in psutil.Process(self._nspawn.pid).children() if c.name() in {"systemd", "init"}]
            if not found:
                raise ProcessLookupError
            self._init = found[0].pid
        return self._init

    def pull_the_plug(self) -> None:
        """Everything in it ends at once, as when the power goes."""
        assert self._nspawn is not None
        os.kill(self._pid(), signal.SIGKILL)
        self._nspawn.wait(60)

    def close(self) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.send_signal(signal.SIGTERM)
            try:
                self._nspawn.wait(60)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        self._log.close()
        system("umount", "--lazy", self.root, check=False)
        for procs in HIERARCHIES:
            with contextlib.suppress(OSError):
                (procs.parent / self._name).rmdir()


@contextlib.contextmanager
def booted(
    folder: Path,
    line: Line,
    prepare: Callable[[Path], object],
    like: Path | None = None,
    *,
    debian: Path | None = None,
) -> Iterator[Node]:
    """A node on that line, after `prepare` was given its root."""
    node = Node(folder, line.namespace, like, debian=debian)
    try:
        prepare(node.root)
        node.boot()
        yield node
    finally:
        node.close()


@contextlib.contextmanager
def networked() -> Iterator[Network]:
    """A network with nobody on it yet."""
    need_node_tools()
    network = Network()
    try:
        yield network
    finally:
        network.close()
