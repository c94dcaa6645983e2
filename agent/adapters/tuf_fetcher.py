"""How files are fetched from the repository: python-tuf's port, over httpcore.

Everything that a hostile or poor server can do is bounded where the bytes come in, so that headers count too: an
overall deadline, a minimum rate, a longest silence. A redirect is an error: nothing in the signed repository lies
elsewhere. What goes wrong is raised in python-tuf's words, as its port asks; `tuf_repository` gives it our names.
"""

from __future__ import annotations

import io
import os
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpcore
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface

from agent.deliver.ledger import http_request_size
from agent.domain import Clock
from agent.update.trust import TrustSettings

OK: Final = 200
PARTIAL: Final = 206
URL_SAFE: Final = "!$%&'()*+,-./:;=?@_~[]"
"""What stands in a URL as it is; `%` because names may be quoted already."""
RECEIVE_BUFFER: Final = 64 * 1024
"""Of a connection with a rate limit: what the kernel takes in ahead of us comes at the link's full speed."""

_LOST: Final = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
)


class _Meter:
    """Bounds one exchange."""

    def __init__(
        self,
        settings: TrustSettings,
        clock: Clock,
        wait: Callable[[float], object],
        *,
        deadline_s: float,
        max_rate: float | None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wait = wait
        self._deadline_s = deadline_s
        self._max_rate = max_rate
        self._began = self._window_began = clock.monotonic()
        self._total = self._window_total = 0

    def patience_s(self, timeout_s: float | None) -> float:
        """How long the next piece may take; `timeout_s` is what httpcore would allow.

        Raises:
            SlowRetrievalError: The deadline is over.
        """
        left = self._began + self._deadline_s - self._clock.monotonic()
        if left <= 0:
            raise SlowRetrievalError(f"not done after {self._deadline_s:.0f} s ({self._total} bytes)")
        return min(left, self._settings.silence_timeout_s, left if timeout_s is None else timeout_s)

    def took(self, size: int) -> None:
        """Count what came, and pause where it came too fast.

        Raises:
            SlowRetrievalError: Too little came.
        """
        self._total += size
        self._window_total += size
        now = self._clock.monotonic()
        passed = now - self._window_began
        if passed >= self._settings.rate_window_s:
            if self._window_total < self._settings.min_rate_bytes_s * passed:
                raise SlowRetrievalError(f"only {self._window_total} bytes in {passed:.1f} s")
            self._window_began, self._window_total = now, 0
        if self._max_rate is not None and (early := self._began + self._total / self._max_rate - now) > 0:
            self._wait(early)


class _MeteredStream(httpcore.NetworkStream):
    """A connection whose every read the current meter bounds."""

    def __init__(self, inner: httpcore.NetworkStream, meter: Callable[[], _Meter]) -> None:
        self._inner = inner
        self._meter = meter

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What came next."""
        meter = self._meter()
        try:
            data = self._inner.read(max_bytes, meter.patience_s(timeout))
        except httpcore.ReadTimeout:
            meter.patience_s(timeout)  # the deadline's name, where it was the deadline
            raise
        meter.took(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send."""
        self._inner.write(buffer, self._meter().patience_s(timeout))

    def close(self) -> None:
        """Hang up."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted."""
        return _MeteredStream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._meter)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the port's own signature
        """What httpcore asks of the socket."""
        return self._inner.get_extra_info(info)


class _MeteredNetwork(httpcore.NetworkBackend):
    """Opens metered connections."""

    def __init__(self, meter: Callable[[], _Meter], options: list[tuple[int, int, int]]) -> None:
        self._inner = httpcore.SyncBackend()
        self._meter = meter
        self._options = options

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect."""
        options = [*(socket_options or ()), *self._options]
        return _MeteredStream(self._inner.connect_tcp(host, port, timeout, local_address, options), self._meter)


class TufFetcher(FetcherInterface):
    """Fetches over one kept-alive connection; for one thread. Close it when the work is done."""

    def __init__(
        self,
        settings: TrustSettings,
        *,
        clock: Clock,
        wait: Callable[[float], object],
        spend: Callable[[int], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Nothing is connected yet.

        Args:
            settings: The limits.
            clock: For the deadline and the rates.
            wait: Called with seconds, to keep below the highest rate; may return early to make an end.
            spend: Told the size of each request.
            tls: For `https`; None trusts the system's certificates.
        """
        self._settings = settings
        self._clock = clock
        self._wait = wait
        self._spend = spend
        self._meter = self._new_meter(settings.metadata_deadline_s, None)
        options = [] if settings.max_rate_bytes_s is None else [(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)]
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls, max_connections=1, network_backend=_MeteredNetwork(lambda: self._meter, options)
        )

    def close(self) -> None:
        """Hang up."""
        self._pool.close()

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[io.BytesIO]:
        """A file of metadata or a small document, in memory: a hardened service may have no folder for scratch files.

        Raises:
            DownloadError: And its kinds.
        """
        whole = io.BytesIO()
        for piece in self.fetch(url):
            if whole.tell() + len(piece) > max_length:
                raise DownloadLengthMismatchError(f"{url} goes on beyond {max_length} bytes")
            whole.write(piece)
        whole.seek(0)
        yield whole

    def resume(self, url: str, part: Path, length: int, arrived: Callable[[int], None]) -> None:
        """Bring `part` to `length` bytes, going on where it ends; what came is on the disk in any case.

        Args:
            url: Of a file whose content never changes.
            part: What was fetched so far; made where it is missing.
            length: Signed size in bytes; never more are written.
            arrived: Told the size of `part` after each piece; what it raises ends the download.

        Raises:
            DownloadLengthMismatchError: There is more to come.
            DownloadError: And its other kinds: the connection was cut, refused or too slow.
            OSError: The disk refuses.
        """
        with part.open("ab") as file:
            have = file.tell()
            if have >= length:
                return
            try:
                with self._exchange(url, have, self._settings.download_deadline_s) as (start, pieces):
                    if start != have:
                        have = file.truncate(start)
                    for piece in pieces:
                        file.write(piece[: length - have])
                        if have + len(piece) > length:
                            raise DownloadLengthMismatchError(f"{url} goes on beyond {length} bytes")
                        have += len(piece)
                        arrived(have)
            finally:
                file.flush()
                os.fsync(file.fileno())
        if have < length:
            raise DownloadError(f"{url} ended after {have} of {length} bytes")

    def _fetch(self, url: str) -> Iterator[bytes]:
        with self._exchange(url, 0, self._settings.metadata_deadline_s) as (_, pieces):
            yield from pieces

    @contextmanager
    def _exchange(self, url: str, offset: int, deadline_s: float) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Where the body begins in the file, and its pieces."""
        url = quote(url, safe=URL_SAFE)
        headers = [
            (b"Host", urlsplit(url).netloc.encode("ascii", "replace")),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", b"vedette-agent"),
        ]
        if offset:
            headers.append((b"Range", b"bytes=%d-" % offset))
        # Metadata is small, and a deadline of its own guards it: only models are slowed down.
        max_rate = self._settings.max_rate_bytes_s if deadline_s == self._settings.download_deadline_s else None
        self._meter = self._new_meter(deadline_s, max_rate)
        timeouts = {"connect": min(self._settings.connect_timeout_s, deadline_s)}
        try:
            with self._pool.stream("GET", url, headers=headers, extensions={"timeout": timeouts}) as response:
                self._spend(http_request_size("GET", urlsplit(url).path, headers, b""))
                yield _start(url, response, offset), response.iter_stream()
        except _LOST as lost:
            raise DownloadError(f"{url}: {str(lost) or type(lost).__name__}") from lost

    def _new_meter(self, deadline_s: float, max_rate: float | None) -> _Meter:
        return _Meter(self._settings, self._clock, self._wait, deadline_s=deadline_s, max_rate=max_rate)


def _start(url: str, response: httpcore.Response, offset: int) -> int:
    if response.status == OK:
        return 0
    if response.status != PARTIAL or not offset:
        raise DownloadHTTPError(f"{url}: status {response.status}", response.status)
    place = next((value for name, value in response.headers if name.lower() == b"content-range"), b"")
    if not place.startswith(b"bytes %d-" % offset):
        raise DownloadError(f"{url}: asked for bytes from {offset} on, and got {place[:40]!r}")
    return offset
