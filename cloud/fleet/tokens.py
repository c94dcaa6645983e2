"""Device tokens: 256 random bits, of which the cloud keeps the SHA-256 only.

So many bits can't be guessed, hence no slow password hash is needed; a read database gives none of them away.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

# Lets a person, or a scanner of published secrets, see what it is.
PREFIX: Final = "vdt_"
_BYTES: Final = 32
_MAX_LENGTH: Final = 128


def new_token() -> str:
    """A fresh token, for one device."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def digest(token: str) -> str:
    """What the cloud keeps of it, in hex; of an absurdly long one, what no token has."""
    return hashlib.sha256(token[: _MAX_LENGTH + 1].encode("utf-8", "surrogatepass")).hexdigest()
