"""Settings refuse what can't be meant, and say which point or key and how to mend it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agent.decide.settings import AskPolicySettings, MaskSettings, RuleSettings, ZoneSettings


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ([(0, 0), (1, 1)], "2 points; give at least 3"),
        ([(0, 0), (640, 0), (1, 1)], r"point 1 \(640, 0\) is outside of the picture; divide"),
        ([(0, 0), (1, 0), (1, 1), (0, 0)], "point 3 .* is there already; remove it"),
        ([(0, 0), (0.5, 0.5), (1, 1)], "has no area; move a point"),
        ([(0, 0), (1, 1), (1, 0), (0, 1)], "sides 0–1 and 2–3 cross"),
        ([(0, 0), (1, float("nan")), (1, 1)], "finite"),
    ],
)
def test_bad_polygons(polygon, said):
    for kind, names in ((ZoneSettings, {"name": "yard", "camera": "front"}), (MaskSettings, {"camera": "front"})):
        with pytest.raises(ValidationError, match=said):
            kind(**names, polygon=polygon)


def test_a_sound_polygon_comes_back_as_given():
    zone = ZoneSettings(name="yard", camera="front", polygon=[[0, 0.5], [1, 0.5], [0.5, 1]])
    assert zone.polygon == ((0, 0.5), (1, 0.5), (0.5, 1))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"labels": []}, "labels"),
        ({"min_score": 1.1}, "min_score"),
        ({"frames_to_confirm": 0}, "frames_to_confirm"),
        ({"when_unsure": "shout"}, "when_unsure"),
        ({"fallback": "guess"}, "fallback"),
        ({"deadline_s": 0}, "deadline_s\n.*greater than 0"),
        ({"deadline_s": 601}, "deadline_s\n.*less than or equal to 600"),
        ({"deadline_s": float("inf")}, "deadline_s"),
        ({"colour": "red"}, "colour"),
        ({"schedule": [{"from": "25:00", "to": "26:00"}]}, "HH:MM"),
    ],
)
def test_bad_rules(values, said):
    with pytest.raises(ValidationError, match=said):
        RuleSettings(**({"name": "people", "labels": ["person"]} | values))


def test_an_upside_down_band_is_refused():
    with pytest.raises(ValidationError, match="swap"):
        AskPolicySettings(uncertain=(0.7, 0.3))
