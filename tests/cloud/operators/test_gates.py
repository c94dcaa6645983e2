"""Under which certificate and which names the dashboard is served."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from cloud.adapters.clock import SystemClock
from cloud.doors import WebFiles
from cloud.gates import web_host, web_hosts
from cloud.identity.authority import Authority, new_key, pem_of, private_pem
from cloud.identity.errors import AuthorityUnusable
from cloud.web.health import health_router
from cloud.web.server import HttpServer, listening, make_application
from tests.cloud.running import settings_for
from tests.cloud.samples import BOUND_S

FAR = {"tls": True, "http_host": "0.0.0.0"}  # noqa: S104 - what is tried


class Pair:
    """A certificate for localhost and its key, in files, under an authority of their own."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.create(SystemClock().wall())
        self.cert_file, self.key_file = folder / "web.pem", folder / "web.key"
        self.renew()

    def renew(self, *, key: bool = True, certificate: bool = True) -> None:
        made, now = new_key(), SystemClock().wall()
        before = [file.stat().st_mtime_ns for file in (self.cert_file, self.key_file) if file.exists()]
        if key:
            self.key_file.write_text(private_pem(made).decode())
        if certificate:
            life = self.authority.certificate.not_valid_after_utc - now
            self.cert_file.write_text(pem_of(self.authority.certify_service(["localhost"], made, now, life)))
        for file in (self.cert_file, self.key_file):  # a file system may count in coarse steps
            os.utime(file, ns=(0, max(before, default=0) + 1_000_000_000))

    def client(self, port: int) -> httpx.AsyncClient:
        trusting = ssl.create_default_context(cadata=self.authority.certificate_pem.decode())
        return httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=trusting, timeout=BOUND_S)


def test_new_files_are_noticed_and_broken_ones_refused_until_they_fit(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    files = WebFiles(pair.cert_file, pair.key_file)
    assert not files.changed()
    pair.renew(certificate=False)
    for _ in range(2):
        with pytest.raises(AuthorityUnusable, match=r"web\.pem"):
            files.changed()
    pair.renew()
    assert files.changed()
    assert not files.changed()
    pair.cert_file.unlink()
    with pytest.raises(AuthorityUnusable, match="can't be read") as refused:
        files.changed()
    assert refused.value.mend


@pytest.mark.parametrize("broken", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_files_that_are_no_pair_are_refused_at_the_start(tmp_path: Path, broken: str) -> None:
    pair = Pair(tmp_path)
    for file in (pair.cert_file, pair.key_file):
        kept = file.read_text()
        file.write_text(broken)
        with pytest.raises(AuthorityUnusable, match="can't be used"):
            WebFiles(pair.cert_file, pair.key_file)
        file.write_text(kept)


async def test_connections_are_under_the_new_certificate_once_it_is_read_again(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    files = WebFiles(pair.cert_file, pair.key_file)
    with listening("127.0.0.1", 0) as taken:
        server = HttpServer(make_application([health_router({}, dict)], static=tmp_path), files)
        serving = asyncio.create_task(server.serve(sockets=[taken]))
        port = taken.getsockname()[1]

        async def shown() -> bytes:
            async with pair.client(port) as http:
                answer = await http.get("/healthz")
            assert answer.status_code == 200
            stream = answer.extensions["network_stream"]
            found: bytes = stream.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return found

        async with asyncio.timeout(BOUND_S):
            first = await shown()
            pair.renew()
            assert files.changed()
            server.renew()
            second = await shown()
            server.stop()
            await serving
    assert first != second


def test_the_names_are_those_of_the_settings(tmp_path: Path) -> None:
    def hosts(**changes: object) -> tuple[str | None, frozenset[str]]:
        settings = settings_for(tmp_path, **changes)
        return web_host(settings), web_hosts(settings)

    assert hosts() == hosts(tls=True) == (None, frozenset())
    assert hosts(allowed_hosts=("vedette.lan",)) == (None, frozenset({"vedette.lan"}))
    assert hosts(**FAR, allow_plaintext=True) == (None, frozenset())
    named = ["Vedette.example.org", "2001:db8::7"]
    told, known = hosts(**FAR, identity={"names": named}, allowed_hosts=("proxy.lan",))
    assert told == named[0]
    assert known >= {"vedette.example.org", "[2001:db8::7]", "proxy.lan", "localhost"}
    assert hosts(**FAR)[0] == socket.gethostname()
    told, known = hosts(tls=True, http_host="192.0.2.7")
    assert (told, "192.0.2.7" in known) == ("192.0.2.7", True)
