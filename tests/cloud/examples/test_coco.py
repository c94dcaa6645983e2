"""From questions and audits to COCO's form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.examples.coco import Example, Reason, Selection, document, of_audit, of_question
from cloud.received import Answered, Concluded
from cloud.registry.evaluation.coco import read_coco
from cloud.registry.evaluation.document import Kind
from tests.cloud.audit.fakes import audit
from tests.cloud.samples import alert, question, verdict
from wire.audits import AuditOutcome, LabelCounts, Sighting
from wire.messages import Decision, Hide, Redaction

AT = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
REGION = (0.2, 0.2, 0.6, 0.6)
ASKED = (0.3, 0.3, 0.5, 0.5)
SIZE = (200, 100)


def answered(**changes: object) -> Answered:
    asked = question(alert(), box=ASKED, region=REGION)
    fields: dict[str, object] = {"box": ASKED, "label": "person"}
    return Answered(asked, verdict(asked, **(fields | changes)), "q.jpg", AT)


def concluded(*counts: LabelCounts, missed: tuple[Sighting, ...], **changes: object) -> Concluded:
    asked = audit(**changes)
    outcome = AuditOutcome(
        message_id="9" * 32, device="cam-1", made_at=AT, audit_id=asked.message_id, model="big 1", counts=counts,
        missed=missed,
    )  # fmt: skip
    return Concluded(asked, outcome, "a.jpg", AT)


def objects(example: Example) -> list[tuple[str, tuple[float, ...]]]:
    return [(one.label, one.box) for one in example.objects if not one.crowd]


@pytest.mark.parametrize(
    ("changes", "reason", "found"),
    [
        ({}, Reason.UNCERTAIN, [("person", ASKED)]),
        ({"label": "dog"}, Reason.CORRECTED, [("dog", ASKED)]),
        ({"box": (0.45, 0.45, 0.6, 0.6)}, Reason.CORRECTED, [("person", (0.45, 0.45, 0.6, 0.6))]),
        ({"decision": Decision.RETRACTED, "label": None, "score": None, "box": None}, Reason.RETRACTED, []),
        ({"decision": Decision.RETRACTED, "label": "chair"}, Reason.RETRACTED, [("chair", ASKED)]),
    ],
)
def test_a_verdict_says_why_it_is_a_hard_example(changes: dict, reason: Reason, found: list) -> None:
    example = of_question(answered(**changes))
    assert (example.reason, objects(example)) == (reason, found)
    assert example.more["device_box"] == list(ASKED)
    assert not example.exhaustive


def test_boxes_are_pixels_of_the_picture_and_what_is_around_them_does_not_count() -> None:
    example = of_question(answered())
    labels = document([example], {example.name: SIZE}, "1")
    person = next(one for one in labels["annotations"] if not one["iscrowd"])
    assert person["bbox"] == [50.0, 25.0, 100.0, 50.0]
    assert (person["decided_by"], person["device_label"], person["device_score"]) == ("cloud", "person", 0.5)
    crowds = [one["bbox"] for one in labels["annotations"] if one["iscrowd"]]
    assert sorted(crowds) == [[0.0, 0.0, 50.0, 100.0], [50.0, 0.0, 100.0, 25.0], [50.0, 75.0, 100.0, 25.0],
                              [150.0, 0.0, 50.0, 100.0]]  # fmt: skip


def test_an_audit_has_what_was_missed_and_what_both_agree_on() -> None:
    box, other = (0.1, 0.1, 0.2, 0.3), (0.5, 0.5, 0.6, 0.8)
    mask = ((0.8, 0.0), (1.0, 0.0), (1.0, 0.5))
    one = concluded(
        LabelCounts(label="person", matched=1, shown=1, there=2),
        LabelCounts(label="car", matched=0, shown=1, there=0),
        missed=(Sighting("person", 0.8, box),),
        labels=("person", "car"),
        shown=(Sighting("person", 0.6, other), Sighting("car", 0.7, box)),
        masks=(mask,),
    )
    example = of_audit(one)
    assert example is not None
    assert objects(example) == [("person", box), ("person", other)]
    crowds = [(found.label, found.box, found.more["why"]) for found in example.objects if found.crowd]
    assert crowds == [
        ("car", box, "not known which were right"),
        ("car", (0.8, 0.0, 1.0, 0.5), "masked"),
        ("person", (0.8, 0.0, 1.0, 0.5), "masked"),
    ]
    assert example.exhaustive
    assert example.label is None


def test_an_audit_without_a_miss_is_no_hard_example() -> None:
    assert of_audit(concluded(LabelCounts(label="person", matched=2, shown=2, there=2), missed=())) is None


def test_what_is_wanted_is_taken() -> None:
    example = of_question(answered(label="dog"))
    assert Selection().takes(example)
    assert Selection(
        frozenset({"cam-1"}), frozenset({"yard"}), frozenset({"dog"}), frozenset({Reason.CORRECTED})
    ).takes(example)
    assert Selection(labels=frozenset({"person"})).takes(example), "what was asked about counts, too"
    for other in (
        Selection(devices=frozenset({"cam-2"})),
        Selection(cameras=frozenset({"gate"})),
        Selection(labels=frozenset({"cat"})),
        Selection(reasons=frozenset({Reason.MISSED})),
    ):
        assert not other.takes(example)


def test_the_document_is_coco_for_our_own_reader(tmp_path: Path) -> None:
    examples = [
        of_question(answered()),
        of_question(answered(decision=Decision.RETRACTED, label=None, score=None, box=None)),
        of_question(answered(label="dog")),
    ]
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(document(examples, {one.name: SIZE for one in examples}, "1")))
    read = read_coco(file)
    assert read.asked() == ("dog", "person")
    assert [picture.name for picture in read.pictures] == [one.name for one in examples]
    boxes = [[(box.label, box.corners) for box in one.boxes if box.kind is Kind.OBJECT] for one in read.pictures]
    assert boxes == [[("person", (50.0, 25.0, 150.0, 75.0))], [], [("dog", (50.0, 25.0, 150.0, 75.0))]]


def test_the_same_examples_give_the_same_bytes() -> None:
    examples = [of_question(answered()) for _ in range(3)]
    sizes = {one.name: SIZE for one in examples}
    assert json.dumps(document(examples, sizes, "1")) == json.dumps(document(examples, sizes, "1"))
    assert document([], {}, "1")["info"]["date_created"] is None


def test_what_was_painted_over_is_told() -> None:
    asked = question(alert(), box=ASKED, region=REGION, redaction=Redaction(hide=Hide.HEADS, hidden=0.1))
    example = of_question(Answered(asked, verdict(asked), "q.jpg", AT))
    image = document([example], {example.name: SIZE}, "1")["images"][0]
    assert image["redaction"] == {"hide": "heads", "masked": 0.0, "hidden": 0.1}


unit = st.floats(0, 1, allow_subnormal=False)
boxes = st.tuples(unit, unit, unit, unit).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(box=boxes, seen=boxes, region=boxes, size=st.tuples(st.integers(1, 2000), st.integers(1, 2000)))
def test_whatever_the_boxes_annotations_lie_in_the_picture(box, seen, region, size) -> None:
    asked = question(alert(), box=box, region=region)
    example = of_question(Answered(asked, verdict(asked, box=seen), "q.jpg", AT))
    for one in document([example], {example.name: size}, "1")["annotations"]:
        x, y, wide, high = one["bbox"]
        assert min(x, y) >= 0
        assert min(wide, high) >= 1
        assert x + wide <= size[0] + 0.02
        assert y + high <= size[1] + 0.02
