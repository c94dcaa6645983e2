"""Which frames are drawn, and what is said of them."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.ask.audit import AuditRate, AuditSettings, Draw, Drawn, FrameAudit, Said, audit_message, said_of
from agent.domain import Track
from tests.agent.deliver.samples import DIGEST
from vision.detections import Detections
from wire.audits import MAX_SIGHTINGS, Audit, FrameKind
from wire.codec import decode, encode
from wire.errors import MessageTooLarge
from wire.fields import Sighting
from wire.model import Manifest, OutputKind

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
LABELS = ("person", "car", "bird")
BOX = (0.1, 0.2, 0.3, 0.4)
MODEL = Manifest.model_validate(
    {
        "name": "tiny",
        "version": "1",
        "digest": DIGEST,
        "size": 1,
        "input": {"width": 64, "height": 64},
        "output": {"kind": OutputKind.YOLOV8},
        "labels": LABELS,
        "uncertain": (0.3, 0.6),
        "licence": "none",
        "provenance": {"source": "a test"},
    }
)


def draws(rate: AuditRate, count: int, *, fps: float = 10.0, still: bool = False, factor: float = 1.0) -> list[Drawn]:
    draw, chance = Draw(rate), random.Random(3)
    taken = [draw.take(k / fps, chance.random(), still=still, factor=factor) for k in range(count)]
    return [one for one in taken if one is not None]


def test_as_many_are_drawn_an_hour_whatever_the_rate_of_frames() -> None:
    hours, rate = 20, AuditRate(per_hour=60)
    for fps in (2.0, 25.0):
        found = draws(rate, round(hours * 3600 * fps), fps=fps)
        assert len(found) == pytest.approx(60 * hours, rel=0.1)
        assert found[-1].number == len(found)
        # Weights add up to the frames that the sample stands for.
        assert sum(1 / one.probability for one in found) == pytest.approx(hours * 3600 * fps, rel=0.1)


def test_a_probability_of_each_frame_can_be_set_instead() -> None:
    found = draws(AuditRate(probability=0.01), 100_000)
    assert {one.probability for one in found} == {0.01}
    assert len(found) == pytest.approx(1000, rel=0.1)


def test_still_frames_and_probation_have_a_known_share_of_it() -> None:
    rate = AuditRate(probability=0.02, still_share=0.5)
    assert {one.probability for one in draws(rate, 10_000, still=True)} == {0.01}
    assert {one.probability for one in draws(rate, 10_000, factor=20)} == {0.4}
    assert {one.probability for one in draws(rate, 10, factor=1000)} == {1.0}
    assert len(draws(rate, 10, factor=1000)) == 10


def test_it_can_be_off() -> None:
    assert draws(AuditRate(probability=0), 10_000) == []
    assert draws(AuditRate(per_hour=0), 10_000) == []
    assert draws(AuditRate(probability=0.5, still_share=0), 10_000, still=True) == []


@given(
    per_hour=st.floats(0, 3600),
    gap_s=st.floats(0, 1e6),
    factor=st.floats(1, 1e6),
    still=st.booleans(),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_any_draw_has_the_probability_that_it_says(
    per_hour: float, gap_s: float, factor: float, still: bool, chance: float
) -> None:
    draw = Draw(AuditRate(per_hour=per_hour))
    draw.take(0.0, 1.0 - 1e-16, still=False)
    found = draw.take(gap_s, chance, still=still, factor=factor)
    expected = -math.expm1(-factor * (0.25 if still else 1.0) * per_hour * min(1.0, gap_s) / 3600)
    assert (found is not None) == (chance < expected)
    if found is not None:
        assert found.probability == pytest.approx(expected)
        assert 0 < found.probability <= 1


@pytest.mark.parametrize("wrong", [{"probability": 1.1}, {"per_hour": -1}, {"still_share": 2}, {"scale": 0}])
def test_settings_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AuditSettings.model_validate(wrong)


# --- what is said -----------------------------------------------------------------------------------------------


def detections(*found: tuple[int, float]) -> Detections:
    return Detections(
        np.array([BOX] * len(found), np.float32).reshape(-1, 4),
        np.array([score for _, score in found], np.float32),
        np.array([index for index, _ in found], np.int32),
        LABELS,
    )


def track(label: str = "person", score: float = 0.7, box: tuple[float, float, float, float] = BOX) -> Track:
    return Track(1, label, score, score, box, 0.0, 1.0, 5, seen_now=True)


def said(found: Detections, *tracks: Track) -> Said:
    return said_of(found, tracks, labels={"person", "car"}, model=MODEL)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (((0, 0.9), (1, 0.6)), FrameKind.CONFIDENT),
        (((0, 0.9), (1, 0.59)), FrameKind.UNCERTAIN),
        (((0, 0.9), (1, 0.29)), FrameKind.CONFIDENT),
        (((0, 0.29),), FrameKind.EMPTY),
        (((2, 0.9),), FrameKind.EMPTY),  # no rule looks for birds
        ((), FrameKind.EMPTY),
    ],
)
def test_the_kind_of_a_frame(found: tuple[tuple[int, float], ...], kind: FrameKind) -> None:
    assert said(detections(*found)).kind is kind


def test_everything_that_the_device_said_goes_along() -> None:
    found = said(detections((2, 0.9), (0, 0.25)), track(box=(-0.1, 0.2, 0.3, 1.2)), track(score=0.8))
    assert found.labels == ("car", "person")
    assert found.detections == (Sighting("bird", 0.9, BOX), Sighting("person", 0.25, BOX))
    assert found.shown == (Sighting("person", 0.8, BOX), Sighting("person", 0.7, (0.0, 0.2, 0.3, 1.0)))
    assert (found.left_out, found.model_digest, found.model) == (0, DIGEST, "tiny 1")


def test_what_the_tracker_only_keeps_in_mind_is_not_shown() -> None:
    unseen = replace(track(), seen_now=False)
    assert said(detections(), unseen, track(score=0.29), track(score=0.3)).shown == (Sighting("person", 0.3, BOX),)


def message(found: Said, **changes: object) -> Audit:
    audit = FrameAudit("1" * 32, "yard", 5.0, Drawn(0.01, 3, 700), found, masks=(((0, 0), (0.33333, 0), (0, 1)),))
    fields: dict[str, object] = {"device": "cam-1", "boot_id": "b" * 32, "boot_seq": 4, "made_at": AT, "seen_at": AT}
    return audit_message(audit, **(fields | {"deadline_ms": 10_000} | changes))  # type: ignore[arg-type]


def test_the_message_holds_it() -> None:
    made = message(said(detections((0, 0.9)), track()))
    assert decode(Audit, encode(made)) == made
    assert (made.probability, made.number, made.walked) == (0.01, 3, 700)
    assert made.masks == (((0.0, 0.0), (0.3333, 0.0), (0.0, 1.0)),)


def test_a_crowd_is_cut_to_what_fits_the_weakest_first() -> None:
    crowd = [(0, 1 - k / 200) for k in range(100)]
    found = said(detections(*crowd), *[track(score=k / 100) for k in range(100)])
    assert len(found.detections) == len(found.shown) == MAX_SIGHTINGS
    assert (found.left_out, min(one.score for one in found.shown)) == (36, 0.36)
    made = message(found)
    assert len(encode(made)) <= Audit.MAX_BYTES
    assert made.shown == found.shown, "what is judged goes whole"
    assert made.left_out == 100 - len(made.detections)


def test_what_can_t_be_said_within_the_limit_is_refused() -> None:
    long = Said(FrameKind.EMPTY, tuple(f"{k:064d}" for k in range(128)), (), (), (), 0, DIGEST, "tiny 1")
    with pytest.raises(MessageTooLarge):
        message(long)


def test_what_is_too_weak_to_be_shown_is_told_apart() -> None:
    found = said_of(detections(), [track(score=0.25), track(score=0.8)], labels={"person"}, model=MODEL)
    assert [one.score for one in found.shown] == [0.8]
    assert [one.score for one in found.weaker] == [0.25]
