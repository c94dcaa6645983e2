import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.detect.budget import LookBudget, Pace
from agent.detect.settings import LookSettings

SETTINGS = LookSettings(per_frame=2.5, time_share=0.8)


class Device:
    """Judges frames that take so long, and takes every look it is granted."""

    def __init__(self, budget, *, walk_s=0.01, look_s=0.01):
        self.budget, self.walk_s, self.look_s = budget, walk_s, look_s
        self.index = {}
        self.at = 0.0

    def frames(self, count, camera="front", period_s=0.1, missed=0):
        """How many looks each of so many frames had; between any two, some were missed."""
        took = []
        for _ in range(count):
            self.index[camera] = self.index.get(camera, -1) + 1 + missed
            self.at += period_s * (1 + missed)
            looks = self.budget.grant(camera, self.index[camera], self.at)
            self.budget.took(camera, looks)
            self.budget.spent(self.walk_s, looks, looks * self.look_s)
            took.append(looks)
        return took


def test_a_device_with_time_to_spare_takes_what_the_settings_say():
    took = Device(LookBudget(SETTINGS)).frames(41)[1:]
    assert sum(took) == 100
    assert set(took) == {2, 3}


def test_looks_are_the_model_s_where_the_settings_leave_it_to_that_and_follow_another_model():
    budget = LookBudget(LookSettings(per_frame="auto"), {"front": Pace(waits=True)}, 2.0)
    device = Device(budget)
    assert device.frames(3) == [2, 2, 2]
    budget.follow_model(0.0)
    assert device.frames(3) == [0, 0, 0]
    budget.follow_model(1.0)
    assert device.frames(3) == [1, 1, 1]


def test_what_the_settings_say_goes_before_what_the_model_says():
    budget = LookBudget(LookSettings(per_frame=1.0), {"front": Pace(waits=True)}, 2.0)
    budget.follow_model(0.0)
    assert Device(budget).frames(3) == [1, 1, 1]


def test_before_anything_is_known_there_is_no_look():
    assert Device(LookBudget(SETTINGS)).frames(1) == [0]


def test_a_source_that_waits_gets_them_from_the_first_frame_on():
    device = Device(LookBudget(SETTINGS, {"front": Pace(waits=True)}), walk_s=5.0, look_s=5.0)
    assert device.frames(4) == [2, 3, 2, 3]


def test_a_device_that_only_just_keeps_pace_takes_no_looks():
    assert set(Device(LookBudget(SETTINGS), walk_s=0.085).frames(30)) == {0}


def test_what_the_walk_leaves_is_for_looks():
    # Of 100 ms, 80 may be used; the walk takes 50 and a look 20: one and a half looks a frame.
    took = Device(LookBudget(SETTINGS), walk_s=0.05, look_s=0.02).frames(60)
    assert sum(took[20:]) / 40 == pytest.approx(1.5, abs=0.05)


def test_a_device_that_becomes_busy_takes_fewer_within_a_second():
    device = Device(LookBudget(SETTINGS))
    device.frames(20)
    device.walk_s = device.look_s = 0.09
    assert set(device.frames(20)[10:]) == {0}
    device.walk_s = device.look_s = 0.01
    assert sum(device.frames(60)[40:]) >= 40


def test_pictures_that_were_missed_count_as_pictures():
    device = Device(LookBudget(SETTINGS), walk_s=0.05, look_s=0.05)
    assert set(device.frames(30, period_s=0.03, missed=2)) == {0}


def test_a_rate_limit_leaves_pictures_out_on_purpose():
    device = Device(LookBudget(SETTINGS, {"front": Pace(fps_limit=10)}), walk_s=0.02, look_s=0.02)
    assert sum(device.frames(30, period_s=1 / 30, missed=2)) > 60


def test_cameras_share_one_judge():
    device = Device(LookBudget(SETTINGS), walk_s=0.02, look_s=0.02)
    assert sum(device.frames(50)[10:]) == 100
    shared = [device.frames(1, camera, 0.05)[0] for _ in range(50) for camera in ("front", "back")]
    assert sum(shared[60:]) == pytest.approx(40, abs=2), "a frame each 50 ms: room for one look"
    device.at += 10.0
    assert sum(device.frames(90)[50:]) == 100, "a camera that is gone takes no time"


@given(
    st.floats(0, 16),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.floats(0, 2), st.floats(0, 1)), max_size=60),
)
def test_never_more_than_the_settings_say(per_frame, frames):
    budget = LookBudget(LookSettings(per_frame=per_frame), {"b": Pace(waits=True)})
    at, index, granted = 0.0, 0, {"a": [], "b": []}
    for camera, step, gap_s, cost_s in frames:
        at, index = at + gap_s, index + step
        looks = budget.grant(camera, index, at)
        budget.took(camera, looks)
        budget.spent(cost_s, looks, looks * cost_s)
        granted[camera].append(looks)
    for looks in granted.values():
        assert all(0 <= each <= per_frame + 1 for each in looks)
        for count, total in enumerate(itertools.accumulate(looks), 1):
            assert total <= count * per_frame + 1
