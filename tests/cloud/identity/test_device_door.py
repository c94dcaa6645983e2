"""The devices' door, by itself."""

from __future__ import annotations

import json
from typing import Any

from cryptography import x509

from cloud.web.device_door import DeviceDoor


class NoBearers:
    async def bearer(self, certificate: x509.Certificate) -> tuple[str, object]:
        raise AssertionError(f"nobody asks for {certificate}")


async def test_a_certificate_that_can_not_be_read_is_refused_by_name() -> None:
    """TLS verifies what an external authority signed, and may read less of it than we do."""
    said: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        raise AssertionError("no body is wanted")

    async def app(*_: object) -> None:
        raise AssertionError("nobody is let in")

    scope = {"type": "http", "path": "/v1/questions", "state": {"peer_certificate": b"no certificate"}}
    await DeviceDoor(app, NoBearers())(scope, receive, send)
    assert said[0]["status"] == 401
    assert json.loads(said[1]["body"])["error"] == "CertificateRefused"
