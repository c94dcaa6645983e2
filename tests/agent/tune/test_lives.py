from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from agent.domain import Box, Frame, Track
from agent.tune.lives import MOST_VIEWS, Life, Lives

BOX = (0.1, 0.1, 0.2, 0.3)


def track(number: int = 1, score: float = 0.7, label: str = "person", box: Box = BOX, *, seen: bool = True) -> Track:
    return Track(number, label, score, score, box, 0.0, 0.0, 1, seen)


class Scene:
    """Ten frames a second."""

    def __init__(self, *, share: float = 1.0, chances: Iterator[float] | None = None) -> None:
        self.share = share
        self.now = 0.0
        self.wanted = {"person"}
        chances = chances if chances is not None else iter(lambda: 0.0, 1.0)
        self.lives = Lives(gone_after_s=3.0, counts=self.counts, chance=lambda: next(chances))

    def counts(self, label: str, box: Box) -> bool:
        return label in self.wanted and box[3] < 0.9

    def frames(self, count: int, *tracks: Track) -> list[Life]:
        gone = []
        for _ in range(count):
            self.now += 0.1
            frame = Frame("gate", round(self.now * 10), np.zeros((2, 2, 3), np.uint8), self.now)
            gone += self.lives.step(frame, tracks, share=self.share, needed=3)
        return gone


def test_an_object_is_as_certain_as_its_third_best_frame() -> None:
    scene = Scene()
    for score in (0.5, 0.9, 0.6, 0.8, 0.4):
        assert scene.frames(1, track(score=score)) == []
    assert scene.frames(29) == []
    [life] = scene.frames(2)
    assert (life.track, life.label, life.certain_to) == (1, "person", 0.6)
    assert scene.frames(100) == []


def test_it_is_shown_where_it_was_seen_best() -> None:
    scene = Scene()
    scene.frames(2, track(score=0.9))
    scene.frames(1, track(score=0.5))
    scene.frames(1, track(score=0.52))
    scene.frames(1, track(score=0.7, box=(0.3, 0.3, 0.4, 0.5)))
    scene.frames(1, track(score=0.6))
    [life] = scene.frames(31)
    assert life.view is not None
    assert (life.view.score, life.view.box, life.view.frame.index) == (0.7, (0.3, 0.3, 0.4, 0.5), 5)


def test_who_was_seen_too_rarely_for_an_alert_does_not_count() -> None:
    scene = Scene()
    scene.frames(2, track())
    scene.frames(5, track(seen=False))
    assert scene.frames(40) == []


def test_who_is_found_again_in_time_is_the_same() -> None:
    scene = Scene()
    scene.frames(5, track(score=0.6))
    scene.frames(25)
    scene.frames(5, track(score=0.8))
    [life] = scene.frames(40)
    assert life.certain_to == 0.8


def test_what_no_rule_looks_for_there_does_not_count() -> None:
    scene = Scene()
    scene.frames(5, track(1, label="bird"), track(2, box=(0.1, 0.1, 0.2, 0.95)))
    assert scene.frames(40) == []


def test_each_object_is_drawn_once_by_a_chance_of_its_own() -> None:
    scene = Scene(share=0.3, chances=iter([0.2, 0.3]))
    scene.frames(10, track(1), track(2))
    assert [life.view is not None for life in scene.frames(40)] == [True, False]


def test_no_more_frames_are_held_than_there_is_room_for() -> None:
    scene = Scene()
    scene.frames(5, *(track(number) for number in range(MOST_VIEWS + 2)))
    gone = scene.frames(40)
    assert len(gone) == MOST_VIEWS + 2
    assert sum(life.view is not None for life in gone) == MOST_VIEWS


def test_while_nothing_moves_nobody_goes() -> None:
    scene = Scene()
    scene.frames(5, track())
    for _ in range(200):
        scene.now += 0.1
        scene.lives.still(scene.now)
    assert scene.frames(5, track()) == []
    assert len(scene.frames(40)) == 1
    assert scene.lives.watched_s == pytest.approx(24.9)


def test_a_camera_that_was_away_was_not_watched() -> None:
    scene = Scene()
    scene.frames(11)
    scene.now += 3600
    scene.frames(11)
    assert scene.lives.watched_s == pytest.approx(2.0)


def test_another_model_begins_anew() -> None:
    scene = Scene()
    scene.frames(5, track())
    scene.lives.forget()
    assert scene.frames(40) == []
