"""Folders of private keys: the online one in the data directory, the offline ones wherever their holders put them.

A key lies in `ROLE.KEYID.pem` (PKCS 8), KEYID being the first 16 digits of its TUF key id; offline ones are
encrypted. The offline folder holds two more files: `root.json`, the root that its holder trusts, and `ledger.json`,
what was given out before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Role

from cloud.registry.errors import KeyMissing, KeyUnusable
from cloud.registry.files import make_folders, replace_durably, sync_folder, told_as_ours, write_durably

Passphrase = Callable[[], bytes]
"""Asked at most once, and only where a key is encrypted."""

_SHOWN: Final = 16
_ENCRYPTED: Final = b"ENCRYPTED"


class KeyFolder:
    """A folder of private keys, for its owner's eyes only.

    Args:
        folder: Made with the first key.
        passphrase: Encrypts and opens its keys; None leaves new ones plain.
    """

    def __init__(self, folder: Path, passphrase: Passphrase | None = None) -> None:
        self.folder: Final = folder
        self._passphrase = passphrase

    def create(self, role: str) -> CryptoSigner:
        """Make a new key and keep it, durably.

        Raises:
            RegistryUnwritable: The disk refused.
        """
        private = Ed25519PrivateKey.generate()
        signer = CryptoSigner(private)
        lock = NoEncryption() if self._passphrase is None else BestAvailableEncryption(self._passphrase())
        file = self.folder / f"{role}.{signer.public_key.keyid[:_SHOWN]}.pem"
        with told_as_ours(file):
            make_folders(self.folder)
            self.folder.chmod(0o700)
            write_durably(file, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
            sync_folder(self.folder)
        return signer

    def signer(self, keyid: str) -> CryptoSigner | None:
        """The key of that id; None where it is not here.

        Raises:
            KeyUnusable: Its file can't be read, or not with the passphrase.
        """
        for file in sorted(self.folder.glob(f"*.{keyid[:_SHOWN]}.pem")):
            signer = self._load(file)
            if signer.public_key.keyid == keyid:
                return signer
        return None

    def _load(self, file: Path) -> CryptoSigner:
        try:
            pem = file.read_bytes()
            locked = _ENCRYPTED in pem.partition(b"\n")[0]
            if locked and self._passphrase is None:
                raise KeyUnusable(f"{file} is encrypted", "Set VEDETTE_KEYS_PASSPHRASE.")
            private = load_pem_private_key(pem, self._passphrase() if locked and self._passphrase else None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as refused:
            raise KeyUnusable(
                f"the key {file} can't be used: {refused}", "Check the passphrase, and that the file is whole."
            ) from None
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyUnusable(f"{file} is no Ed25519 key", "Use the keys that `vedette model keys create` made.")
        return CryptoSigner(private)


def signers_for(role: Role, name: str, folders: Sequence[KeyFolder]) -> list[CryptoSigner]:
    """As many keys of the role as it needs, from whichever folder has them.

    Raises:
        KeyMissing: Fewer are there.
        KeyUnusable: One is there, but can't be read.
    """
    found: list[CryptoSigner] = []
    for keyid in sorted(role.keyids):
        if len(found) < role.threshold and (signer := _first(keyid, folders)) is not None:
            found.append(signer)
    if len(found) < role.threshold:
        named = ", ".join(str(folder.folder) for folder in folders)
        raise KeyMissing(
            f"signing {name} takes {role.threshold} of its {len(role.keyids)} keys, and {len(found)} are in {named}",
            "Name the folders with --keys; it may be given several times.",
        )
    return found


def _first(keyid: str, folders: Sequence[KeyFolder]) -> CryptoSigner | None:
    return next((signer for folder in folders if (signer := folder.signer(keyid)) is not None), None)


@dataclass(slots=True)
class Ledger:
    """What the holder of the releases key gave out, so that an old copy of the repository can't have it given twice.

    Attributes:
        numbers: The highest release number, by model name.
        versions: The highest version of metadata, by role.
    """

    file: Path
    numbers: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the folder's ledger; an empty one if there is none.

        Raises:
            KeyUnusable: It is damaged.
        """
        file = folder / "ledger.json"
        try:
            said = json.loads(file.read_bytes())
            return cls(file, _counts(said["numbers"]), _counts(said["versions"]))
        except FileNotFoundError:
            return cls(file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as damaged:
            raise KeyUnusable(
                f"{file} is damaged: {damaged!r}", "Restore it from a backup of the keys, or delete it knowingly."
            ) from None

    def save(self) -> None:
        """Keep it, durably.

        Raises:
            RegistryUnwritable: The disk refused.
        """
        replace_durably(self.file, json.dumps({"numbers": self.numbers, "versions": self.versions}).encode())


def _counts(said: dict[str, object]) -> dict[str, int]:
    return {str(name): int(str(count)) for name, count in said.items()}
