"""TLS for thousands of connections in one process: one context for all, and bytes in and out without a socket.

asyncio's own TLS holds a read buffer of 256 KiB for as long as a connection stands, and a context of its own costs a
device another 26 kB. OpenSSL copies the context's certificate into each connection when that is made, so one context
serves all devices if each loads its own first, with nothing awaited in between.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from agent.adapters.identity_folder import IdentityFolder
from workbench.errors import IdentityUnusable, TlsBroken

READ_BYTES: Final = 16 * 1024
"""The most that a TLS record holds."""


class Tunnel:
    """One connection's TLS; a driver carries the bytes.

    Attributes:
        open: The handshake is done. With TLS 1.3 the other side may still refuse our certificate.
        ended: The other side said goodbye.
    """

    __slots__ = ("_in", "_out", "_tls", "ended", "open")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """Begin the handshake; `take` has its first bytes."""
        self.open = False
        self.ended = False
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self.heard(b"")

    def heard(self, data: bytes) -> bytes:
        """What came, opened; empty while there is nothing whole.

        Raises:
            TlsBroken: The other side is not believed, does not believe us, or speaks no TLS.
        """
        self._in.write(data)
        said: list[bytes] = []
        try:
            if not self.open:
                self._tls.do_handshake()
                self.open = True
            while not self.ended:
                said.append(self._tls.read(READ_BYTES))
                self.ended = not said[-1]
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as refused:
            raise TlsBroken(refused.reason or str(refused)) from None
        return b"".join(said)

    def say(self, data: bytes) -> None:
        """Seal it; `take` has it then.

        Raises:
            TlsBroken: The connection has come to its end.
        """
        try:
            self._tls.write(data)
        except ssl.SSLError as refused:
            raise TlsBroken(refused.reason or str(refused)) from None

    def say_goodbye(self) -> None:
        """That nothing follows."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # It wants to hear the other side's goodbye, for which nobody waits.
            return

    def take(self) -> bytes:
        """What is to be sent now."""
        return self._out.read()


class Certificates:
    """Begins connections as each of many devices, with a context for all who believe the same authority."""

    def __init__(self) -> None:
        # One entry; more only where an authority was replaced between enrolments.
        self._contexts: dict[bytes, ssl.SSLContext] = {}

    def load(self, identity: Path) -> ssl.SSLContext:
        """A context that holds this device's certificate until another one's is loaded, so: for use at once.

        Args:
            identity: The folder that its enrolment made; read each time, since certificates are renewed.

        Raises:
            IdentityUnusable: It can't be read, or holds no certificate with its key.
        """
        kept = IdentityFolder(identity)
        try:
            authority = kept.authority_file.read_bytes()
            context = self._contexts.get(authority)
            if context is None:
                context = self._contexts[authority] = _believing(authority.decode("ascii"))
            context.load_cert_chain(kept.device_file)
        except (OSError, ValueError) as refused:
            raise IdentityUnusable(
                f"the certificate or key in {identity} can't be used ({refused})",
                "See that the disk works; or remove that folder and enrol the device again, `vedette device enroll`.",
            ) from None
        return context

    def begin(self, identity: Path, host: str) -> Tunnel:
        """A connection of this device's to a server of that name.

        Raises:
            IdentityUnusable: As `load`.
        """
        return Tunnel(self.load(identity), host)


def _believing(authority: str) -> ssl.SSLContext:
    """A context that believes these certificates and no others: of none, `ssl` would make the system's."""
    if not authority:
        raise ValueError("the authority's file is empty")
    return ssl.create_default_context(cadata=authority)
