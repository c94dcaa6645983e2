"""Serves a `SignedRepository` over real sockets, and can be made to behave badly by path."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

PREFIX = "/v1/repository/"
BLOCK = b"A" * 65_536


class HostileServer:
    """`behave` replaces how paths that hold a text are answered; `sent` counts the bytes of bodies, by path."""

    def __init__(self, files: dict[str, bytes], tls: ssl.SSLContext | None = None) -> None:
        self.files = files
        self.behaviours: dict[str, Callable[[Exchange], None]] = {}
        self.sent: Counter[str] = Counter()
        self.requests: list[str] = []
        self.raw: list[str] = []
        """As `requests`, with the quoting that they came with."""
        self.ending = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                owner._answer(Exchange(owner, self))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def behave(self, text: str, how: Callable[[Exchange], None]) -> None:
        self.behaviours[text] = how

    def stop(self) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _answer(self, exchange: Exchange) -> None:
        self.requests.append(exchange.path)
        self.raw.append(exchange.handler.path.removeprefix(PREFIX))
        how = next((how for text, how in self.behaviours.items() if text in exchange.path), Exchange.serve)
        with contextlib.suppress(ConnectionError):
            how(exchange)


class Exchange:
    """One request, and ways to answer it."""

    def __init__(self, server: HostileServer, handler: BaseHTTPRequestHandler) -> None:
        self.server = server
        self.handler = handler
        self.path = unquote(handler.path.removeprefix(PREFIX))

    def serve(self, *, at_most: int | None = None, ranges: bool = True) -> None:
        """Properly, or up to a number of bytes after which the connection is cut."""
        data = self.server.files.get(self.path)
        if data is None:
            self.handler.send_error(404)
            return
        wanted = self.handler.headers.get("Range") if ranges else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.handler.send_response(206 if wanted else 200)
        if wanted:
            self.handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.handler.send_header("Content-Length", str(len(data) - start))
        self.handler.end_headers()
        self.send(data[start:] if at_most is None else data[start : start + at_most])
        if at_most is not None and start + at_most < len(data):
            self.cut()

    def send(self, data: bytes) -> None:
        # Counted first: whoever has received it may look before this thread goes on.
        self.server.sent[self.path] += len(data)
        self.handler.wfile.write(data)

    def cut(self) -> None:
        self.handler.close_connection = True
        with contextlib.suppress(OSError):
            self.handler.connection.shutdown(socket.SHUT_RDWR)

    def begin(self, **headers: str) -> None:
        self.handler.send_response(200)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.close_connection = True


def endless(exchange: Exchange) -> None:
    """Until the other side hangs up."""
    exchange.begin()
    while not exchange.server.ending.is_set():
        exchange.send(BLOCK)


def drip(exchange: Exchange) -> None:
    """A byte now and then, for ever."""
    exchange.begin(Content_Length="1000000")
    while not exchange.server.ending.wait(0.01):
        exchange.send(b"{")


def drip_headers(exchange: Exchange) -> None:
    """Not even an answer."""
    exchange.handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Header: ")
    while not exchange.server.ending.wait(0.01):
        exchange.handler.wfile.write(b"x")


def endless_headers(exchange: Exchange) -> None:
    """Never a body."""
    exchange.handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not exchange.server.ending.is_set():
        exchange.handler.wfile.write(b"X-More: " + BLOCK + b"\r\n")


def stall(exchange: Exchange) -> None:
    """A beginning, then nothing."""
    exchange.begin(Content_Length="1000000")
    exchange.server.ending.wait()


def redirect(exchange: Exchange) -> None:
    """To a file of ours, so that following it would work."""
    exchange.handler.send_response(302)
    exchange.handler.send_header("Location", f"{PREFIX}{exchange.path}?again")
    exchange.handler.send_header("Content-Length", "0")
    exchange.handler.end_headers()


def slow_and_cut_after(size: int, bytes_s: float, piece: int = 5_000) -> Callable[[Exchange], None]:
    """Each connection brings so many bytes, at so many a second."""

    def answer(exchange: Exchange) -> None:
        served = exchange.server.files[exchange.path]
        wanted = exchange.handler.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        exchange.handler.send_response(206 if wanted else 200)
        if wanted:
            exchange.handler.send_header("Content-Range", f"bytes {start}-{len(served) - 1}/{len(served)}")
        exchange.handler.send_header("Content-Length", str(len(served) - start))
        exchange.handler.end_headers()
        end = min(start + size, len(served))
        for at in range(start, end, piece):
            exchange.server.ending.wait(piece / bytes_s)
            exchange.send(served[at : min(at + piece, end)])
        if end < len(served):
            exchange.cut()

    return answer


def cut_after(size: int) -> Callable[[Exchange], None]:
    """Each connection brings so many bytes."""
    return lambda exchange: exchange.serve(at_most=size)
