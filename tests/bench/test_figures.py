import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Figure, Goal, Section, for_programs, percentile, table

SECTIONS = (
    Section(
        "Speed",
        "In turns.",
        (
            Figure("ratio", "pipeline ÷ bare", 0.95, "", Goal(at_least=0.9), digits=3),
            Figure("p99_ms", "slowest", 250.0, "ms", Goal(at_most=200)),
            Figure("fps", "pipeline", 120.0, "/s"),
        ),
    ),
    Section("Accuracy", "Against labels.", (Figure("ap50", "person", None, "", Goal(at_least=0.68), "no labels"),)),
)


def test_a_person_sees_every_figure_its_goal_and_what_was_not_measured():
    shown = table(SECTIONS).splitlines()
    of = {line.split("  ")[1]: line for line in shown if line.startswith("  ")}
    assert "0.950" in of["pipeline ÷ bare"]
    assert of["pipeline ÷ bare"].endswith("kept (≥ 0.9)")
    assert of["slowest"].endswith("MISSED (≤ 200)")
    assert "120.0 /s" in of["pipeline"]
    assert of["person"].endswith("– no labels")
    assert "  In turns." in shown


def test_a_program_gets_numbers_and_whether_goals_were_kept():
    found = json.loads(json.dumps(for_programs(SECTIONS)))
    assert found["figures"] == {"ratio": 0.95, "p99_ms": 250.0, "fps": 120.0, "ap50": None}
    assert {key: goal["kept"] for key, goal in found["goals"].items()} == {
        "ratio": True,
        "p99_ms": False,
        "ap50": None,
    }


def test_percentile_of_known_values():
    values = [float(i) for i in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)
    assert percentile([], 0.5) is None


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_one_of_the_values_and_enough_are_not_above_it(values, share):
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


@pytest.mark.parametrize(
    ("goal", "kept"), [(Goal(at_least=1), (False, True, True)), (Goal(at_most=1), (True, True, False))]
)
def test_a_goals_bound_counts_as_kept(goal, kept):
    assert tuple(goal.kept(value) for value in (0.5, 1.0, 2.0)) == kept
