"""Releases held against evaluation sets, through the commands that a person types."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli import app
from cloud.registry.errors import EvaluationFailed, RegistryBroken
from cloud.registry.evaluation import running
from cloud.registry.evaluation.results import evaluations_of
from cloud.registry.evaluation.running import evaluate
from cloud.registry.evaluation.shelf import EvaluationSets
from cloud.registry.service import Registry
from tests.cloud.registry.labelled import FOUND, nothing, write_coco, write_video
from tests.cloud.samples import ManualClock
from tests.vision.shared import built, shared
from tests.vision.tiny_models import CELLS, PICTURE, Spec, build, write_manifest, yolo_rows
from vision.tflite_file import LOGISTIC

pytestmark = pytest.mark.parts


class Person:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = DataDir(home / "data")

    def types(self, *words: str | Path) -> Result:
        return CliRunner().invoke(app, ["model", *map(str, words), "--data-dir", str(self.data.root)])

    def gets(self, *words: str | Path):
        done = self.types(*words, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def adds(self, name: str, **changes):
        sources = write_coco(self.home / f"set-{name}", **changes)
        return self.gets("evalset", "add", name, "--pictures", sources.pictures, "--labels", sources.labels)

    @property
    def registry(self) -> Registry:
        return Registry(self.data.registry, SystemClock())


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


def tiny(folder: Path, *, score: float = 0.9, **manifest) -> Path:
    """A model that says of every picture that a person stands in its middle."""
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), score, 0)])
    file = build(folder / "model.tflite", [PICTURE], [Spec((1, 252, 7), values=rows)], extra_codes=[LOGISTIC])
    write_manifest(file, output={"kind": "yolov5"}, **manifest)
    return folder


def test_accuracy_stands_beside_each_version(person: Person, tmp_path: Path) -> None:
    """One person found, one missed, two boxes where nobody is."""
    person.adds("default")
    imported = person.gets("import", tiny(tmp_path / "one"))
    figures = imported["evaluation"]["figures"]
    assert (figures["pictures"], figures["labelled"]) == (3, 2)
    assert (figures["map50"], figures["labels"][0]["ap50"]) == (0.5, 0.5)
    assert figures["reported"] == {"score": 0.25, "recall": 0.5, "precision": pytest.approx(1 / 3)}
    assert figures["sure"] == {"score": 0.6, "recall": 0.5, "precision": pytest.approx(1 / 3)}

    person.types("import", tiny(tmp_path / "two", score=0.5, version="2"))
    sure = person.gets("show", "tiny", "2")["evaluations"][0]["figures"]["sure"]
    assert sure == {"score": 0.6, "recall": 0.0, "precision": None}
    listed = {each["version"]: each["evaluations"] for each in person.gets("list")}
    assert [each["set"] for each in (*listed["1"], *listed["2"])] == ["default", "default"]
    assert listed["1"][0]["figures"] == figures
    assert "0.500 default" in person.types("list").stdout
    assert "AP50 0.500 over 2 objects" in person.types("show", "tiny", "1").stdout
    assert [each["version"] for each in person.gets("evalset", "show", "default")["evaluations"]] == ["1", "2"]
    assert "0.500" in person.types("evalset", "show", "default").stdout


def test_evaluating_is_its_own_command_with_a_set_of_any_name(person: Person, tmp_path: Path) -> None:
    assert "evaluation" not in person.gets("import", tiny(tmp_path / "one"))
    added = person.adds("yard")
    assert (added["pictures"], added["objects"]) == (3, {"person": 2})
    assert "yard" in person.types("evalset", "list").stdout
    missing = person.types("evaluate", "tiny", "1")
    assert (missing.exit_code, "evaluation set 'default'" in missing.stderr) == (10, True)
    told = person.types("evaluate", "tiny", "1", "--set", "yard")
    assert "mAP50 0.500" in told.stdout
    assert person.gets("evaluate", "tiny", "1", "--set", "yard")["set_digest"] == added["digest"]
    person.adds("other", annotations=[{"image_id": 0, "category_id": 7, "bbox": FOUND}])
    person.gets("evaluate", "tiny", "1", "--set", "other")
    assert [each["set"] for each in person.gets("show", "tiny", "1")["evaluations"]] == ["other", "yard"]


def test_published_release_is_evaluated_too(person: Person, tmp_path: Path) -> None:
    person.types("import", tiny(tmp_path / "one"))
    keys = tmp_path / "keys"
    for words in (
        ("keys", "create", "--keys", keys, "--demo"),
        ("sign", "tiny", "1", "--keys", keys),
        ("publish", "tiny", "1"),
    ):
        assert person.types(*words).exit_code == 0
    assert not person.registry.folder.staged("tiny", "1").exists()
    person.adds("default")
    assert person.gets("evaluate", "tiny", "1")["figures"]["map50"] == 0.5
    assert person.gets("list")[0]["evaluations"][0]["figures"]["map50"] == 0.5


def test_label_that_the_model_lacks_counts_as_never_found(person: Person, tmp_path: Path) -> None:
    person.types("import", tiny(tmp_path / "one"))
    annotations = [{"image_id": 0, "category_id": of, "bbox": FOUND} for of in (7, 8)]
    person.adds("default", annotations=annotations)
    figures = person.gets("evaluate", "tiny", "1")["figures"]
    assert {each["label"]: (each["known"], each["ap50"]) for each in figures["labels"]} == {
        "person": (True, 1.0),
        "unused": (False, 0.0),
    }
    assert figures["map50"] == 0.5
    assert "does not know" in person.types("show", "tiny", "1").stdout


def test_result_counts_for_these_very_bytes_only(person: Person, tmp_path: Path) -> None:
    person.adds("default")
    person.types("import", tiny(tmp_path / "one"))
    assert person.gets("show", "tiny", "1")["evaluations"]
    person.types("evalset", "remove", "default")
    assert person.gets("show", "tiny", "1")["evaluations"] == []
    person.adds("default", annotations=[{"image_id": 0, "category_id": 7, "bbox": FOUND}])
    assert person.gets("show", "tiny", "1")["evaluations"] == []
    person.gets("evaluate", "tiny", "1")
    manifest = person.registry.release("tiny", "1").manifest
    sets = EvaluationSets(person.registry.folder).all()
    assert len(evaluations_of(person.registry.folder, manifest, sets)) == 1
    for changes in ({"min_score": 0.4}, {"digest": "sha256:" + "0" * 64}):
        assert evaluations_of(person.registry.folder, manifest.model_copy(update=changes), sets) == []
    [file] = person.registry.folder.evaluations("tiny", "1").iterdir()
    file.write_text("{")
    with pytest.raises(RegistryBroken, match=r"default\.json"):
        evaluations_of(person.registry.folder, manifest, sets)
    assert person.types("list").exit_code == 10


def test_model_that_can_t_be_evaluated_is_imported_all_the_same(person: Person, tmp_path: Path) -> None:
    person.adds("default")
    done = person.types("import", tiny(tmp_path / "one", labels=["cat", "dog"]))
    assert (done.exit_code, "not evaluated" in done.stderr) == (0, True)
    assert person.gets("show", "tiny", "1")["evaluations"] == []
    again = person.types("evaluate", "tiny", "1")
    assert (again.exit_code, "none of the labels" in again.stderr) == (10, True)
    assert "evaluation" not in person.gets("import", tiny(tmp_path / "two", version="2"), "--no-evaluate")


def test_process_that_crashes_or_hangs_is_told(person: Person, tmp_path: Path, monkeypatch) -> None:
    """A program in the child's place that dies, or sleeps: no model of ours is known to kill the present runtime."""
    person.types("import", tiny(tmp_path / "one"))
    person.adds("default")

    def ends(silence_s: float) -> None:
        evaluate(person.registry, "tiny", "1", "default", clock=ManualClock(), progress=nothing, silence_s=silence_s)

    for program, silence_s, said in (
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", 60, f"signal {signal.SIGSEGV.value}"),
        ("import time\ntime.sleep(60)\n", 0.05, "longer than 0.05 s"),
        ("import os\nos.write(1, b'x' * (2 << 20))\n", 60, "without end"),
        ("import os\nos.write(1, b'{}\\n')\nos._exit(0)\n", 60, "no figures"),
    ):
        monkeypatch.setattr(running, "PROGRAM", (sys.executable, "-c", program))
        with pytest.raises(EvaluationFailed, match=said):
            ends(silence_s)
    assert evaluations_of(person.registry.folder, person.registry.release("tiny", "1").manifest, []) == []


@pytest.mark.system
@pytest.mark.computing
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("model", "frames", "low", "high"), [("default", 795, 0.68, 0.71), ("nanodet-g-416-fp16", 150, 0.84, 0.88)]
)
def test_person_ap50_on_the_labelled_clip(person: Person, model: str, frames: int, low: float, high: float) -> None:
    """The same figures as `make bench` takes by way of the agent; of the slow model on the clip's beginning."""
    clip, labels = shared("pets09-s2l1/vtest.avi"), person.home / "gt.txt"
    rows = shared("pets09-s2l1/gt.txt").read_text().splitlines()
    labels.write_text("\n".join(row for row in rows if int(row.partition(",")[0]) <= frames))
    built(model)
    added = person.gets("evalset", "add", "default", "--pictures", clip, "--labels", labels)
    assert added["pictures"] == frames
    figures = person.gets("import", model)["evaluation"]["figures"]
    assert low < figures["map50"] < high
    print(json.dumps({model: figures}))  # noqa: T201 - the figure that is to be shown


def test_frames_of_a_clip_are_held_against_their_own_labels(person: Person, tmp_path: Path) -> None:
    """Of frames 2 to 4 it finds the person in 2, sees one in 3 where nobody is, and in 4 one that does not count."""
    person.types("import", tiny(tmp_path / "one"))
    (tmp_path / "gt.txt").write_text("2,1,25.6,14.4,12.8,19.2,1\n4,1,0,0,9,9,1\n4,2,25.6,14.4,12.8,19.2,0\n")
    clip = write_video(tmp_path / "clip.avi", 6)
    person.gets("evalset", "add", "default", "--pictures", clip, "--labels", tmp_path / "gt.txt")
    figures = person.gets("evaluate", "tiny", "1")["figures"]
    assert (figures["pictures"], figures["labelled"]) == (3, 2)
    assert figures["reported"] == {"score": 0.25, "recall": 0.5, "precision": 0.5}
