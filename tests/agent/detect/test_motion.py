from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.detect.motion import MotionGate, MotionSettings

SIZE = (576, 768)
FPS = 10.0
Scene = Callable[[int], np.ndarray]


@cache
def background(size: tuple[int, int] = SIZE) -> np.ndarray:
    """A gentle texture, the same each time."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    grey = 120 + 40 * np.sin(rows / 31) + 30 * np.cos(columns / 47)
    image = np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    image.setflags(write=False)
    return image


def with_person(image: np.ndarray, left: int, *, wide: int = 18, high: int = 50) -> np.ndarray:
    image = image.copy()
    image[300 : 300 + high, left : left + wide] = 220
    return image


def looks(gate: MotionGate, scene: Scene, frames: int, start: int = 0) -> list[int]:
    """The numbers of the frames that were not skipped."""
    return [k for k in range(start, start + frames) if not gate.still(scene(k), 1000.0 + k / FPS)]


def settled(gate: MotionGate, scene: Scene, frames: int = 60) -> int:
    """Show the scene until the hold after the first frame is over; returns the next frame's number."""
    looks(gate, scene, frames)
    return frames


def test_a_still_scene_is_looked_at_first_and_then_at_intervals() -> None:
    gate = MotionGate(MotionSettings(hold_s=0.0, forced_look_s=5.0))
    still = background()
    assert looks(gate, lambda _: still, 151) == [0, 50, 100, 150]


def test_a_person_who_walks_in_is_seen_at_once_and_held_after() -> None:
    gate = MotionGate(MotionSettings(hold_s=1.0, forced_look_s=1000.0))
    empty = background()
    begin = settled(gate, lambda _: empty)

    def walking(k: int) -> np.ndarray:
        return with_person(empty, 100 + 4 * (k - begin))

    assert looks(gate, walking, 20, begin) == list(range(begin, begin + 20))
    left = begin + 20
    after = looks(gate, lambda _: empty, 300, left)
    assert after[:10] == list(range(left, left + 10))
    assert len(after) < 150, "the trace of a passing person fades"


def test_a_parked_object_becomes_background() -> None:
    gate = MotionGate(MotionSettings(hold_s=1.0, forced_look_s=1000.0, background_s=4.0))
    empty = background()
    begin = settled(gate, lambda _: empty)
    parked = with_person(empty, 300)
    seen = looks(gate, lambda _: parked, 400, begin)
    assert seen[0] == begin
    assert seen[-1] < begin + 300


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_sensor_noise_is_no_motion(sigma: float) -> None:
    gate = MotionGate(MotionSettings(hold_s=0.0, forced_look_s=1000.0))
    random = np.random.default_rng(7)
    clean = background().astype(np.float32)
    noisy = [np.clip(clean + random.normal(0, sigma, clean.shape), 0, 255).astype(np.uint8) for _ in range(3)]
    assert looks(gate, lambda k: noisy[k % 3], 60) == [0]


def test_slow_light_is_no_motion_and_a_sudden_one_is() -> None:
    gate = MotionGate(MotionSettings(hold_s=0.0, forced_look_s=1000.0))
    day = background()

    def dusk(k: int) -> np.ndarray:
        return day - np.uint8(min(k // 10, 40))

    assert looks(gate, dusk, 400) == [0]
    night = day // 3
    assert looks(gate, lambda _: night, 100, 400) == [400], "the new light is the new background"


def test_each_setting_does_what_it_says() -> None:
    empty = background()
    faint = empty.copy()
    faint[300:350, 100:118] += 15

    def sees(**changed: float) -> bool:
        gate = MotionGate(MotionSettings(hold_s=0.0, forced_look_s=1000.0, **changed))
        begin = settled(gate, lambda _: empty, 3)
        return looks(gate, lambda _: faint, 1, begin) == [begin]

    assert sees()
    assert not sees(threshold=30)
    assert not sees(min_area=0.05)


def test_a_new_size_is_looked_at() -> None:
    gate = MotionGate(MotionSettings(hold_s=0.0, forced_look_s=1000.0))
    settled(gate, lambda _: background())
    assert not gate.still(background((240, 320)), 1007.0)
    assert gate.still(background((240, 320)), 1007.1)


def test_the_frame_is_not_written_to() -> None:
    gate = MotionGate(MotionSettings())
    frame = background()
    frame.setflags(write=False)
    gate.still(frame, 0.0)
    gate.still(frame, 0.1)


@settings(max_examples=60, deadline=None)
@given(high=st.integers(1, 700), wide=st.integers(1, 1400))
def test_any_size_of_picture_can_be_judged(high: int, wide: int) -> None:
    gate = MotionGate(MotionSettings(hold_s=0.0, forced_look_s=1000.0))
    dark, bright = np.zeros((high, wide, 3), np.uint8), np.full((high, wide, 3), 255, np.uint8)
    assert not gate.still(dark, 0.0)
    assert gate.still(dark, 0.1)
    assert not gate.still(bright, 0.2)


@pytest.mark.parametrize(
    "wrong", [{"threshold": 0}, {"min_area": 0}, {"min_area": 2}, {"forced_look_s": -1}, {"sensitivity": 3}]
)
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        MotionSettings.model_validate(wrong)
