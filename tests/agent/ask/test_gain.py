"""What an answer is likely to be worth: by hand, by weights that a model brings, and whether the device was wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ask.gain import FORM, NAMES, Case, by_hand, features, gains_of, was_wrong
from agent.domain import Found
from wire.messages import AskReason
from wire.model import Gain

BOX = (0.4, 0.4, 0.5, 0.7)
NEARLY = (0.41, 0.41, 0.51, 0.7)
AWAY = (0.46, 0.4, 0.56, 0.7)
REASONS = (AskReason.NEW, AskReason.REFRESH, AskReason.LOST, AskReason.WEAK, AskReason.MOTION)
SHARE = st.floats(0, 1)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    def box() -> tuple[float, float, float, float]:
        x, y = draw(st.floats(-0.2, 0.9)), draw(st.floats(-0.2, 0.9))
        return (x, y, x + draw(st.floats(0.01, 1.2)), y + draw(st.floats(0.01, 1.2)))

    own = box()
    return Case(
        draw(st.sampled_from(REASONS)),
        own,
        draw(SHARE),
        draw(SHARE),
        draw(st.integers(0, 10_000)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.floats(0, 1e6)),
        draw(st.booleans()),
        [own, *(box() for _ in range(draw(st.integers(0, 3))))],
    )


def weights(**named: float) -> Gain:
    return Gain(features=FORM, weights=tuple(named.get(name, 0.0) for name in NAMES))


@given(cases())
def test_every_feature_is_a_share(case: Case) -> None:
    known = dict(zip(NAMES, features(case), strict=True))
    assert all(0.0 <= value <= 1.0 for value in known.values())
    assert [name for name in map(str, REASONS) if known[name]] == [str(case.reason)]


@given(cases(), st.lists(st.floats(-100, 100), min_size=len(NAMES), max_size=len(NAMES)))
def test_whatever_the_weights_a_gain_is_a_share(case: Case, given_: list[float]) -> None:
    assert 0.0 <= gains_of(Gain(features=FORM, weights=tuple(given_)))(case) <= 1.0


def test_an_object_covers_itself_and_is_no_crowd() -> None:
    alone = Case(AskReason.REFRESH, BOX, 0.5, others=[BOX])
    beside = Case(AskReason.REFRESH, BOX, 0.5, others=[BOX, AWAY])
    assert features(alone)[-1] == 0.0
    assert features(beside)[-1] == pytest.approx(0.4)


def test_weights_put_first_what_they_are_for() -> None:
    by_crowd = gains_of(weights(crowd=5.0))
    alone = Case(AskReason.NEW, BOX, 0.5, belief=0.3, others=[BOX])
    crowded = Case(AskReason.REFRESH, BOX, 0.9, belief=0.9, hits=9, stands=True, age_s=0.6, others=[BOX, NEARLY])
    assert by_hand(alone) > by_hand(crowded)
    assert by_crowd(alone) < by_crowd(crowded)


def test_by_hand_what_is_doubtful_old_unseen_or_changed_is_worth_more() -> None:
    def seen(**changes: object) -> float:
        known: dict[str, object] = {"score": 0.8, "belief": 0.9, "stands": True, "age_s": 1.0}
        return by_hand(Case(AskReason.REFRESH, BOX, **(known | changes)))  # type: ignore[arg-type]

    assert seen(age_s=0.5) < seen() < seen(score=0.3) < seen(seen=False)
    assert seen(changed=True) == seen(age_s=2.0) == seen(age_s=9.0)
    sure, unsure = (by_hand(Case(AskReason.NEW, BOX, 0.5, belief)) for belief in (0.9, 0.5))
    weak, moving = (by_hand(Case(reason, BOX, 0.1)) for reason in (AskReason.WEAK, AskReason.MOTION))
    assert unsure > sure >= weak > moving


def test_without_weights_or_with_those_of_a_newer_set_it_goes_by_hand() -> None:
    assert gains_of(None) is by_hand
    assert gains_of(Gain(features=FORM + 1, weights=(1.0, 2.0))) is by_hand


@pytest.mark.parametrize(
    ("stands", "found", "wrong"),
    [
        (True, (Found("person", 0.9, NEARLY),), False),
        (True, (Found("person", 0.9, AWAY),), True),
        (True, (Found("car", 0.9, BOX),), True),
        (True, (Found("person", 0.4, BOX),), True),
        (True, (), True),
        (False, (), False),
        (False, (Found("person", 0.9, NEARLY),), True),
        (False, (Found("person", 0.4, NEARLY),), False),
        (False, (Found("car", 0.9, BOX),), False),
    ],
)
def test_the_device_was_wrong(stands: bool, found: tuple[Found, ...], wrong: bool) -> None:
    case = Case(AskReason.NEW, BOX, 0.5, stands=stands)
    assert was_wrong(case, "person", found) == wrong
