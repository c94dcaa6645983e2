"""Secrets that were planted, or made by the system itself, and the search for them in all that it writes and says."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil

from tests.system.parts import BOUND_S

SHORTEST = 8
"""A shorter secret would be found by chance."""


class Planted:
    """By name: the secret, and in which files it may stand."""

    def __init__(self) -> None:
        self._secrets: dict[str, tuple[str, frozenset[Path]]] = {}
        self.looked_at: set[str] = set()

    def add(self, name: str, secret: str, *homes: Path) -> None:
        assert len(secret) >= SHORTEST, name
        self._secrets[name] = (secret, frozenset(homes))

    def add_key(self, name: str, file: Path, *homes: Path) -> None:
        """A private key in PEM: its first two lines; what follows in one of P-256 is the public half."""
        inside = file.read_text().partition("PRIVATE KEY-----\n")[2].partition("-----END")[0].split()
        assert inside, file
        for number, line in enumerate(inside[:2]):
            self.add(f"{name}, line {number + 1}", line, file, *homes)

    def find(self, where: str, said: bytes, *, path: Path | None = None) -> list[str]:
        """Which secrets stand there that may not, in whatever spelling."""
        self.looked_at.add(where)
        return [
            f"{name} in {where}"
            for name, (secret, homes) in self._secrets.items()
            if path not in homes and any(form in said for form in _forms(secret))
        ]

    def in_files(self, folder: Path) -> list[str]:
        found = []
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found += self.find(path.name, path.read_bytes(), path=path)
        return found

    def in_processes(self, pids: Iterable[int]) -> list[str]:
        """What anybody on the machine may read of a process, and what its user may."""
        found = []
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                process = psutil.Process(pid)
                for one in (process, *process.children(recursive=True)):
                    for file in ("cmdline", "environ"):
                        found += self.find(file, Path(f"/proc/{one.pid}/{file}").read_bytes())
        return found

    def in_answers(self, base: str, paths: Iterable[str], shown: Mapping[str, str] | None = None) -> list[str]:
        """With the headers `shown`, which let in whoever asks."""
        found = []
        with httpx.Client(base_url=base, timeout=BOUND_S, headers=shown) as http:
            for path in paths:
                answer = http.get(path)
                assert answer.status_code < 500, (path, answer.text)
                assert answer.status_code != 401, path
                found += self.find(path, answer.content + repr(answer.headers).encode())
        return found


def _forms(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    yield quote(secret, safe="").encode()
    yield secret.encode().hex().encode()
    # In base64 it looks different at each of three places; what does not depend on its neighbours is searched for.
    for before in range(3):
        spelt = base64.b64encode(bytes(before) + secret.encode())
        yield spelt[4 if before else 0 : len(spelt) // 4 * 4 - 4]
