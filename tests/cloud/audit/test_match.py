from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decide.masks import MaskFilter
from agent.decide.settings import MaskSettings
from cloud.audit.match import compare, ignored
from tests.cloud.audit.fakes import AWAY, BOX, audit, seen
from vision.estimates import Counts
from wire.audits import LabelCounts
from wire.fields import Sighting
from wire.messages import Redaction

SHIFTED = (0.3, 0.25, 0.8, 0.75)
ELSEWHERE = (0.8, 0.1, 0.9, 0.3)
MASK = ((0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5))


def test_what_is_found_missed_and_wrong() -> None:
    finding = compare(audit(), seen((0, 0.9, SHIFTED), (0, 0.5, ELSEWHERE)), 0.4)
    assert finding.total == Counts(matched=1, shown=2, there=2)
    assert finding.counts == (LabelCounts(label="person", matched=1, shown=2, there=2, found=(0.8,)),)
    assert finding.missed == (Sighting("person", 0.5, ELSEWHERE),)


def test_labels_count_apart_and_only_those_that_are_looked_for() -> None:
    asked = audit(labels=("person", "car"), shown=(Sighting("person", 0.8, BOX), Sighting("bird", 0.9, BOX)))
    finding = compare(asked, seen((1, 0.9, BOX)), 0.4)
    assert finding.counts == (
        LabelCounts(label="car", matched=0, shown=0, there=1, found=()),
        LabelCounts(label="person", matched=0, shown=1, there=0, found=()),
    )
    assert compare(audit(labels=("dog",)), seen((0, 0.9, BOX)), 0.4).total == Counts(0, 0, 0)


def test_scores_of_what_is_there_are_told_from_weak_objects_too() -> None:
    weak = Sighting("person", 0.2, ELSEWHERE)
    asked = audit(shown=(Sighting("person", 0.8, SHIFTED),), weaker=(weak, Sighting("person", 0.1, AWAY)))
    [counts] = compare(asked, seen((0, 0.9, SHIFTED), (0, 0.5, ELSEWHERE)), 0.4).counts
    assert counts.found == (0.8, 0.2)
    assert (counts.matched, counts.shown, counts.there) == (1, 1, 2)


def test_an_object_is_found_once_by_the_surest() -> None:
    asked = audit(shown=(Sighting("person", 0.5, BOX), Sighting("person", 0.9, SHIFTED)))
    [counts] = compare(asked, seen((0, 0.9, BOX)), 0.4).counts
    assert counts.found == (0.9,)


def test_what_the_cloud_is_unsure_of_is_not_there() -> None:
    assert compare(audit(), seen((0, 0.39, BOX)), 0.4).total == Counts(0, 2, 0)


def test_what_stands_in_a_mask_is_not_missed() -> None:
    assert compare(audit(shown=(), masks=(MASK,)), seen((0, 0.9, ELSEWHERE), (0, 0.9, AWAY)), 0.4).total.there == 1


PAINTED = Redaction(masked=0.25)
HALF_MASKED = (0.4, 0.2, 0.9, 0.7)
"""Its lower edge is out of the mask, and three fifths of it are under paint."""
BARELY_MASKED = (0.3, 0.3, 0.6, 0.9)


@pytest.mark.parametrize(("box", "counts"), [(HALF_MASKED, 0), (BARELY_MASKED, 1)])
def test_what_the_device_saw_and_paint_hides_is_neither_right_nor_wrong(box, counts: int) -> None:
    """The device judges the frame as it is; the cloud gets it with its masks painted over."""
    shown = (Sighting("person", 0.8, box),)
    deep = ((0.4, 0.0), (1.0, 0.0), (1.0, 0.6), (0.4, 0.6))
    assert compare(audit(shown=shown, masks=(deep,), redaction=PAINTED), seen(), 0.4).total.shown == counts
    assert compare(audit(shown=shown, masks=(deep,)), seen(), 0.4).total.shown == 1, "nothing was painted over"


sides = st.floats(0, 1, width=32)


@given(
    box=st.tuples(sides, sides, sides, sides).map(
        lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
    ),
    polygon=st.sampled_from(
        [MASK, ((0.1, 0.1), (0.9, 0.3), (0.4, 0.8)), ((0, 0), (1, 0), (0.5, 0.4), (1, 1), (0, 1))]
    ),
)
def test_both_sides_ignore_the_same(
    box: tuple[float, float, float, float], polygon: tuple[tuple[float, float], ...]
) -> None:
    """All but what stands on the very edge."""
    kept = MaskFilter([MaskSettings(camera="yard", polygon=polygon)], "yard").keep(seen((0, 0.9, box)))
    nudged = {
        ignored([polygon], (box[0] + d, box[1], box[2] + d, box[3] + e)) for d in (-1e-6, 1e-6) for e in (-1e-6, 1e-6)
    }
    assert (len(kept) == 0) in nudged


def test_no_mask_ignores_nothing() -> None:
    assert not ignored([], BOX)
    assert compare(audit(), seen(), 0.4).total == Counts(0, 2, 0)


@pytest.mark.parametrize("count", [70, 200])
def test_what_is_missed_is_told_as_far_as_it_fits(count: int) -> None:
    boxes = [(k / count, 0.0, (k + 1) / count, 0.001 * (k + 1)) for k in range(count)]
    finding = compare(audit(shown=()), seen(*((0, 0.9, box) for box in boxes)), 0.4)
    assert finding.total.there == count
    assert len(finding.missed) == 64
