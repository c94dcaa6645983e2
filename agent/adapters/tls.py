"""TLS as a client: whom to believe, and as whom to speak."""

from __future__ import annotations

import ssl
from pathlib import Path

from agent.errors import ConfigInvalid


def client_context(table: str, ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """A context from files as they are now; they are replaced when a certificate is renewed.

    Args:
        table: Of the configuration that names the files, for the error.
        ca_file: Whom to believe instead of the system's authorities.
        cert_file: The device's own; None where nobody asks for one.
        key_file: Its key, where that is in a file of its own.

    Raises:
        ConfigInvalid: A file can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file is not None:
            context.load_cert_chain(cert_file, key_file)
    except OSError as refused:
        # OpenSSL does not say which of them it is.
        named = ", ".join(str(file) for file in (ca_file, cert_file, key_file) if file is not None)
        raise ConfigInvalid(
            f"{table}: ca_file, cert_file or key_file can't be used: {named} ({refused})",
            "Check that they are PEM files which the agent may read.",
        ) from refused
    return context


class RenewedContext:
    """A context that takes up the device's certificate anew whenever its file was replaced.

    Args:
        As `client_context`.

    Raises:
        ConfigInvalid: A file can't be used.
    """

    def __init__(self, table: str, ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> None:
        self._table = table
        self._files = (cert_file, key_file)
        self._seen = self._stamp()
        self.context = client_context(table, ca_file, cert_file, key_file)

    def look(self) -> None:
        """Connections from now on are under the certificate as it is now; one that can't be read leaves the old."""
        stamp = self._stamp()
        certificate, key = self._files
        if stamp == self._seen or certificate is None:
            return
        try:
            self.context.load_cert_chain(certificate, key)
        except OSError:
            return
        self._seen = stamp

    def _stamp(self) -> tuple[int, int] | None:
        certificate, _ = self._files
        try:
            found = certificate.stat() if certificate is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_ino)
