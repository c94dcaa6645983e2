"""The service and agents as real processes, an uplink between them that can be cut, and what each of them kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import psutil

from tests.agent.deliver.network import Proxy
from tests.ports import free_port
from tests.system.preloaded import programs
from wire.messages import Alert, Question, Verdict
from workbench.demo.parts import agent_folder, cloud_folder, enrol, start_agent, start_service, token_file
from workbench.demo.processes import Child, Children

BOUND_S = 90.0
"""Seconds are usual; but another test works beside, and a machine may be slow."""
T = TypeVar("T")
S = TypeVar("S", bound="System")


def is_gone(service: Kept, device: str) -> bool:
    """Whether the last that the service heard of the device is that it went; a revoked one is shown so anyhow."""
    return dict(service.rows("SELECT id, presence FROM devices"))[device] == "offline"


def eventually(condition: Callable[[], bool], what: str, bound_s: float = BOUND_S) -> None:
    """Ask what can't tell us by itself, such as another process's files, ever less often."""
    until = time.monotonic() + bound_s
    pause_s = 0.05
    while not condition():
        assert time.monotonic() < until, f"not within {bound_s:.0f} s: {what}"
        threading.Event().wait(pause_s)
        # To ask may itself cost a process; what took long so far won't be missed by half a second.
        pause_s = min(1.2 * pause_s, 0.5)


class Uplink:
    """What lies between the device and the cloud: MQTT and HTTP over one line, to be cut and mended."""

    def __init__(self, mqtt: str, http: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._proxies = [Proxy(_port(mqtt)), Proxy(_port(http))]
        self.mend()
        self.mqtt, self.http = (
            f"{scheme}://127.0.0.1:{proxy.port}"
            for scheme, proxy in zip(("mqtt", "http"), self._proxies, strict=True)
        )

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        for proxy in self._proxies:
            self._run(proxy.cut())

    def fall_silent(self, *, on: bool = True) -> None:
        """Take what is sent and pass none of it on."""
        for proxy in self._proxies:
            self._loop.call_soon_threadsafe(lambda proxy=proxy: proxy.swallow(on=on))

    def mend(self) -> None:
        for proxy in self._proxies:
            self._run(proxy.mend())

    def close(self) -> None:
        for proxy in self._proxies:
            self._run(proxy.end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(BOUND_S)


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


class System:
    """One service and one agent, `gate-1`."""

    DEVICE = "gate-1"
    SERVICE_OPTIONS: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children = Children(folder)
        enrol(folder, [self.DEVICE])
        # Not any that the kernel gives: they have to be free still when broker or service is started again.
        ports = ["--http-port", str(free_port()), "--mqtt-port", str(free_port())]
        self.service, self.addresses = start_service(self.children, folder, [*ports, *self.SERVICE_OPTIONS])
        self.uplink = Uplink(self.addresses.mqtt, self.addresses.http)
        self.outbox = Kept(agent_folder(folder, self.DEVICE) / "data" / "outbox.db")
        self.store = Kept(cloud_folder(folder).root / "vedette.db")

    def start_agent(self, told: str) -> Child:
        """`told` without the tables about who it is and where the cloud is."""
        own = agent_folder(self.folder, self.DEVICE)
        who = f'device = "{self.DEVICE}"\ndata_dir = "{own / "data"}"\n'
        where = (
            f'\n[link]\nurl = "{self.uplink.mqtt}"\ntoken_file = "{token_file(self.folder, self.DEVICE)}"\n'
            "keepalive_s = 5\nreconnect_max_s = 2\nstop_timeout_s = 30\n"
            f'[ask]\nurl = "{self.uplink.http}"\nretry_max_s = 2\n'
        )
        return start_agent(self.children, self.folder, self.DEVICE, who + told + where)

    def ends(self, child: Child) -> int:
        """Ask it to, and let it finish what it has to; its exit code."""
        child.process.terminate()
        child.process.wait(BOUND_S)
        return self.children.stop(child)

    def serve_again(self) -> None:
        """Start the service where it was."""
        ports = ["--http-port", str(_port(self.addresses.http)), "--mqtt-port", str(_port(self.addresses.mqtt))]
        self.service, _ = start_service(self.children, self.folder, ports)

    def typed(self, *words: str) -> str:
        """What a command of the operator's prints, on a terminal so wide that no figure is broken over two lines."""
        command = [programs().vedette, *words, "--data-dir", str(cloud_folder(self.folder).root)]
        wide = environment(COLUMNS="200")
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=BOUND_S, env=wide).stdout

    def broker(self) -> psutil.Process:
        found = [c for c in psutil.Process(self.service.process.pid).children() if c.name() == "nats-server"]
        assert len(found) == 1
        return found[0]

    def kill_broker(self) -> None:
        """kill -9, and wait until another runs in its place."""
        dead = self.broker()
        dead.send_signal(signal.SIGKILL)
        psutil.wait_procs([dead], timeout=BOUND_S)
        service = psutil.Process(self.service.process.pid)
        eventually(
            lambda: any(c.name() == "nats-server" and c.pid != dead.pid for c in service.children()),
            "the service starts its broker again",
        )

    # --- what is kept ---------------------------------------------------------------------------------------------

    def recorded(self) -> dict[str, int]:
        """The last sequence number that the agent gave away, by camera."""
        return dict(self.outbox.rows("SELECT name, sequence FROM camera"))

    def waiting(self) -> set[str]:
        """Messages in the agent's outbox."""
        return {row[0] for row in self.outbox.rows("SELECT message_id FROM outbox")}

    def stored_ids(self) -> set[str]:
        return {row[0] for row in self.store.rows("SELECT message_id FROM alert_events")}

    def stored(self) -> list[Alert]:
        """Alert messages in the order in which the cloud stored them."""
        rows = self.store.rows("SELECT message FROM alert_events ORDER BY number")
        return [Alert.model_validate_json(row[0]) for row in rows]

    def standing(self) -> dict[str, Alert]:
        """Each alert as the cloud shows it."""
        rows = self.store.rows("SELECT id, message FROM alerts")
        return {row[0]: Alert.model_validate_json(row[1]) for row in rows}

    def verdicts(self) -> list[tuple[Verdict, Question]]:
        sql = "SELECT v.message, q.message FROM verdicts v JOIN questions q ON q.id = v.question_id"
        return [(Verdict.model_validate_json(v), Question.model_validate_json(q)) for v, q in self.store.rows(sql)]

    def close(self) -> None:
        self.uplink.close()
        self.children.stop_all()


class Kept:
    """Reads another process's SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        if not self._path.is_file():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=BOUND_S)) as file:
            try:
                return file.execute(sql).fetchall()
            except sqlite3.OperationalError as not_yet:
                if "no such table" in str(not_yet):
                    return []
                raise


@contextlib.contextmanager
def whole_system(folder: Path, kind: type[S] = System) -> Iterator[S]:  # type: ignore[assignment]
    system = kind(folder)
    try:
        yield system
    finally:
        system.close()


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[str]:
    """Those that still run; a zombie is gone but for its parent's attention, and in a container nobody may pay it."""
    found = []
    for process in processes:
        # It may go between two questions.
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.name()}")
    return found


FROM_MAKE: Final = frozenset({"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "VEDETTE_MAKE_STARTED"})
"""What the `make` that runs the tests leaves to whatever they start, another `make` among it."""


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in FROM_MAKE} | more
