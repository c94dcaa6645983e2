"""The repository that is opened when it is first asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.adapters.late_repository import LateRepository
from agent.errors import ConfigInvalid, MetadataInvalid
from agent.update.ports import Repository
from tests.agent.update.worker.bench import NEW, FakeRepository, Script

ROOT = {"signed": {"_type": "root"}, "signatures": [{"keyid": "a", "sig": "b"}]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    file = tmp_path / "root.json"
    file.write_text(json.dumps(ROOT))
    return file


def test_it_is_opened_once_and_not_before_it_is_asked(root: Path, tmp_path: Path) -> None:
    opened: list[FakeRepository] = []

    def open_repository() -> Repository:
        opened.append(FakeRepository(Script()))
        return opened[-1]

    late = LateRepository(root, open_repository)
    assert opened == []
    assert NEW in late.group_release("all").allowed
    late.fetch(NEW, tmp_path, lambda _: None, lambda: False)
    assert (tmp_path / "model.tflite").is_file()
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read"),
        ("not json", "is no signed root"),
        ("[]", "is no signed root"),
        ('{"signed": {"_type": "targets"}, "signatures": [{}]}', "is no signed root"),
        ('{"signed": {"_type": "root"}, "signatures": []}', "is no signed root"),
    ],
)
def test_another_file_is_refused_at_the_start(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "root.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigInvalid, match=said):
        LateRepository(file, lambda: FakeRepository(Script()))


def test_a_root_that_is_not_rightly_signed_is_a_fault_of_trust_and_is_looked_at_again(root: Path) -> None:
    answers: list[object] = [ConfigInvalid("no signed root", "mend"), FakeRepository(Script())]

    def open_repository() -> Repository:
        answer = answers.pop(0)
        if isinstance(answer, ConfigInvalid):
            raise answer
        assert isinstance(answer, FakeRepository)
        return answer

    late = LateRepository(root, open_repository)
    with pytest.raises(MetadataInvalid, match="no signed root"):
        late.group_release("all")
    assert NEW in late.group_release("all").allowed


def test_putting_the_agent_together_brings_no_tuf() -> None:
    code = "import agent.app.run, sys; sys.exit('tuf' in sys.modules or 'securesystemslib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
