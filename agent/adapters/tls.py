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
    """A context, and another one whenever the files that it was made of were replaced.

    Args:
        As `client_context`.

    Raises:
        ConfigInvalid: A file can't be used.
    """

    def __init__(self, table: str, ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> None:
        self._table = table
        self._files = (ca_file, cert_file, key_file)
        self._seen = self._stamps()
        self.context = client_context(table, *self._files)

    def renewed(self) -> ssl.SSLContext | None:
        """The context to use from now on, where that is another one; files that can't be used leave the old one."""
        stamps = self._stamps()
        if stamps == self._seen:
            return None
        try:
            self.context = client_context(self._table, *self._files)
        except ConfigInvalid:
            return None
        self._seen = stamps
        return self.context

    def _stamps(self) -> list[tuple[int, int] | None]:
        return [_stamp(file) for file in self._files]


def _stamp(file: Path | None) -> tuple[int, int] | None:
    try:
        found = None if file is None else file.stat()
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_ino)
