"""Archives are hostile until checked, and absent ones say what to place where."""

from __future__ import annotations

import gzip
import sys
import tarfile
from pathlib import Path

import pytest

from deploy.models.archive import obtain, read_files
from deploy.models.errors import ArchiveMissing, ArchiveRefused
from deploy.models.progress import Progress
from deploy.models.recipe import Archive
from tests.models.graphs import archive, integrity

GOOD = archive({"a": b"one", "b": b"two", "LICENSE": b"x"})
QUIET = Progress(sys.stderr, quiet=True)


def described(data: bytes = GOOD) -> Archive:
    return Archive(
        package="@us/tiny",
        version="2.0.0",
        integrity=integrity(data),
        bytes=len(data),
        graph="a",
        shards=("b",),
        licence="LICENSE",
    )


def headers_only(*infos: tarfile.TarInfo) -> bytes:
    """An archive of headers whose contents never come."""
    return gzip.compress(b"".join(info.tobuf() for info in infos))


def member(name: str, *, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def fake_npm(folder: Path, script: str) -> tuple[str, ...]:
    path = folder / "npm.py"
    path.write_text(
        "import sys, pathlib, json\n"
        "target = pathlib.Path(sys.argv[sys.argv.index('--pack-destination') + 1])\n"
        f"{script}\n"
    )
    return (sys.executable, str(path))


def test_reads_what_is_wanted_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(GOOD)
    assert read_files(path, ["b", "a"]) == {"a": b"one", "b": b"two"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (headers_only(member("package/../../etc/passwd")), "leads outside"),
        (headers_only(member("/etc/passwd")), "leads outside"),
        (headers_only(member("package/a", kind=tarfile.SYMTYPE, link="/etc/passwd")), "not one plain file"),
        (headers_only(member("package/a", kind=tarfile.LNKTYPE, link="b")), "not one plain file"),
        (headers_only(member("package/a"), member("package/a")), "not one plain file"),
        (headers_only(member("package/a", size=65 * 2**20)), "not one plain file"),
        (headers_only(member("package/other", size=2**30)), "unpacks to more than"),
        (archive({"b": b"two"}), "does not hold a"),
        (headers_only(member("elsewhere/a")), "does not hold a"),
        (GOOD[: len(GOOD) // 2], "can't be read"),
        (b"no archive", "can't be read"),
    ],
    # Not the bytes themselves: a compressed archive holds the time at which it was made.
    ids=[
        "climbs out", "absolute", "symbolic link", "hard link", "twice the same", "too large", "too much in all",
        "lacks one", "other folder", "cut off", "no archive",
    ],
)  # fmt: skip
def test_refuses(tmp_path: Path, data: bytes, complaint: str) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(data)
    with pytest.raises(ArchiveRefused, match=complaint):
        read_files(path, ["a"])


def test_refuses_endless_members(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(headers_only(*[member(f"package/{i}") for i in range(10_001)]))
    with pytest.raises(ArchiveRefused, match="unpacks to more than"):
        read_files(path, ["a"])


def test_takes_an_archive_placed_by_hand(tmp_path: Path) -> None:
    (tmp_path / "us-tiny-2.0.0.tgz").write_bytes(GOOD)
    assert obtain(described(), tmp_path, None, QUIET) == tmp_path / "us-tiny-2.0.0.tgz"


def test_refuses_other_bytes_than_the_pinned(tmp_path: Path) -> None:
    (tmp_path / "us-tiny-2.0.0.tgz").write_bytes(GOOD + b"\0")
    with pytest.raises(ArchiveRefused) as caught:
        obtain(described(), tmp_path, None, QUIET)
    assert described().integrity in caught.value.what
    assert integrity(GOOD + b"\0") in caught.value.what


def test_without_npm_says_what_to_place_where(tmp_path: Path) -> None:
    with pytest.raises(ArchiveMissing) as caught:
        obtain(described(), tmp_path, None, QUIET)
    for part in ("@us/tiny", "2.0.0", described().integrity, str(tmp_path / "us-tiny-2.0.0.tgz")):
        assert part in caught.value.mend


def test_fetches_with_npm_and_keeps_it(tmp_path: Path) -> None:
    source = tmp_path / "source.tgz"
    source.write_bytes(GOOD)
    npm = fake_npm(
        tmp_path,
        f"assert sys.argv[1:3] == ['pack', '@us/tiny@2.0.0']\n"
        f"(target / 'us-tiny-2.0.0.tgz').write_bytes(pathlib.Path({str(source)!r}).read_bytes())\n"
        "print(json.dumps([{'filename': 'us-tiny-2.0.0.tgz'}]))",
    )
    folder = tmp_path / "archives"
    path = obtain(described(), folder, npm, QUIET)
    assert path.read_bytes() == GOOD
    assert obtain(described(), folder, None, QUIET) == path
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("print('npm error code E404', file=sys.stderr); sys.exit(1)", "npm error code E404"),
        ("sys.exit(3)", "exit code 3"),
        ("print('[]')", "left no us-tiny-2.0.0.tgz"),
        ("print(json.dumps([{'filename': '../../escape.tgz'}]))", r"left no \.\.-\.\.-escape\.tgz"),
    ],
)
def test_npm_that_fails(tmp_path: Path, script: str, complaint: str) -> None:
    folder = tmp_path / "archives"
    with pytest.raises(ArchiveMissing, match=complaint) as caught:
        obtain(described(), folder, fake_npm(tmp_path, script), QUIET)
    assert described().integrity in caught.value.mend
    assert list(folder.iterdir()) == []


def test_npm_that_can_not_be_started(tmp_path: Path) -> None:
    with pytest.raises(ArchiveMissing, match="could not be started"):
        obtain(described(), tmp_path, (str(tmp_path / "absent"),), QUIET)


@pytest.mark.parametrize(
    "change", [("graph", "../a"), ("graph", "/a"), ("licence", "x/../../y"), ("integrity", "sha1-x")]
)
def test_a_recipe_names_nothing_outside(change: tuple[str, str]) -> None:
    fields = {**described().model_dump(), change[0]: change[1]}
    with pytest.raises(ValueError, match=change[0]):
        Archive.model_validate(fields)
