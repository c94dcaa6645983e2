"""What audits say of a new model in its probation."""

from __future__ import annotations

from agent.update.probation import ENOUGH_AUDITS, audited_harm, harm, standard_of
from tests.agent.update.probation.test_probation import GATES, spell
from vision.estimates import Counts, Sums, total


def audits(frames: int, matched: int, *, of: int = 4) -> Sums:
    """So many frames of four objects, of which so many are found; half of the frames one more or less."""
    counts = [Counts(matched + (k % 2), of, of) for k in range(frames)]
    return total(Sums.of(one, 0.01) for one in counts)


GOOD, BAD = audits(60, 3), audits(30, 1)


def test_a_fall_of_the_audited_accuracy_is_harm() -> None:
    reason = audited_harm({"yard": GOOD}, {"yard": BAD}, GATES)
    assert reason == (
        "audits put its F1 at 0.38 (on 30 frames) where that of the model before was 0.88 (on 60), "
        "more than 0.05 above"
    )


def test_no_harm_without_enough_answers_or_beyond_what_is_allowed() -> None:
    assert audited_harm({"yard": GOOD}, {"yard": audits(ENOUGH_AUDITS - 1, 1)}, GATES) is None
    assert audited_harm({"yard": audits(ENOUGH_AUDITS - 1, 3)}, {"yard": BAD}, GATES) is None
    assert audited_harm({"yard": GOOD}, {"yard": BAD}, GATES.model_copy(update={"max_accuracy_drop": 0.6})) is None
    assert audited_harm({"yard": BAD}, {"yard": GOOD}, GATES) is None
    assert audited_harm({}, {"yard": BAD}, GATES) is None
    assert audited_harm({"gate": GOOD}, {"yard": BAD}, GATES) is None, "no camera that both saw"


def test_empty_frames_are_no_answers() -> None:
    empty = total(Sums.of(Counts(0, 0, 0), 0.01) for _ in range(100))
    assert audited_harm({"yard": GOOD}, {"yard": empty}, GATES) is None


def test_it_is_found_as_soon_as_the_answers_are_there() -> None:
    before = spell()
    before.audited("yard", GOOD)
    standard = standard_of(before, 100)
    assert standard is not None
    now = spell(frames=20)
    assert harm(now, standard, GATES, 1004, 20) is None
    now.audited("yard", BAD)
    assert "audits put its F1 at 0.38" in str(harm(now, standard, GATES, 1004, 20))
