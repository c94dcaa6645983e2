from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.adapters.sqlite_answers import SqliteAnswers
from agent.app import tuning
from agent.app.tuning import STEADY_S, BandTuner
from agent.deliver.faults import Faults
from agent.domain import Answer, Frame, Track
from agent.judging.inbox import Aside, NewBands
from agent.tune.evidence import DAY_S, Scene
from agent.tune.settings import Objective, PinnedBand, Wanted
from tests.agent.ask.test_audit import AT, MODEL, detections
from tests.agent.deliver.samples import ManualClock
from tests.agent.tune.test_lives import track
from wire.audits import Audit, AuditOutcome, FrameKind, LabelCounts
from wire.messages import AskReason, BandState, DecidedBy, Decision
from wire.model import Manifest

OTHER = MODEL.model_copy(update={"digest": "sha256:" + "9" * 64, "uncertain": (0.4, 0.7)})
MISSES = Objective(max_miss_rate=0.1, max_step_per_day=1.0)
FALSE = Objective(max_false_alerts_per_day=2, max_step_per_day=1.0, ask_about=0.5)


class Rules:
    labels = frozenset({"person"})
    told = 0.0

    def frames_to_confirm(self, camera: str, label: str) -> int:
        del camera, label
        return 3

    def least_score(self, camera: str, label: str) -> float:
        del camera, label
        return self.told


class Device:
    def __init__(self, folder: Path, wanted: Wanted, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.faults = Faults()
        self.rules = Rules()
        self.model: Manifest = MODEL
        self.put: list[Aside | NewBands] = []
        self.answers = SqliteAnswers(folder / "answers.db", faults=self.faults)
        self.audits = 0
        self.told = threading.Event()
        self.tuner = BandTuner(
            {"gate": wanted},
            answers=self.answers,
            rules=self.rules,
            model=lambda: self.model,
            start=lambda manifest: manifest.uncertain,
            floor=lambda _: 0.2,
            concerns=lambda _camera, label, _box: label == "person",
            put=self.take,
            clock=self.clock,
            chance=lambda: 0.0,
            gone_after_s=3.0,
            deadline_s=2.0,
        )

    def take(self, event: Aside | NewBands) -> None:
        self.put.append(event)
        self.told.set()

    def audited(self, *scores: float, times: int = 1, kind: FrameKind = FrameKind.CONFIDENT) -> None:
        """Frames with as many people, each found with its score."""
        for _ in range(times):
            self.audits += 1
            audit = Audit(
                message_id=f"{self.audits:032x}", device="gate-1", made_at=AT, boot_id="0" * 32, boot_seq=1,
                camera="gate", kind=kind, probability=0.1, number=1, walked=1, labels=("person",), seen_at=AT,
                deadline_ms=1000, model_digest=self.model.digest,
            )  # fmt: skip
            counts = LabelCounts(
                label="person", matched=0, shown=0, there=len(scores), found=tuple(s for s in scores if s)
            )
            outcome = AuditOutcome(
                message_id="f" * 32, device="gate-1", made_at=AT, audit_id=audit.message_id, model="big",
                counts=(counts,),
            )  # fmt: skip
            self.tuner.audited(audit, outcome)

    def sees(self, *tracks: Track, frames: int = 5, begin: float = 0.0) -> None:
        for number in range(frames):
            frame = Frame("gate", number, np.zeros((2, 2, 3), np.uint8), begin + 0.1 * number)
            self.tuner.judged(frame, detections(), tracks, ())

    @property
    def asides(self) -> list[Aside]:
        return [one for one in self.put if isinstance(one, Aside)]

    @property
    def bands(self) -> list[NewBands]:
        return [one for one in self.put if isinstance(one, NewBands)]


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[list[Device]]:
    made: list[Device] = []
    yield made
    for one in made:
        one.tuner.close()


def device(devices: list[Device], folder: Path, wanted: Wanted, clock: ManualClock | None = None) -> Device:
    devices.append(Device(folder, wanted, clock))
    return devices[-1]


def test_answers_move_a_band_and_a_restart_holds_it(devices: list[Device], tmp_path: Path) -> None:
    first = device(devices, tmp_path, Wanted(MISSES, ()))
    assert first.tuner.decide() == {("gate", "person"): (0.3, 0.6)}
    first.audited(0.55, times=200)
    assert first.tuner.decide() == {("gate", "person"): (0.55, 0.6)}
    assert [one.bands["gate", "person"] for one in first.bands] == [(0.3, 0.6), (0.55, 0.6)]
    [told] = first.tuner.bands()
    assert (told.state, told.lower, told.frames, told.miss_rate) == (BandState.MET, 0.55, 200, 0.0)

    again = device(devices, tmp_path, Wanted(MISSES, ()), first.clock)
    assert again.tuner.adopted(MODEL) == {("gate", "person"): (0.55, 0.6)}
    assert again.tuner.decide() == {("gate", "person"): (0.55, 0.6)}


def test_a_wall_clock_that_is_wrong_for_a_while_costs_no_answers(devices: list[Device], tmp_path: Path) -> None:
    first = device(devices, tmp_path, Wanted(MISSES, ()))
    first.audited(0.55, times=200)
    first.tuner.decide()
    right = first.clock.wall()
    for restarted in (first, device(devices, tmp_path, Wanted(MISSES, ()), first.clock)):
        restarted.clock.set_wall(right + timedelta(days=3650))
        for _ in range(30):
            restarted.clock.advance(60.0)
            assert restarted.tuner.decide() == {("gate", "person"): (0.55, 0.6)}, "nothing is known, so it stays"
        restarted.clock.set_wall(right + timedelta(hours=1))
        restarted.tuner.decide()
        assert restarted.tuner.bands()[0].frames == 200


def test_answers_beyond_the_window_are_forgotten_once_the_clock_goes_evenly(
    devices: list[Device], tmp_path: Path
) -> None:
    first = device(devices, tmp_path, Wanted(MISSES, ()))
    first.audited(0.55, times=40)
    kept = lambda: first.answers.evidence(Scene("gate", "person", MODEL.digest), 0.0).frames  # noqa: E731
    first.clock.advance(31 * DAY_S)
    first.tuner.decide()
    assert len(kept()) == 40
    first.clock.advance(STEADY_S)
    first.tuner.decide()
    assert kept() == ()


def test_a_band_is_held_over_a_start_at_which_the_disk_refused(devices: list[Device], tmp_path: Path) -> None:
    first = device(devices, tmp_path, Wanted(MISSES, ()))
    first.audited(0.55, times=200)
    first.tuner.decide()
    first.clock.advance(31 * 86_400)
    first.tuner.close()
    with closing(sqlite3.connect(tmp_path / "answers.db", isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        again = device(devices, tmp_path, Wanted(MISSES, ()), first.clock)
        assert again.tuner.adopted(MODEL) == {("gate", "person"): (0.3, 0.6)}
        assert again.tuner.decide() == {("gate", "person"): (0.3, 0.6)}
        somebody.execute("ROLLBACK")
    assert again.tuner.decide() == {("gate", "person"): (0.55, 0.6)}
    assert again.bands[-1].bands == {("gate", "person"): (0.55, 0.6)}


def test_while_the_disk_refuses_the_bands_in_force_are_told(devices: list[Device], tmp_path: Path) -> None:
    (tmp_path / "answers.db").mkdir()
    one = device(devices, tmp_path, Wanted(MISSES, ()))
    in_force = one.tuner.adopted(MODEL)
    assert in_force == one.tuner.decide() == {("gate", "person"): (0.3, 0.6)}
    [told] = one.tuner.bands()
    assert (told.lower, told.upper, told.state) == (0.3, 0.6, BandState.GATHERING)
    assert "the disk refuses" in told.reason
    assert one.faults.counts().keys() == {"OutboxUnwritable"}

    # Another model: its own bands are in force, and told.
    one.model = OTHER
    assert one.tuner.adopted(OTHER) == one.tuner.decide() == {("gate", "person"): (0.4, 0.7)}
    [told] = one.tuner.bands()
    assert (told.lower, told.upper, told.model_digest) == (0.4, 0.7, OTHER.digest)


def test_pinned_bands_are_told_without_a_disk(devices: list[Device], tmp_path: Path) -> None:
    (tmp_path / "answers.db").mkdir()
    pin = PinnedBand(label="person", lower=0.25, upper=0.9)
    one = device(devices, tmp_path, Wanted(None, (pin,)))
    assert one.tuner.adopted(MODEL) == one.tuner.decide() == {("gate", "person"): (0.25, 0.9)}
    [told] = one.tuner.bands()
    assert (told.lower, told.upper, told.state) == (0.25, 0.9, BandState.PINNED)


def test_a_disk_that_refuses_later_moves_no_band_and_says_so(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(MISSES, ()))
    one.audited(0.55, times=200)
    one.tuner.decide()
    one.clock.advance(31 * 86_400)
    with closing(sqlite3.connect(tmp_path / "answers.db", isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        assert one.tuner.decide() == {("gate", "person"): (0.55, 0.6)}
        [told] = one.tuner.bands()
        assert (told.lower, told.frames, told.miss_rate) == (0.55, 0, None)
        assert "the disk refuses" in told.reason
        somebody.execute("ROLLBACK")
    one.tuner.decide()
    assert "the disk" not in one.tuner.bands()[0].reason


def test_bands_are_told_once_until_they_change(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(MISSES, ()))
    for _ in range(3):
        one.tuner.decide()
    assert len(one.bands) == 1


def test_old_answers_lose_their_say_and_the_band_is_held(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(MISSES, ()))
    one.audited(0.55, times=200)
    one.tuner.decide()
    one.clock.advance(31 * 86_400)
    assert one.tuner.decide() == {("gate", "person"): (0.55, 0.6)}
    assert one.tuner.bands()[0].state is BandState.GATHERING


def test_a_new_model_begins_with_its_own_band_and_the_old_one_is_taken_up_again(
    devices: list[Device], tmp_path: Path
) -> None:
    one = device(devices, tmp_path, Wanted(MISSES, ()))
    one.audited(0.55, times=200)
    one.tuner.decide()
    one.model = OTHER
    assert one.tuner.adopted(OTHER) == {("gate", "person"): (0.4, 0.7)}
    assert one.tuner.decide() == {("gate", "person"): (0.4, 0.7)}
    assert one.tuner.bands()[0].state is BandState.GATHERING
    one.model = MODEL
    assert one.tuner.adopted(MODEL) == {("gate", "person"): (0.55, 0.6)}


def test_frames_that_were_not_judged_say_nothing(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(MISSES, ()))
    one.audited(0.55, times=50, kind=FrameKind.STILL)
    one.tuner.decide()
    assert one.tuner.bands()[0].frames == 0


def test_a_score_that_a_rule_was_told_is_where_tuning_ends(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(MISSES, ()))
    one.rules.told = 0.5
    one.audited(0.3, times=200)
    assert one.tuner.decide() == {("gate", "person"): (0.5, 0.6)}
    assert one.tuner.bands()[0].state is BandState.INFEASIBLE


def test_pinned_bands_win_and_are_shown(devices: list[Device], tmp_path: Path) -> None:
    pin = PinnedBand(label="person", lower=0.25, upper=0.9)
    one = device(devices, tmp_path, Wanted(MISSES, (pin,)))
    one.audited(0.55, times=200)
    assert one.tuner.adopted(MODEL) == one.tuner.decide() == {("gate", "person"): (0.25, 0.9)}
    [told] = one.tuner.bands()
    assert (told.state, told.miss_rate) == (BandState.PINNED, 0.0)


def test_where_nothing_is_wanted_nothing_is_kept(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(None, ()))
    one.sees(track(score=0.8))
    one.audited(0.55)
    assert one.tuner.adopted(MODEL) == one.tuner.decide() == {}
    assert one.put == []
    assert not (tmp_path / "answers.db").exists()


def test_a_drawn_object_is_asked_about_once_it_has_gone(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(FALSE, ()))
    one.sees(track(score=0.8))
    assert one.asides == []
    one.sees(begin=5.0)
    [aside] = one.asides
    assert (aside.ask.reason, aside.ask.alert_id, aside.ask.label) == (AskReason.DRAWN, None, "person")
    assert aside.ask.box == track().box
    answer = Answer(aside.ask.id, None, Decision.RETRACTED, None, None, None, DecidedBy.CLOUD, "big", "")
    assert one.tuner.heard(answer)
    assert not one.tuner.heard(answer)
    one.tuner.write()
    one.tuner.decide()
    [told] = one.tuner.bands()
    assert told.objects == 1
    assert told.false_per_day is not None
    assert told.false_per_day > 0


def test_an_answer_that_comes_after_a_restart_counts(devices: list[Device], tmp_path: Path) -> None:
    first = device(devices, tmp_path, Wanted(FALSE, ()))
    first.sees(track(score=0.8))
    first.sees(begin=5.0)
    [aside] = first.asides
    again = device(devices, tmp_path, Wanted(FALSE, ()), first.clock)
    assert again.tuner.heard(
        Answer(aside.ask.id, None, Decision.CONFIRMED, None, None, None, DecidedBy.CLOUD, "big", "")
    )
    again.tuner.decide()
    assert again.tuner.bands()[0].objects == 1


def test_what_was_not_asked_is_not_waited_for(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(FALSE, ()))
    one.sees(track(score=0.8))
    one.sees(begin=5.0)
    [aside] = one.asides
    aside.asked(False)
    answer = Answer(aside.ask.id, None, Decision.CONFIRMED, None, None, None, DecidedBy.CLOUD, "big", "")
    assert not one.tuner.heard(answer)


def test_of_a_long_outage_s_questions_the_oldest_are_let_go(
    devices: list[Device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "MOST_UNANSWERED", 2)
    one = device(devices, tmp_path, Wanted(FALSE, ()))
    for number in range(3):
        one.sees(track(number, score=0.8), begin=10.0 * number)
    one.sees(begin=30.0)
    answers = [
        Answer(aside.ask.id, None, Decision.CONFIRMED, None, None, None, DecidedBy.CLOUD, "big", "")
        for aside in one.asides
    ]
    assert [one.tuner.heard(answer) for answer in answers] == [False, True, True]


def test_other_answers_are_not_taken(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(FALSE, ()))
    assert not one.tuner.heard(Answer("0" * 32, None, Decision.CONFIRMED, None, None, None, DecidedBy.CLOUD, "b", ""))


async def test_it_decides_at_once_and_stops_when_told(devices: list[Device], tmp_path: Path) -> None:
    one = device(devices, tmp_path, Wanted(MISSES, ()))
    stop = asyncio.Event()
    running = asyncio.create_task(one.tuner.run(stop))
    async with asyncio.timeout(60):
        assert await asyncio.to_thread(one.told.wait, 60)
        stop.set()
        await running
