from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.supervise.words import MAX_STATUS, Condition, one_line, status_line
from wire.messages import CameraState

WELL = Condition(
    cameras={"gate": (CameraState.LIVE, ""), "plaza": (CameraState.LOST, "no picture for 10 s")},
    fps=9.84,
    alerts=12,
    waiting=3,
    online=True,
    broker="mqtt://cloud:1883",
    model="ssdlite 1.0.0 on xnnpack",
)


def test_all_is_said() -> None:
    assert status_line(WELL) == (
        "1 of 2 cameras live (plaza lost: no picture for 10 s), 9.8 frames/s; 12 alerts, 3 undelivered;"
        " connected to mqtt://cloud:1883; ssdlite 1.0.0 on xnnpack"
    )


def test_the_smallest_fleet() -> None:
    said = status_line(replace(WELL, cameras={"gate": (CameraState.LIVE, "")}, alerts=1, online=False))
    assert said.startswith("1 of 1 camera live, 9.8 frames/s; 1 alert, 3 undelivered; not connected to mqtt://")


def test_trouble_comes_first() -> None:
    assert status_line(replace(WELL, trouble="judging is stuck")).startswith("judging is stuck; 1 of 2 cameras")


def test_an_error_of_several_lines_becomes_one() -> None:
    assert one_line("it can't be used:\n  rules: is missing\n  x\x1b[31m: no\n") == (
        "it can't be used: | rules: is missing | x?[31m: no"
    )


@given(st.text(max_size=2_000))
def test_a_status_can_not_smuggle_in_another_word(text: str) -> None:
    """A line break in a camera's name or an error would begin an assignment of its own."""
    line = one_line(text)
    assert len(line) <= MAX_STATUS
    assert line.isprintable()
