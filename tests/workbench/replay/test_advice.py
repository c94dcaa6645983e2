from hypothesis import given
from hypothesis import strategies as st

from workbench.replay.advice import AS_GOOD, Point, best_within

SHARES = st.floats(0, 1)
POINTS = st.lists(st.builds(Point, st.just("a setting"), SHARES, SHARES), min_size=1, max_size=20)


def test_the_cheapest_of_the_best_is_advised():
    cheap, dear, better = Point("cheap", 0.0, 0.9), Point("dear", 0.5, 0.901), Point("better", 0.02, 0.95)
    assert best_within([cheap, dear, better], 1.0) is better
    assert best_within([cheap, dear], 1.0) is cheap
    assert best_within([cheap, dear, better], 0.01) is cheap
    assert best_within([dear, better], 0.01) is None


@given(POINTS, SHARES)
def test_advice_stays_within_the_budget_and_is_nearly_the_best(points, share):
    found = best_within(points, share)
    affordable = [point for point in points if point.share <= share]
    assert (found is None) == (not affordable)
    if found is not None:
        assert found.share <= share
        assert found.f1 >= max(point.f1 for point in affordable) - AS_GOOD
