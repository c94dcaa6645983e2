"""The signed repository as the update worker sees it: python-tuf's client, with what it leaves out.

python-tuf decides what is signed (TUF, client workflow 5.3 to 5.7). Added here: floors that outlive the metadata, a
plausible clock, metadata that is on the disk for good, downloads that go on where they were cut, and our errors. The
steps are numbered in `agent.update.trust`.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, TargetFile
from tuf.ngclient import Updater

from agent.adapters import tuf_metadata
from agent.adapters.durable_file import named_errors, replace_file, sync_path
from agent.adapters.trust_store import TrustStore
from agent.adapters.tuf_fetcher import TufFetcher
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger, Why
from agent.domain import Clock
from agent.errors import (
    ConfigInvalid,
    DownloadFailed,
    MetadataExpired,
    MetadataInvalid,
    MetadataRolledBack,
    RepositoryUnreachable,
)
from agent.update.trust import (
    TrustSettings,
    allowed,
    check_clock,
    check_manifest,
    check_time,
    check_versions,
    raised,
    read_group_release,
    with_group,
)
from wire.updates import GROUP_TARGET, MANIFEST_TARGET, MODEL_TARGET, GroupRelease, ModelRef

METADATA_PATH: Final = "/v1/repository/metadata/"
TARGETS_PATH: Final = "/v1/repository/targets/"
MAX_DOCUMENT_BYTES: Final = 512 * 1024
"""Of a group's document or a manifest; the most labels that a manifest may hold take about 300 kB."""
MIB: Final = 1024 * 1024


class TufRepository:
    """Implements `agent.update.ports.Repository`; for the worker's thread alone."""

    def __init__(
        self,
        settings: TrustSettings,
        *,
        url: str,
        folder: Path,
        clock: Clock,
        faults: Faults,
        ledger: Ledger,
        tls: Callable[[], ssl.SSLContext] | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Read the root of trust; nothing is fetched yet.

        Args:
            settings: Whom to trust.
            url: The cloud's base URL.
            folder: For metadata and floors, such as `data_dir/trust`.
            clock: Holds the wall clock against expiry.
            faults: Told what was mended silently.
            ledger: Counts the bytes of requests.
            tls: Makes the context of each session anew, since certificates are renewed; None for plain HTTP.
            wait: Keeps downloads below the highest rate; the `wait` of an event that is set when the agent stops
                lets it stop at once.

        Raises:
            ConfigInvalid: `root_file`, or what `tls` reads, can't be used.
        """
        self._settings = settings
        self._url = url.rstrip("/")
        self._root = _pinned_root(settings)
        self._metadata = folder / "metadata"
        self._store = TrustStore(folder / "floors.json", faults)
        self._tls = tls
        if tls is not None:
            tls()
        self._clock = clock
        self._ledger = ledger
        self._wait = wait
        self._group: str = settings.group

    def group_release(self, group: str) -> GroupRelease:
        """Refresh the metadata and read the group's document; see `agent.update.ports.Repository`.

        Raises:
            TrustError, RepositoryUnreachable: as their names say.
            NoRoom, ModelStoreBroken: The disk refuses.
        """
        self._group = group
        with self._session() as session:
            return session.group_release(group)

    def fetch(
        self, ref: ModelRef, folder: Path, progress: Callable[[float], None], cancelled: Callable[[], bool]
    ) -> None:
        """Download `model.tflite` and `manifest.json` of a release that the group last asked for allows.

        Raises:
            TrustError: It is not allowed, not in the repository, or not the one named.
            DownloadFailed, RepositoryUnreachable: Or it was cancelled; what was fetched so far is kept.
            NoRoom, ModelStoreBroken: The disk refuses.
        """
        with self._session() as session:
            allowed(session.group_release(self._group), ref)  # step 8
            session.fetch(ref, folder, progress, cancelled)

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        now = self._clock.wall()
        check_clock(self._store.load(), now, self._settings)  # step 1
        fetcher = TufFetcher(
            self._settings,
            clock=self._clock,
            wait=self._wait,
            spend=lambda size: self._ledger.spend(Why.UPDATES, size),
            tls=None if self._tls is None else self._tls(),
        )
        try:
            with _our_errors(self._url), named_errors(self._metadata):
                updater = open_updater(self._metadata, self._url + METADATA_PATH, self._root, fetcher)
                updater.refresh()  # step 2
            session = _Session(updater, fetcher, self._settings, self._metadata, self._store, now, self._url)
            yield session
        finally:
            fetcher.close()


class _Session:
    """One fresh view of the repository. python-tuf's updater can be refreshed once only."""

    def __init__(
        self,
        updater: Updater,
        fetcher: TufFetcher,
        settings: TrustSettings,
        metadata: Path,
        store: TrustStore,
        now: datetime,
        url: str,
    ) -> None:
        self._updater = updater
        self._fetcher = fetcher
        self._settings = settings
        self._metadata = metadata
        self._store = store
        self._now = now
        self._url = url

    def group_release(self, group: str) -> GroupRelease:
        path = GROUP_TARGET.format(group=group)
        target, keys = self._target(path)
        document = self._document(target)
        floors = self._store.load()
        release = read_group_release(document, group, floors, keys)  # step 7
        self._store.save(with_group(floors, release, keys))
        return release

    def fetch(
        self, ref: ModelRef, folder: Path, progress: Callable[[float], None], cancelled: Callable[[], bool]
    ) -> None:
        model, _ = self._target(MODEL_TARGET.format(name=ref.name, version=ref.version))
        described, _ = self._target(MANIFEST_TARGET.format(name=ref.name, version=ref.version))
        self._check_release(ref, model, described)
        manifest = self._document(described)
        check_manifest(manifest, ref, model.length)  # step 9
        with named_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(folder / "manifest.json", manifest)
            self._fetch_model(model, ref, folder, progress, cancelled)

    def _target(self, path: str) -> tuple[TargetFile, str]:
        """What is signed about a file, with what stands for the keys that signed it; steps 2 to 6."""
        with _our_errors(self._url), named_errors(self._metadata):
            target = self._updater.get_targetinfo(path)
            delegated = tuf_metadata.roles_for_target(self._metadata, path)
            roles = [*tuf_metadata.top_roles(self._metadata), *delegated]
            floors = self._store.load()
            check_versions(floors, roles)  # step 3
            check_time(roles, self._now, self._settings)  # steps 4 and 5
            risen = raised(floors, roles, self._now, self._settings)
            if risen != floors:
                tuf_metadata.sync(self._metadata)
                self._store.save(risen)  # step 6
        if target is None or "sha256" not in target.hashes:
            raise MetadataInvalid(
                f"The signed repository holds no {path}",
                "Publish it, or check that this device's group is the one meant.",
            )
        return target, tuf_metadata.keys_of(delegated)

    def _check_release(self, ref: ModelRef, model: TargetFile, described: TargetFile) -> None:
        mend = "Sign and publish the release again."
        if f"sha256:{model.hashes['sha256']}" != ref.digest:
            raise MetadataInvalid(f"{ref.name} {ref.version} is signed with another digest than the one wanted", mend)
        numbers = {target.custom.get("number") for target in (model, described) if isinstance(target.custom, Mapping)}
        if numbers - {None} != {ref.number}:
            raise MetadataInvalid(f"{ref.name} {ref.version} is not signed as release {ref.number} of its name", mend)
        if model.length > self._settings.max_model_mib * MIB:
            raise DownloadFailed(
                f"{ref.name} {ref.version} has {model.length / MIB:.0f} MiB",
                "Raise max_model_mib on devices that can hold it.",
            )

    def _document(self, target: TargetFile) -> bytes:
        if target.length > MAX_DOCUMENT_BYTES:
            raise MetadataInvalid(f"{target.path} is signed with {target.length} bytes, too many for a document")
        with _our_errors(self._url):
            document = self._fetcher.download_bytes(self._url_of(target), target.length)
            target.verify_length_and_hashes(document)
        return document

    def _fetch_model(
        self,
        model: TargetFile,
        ref: ModelRef,
        folder: Path,
        progress: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        # Named by the digest alone: a target's path may hold anything.
        part = folder / f"{ref.digest.removeprefix('sha256:')}.part"
        whole = folder / "model.tflite"
        if whole.exists() and not part.exists():
            whole.rename(part)  # maybe the same; verified like a download

        def arrived(size: int) -> None:
            progress(size / model.length if model.length else 1.0)
            if cancelled():
                raise DownloadFailed(f"The download of {ref.name} {ref.version} was cancelled")

        with _download_errors(f"{ref.name} {ref.version}"):
            self._resume(self._url_of(model), part, model.length, arrived)
        if not _holds(part, model):  # step 10
            part.unlink()
            raise DownloadFailed(
                f"What came as {ref.name} {ref.version} is not what was signed",
                "It was thrown away and will be fetched again; check the repository's files.",
            )
        part.rename(whole)
        sync_path(folder)
        progress(1.0)

    def _resume(self, url: str, part: Path, length: int, arrived: Callable[[int], None]) -> None:
        """As long as each connection brings something, go on at once."""
        for resumes_left in reversed(range(self._settings.max_resumes + 1)):
            before = _size(part)
            try:
                self._fetcher.resume(url, part, length, arrived)
            except exceptions.DownloadLengthMismatchError:
                part.unlink()  # what it begins with is no better than how it ends
                raise
            except (exceptions.DownloadHTTPError, exceptions.SlowRetrievalError):
                raise
            except exceptions.DownloadError:
                if not resumes_left or _size(part) <= before:
                    raise
            else:
                return

    def _url_of(self, target: TargetFile) -> str:
        folder, _, name = target.path.rpartition("/")
        return (
            f"{self._url}{TARGETS_PATH}{quote(folder, safe='/+')}/{target.hashes['sha256']}.{quote(name, safe='+')}"
        )


def open_updater(
    metadata: Path, url: str, root: bytes, fetcher: TufFetcher, targets: tuple[str, str] | None = None
) -> Updater:
    """python-tuf's updater on a folder that is made where it is missing, trusting this root and what follows from it.

    Args:
        metadata: The folder.
        url: Of the metadata.
        root: The pinned root's bytes.
        fetcher: Brings everything.
        targets: Folder and URL of targets, where python-tuf is to download them itself.

    Raises:
        OSError: The disk refuses.
        tuf.api.exceptions.RepositoryError: The root is none.
    """
    metadata.mkdir(parents=True, exist_ok=True)
    tuf_metadata.clear_litter(metadata)
    folder, base = targets or (None, None)
    return Updater(str(metadata), url, folder, base, fetcher, bootstrap=root)


def _pinned_root(settings: TrustSettings) -> bytes:
    mend = "Put the repository's root.json there (`vedette model root` prints it) when the device is set up."
    if settings.root_file is None:
        raise ConfigInvalid("root_file is not set, so no update can be trusted", mend)
    try:
        data = settings.root_file.read_bytes()
        root = Metadata[Root].from_bytes(data)
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    except OSError as refused:
        raise ConfigInvalid(f"root_file: {settings.root_file} can't be read ({refused.strerror})", mend) from refused
    except (exceptions.RepositoryError, ValueError, AttributeError) as refused:
        raise ConfigInvalid(f"root_file: {settings.root_file} is no signed root ({refused})", mend) from refused
    return data


def _holds(part: Path, model: TargetFile) -> bool:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest == model.hashes["sha256"] and _size(part) == model.length


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


@contextmanager
def _our_errors(url: str) -> Iterator[None]:
    """Our names for what python-tuf raises about metadata and small documents."""
    alarm = "The model that runs goes on; find out what the repository serves, and why."
    try:
        yield
    except exceptions.ExpiredMetadataError as expired:
        raise MetadataExpired(
            f"The repository's signed metadata has expired ({expired})",
            "Check that the service renews it, and this device's clock; the model that runs goes on.",
        ) from expired
    except exceptions.BadVersionNumberError as older:
        raise MetadataRolledBack(
            f"The repository offers versions that don't fit what was seen ({older})", alarm
        ) from older
    except exceptions.DownloadLengthMismatchError as endless:
        raise MetadataInvalid(f"The repository sends more than there can be ({endless})", alarm) from endless
    except exceptions.RepositoryError as refused:
        raise MetadataInvalid(f"The repository's metadata can't be trusted ({refused})", alarm) from refused
    except exceptions.SlowRetrievalError as slow:
        raise RepositoryUnreachable(
            f"The repository at {url} is too slow ({slow})", "It is tried again later."
        ) from slow
    except exceptions.DownloadError as lost:
        raise RepositoryUnreachable(
            f"The repository at {url} can't be read ({lost})", "It is tried again later."
        ) from lost


@contextmanager
def _download_errors(what: str) -> Iterator[None]:
    """Our names for what goes wrong while a model is fetched."""
    later = "What came so far is kept, and it is tried again later."
    try:
        yield
    except exceptions.DownloadLengthMismatchError as endless:
        raise DownloadFailed(f"The repository sends more than {what} is signed with ({endless})", later) from endless
    except exceptions.SlowRetrievalError as slow:
        raise DownloadFailed(f"The download of {what} is too slow ({slow})", later) from slow
    except exceptions.DownloadHTTPError as refused:
        raise DownloadFailed(f"The repository does not give out {what} ({refused})", later) from refused
    except exceptions.DownloadError as lost:
        raise RepositoryUnreachable(f"The download of {what} was cut ({lost})", later) from lost
