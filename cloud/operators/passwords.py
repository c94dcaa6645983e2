"""Passwords as they are kept: by scrypt, under a salt each, with the parameters beside, so that those can grow."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Final

from cloud.errors import StoreFailed
from cloud.operators.errors import OperatorNameRefused, PasswordRefused

MIN_LENGTH: Final = 15
"""In characters: what NIST SP 800-63B, revision 4, asks for where the password is all that is asked for."""
MAX_LENGTH: Final = 256
GENERATED_BYTES: Final = 18
"""144 bits, in 24 characters."""

# OWASP's password storage cheat sheet; 32 MiB, and 0.3 s on one loaded core of a small server.
_LOG_N: Final = 15
_R: Final = 8
_P: Final = 3
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_MAX_MEMORY: Final = 256 << 20

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")


@dataclass(frozen=True, slots=True)
class Hashed:
    """What is kept of a password.

    Attributes:
        log_n, r, p: scrypt's cost: 2 to the power of `log_n`, its block size, its parallel parts.
    """

    log_n: int
    r: int
    p: int
    salt: bytes
    hash: bytes

    def spell(self) -> str:
        """As it stands in the database."""
        return ":".join(("scrypt", str(self.log_n), str(self.r), str(self.p), _text(self.salt), _text(self.hash)))

    @classmethod
    def read(cls, text: str) -> Hashed:
        """From the database.

        Raises:
            StoreFailed: It is none.
        """
        try:
            kind, log_n, r, p, salt, kept = text.split(":")
            found = cls(int(log_n), int(r), int(p), _bytes(salt), _bytes(kept))
        except (ValueError, binascii.Error):
            kind, found = "", None
        if kind != "scrypt" or found is None:
            raise StoreFailed("what is kept of a password can't be read", "Set it anew: `vedette operator password`.")
        return found

    def is_of(self, password: str) -> bool:
        """Whether it was made of this one; takes as long for any other. Needs some tenths of a second of CPU."""
        return hmac.compare_digest(_scrypt(password, self.salt, self.log_n, self.r, self.p), self.hash)


NOBODYS: Final = Hashed(_LOG_N, _R, _P, bytes(_SALT_BYTES), bytes(_HASH_BYTES))
"""What an attempt under an unknown name is compared with, so that it takes as long."""


def hashed(password: str) -> Hashed:
    """What is to be kept of a password; needs some tenths of a second of CPU.

    Raises:
        PasswordRefused: It is no password to have.
    """
    check(password)
    salt = secrets.token_bytes(_SALT_BYTES)
    return Hashed(_LOG_N, _R, _P, salt, _scrypt(password, salt, _LOG_N, _R, _P))


def check(password: str) -> None:
    """Refuse what is no password to have.

    Raises:
        PasswordRefused: It is too short, too long, or not text.
    """
    length = len(_normal(password))
    if length < MIN_LENGTH:
        raise PasswordRefused(
            f"the password has {length} characters, and needs {MIN_LENGTH} or more",
            "Take several words, or have one made with --generate.",
        )
    if length > MAX_LENGTH:
        raise PasswordRefused(f"the password is over {MAX_LENGTH} characters", "Take a shorter one.")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise PasswordRefused("the password is not text in UTF-8", "Set the terminal to UTF-8.") from None


def generated() -> str:
    """A password that nobody guesses."""
    return secrets.token_urlsafe(GENERATED_BYTES)


def checked_name(name: str) -> str:
    """The name, if an operator can have it.

    Raises:
        OperatorNameRefused: It can't be one.
    """
    if not _NAME.fullmatch(name):
        raise OperatorNameRefused(
            f"{name[:80]!a} can't be an operator's name",
            "Take up to 63 lower-case letters, digits and . _ @ -, beginning with a letter or digit.",
        )
    return name


def _normal(password: str) -> str:
    """Keyboards spell the same character differently; NFKC makes it one."""
    return unicodedata.normalize("NFKC", password)


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    said = _normal(password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(said, salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=_HASH_BYTES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
