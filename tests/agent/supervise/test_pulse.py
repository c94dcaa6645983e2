from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.supervise.pulse import Beat, Pulse, Vitals
from wire.messages import CameraState

LIVE, LOST, ENDED, STARTING = CameraState.LIVE, CameraState.LOST, CameraState.ENDED, CameraState.STARTING
TURN, FRAME = 10.0, 30.0
BORN = Vitals(at=0.0, turns=0, looked=0, cameras={"gate": STARTING}, must_show=frozenset({"gate"}), link_runs=True)


class Watched:
    """An agent whose vitals are turned by hand."""

    def __init__(self) -> None:
        self.pulse = Pulse(turn_patience_s=TURN, frame_patience_s=FRAME)
        self.vitals = BORN
        self.beat = self.pulse.take(BORN)

    def passes(self, seconds: float, *, turns: int = 1, looked: int = 1, **changed: object) -> Beat:
        now = self.vitals
        moved = replace(now, at=now.at + seconds, turns=now.turns + turns, looked=now.looked + looked)
        self.vitals = replace(moved, **changed)  # type: ignore[arg-type]
        self.beat = self.pulse.take(self.vitals)
        return self.beat


@pytest.mark.parametrize("camera", [STARTING, LIVE])
def test_not_ready_before_a_frame_was_looked_at(camera: CameraState) -> None:
    assert Watched().passes(1, looked=0, cameras={"gate": camera}) == Beat(ready=False, trouble="")


def test_ready_with_the_first_frame_whatever_other_cameras_do() -> None:
    watched = Watched()
    assert watched.passes(1, cameras={"gate": LIVE, "plaza": LOST}).ready


@pytest.mark.parametrize("gone", [LOST, ENDED])
def test_ready_when_no_camera_can_give_a_frame(gone: CameraState) -> None:
    watched = Watched()
    assert not watched.passes(1, looked=0, cameras={"gate": gone, "plaza": STARTING}).ready
    assert watched.passes(1, looked=0, cameras={"gate": gone, "plaza": LOST}).ready


def test_what_was_ready_stays_ready() -> None:
    watched = Watched()
    watched.passes(1, looked=0, cameras={"gate": LOST})
    assert watched.passes(1, looked=0, cameras={"gate": STARTING}).ready


def test_stuck_in_a_frame() -> None:
    watched = Watched()
    watched.passes(1, cameras={"gate": LIVE})
    assert watched.passes(TURN, turns=0, looked=0).alive
    assert watched.passes(0.5, turns=0, looked=0).trouble == "judging is stuck in a frame for 10 s"
    assert watched.passes(1).alive, "it came round after all"


def test_all_cameras_lost_is_no_reason_to_be_restarted() -> None:
    watched = Watched()
    watched.passes(1, cameras={"gate": LIVE})
    for _ in range(100):
        assert watched.passes(TURN / 2, looked=0, cameras={"gate": LOST}).alive


def test_but_a_thread_that_is_stuck_is_one_with_all_cameras_lost_too() -> None:
    watched = Watched()
    watched.passes(1, looked=0, cameras={"gate": LOST})
    assert not watched.passes(TURN + 1, turns=0, looked=0).alive


def test_a_live_camera_that_gives_nothing() -> None:
    watched = Watched()
    watched.passes(1, cameras={"gate": LIVE})
    while watched.vitals.at < FRAME:
        assert watched.passes(5, looked=0).alive
    watched.passes(5, looked=0)
    assert watched.beat.trouble.startswith("cameras are live, and no frame was looked at for ")


def test_a_recorded_camera_may_pause() -> None:
    watched = Watched()
    for _ in range(20):
        beat = watched.passes(5, looked=0, cameras={"film": LIVE}, must_show=frozenset())
        assert beat.alive


def test_a_camera_that_comes_back_gets_its_time() -> None:
    watched = Watched()
    watched.passes(1, cameras={"gate": LIVE})
    for _ in range(20):
        watched.passes(5, looked=0, cameras={"gate": LOST})
    assert watched.passes(5, looked=0, cameras={"gate": LIVE}).alive


def test_the_link_s_task() -> None:
    assert Watched().passes(1, link_runs=False).trouble == "the link's task has ended"


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 60.0),
            st.integers(0, 2),
            st.integers(0, 2),
            st.sampled_from(CameraState),
            st.booleans(),
        )
    )
)
def test_fed_only_while_it_moves(steps: list[tuple[float, int, int, CameraState, bool]]) -> None:
    """Whatever happens: alive needs a link, a turn within its patience, and a frame within its own or an excuse."""
    watched = Watched()
    turned = looked = excused = 0.0
    for seconds, turns, frames, camera, link in steps:
        was_ready = watched.beat.ready
        beat = watched.passes(seconds, turns=turns, looked=frames, cameras={"gate": camera}, link_runs=link)
        now = watched.vitals.at
        turned = now if turns else turned
        looked = now if frames else looked
        excused = now if camera is not LIVE else excused
        due = max(looked, excused)
        assert beat.alive == (link and now - turned <= TURN and now - due <= FRAME)
        assert beat.ready == (was_ready or watched.vitals.looked > 0 or camera in {LOST, ENDED})
