"""The protocol of the suite (its CLIENT-CLI.md), against a repository of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Metadata, Targets

from tests.agent.update.trust.hostile_server import PREFIX, HostileServer, endless
from tests.agent.update.trust.signed_repository import SignedRepository
from tests.conformance.client import main

NAME = "groups/default/some thing.txt"
TOP = ["root", "snapshot", "targets", "timestamp"]


@dataclass
class Suite:
    """What the suite does with a client."""

    signed: SignedRepository
    server: HostileServer
    folder: Path

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    @property
    def targets(self) -> Path:
        return self.folder / "targets"

    def init(self) -> int:
        root = self.folder / "initial_root.json"
        root.write_bytes(self.signed.first_root)
        return main(["--metadata-dir", str(self.metadata), "init", str(root)])

    def where(self) -> list[str]:
        return ["--metadata-url", f"{self.server.url}{PREFIX}metadata", "--metadata-dir", str(self.metadata)]

    def refresh(self) -> int:
        return main([*self.where(), "refresh"])

    def download(self, name: str) -> int:
        base = f"{self.server.url}{PREFIX}targets"
        there = ["--target-name", name, "--target-dir", str(self.targets), "--target-base-url", base]
        return main([*self.where(), *there, "download"])

    def versions(self) -> dict[str, int]:
        files = sorted(self.metadata.glob("*.json"))
        return {file.stem: json.loads(file.read_bytes())["signed"]["version"] for file in files}

    def downloaded(self) -> list[bytes]:
        return [file.read_bytes() for file in self.targets.rglob("*") if file.is_file()]


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    signed = SignedRepository()
    server = HostileServer(signed.files)
    yield Suite(signed, server, tmp_path)
    server.stop()


def test_init_asks_for_nothing(suite):
    assert suite.init() == 0
    assert suite.versions() == {"root": 1}
    assert not suite.server.requests


def test_refresh_follows_the_repository(suite):
    suite.init()
    assert suite.refresh() == 0
    assert suite.versions() == dict.fromkeys(TOP, 1)
    assert suite.server.requests == [
        f"metadata/{name}.json" for name in ("2.root", "timestamp", "1.snapshot", "1.targets")
    ]
    suite.signed.rotate("timestamp")
    suite.signed.publish("targets")
    assert suite.refresh() == 0
    assert suite.versions() == {"root": 2, "snapshot": 3, "targets": 2, "timestamp": 3}


def test_a_failed_refresh_keeps_what_was_trusted(suite, capsys):
    suite.init()
    suite.refresh()
    suite.server.behave("timestamp", endless)
    assert suite.refresh() == 1
    assert "DownloadLengthMismatchError" in capsys.readouterr().err
    assert suite.versions() == dict.fromkeys(TOP, 1)


def test_a_target_is_fetched_once_and_again_when_it_changed(suite):
    suite.init()
    served = suite.signed.add_target("group-default", NAME, b"first")
    assert suite.download(NAME) == 0
    assert suite.download(NAME) == 0
    assert suite.downloaded() == [b"first"]
    assert suite.server.requests.count(served) == 1
    suite.signed.add_target("group-default", NAME, b"second")
    assert suite.download(NAME) == 0
    assert suite.downloaded() == [b"second"]


def test_a_target_that_is_missing_or_altered_is_an_error(suite, capsys):
    suite.init()
    assert suite.download("groups/default/nothing") == 1
    served = suite.signed.add_target("group-default", NAME.replace(" ", ""), b"genuine")
    suite.signed.files[served] = b"foreign"
    assert suite.download(NAME.replace(" ", "")) == 1
    assert "LengthOrHashMismatchError" in capsys.readouterr().err
    assert not suite.downloaded()


def test_what_was_downloaded_survives_a_repository_that_swaps_it(suite):
    """The suite lets a client refuse here, or serve what it has; it may not take the other file."""
    suite.init()
    served = suite.signed.add_target("group-default", "groups/default/a", b"genuine")
    other = suite.signed.add_target("group-default", "groups/default/b", b"another")
    assert suite.download("groups/default/a") == 0
    suite.signed.files[served] = suite.signed.files[other] = b"malicious"
    suite.download("groups/default/a")
    assert suite.download("groups/default/b") == 1
    assert suite.downloaded() == [b"genuine"]


@pytest.mark.parametrize("role", ["?", "#", "/delegatedrole", "../delegatedrole"])
def test_unusual_role_names_stay_one_step_of_the_address_and_of_the_folder(suite, role):
    """As the suite's own test of quoting has them: asked for under the quoted name, and kept beside the others."""
    signer = CryptoSigner.generate_ed25519()
    delegations = suite.signed.roles["targets"].signed.delegations
    delegations.keys[signer.public_key.keyid] = signer.public_key
    delegations.roles[role] = DelegatedRole(role, [signer.public_key.keyid], 1, terminating=False, paths=["*"])
    suite.signed.keys[role] = [signer]
    suite.signed.roles[role] = Metadata(Targets(expires=suite.signed.now + timedelta(days=30)))
    suite.signed.publish("targets", role)
    suite.init()
    assert suite.download("nonexistent target") == 1
    assert f"metadata/2.{role}.json" in suite.server.requests
    assert f"metadata/2.{quote(role, '')}.json" in suite.server.raw
    assert len(suite.versions()) == 5
    assert {file.parent for file in suite.folder.rglob("*.json")} <= {
        suite.folder,
        suite.metadata,
        suite.metadata / "root_history",
    }


def test_it_runs_as_a_program(suite):
    suite.init()
    program = str(Path(__file__).with_name("client.py"))
    repository = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, program, *suite.where(), "refresh"],
        env=os.environ | {"PYTHONPATH": str(repository)},
        check=False,
        timeout=60,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert suite.versions() == dict.fromkeys(TOP, 1)
