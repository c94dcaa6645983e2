"""Writing a data set: resumed, whole or not at all, and taken in again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.errors import BlobMissing, ExportFailed
from cloud.examples import export as exporting
from cloud.examples.coco import Example, of_question
from cloud.examples.export import LABELS, Exported, export
from cloud.received import Answered
from cloud.registry.evaluation.building import Sources
from cloud.registry.evaluation.shelf import EvaluationSets
from cloud.registry.layout import RegistryFolder
from tests.cloud.registry.labelled import nothing, picture
from tests.cloud.samples import alert, question, verdict

AT = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)


class Kept(dict[str, bytes]):
    """Pictures in memory; counts what is asked for."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.gets = 0

    async def get(self, key: str) -> bytes:  # type: ignore[override]
        self.gets += 1
        if key not in self:
            raise BlobMissing(f"there is no picture {key}")
        return self[key]


def examples(count: int = 3) -> list[Example]:
    asked = [question(alert(), box=(0.1, 0.2, 0.3, 0.4), message_id=f"{number:032x}") for number in range(count)]
    return [of_question(Answered(one, verdict(one), f"q/{number}.jpg", AT)) for number, one in enumerate(asked)]


def kept(count: int = 3) -> Kept:
    return Kept({f"q/{number}.jpg": picture(60 + number) for number in range(count)})


async def written(folder: Path, pictures: Kept, count: int = 3) -> Exported:
    return await export(examples(count), pictures, folder, "1", nothing)


async def test_a_set_is_written_and_can_be_taken_in_as_an_evaluation_set(tmp_path: Path) -> None:
    done = await written(tmp_path / "set", kept())
    assert (done.images, done.written, done.annotations, done.missing) == (3, 3, 3, 0)
    assert done.reasons == {"retracted": 0, "corrected": 0, "uncertain": 3, "missed": 0}
    sets = EvaluationSets(RegistryFolder(tmp_path / "registry"))
    made = sets.add("hard", Sources(tmp_path / "set", tmp_path / "set" / LABELS), nothing)
    assert (len(made.pictures), len(made.objects())) == (3, 3)
    assert made.labels == ("person",)


async def test_pycocotools_would_find_what_it_needs(tmp_path: Path) -> None:
    """The fields that COCO's own reader indexes by, each of its kind and referring to what is there."""
    await written(tmp_path, kept())
    labels = json.loads((tmp_path / LABELS).read_text())
    assert set(labels) == {"info", "licenses", "images", "annotations", "categories"}
    images = {one["id"] for one in labels["images"]}
    categories = {one["id"] for one in labels["categories"]}
    assert len(images) == 3
    for one in labels["annotations"]:
        assert {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"} <= set(one)
        assert one["image_id"] in images
        assert one["category_id"] in categories
        assert one["area"] == pytest.approx(one["bbox"][2] * one["bbox"][3], abs=0.01)
    assert len({one["id"] for one in labels["annotations"]}) == len(labels["annotations"])


async def test_the_same_export_again_writes_the_same_and_asks_for_nothing(tmp_path: Path) -> None:
    await written(tmp_path, kept())
    before = (tmp_path / LABELS).read_bytes()
    again = kept()
    done = await written(tmp_path, again)
    assert (done.images, done.written, again.gets) == (3, 0, 0)
    assert (tmp_path / LABELS).read_bytes() == before


async def test_an_interrupted_export_goes_on_and_never_shows_half_a_set(tmp_path: Path, monkeypatch) -> None:
    await written(tmp_path, kept(1), 1)
    before = (tmp_path / LABELS).read_bytes()
    real, left = exporting._put, [2]

    def fails(file: Path, data: bytes) -> None:
        left[0] -= 1
        if not left[0]:
            file.with_name(f"{file.name}.part").write_bytes(data[:10])
            raise ExportFailed("the disk is full")
        real(file, data)

    monkeypatch.setattr(exporting, "_put", fails)
    with pytest.raises(ExportFailed):
        await written(tmp_path, kept())
    assert (tmp_path / LABELS).read_bytes() == before
    monkeypatch.setattr(exporting, "_put", real)
    done = await written(tmp_path, kept())
    assert (done.images, done.written) == (3, 1)
    assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("*.part")))


async def test_pictures_that_are_gone_or_none_are_left_out_and_counted(tmp_path: Path) -> None:
    pictures = kept()
    del pictures["q/0.jpg"]
    pictures["q/1.jpg"] = b"no picture"
    done = await written(tmp_path, pictures)
    assert (done.images, done.missing) == (1, 2)


async def test_what_the_store_has_forgotten_stays_where_it_was_exported(tmp_path: Path) -> None:
    await written(tmp_path, kept(1), 1)
    forgotten = [replace(one, key="") for one in examples(2)]
    done = await export(forgotten, Kept(), tmp_path, "1", nothing)
    assert (done.images, done.written, done.missing) == (1, 0, 1)


async def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("!")
    with pytest.raises(ExportFailed, match=r"holds thesis\.tex"):
        await written(tmp_path, kept())


async def test_a_folder_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportFailed, match="can't be written"):
        await written(tmp_path / "file" / "set", kept())
