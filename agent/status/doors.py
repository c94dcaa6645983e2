"""What is served under which path, and to whom. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final

from agent.status.exposition import CONTENT_TYPE

HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
CSS: Final = "text/css; charset=utf-8"
JPEG: Final = "image/jpeg"
METRICS: Final = CONTENT_TYPE
FRAME_PATH: Final = re.compile(r"/frame/([^/]{1,600})\.jpg")

HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    # No other page can show the cameras' pictures as its own.
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    kind: str = TEXT
    body: bytes = field(default=b"", repr=False)


def is_ours(host: str, allowed: frozenset[str]) -> bool:
    """Whether the service answers to this `Host`: `localhost`, an IP address, or a name that was allowed.

    A page of a stranger whose name was made to point here (DNS rebinding) still asks under that name; what is asked
    for by a bare address was typed or configured by someone who knows it.
    """
    name, rest = _split(host.strip().lower())
    if rest and not (rest.startswith(":") and rest[1:].isascii() and rest[1:].isdigit()):
        return False
    if name == "localhost" or name in allowed:
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _split(host: str) -> tuple[str, str]:
    if host.startswith("["):
        end = host.find("]") + 1
        return host[:end], host[end:]
    name, colon, port = host.partition(":")
    return name, colon + port
