"""Sends pushes over HTTP. Redirects are not followed, and nothing that is sent or answered is logged."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

import httpx

from cloud.errors import PushFailed
from cloud.ports import Clock
from cloud.push.request import Request, sign
from cloud.push.settings import PushSettings, check_address

MAX_SECRET_BYTES: Final = 4096


class HttpSender:
    """Implements `cloud.push.ports.Sender`; a connection for each request, since alerts are rare."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def send(self, push: PushSettings, request: Request) -> int:
        """See the port. Files are read each time: what they hold may be replaced while the service runs."""
        address, headers, body = await asyncio.to_thread(self._prepared, push, request)
        verify = await asyncio.to_thread(_trusting, push)
        try:
            async with (
                asyncio.timeout(push.timeout_s),
                httpx.AsyncClient(verify=verify, follow_redirects=False, timeout=push.timeout_s) as client,
                # As a stream: the status is all that is wanted of what may be an endless answer.
                client.stream(request.method, address, headers=headers, content=body) as answer,
            ):
                return answer.status_code
        except TimeoutError:
            raise PushFailed(f"no answer within {push.timeout_s:g} s", "It is tried again by itself.") from None
        except (httpx.HTTPError, httpx.InvalidURL) as failed:
            # What httpx says may hold the address, which may be a secret.
            raise PushFailed(f"it can't be reached ({type(failed).__name__})", "Look at its address.") from None

    def _prepared(self, push: PushSettings, request: Request) -> tuple[str, list[tuple[bytes, bytes]], bytes]:
        if push.secret_file is not None:
            request = sign(request, _text(push.secret_file).encode(), self._clock.wall())
        headers = [(name.encode("ascii"), value.encode()) for name, value in request.headers.items()]
        if push.bearer_file is not None:
            headers.append((b"Authorization", f"Bearer {_text(push.bearer_file)}".encode()))
        return _address(push), headers, request.body


def _address(push: PushSettings) -> str:
    if push.url is not None:
        return push.url
    if push.url_file is None:
        raise AssertionError("unreachable: the settings have one of both")
    address = _text(push.url_file)
    try:
        check_address(address)
    except ValueError as refused:
        raise PushFailed(f"{push.url_file} holds no address: {refused}", "Put one line into it.") from None
    return address


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_SECRET_BYTES + 1).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as refused:
        raise PushFailed(f"{file} can't be read: {refused}", "Name a text file that the service may read.") from None
    if not text or len(text) > MAX_SECRET_BYTES or not text.isprintable():
        raise PushFailed(f"{file} holds no single line of text", "Put the secret into it, and nothing else.")
    return text


def _trusting(push: PushSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=push.ca_file)
    except (OSError, ssl.SSLError) as refused:
        raise PushFailed(f"{push.ca_file} can't be used: {refused}", "Name certificates in PEM.") from None
