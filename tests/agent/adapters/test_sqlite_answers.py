from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.sqlite_answers import SqliteAnswers
from agent.deliver.faults import Faults
from agent.tune.bands import Held
from agent.tune.evidence import DAY_S, Evidence, FrameAnswer, ObjectAnswer, Scene

SCENE = Scene("gate", "person", "sha256:" + "ab" * 32)
OTHER = Scene("yard", "person", "sha256:" + "ab" * 32)
DAY = 20_000
NOW = DAY * DAY_S
FRAME = FrameAnswer(NOW, 0.1, 2, (0.8, 0.25))
OBJECT = ObjectAnswer(NOW, 0.3, 0.7, wrong=True)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def answers(tmp_path: Path, faults: Faults) -> Iterator[SqliteAnswers]:
    kept = SqliteAnswers(tmp_path / "answers.db", faults=faults)
    yield kept
    kept.close()


def test_what_was_answered_is_there_after_a_restart(tmp_path: Path, answers: SqliteAnswers, faults: Faults) -> None:
    answers.add_frame("a1", {SCENE: FRAME})
    answers.add_object("q1", SCENE, OBJECT)
    answers.answer_object("q1", wrong=True)
    answers.count("gate", SCENE.model_digest, NOW, 60.0, {("person", 70): 2, ("car", 50): 1})
    answers.count("gate", SCENE.model_digest, NOW, 30.0, {("person", 70): 1})
    answers.hold({SCENE: Held(0.3, 0.7, NOW, 0.35, 0.6)})
    answers.close()
    again = SqliteAnswers(tmp_path / "answers.db", faults=faults)
    evidence = again.evidence(SCENE, NOW - DAY_S)
    assert evidence.frames == (FRAME,)
    assert evidence.objects == (OBJECT,)
    assert (evidence.census.watched_s, dict(evidence.census.objects)) == (90.0, {70: 3})
    assert again.held() == {SCENE: Held(0.3, 0.7, NOW, 0.35, 0.6)}
    assert again.evidence(OTHER, 0.0).frames == ()
    again.close()


def test_the_same_audit_twice_counts_once(answers: SqliteAnswers) -> None:
    answers.add_frame("a1", {SCENE: FRAME})
    answers.add_frame("a1", {SCENE: FRAME})
    assert len(answers.evidence(SCENE, 0.0).frames) == 1


def test_an_object_counts_once_it_is_answered(answers: SqliteAnswers) -> None:
    answers.add_object("q1", SCENE, OBJECT)
    assert answers.unanswered() == {"q1"}
    assert answers.evidence(SCENE, 0.0).objects == ()
    answers.answer_object("q1", wrong=False)
    assert answers.unanswered() == set()
    assert [one.wrong for one in answers.evidence(SCENE, 0.0).objects] == [False]


def test_what_is_old_is_not_looked_at_and_forgotten(answers: SqliteAnswers) -> None:
    answers.add_frame("old", {SCENE: OLD})
    answers.add_frame("new", {SCENE: FRAME})
    answers.add_object("q1", SCENE, ObjectAnswer(NOW - 40 * DAY_S, 0.3, 0.7, wrong=False))
    answers.count("gate", SCENE.model_digest, NOW - 40 * DAY_S, 60.0, {("person", 70): 2})
    assert answers.evidence(SCENE, NOW - 30 * DAY_S).frames == (FRAME,)
    answers.forget(NOW - 30 * DAY_S)
    assert answers.evidence(SCENE, 0.0) == Evidence((FRAME,))
    assert answers.unanswered() == set()


OLD = FrameAnswer(NOW - 40 * DAY_S, 0.1, 2, (0.8, 0.25))


def test_a_damaged_file_is_set_aside_and_counted(tmp_path: Path, faults: Faults) -> None:
    path = tmp_path / "answers.db"
    path.write_bytes(b"no database" * 1000)
    kept = SqliteAnswers(path, faults=faults)
    kept.add_frame("a1", {SCENE: FRAME})
    assert kept.evidence(SCENE, 0.0).frames == (FRAME,)
    assert faults.counts() == {"OutboxCorrupt": 1}
    assert (tmp_path / "answers.db.corrupt-1").exists()
    kept.close()


def test_a_disk_that_refuses_is_counted_and_not_raised(tmp_path: Path, faults: Faults) -> None:
    (tmp_path / "file").write_text("no folder")
    kept = SqliteAnswers(tmp_path / "file" / "answers.db", faults=faults)
    kept.add_frame("a1", {SCENE: FRAME})
    assert kept.evidence(SCENE, 0.0) is None
    assert kept.held() is None
    assert set(faults.counts()) == {"OutboxUnwritable"}
