from __future__ import annotations

from agent.update.probation import STALLED_S, Spell, Standard, harm, is_over, standard_of
from wire.updates import Gates

GATES = Gates(probation_frames=100, probation_s=20)
BEFORE = Standard(latency_ms=10, quietest=2.0, busiest=4.0)


def spell(frames: int = 100, objects: int = 3, latency_ms: float = 20, failed: int = 0) -> Spell:
    made = Spell(began_at=1000, walked_at=1000, captured_by_then=0)
    for index in range(frames):
        made.walked(1000 + 0.2 * (index + 1), index + 1)
        made.saw(objects, latency_ms)
    for _ in range(failed):
        made.failed_because("an output was NaN")
    return made


def harm_of(made: Spell, before: Standard | None = BEFORE, now: float = 1020, captured: int = 100) -> str | None:
    return harm(made, before, GATES, now, captured)


def test_a_sound_model_is_through_after_its_frames_and_its_seconds() -> None:
    assert harm_of(spell()) is None
    assert is_over(spell(), GATES, 1020)
    assert not is_over(spell(frames=99), GATES, 1020)
    assert not is_over(spell(), GATES, 1019.9)


def test_failures_count_against_the_whole_probation_from_the_first_frame_on() -> None:
    assert harm_of(spell(frames=0, failed=2), now=1000.1) is None
    reason = harm_of(spell(frames=0, failed=3), now=1000.1)
    assert reason == "it failed on 3 of 3 frames: an output was NaN"


def test_a_slow_model_is_found_before_the_end() -> None:
    assert "it takes 151 ms a frame" in str(harm_of(spell(frames=10, latency_ms=151), now=1002))
    assert harm_of(spell(frames=9, latency_ms=151), now=1002) is None, "it may be warming up"
    assert harm_of(spell(latency_ms=150)) is None


def test_finding_nothing_is_judged_at_the_end_by_the_quietest_time_before() -> None:
    assert harm_of(spell(frames=50, objects=0), now=1010) is None
    assert harm_of(spell(objects=0)) == (
        "it finds 0.00 objects a frame, the model before found 2.00 even in its quietest time"
    )
    night = Standard(latency_ms=10, quietest=0.0, busiest=4.0)
    assert harm_of(spell(objects=0), night) is None, "the scene empties by itself"


def test_finding_too_much_is_judged_by_the_busiest_time_before() -> None:
    assert harm_of(spell(objects=16)) is None
    assert "busiest time" in str(harm_of(spell(objects=17)))


def test_a_judge_that_hangs_while_cameras_go_on() -> None:
    late = 1020 + STALLED_S + 0.1
    assert harm_of(spell(), now=late, captured=200) == "no frame was judged for 30 s while the cameras went on"
    assert harm_of(spell(), now=late, captured=100) is None, "the cameras stand still"


def test_without_a_model_before_only_failures_and_stalls_count() -> None:
    assert harm_of(spell(objects=0, latency_ms=9000), None) is None
    assert harm_of(spell(failed=3), None) is not None


def test_the_standard_is_of_stretches_as_long_as_a_probation() -> None:
    made = spell(frames=0)
    for objects in (5, 1, 3):
        for _ in range(100):
            made.saw(objects, 12)
    assert standard_of(made, 100) == Standard(latency_ms=12, quietest=1, busiest=5)
    assert standard_of(spell(frames=30), 100) == Standard(latency_ms=20, quietest=3, busiest=3)
    assert standard_of(spell(frames=9), 100) is None
    assert standard_of(spell(frames=0), 100) is None
