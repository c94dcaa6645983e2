"""Labels in COCO's form: one JSON object with `images`, `annotations` and `categories`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud.registry.errors import ClassUnknown, LabelsUnreadable, PictureAbsent
from cloud.registry.evaluation.document import Kind
from cloud.registry.evaluation.labels import RawBox, RawLabels, RawPicture, read_bounded


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Image(_Part):
    id: int
    file_name: Annotated[str, Field(min_length=1, max_length=400)]
    width: int | None = None
    height: int | None = None


class _Category(_Part):
    id: int
    name: Annotated[str, Field(min_length=1, max_length=80)]


class _Annotation(_Part):
    id: int | None = None
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: Annotated[int, Field(ge=0, le=1)] = 0


class _Document(_Part):
    images: tuple[_Image, ...]
    annotations: tuple[_Annotation, ...]
    categories: tuple[_Category, ...]


def read_coco(file: Path) -> RawLabels:
    """Read COCO's labels.

    Raises:
        LabelsUnreadable: The file is not in the form, or names two things alike, or a path outside its folder.
        PictureAbsent: A box is for no image of the file.
        ClassUnknown: A box is of no category of the file.
    """
    try:
        document = _Document.model_validate_json(read_bounded(file))
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the file"
        raise LabelsUnreadable(f"{file}: {where}: {first['msg']}", "Give COCO's JSON for object detection.") from None
    categories = {each.id: each.name for each in document.categories}
    images = {each.id: each for each in document.images}
    for count, of, what in (
        (len(categories), document.categories, "categories"),
        (len(images), document.images, "images"),
        (len({each.file_name for each in document.images}), document.images, "images"),
    ):
        if count != len(of):
            raise LabelsUnreadable(f"{file}: two of its {what} have the same id or name", "Give each its own.")
    boxes: dict[int, list[RawBox]] = defaultdict(list)
    for place, each in enumerate(document.annotations):
        where = f"annotation {each.id if each.id is not None else place}"
        if each.image_id not in images:
            raise PictureAbsent(
                f"{file}: {where} is for image {each.image_id}, which is not in `images`",
                "Delete it, or add the image.",
            )
        if each.category_id not in categories:
            raise ClassUnknown(
                f"{file}: {where} is of category {each.category_id}, which is not in `categories`",
                "Add the category.",
            )
        x, y, width, height = each.bbox
        kind = Kind.CROWD if each.iscrowd else Kind.OBJECT
        boxes[each.image_id].append(RawBox((x, y, x + width, y + height), categories[each.category_id], kind, where))
    return RawLabels(tuple(_picture(file, image, boxes[image.id]) for image in document.images))


def _picture(file: Path, image: _Image, boxes: list[RawBox]) -> RawPicture:
    path = PurePosixPath(image.file_name)
    if path.is_absolute() or ".." in path.parts:
        raise LabelsUnreadable(f"{file}: {image.file_name} leads out of the folder", "Name files below the folder.")
    size = None if image.width is None or image.height is None else (image.width, image.height)
    return RawPicture(image.file_name, tuple(boxes), size)
