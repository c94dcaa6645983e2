from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

import numpy as np
import pytest

from agent.ask.budget import AskBudget, Balance, BudgetSettings
from agent.ask.crop import Margins
from agent.ask.object_settings import ObjectSettings, Shown
from agent.ask.objects import ObjectQuestions
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import AskPolicySettings, MaskSettings, RuleSettings
from agent.decide.zones import Polygon
from agent.deliver.faults import Faults
from agent.deliver.stream_cost import StreamCost
from agent.detect.budget import LookBudget, Pace
from agent.detect.looks import SecondLooks
from agent.detect.motion import WIDTH, MotionGate, MotionSettings
from agent.detect.movement import FEWER_CELLS, Movement
from agent.detect.settings import LookSettings
from agent.domain import AlertChange, Answer, Ask, Found, Frame, Track
from agent.judging.inbox import Aside, Inbox, NewModel, NewRules, Paid
from agent.judging.lane import Lane, Tally
from agent.pipeline import FAILURES_IN_A_ROW, Pipeline
from agent.redact.door import PictureDoor
from agent.redact.paint import HIDDEN
from agent.redact.settings import RedactionSettings
from agent.track.settings import TrackSettings
from agent.track.tracker import Tracker
from vision.detections import Detections, Image, no_detections
from vision.errors import InferenceFailed
from wire.messages import AlertEvent, AlertState, AskReason, DecidedBy, Decision, Hide

LABELS = ("person", "car")
PERSON = (0.4, 0.2, 0.5, 0.6)
CERTAIN, UNSURE = 0.9, 0.5
BAND = (0.35, 0.6)
FPS = 10.0
PICTURE = np.zeros((64, 96, 3), np.uint8)
LARGE = np.zeros((192, 288, 3), np.uint8)
"""A model of 48 by 48 pixels looks at 43 by 43 of it."""
Step = Frame | None | Callable[[], object]


class ManualClock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=self.now)


class ScriptedFrames:
    """Hands out a script; what is callable in it happens while the judging thread waits."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._script: Iterator[Step] = iter(())
        self.over = False
        self.wakes = 0

    def play(self, *steps: Step) -> None:
        self._script = iter(steps)

    def take(self, timeout_s: float) -> Frame | None:
        for step in self._script:
            if callable(step):
                step()
                continue
            self._clock.now = self._clock.now + timeout_s if step is None else step.at
            return step
        self.over = True
        return None

    def wake(self) -> None:
        self.wakes += 1


class ScriptedDetector:
    """Sees one object of the score and box that were set last, or fails."""

    labels = LABELS

    def __init__(self) -> None:
        self.score: float | None = CERTAIN
        self.box = PERSON
        self.fails = False
        self.asked_for: list[float] = []
        self.pictures: list[tuple[int, ...]] = []
        self.closer: list[tuple[float, tuple[float, float, float, float]]] | InferenceFailed | None = None
        """What parts of a frame show; None: the same as the frame."""

    def detect(self, image: Image, min_score: float) -> Detections:
        self.asked_for.append(min_score)
        self.pictures.append(image.shape[:2])
        if image.shape not in {PICTURE.shape, LARGE.shape} and self.closer is not None:
            if isinstance(self.closer, InferenceFailed):
                raise self.closer
            return Detections(
                np.array([box for _, box in self.closer], np.float32).reshape(-1, 4),
                np.array([score for score, _ in self.closer], np.float32),
                np.zeros(len(self.closer), np.int32),
                LABELS,
            )
        if self.fails:
            raise InferenceFailed("the scripted model failed")
        if self.score is None:
            return no_detections(LABELS)
        return Detections(
            np.array([self.box], np.float32), np.array([self.score], np.float32), np.zeros(1, np.int32), LABELS
        )


class ListOutbox:
    def __init__(self) -> None:
        self.changes: list[AlertChange] = []

    def record(self, changes: Sequence[AlertChange]) -> None:
        self.changes += changes


class ListAsker:
    def __init__(self) -> None:
        self.asks: list[tuple[Ask, Frame]] = []
        self.pictures: list[tuple[AlertChange, Frame]] = []

    def submit(self, ask: Ask, frame: Frame) -> bool:
        self.asks.append((ask, frame))
        return True

    def submit_picture(self, change: AlertChange, frame: Frame) -> None:
        self.pictures.append((change, frame))


class Audience:
    def __init__(self) -> None:
        self.heard: list[tuple[int, list[tuple[float, bool]], int]] = []

    def followed(self, frame: Frame, tracks: Sequence[Track], looks: int) -> None:
        self.heard.append((frame.index, [(round(track.score, 2), track.seen_now) for track in tracks], looks))


class ListAuditor:
    def __init__(self) -> None:
        self.told: list[tuple[str, int, list[float], int, int]] = []

    def judged(
        self, frame: Frame, detections: Detections, tracks: Sequence[Track], masks: tuple[Polygon, ...]
    ) -> None:
        self.told.append(("judged", frame.index, detections.scores.tolist(), len(tracks), len(masks)))

    def still(self, frame: Frame, masks: tuple[Polygon, ...]) -> None:
        self.told.append(("still", frame.index, [], 0, len(masks)))


class Scene:
    """A pipeline of real rules, trackers and gates before two cameras, with scripted ends."""

    def __init__(
        self,
        *,
        rule: RuleSettings | None = None,
        asks: bool = True,
        motion: MotionSettings | None = None,
        looks: float | Literal["auto"] = 0.0,
        pay: float = 0.0,
        objects: bool = False,
        amount: str = BudgetSettings().bytes,
        asking: AskPolicySettings = AskPolicySettings(min_hits=2),  # noqa: B008 - it is frozen
    ) -> None:
        self.clock = ManualClock()
        self.frames = ScriptedFrames(self.clock)
        self.inbox = Inbox(self.frames.wake)
        self.detector = ScriptedDetector()
        self.outbox = ListOutbox()
        self.asker = ListAsker()
        self.auditor = ListAuditor()
        self.faults = Faults()
        self.door = PictureDoor(
            {name: RedactionSettings(hide=Hide.PEOPLE) for name in ("front", "back")},
            lambda camera: self.lanes[camera].masks.polygons,
        )
        self.audience = Audience()
        paces = {name: Pace(waits=True) for name in ("front", "back")}
        self.lanes = {
            name: Lane(
                Tracker(TrackSettings()),
                MaskFilter((), name),
                MotionGate(motion) if motion is not None else None,
                Movement() if looks or objects else None,
                StreamCost(),
            )
            for name in ("front", "back")
        }
        self._index = itertools.count()
        numbers = itertools.count(1)
        self.kept: list[Balance] = []
        self.objects = ObjectQuestions(
            ObjectSettings(),
            Shown(Margins(0.6, 0.6), 16),
            AskBudget(BudgetSettings(bytes=amount), None, 100.0),
            deadline_s=2.0,
            new_id=lambda: f"{next(numbers):032x}",
        )
        self.rules = RuleBook(
            (rule or people(),),
            (),
            asking if asks else None,
            BAND,
            lambda: f"{next(numbers):032x}",
            self.objects if objects else None,
        )
        self.pipeline = Pipeline(
            frames=self.frames,
            inbox=self.inbox,
            detector=self.detector,
            lanes=self.lanes,
            rules=self.rules,
            outbox=self.outbox,
            asker=self.asker if asks else None,
            clock=self.clock,
            faults=self.faults,
            min_score=0.2,
            looks=SecondLooks(LookBudget(LookSettings(per_frame=looks), paces, pay), (48, 48)) if looks else None,
            audience=self.audience,
            auditor=self.auditor,
            door=self.door,
            objects=self.objects if objects else None,
            balances=self,
        )

    def keep(self, balance: Balance) -> None:
        self.kept.append(balance)

    def frame(self, camera: str = "front", image: Image = PICTURE) -> Frame:
        index = next(self._index)
        return Frame(camera, index, image, 100.0 + index / FPS)

    def several(self, count: int, camera: str = "front") -> list[Frame]:
        return [self.frame(camera) for _ in range(count)]

    def run(self, *steps: Step) -> None:
        self.frames.play(*steps)
        self.pipeline.run(lambda: self.frames.over)

    def told(self) -> list[tuple[AlertEvent, AlertState]]:
        return [(change.event, change.state) for change in self.outbox.changes]

    def answer(self, decision: Decision) -> Answer:
        ask, _ = self.asker.asks[-1]
        return Answer(ask.id, ask.alert_id, decision, None, 0.95, None, DecidedBy.CLOUD, "large 1", "")


def people(**values: object) -> RuleSettings:
    return RuleSettings.model_validate({"name": "people", "labels": ("person",), "frames_to_confirm": 2} | values)


def test_a_frame_walks_from_the_detector_to_the_outbox() -> None:
    scene = Scene()
    scene.run(*scene.several(3))
    assert scene.told() == [(AlertEvent.NEW, AlertState.CONFIRMED), (AlertEvent.END, AlertState.CONFIRMED)]
    new, end = scene.outbox.changes
    assert (new.camera, new.rule, new.label, new.decided_by) == ("front", "people", "person", DecidedBy.DEVICE)
    assert new.box == pytest.approx(PERSON)
    assert (end.id, end.reason) == (new.id, "the agent stopped")
    assert scene.lanes["front"].judged == 3
    assert scene.detector.asked_for == [0.2] * 3
    assert scene.pipeline.tally.alerts()[AlertState.CONFIRMED] == 1
    assert scene.asker.asks == []


def test_each_camera_has_its_own_lane() -> None:
    scene = Scene()
    scene.run(*scene.several(1, "front"), *scene.several(1, "back"))
    assert scene.outbox.changes == [], "two cameras that saw it once each have not seen it twice"
    assert (scene.lanes["front"].judged, scene.lanes["back"].judged) == (1, 1)


def test_a_still_frame_is_skipped_and_keeps_what_stands_there() -> None:
    motion = MotionSettings()
    scene = Scene(rule=people(end_after_s=1.0), motion=motion)
    begun = scene.several(3)
    scene.run(*begun, *scene.several(200))
    lane = scene.lanes["front"]
    assert lane.judged + lane.still == 203
    assert lane.still > 50
    assert len(scene.detector.asked_for) == lane.judged
    assert [change.reason for change in scene.outbox.changes] == ["seen with certainty", "the agent stopped"]


def test_an_uncertain_object_is_asked_about_with_its_frame(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    scene = Scene()
    scene.detector.score = UNSURE
    frames = scene.several(2)
    scene.run(*frames)
    assert "asking about a person 0.50 on front: uncertain" in caplog.messages
    ((ask, frame),) = scene.asker.asks
    assert frame is frames[-1]
    assert ask.alert_id == scene.outbox.changes[0].id
    assert scene.outbox.changes[0].state is AlertState.PROVISIONAL
    assert scene.pipeline.tally.asks == 1


@pytest.mark.parametrize(("context", "amount", "asked"), [
    (False, "54kB/hour", [False]), (True, "54kB/hour", []), (True, "500kB/hour", [True])
])  # fmt: skip
def test_a_rule_with_context_asks_for_the_whole_frame_where_the_budget_holds_it(context, amount, asked) -> None:
    scene = Scene(rule=people(context=context), objects=True, amount=amount)
    scene.detector.score = UNSURE
    scene.run(*scene.several(2))
    assert [ask.context for ask, _ in scene.asker.asks if ask.alert_id is not None] == asked
    assert scene.rules.counts["asks_over_budget"] == (not asked)
    assert scene.outbox.changes[0].state is AlertState.PROVISIONAL


def test_an_answer_that_leaves_a_doubt_has_the_whole_frame_asked_about_once() -> None:
    scene = Scene(objects=True, asking=AskPolicySettings(min_hits=2))
    scene.detector.score = UNSURE

    def in_doubt() -> None:
        found = (Found("person", 0.4, PERSON),)
        scene.inbox.put(
            replace(scene.answer(Decision.RETRACTED), score=None, looked=(0.0, 0.0, 1.0, 1.0), found=found)
        )

    frames = scene.several(6)
    scene.run(*frames[:2], in_doubt, *frames[2:4], in_doubt, *frames[4:])
    about_alerts = [(ask.context, frame) for ask, frame in scene.asker.asks if ask.alert_id is not None]
    assert about_alerts == [(False, frames[1]), (True, frames[2])]
    assert scene.pipeline.tally.asks_again == 1
    assert scene.told() == [(AlertEvent.NEW, AlertState.PROVISIONAL), (AlertEvent.END, AlertState.RETRACTED)]
    assert scene.outbox.changes[-1].decided_by is DecidedBy.CLOUD


def test_the_door_knows_whom_to_hide_before_anything_of_the_frame_is_asked_or_audited() -> None:
    scene = Scene(motion=MotionSettings())
    painted: list[float] = []

    def cut(frame: Frame) -> None:
        redacted = scene.door.cut(frame)
        assert redacted.said is not None
        painted.append(redacted.said.hidden)

    scene.asker.submit = lambda ask, frame: cut(frame) or True  # type: ignore[method-assign]
    scene.auditor.judged = lambda frame, *_: cut(frame)  # type: ignore[method-assign]
    scene.auditor.still = lambda frame, _: cut(frame)  # type: ignore[method-assign]
    scene.detector.score = UNSURE
    scene.run(*scene.several(60))
    assert scene.lanes["front"].still > 0
    assert scene.pipeline.tally.asks == 1
    assert len(painted) == 61
    assert min(painted) > 0


@pytest.mark.parametrize(
    ("decision", "state"), [(Decision.CONFIRMED, AlertState.CONFIRMED), (Decision.RETRACTED, AlertState.RETRACTED)]
)
def test_an_answer_between_two_frames_is_committed_before_its_future_is_done(
    decision: Decision, state: AlertState
) -> None:
    scene = Scene()
    scene.detector.score = UNSURE
    committed: list[list[tuple[AlertEvent, AlertState]]] = []
    futures = []

    def answered() -> None:
        future = scene.inbox.put(scene.answer(decision))
        future.add_done_callback(lambda _: committed.append(scene.told()))
        assert not future.done()
        futures.append(future)

    scene.run(*scene.several(2), answered, *scene.several(1))
    assert futures[0].done()
    assert committed[0][-1][1] is state
    assert scene.pipeline.tally.alerts() == {other: int(other is state) for other in AlertState}
    assert scene.frames.wakes == 1


def test_an_answer_that_comes_with_the_last_frame_is_not_lost() -> None:
    scene = Scene()
    scene.detector.score = UNSURE

    def answered_then_stopped() -> None:
        scene.inbox.put(scene.answer(Decision.CONFIRMED))
        scene.pipeline.stop()

    scene.run(*scene.several(2), answered_then_stopped)
    assert scene.told()[-1] == (AlertEvent.END, AlertState.CONFIRMED)


def test_someone_who_gave_up_waiting_does_not_stop_the_judging() -> None:
    scene = Scene()
    scene.detector.score = UNSURE

    def answered_and_gave_up() -> None:
        assert scene.inbox.put(scene.answer(Decision.RETRACTED)).cancel()

    scene.run(*scene.several(2), answered_and_gave_up, *scene.several(2))
    assert scene.lanes["front"].judged == 4
    assert (AlertEvent.END, AlertState.RETRACTED) in scene.told()


def test_deadlines_pass_without_frames() -> None:
    scene = Scene(rule=people(fallback="retract"))
    scene.detector.score = UNSURE
    scene.run(*scene.several(2), *[None] * 10)
    assert scene.told() == [(AlertEvent.NEW, AlertState.PROVISIONAL), (AlertEvent.END, AlertState.RETRACTED)]


def test_an_object_that_left_ends_its_alert() -> None:
    scene = Scene(rule=people(end_after_s=1.0))

    def leaves() -> None:
        scene.detector.score = None

    scene.run(*scene.several(3), leaves, *scene.several(15))
    assert [change.reason for change in scene.outbox.changes] == ["seen with certainty", "not seen for 1 s"]


def test_new_rules_replace_rules_and_masks() -> None:
    scene = Scene()
    everywhere = MaskSettings(camera="front", polygon=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    masks = {"front": MaskFilter((everywhere,), "front"), "no such camera": MaskFilter((), "no such camera")}
    done = []

    def reloaded() -> None:
        done.append(scene.inbox.put(NewRules((people(name="anyone"),), (), None, masks)))

    scene.run(*scene.several(3), reloaded, *scene.several(5), *scene.several(3, "back"))
    assert done[0].done()
    told = [(change.rule, change.camera, change.event) for change in scene.outbox.changes]
    assert told == [
        ("people", "front", AlertEvent.NEW),
        ("people", "front", AlertEvent.END),
        ("anyone", "back", AlertEvent.NEW),
        ("anyone", "back", AlertEvent.END),
    ]
    assert scene.lanes["front"].judged == 8


def test_a_failed_inference_is_counted_and_its_frame_skipped() -> None:
    scene = Scene()

    def fails() -> None:
        scene.detector.fails = True

    def works() -> None:
        scene.detector.fails = False

    almost = FAILURES_IN_A_ROW - 1
    scene.run(fails, *scene.several(almost), works, *scene.several(2), fails, *scene.several(almost), works)
    assert scene.faults.counts() == {"InferenceFailed": 2 * almost}
    assert scene.lanes["front"].judged == 2
    assert scene.told()[0] == (AlertEvent.NEW, AlertState.CONFIRMED)


def test_a_model_that_fails_for_good_ends_the_run_and_the_open_alerts() -> None:
    scene = Scene(rule=people(end_after_s=60))

    def fails() -> None:
        scene.detector.fails = True

    with pytest.raises(InferenceFailed, match="scripted"):
        scene.run(*scene.several(2), fails, *scene.several(FAILURES_IN_A_ROW + 10))
    assert scene.faults.counts() == {"InferenceFailed": FAILURES_IN_A_ROW}
    assert scene.outbox.changes[-1].reason == "the model failed"
    assert scene.told()[-1] == (AlertEvent.END, AlertState.CONFIRMED)


def test_stop_ends_open_alerts_and_judges_no_further() -> None:
    scene = Scene()
    scene.run(*scene.several(3), scene.pipeline.stop, *scene.several(5))
    assert scene.lanes["front"].judged == 4, "the frame at hand is finished"
    assert scene.told()[-1] == (AlertEvent.END, AlertState.CONFIRMED)
    assert scene.rules.open_alerts == 0


@pytest.mark.parametrize(("policy", "pictures"), [("always", 1), ("asked", 0), ("never", 0)])
def test_pictures_go_with_new_alerts_that_want_them(policy: str, pictures: int) -> None:
    scene = Scene(rule=people(picture=policy))
    frames = scene.several(4)
    scene.run(*frames)
    assert len(scene.asker.pictures) == pictures
    for change, frame in scene.asker.pictures:
        assert change is scene.outbox.changes[0]
        assert frame is frames[1]


def test_without_a_cloud_nothing_is_asked_or_sent() -> None:
    scene = Scene(rule=people(picture="always"), asks=False)
    scene.detector.score = UNSURE
    scene.run(*scene.several(3))
    assert scene.told()[0] == (AlertEvent.NEW, AlertState.CONFIRMED)
    assert (scene.asker.asks, scene.asker.pictures, scene.pipeline.tally.asks) == ([], [], 0)


def test_the_stages_add_up_to_the_walk() -> None:
    scene = Scene(motion=MotionSettings())
    scene.run(*scene.several(5))
    stages = scene.pipeline.stages
    assert stages.gate > 0
    assert stages.detect >= scene.lanes["front"].inference_s > 0
    assert min(stages.ride, stages.track, stages.decide, stages.deliver, stages.choose, stages.ask, stages.hear) > 0
    assert stages.policy == pytest.approx(stages.ride + stages.choose + stages.hear)


def test_what_a_stream_would_cost_is_sampled() -> None:
    scene = Scene()
    scene.run(*scene.several(2))
    assert scene.lanes["front"].stream_cost is not None
    assert scene.lanes["front"].stream_cost.bytes_for(10) > 10 * 100
    assert scene.lanes["back"].stream_cost is not None
    assert scene.lanes["back"].stream_cost.bytes_for(10) == 0


def test_the_tally_counts_an_alert_where_it_stands_and_stays_bounded() -> None:
    scene = Scene()
    scene.run(*scene.several(3))
    template = scene.outbox.changes[0]
    tally = Tally()

    def change(number: int, event: AlertEvent, state: AlertState) -> AlertChange:
        return AlertChange(
            **{
                **{name: getattr(template, name) for name in AlertChange.__slots__},
                "id": f"{number:032x}",
                "event": event,
                "state": state,
            }
        )

    tally.note(change(1, AlertEvent.END, AlertState.CONFIRMED))
    assert tally.alerts()[AlertState.CONFIRMED] == 0, "an alert of an earlier run is not one of this"
    tally.note(change(1, AlertEvent.NEW, AlertState.PROVISIONAL))
    tally.note(change(1, AlertEvent.UPDATE, AlertState.CONFIRMED))
    tally.note(change(1, AlertEvent.END, AlertState.RETRACTED))
    assert tally.alerts() == {
        AlertState.PROVISIONAL: 0,
        AlertState.CONFIRMED: 0,
        AlertState.RETRACTED: 1,
    }
    for number in range(2, Tally.REMEMBERED + 2):
        tally.note(change(number, AlertEvent.NEW, AlertState.CONFIRMED))
    tally.note(change(1, AlertEvent.UPDATE, AlertState.CONFIRMED))
    assert tally.alerts()[AlertState.CONFIRMED] == Tally.REMEMBERED
    assert tally.alerts()[AlertState.RETRACTED] == 1, "the oldest was forgotten, and counts where it was"


def test_the_auditor_is_told_of_every_frame_that_was_dealt_with_and_of_what_was_said() -> None:
    scene = Scene(motion=MotionSettings(hold_s=0))
    left = MaskSettings(camera="front", polygon=((0, 0), (0.2, 0), (0.2, 1), (0, 1)))
    scene.lanes["front"].masks = MaskFilter([left], "front")
    scene.run(*scene.several(3))
    scene.detector.box = (0.0, 0.2, 0.1, 0.6)
    changed = np.full_like(PICTURE, 20)
    changed[:20, :20] = 200
    scene.run(scene.frame(image=changed))
    scene.detector.fails = True
    scene.run(scene.frame(image=np.roll(changed, 40, axis=1)))
    seen = [pytest.approx(CERTAIN)]
    told = scene.auditor.told
    assert told[0] == ("judged", 0, seen, 1, 1)
    assert told[2] == ("still", 2, [], 0, 1)
    assert told[3][:3] == ("judged", 3, []), "what stands in a mask was not said"
    assert len(told) == 4, "a model that failed said nothing"


def small(scene: Scene) -> None:
    """An object that fits a look of 16 by 16 pixels, uncertain in the whole frame."""
    scene.detector.box = (0.45, 0.45, 0.5, 0.55)
    scene.detector.score = UNSURE


def large(scene: Scene, count: int) -> list[Frame]:
    return [scene.frame(image=LARGE) for _ in range(count)]


def test_what_is_uncertain_is_looked_at_again_and_the_closer_look_counts() -> None:
    scene = Scene(looks=1.0)
    small(scene)
    # The region is 43 by 43 pixels around the middle of the box: from pixel 115 across and 74 down.
    scene.detector.closer = [(CERTAIN, (0.33, 0.3, 0.63, 0.7))]
    scene.run(*large(scene, 2))
    assert scene.detector.pictures == [(192, 288), (43, 43)] * 2
    assert [(index, looks) for index, _, looks in scene.audience.heard] == [(0, 1), (1, 1)]
    assert [tracks for _, tracks, _ in scene.audience.heard] == [[(CERTAIN, True)]] * 2
    assert scene.told()[0] == (AlertEvent.NEW, AlertState.CONFIRMED)
    assert scene.asker.asks == []
    assert scene.lanes["front"].looks == 2


def test_whom_only_a_closer_look_shows_is_hidden_too_however_weak_and_cut_off() -> None:
    scene = Scene(looks=1.0)
    small(scene)
    # The first lies inside of the region, which cuts the second off; neither begins an object.
    scene.detector.closer = [(0.2, (0.05, 0.1, 0.2, 0.4)), (0.2, (0.75, 0.6, 1.0, 1.0))]
    frame = large(scene, 1)[0]
    scene.run(frame)
    assert scene.audience.heard[-1] == (0, [], 1)
    shown = scene.door.cut(frame).image
    for x, y in ((0.12, 0.25), (0.9, 0.8)):
        assert tuple(shown[74 + round(43 * y), 115 + round(43 * x)]) == HIDDEN


def test_a_false_box_does_not_survive_a_closer_look() -> None:
    scene = Scene(looks=1.0)
    small(scene)
    scene.detector.closer = []
    scene.run(*large(scene, 5))
    assert scene.told() == []
    assert scene.audience.heard[-1] == (4, [], 1)


def test_without_looks_each_frame_is_judged_once() -> None:
    scene = Scene()
    small(scene)
    scene.run(*large(scene, 3))
    assert scene.detector.pictures == [(192, 288)] * 3
    assert [looks for _, _, looks in scene.audience.heard] == [0, 0, 0]


def test_nothing_to_see_is_not_looked_at_twice() -> None:
    scene = Scene(looks=2.0)
    scene.detector.score = None
    scene.run(*large(scene, 3))
    assert scene.detector.pictures == [(192, 288)] * 3


def test_a_look_that_fails_leaves_what_the_whole_frame_showed() -> None:
    scene = Scene(looks=1.0)
    small(scene)
    scene.detector.closer = InferenceFailed("the scripted model failed")
    scene.run(*large(scene, 3))
    assert scene.faults.counts() == {"InferenceFailed": 3}
    assert scene.audience.heard[-1] == (2, [(UNSURE, True)], 0)


def test_what_a_look_finds_in_a_mask_is_ignored() -> None:
    scene = Scene(looks=1.0)
    small(scene)
    scene.lanes["front"].masks = MaskFilter(
        [MaskSettings(camera="front", polygon=((0.4, 0.57), (0.6, 0.57), (0.6, 0.9), (0.4, 0.9)))], "front"
    )
    scene.detector.closer = [(CERTAIN, (0.33, 0.3, 0.63, 0.85))]
    scene.run(*large(scene, 3))
    assert all(tracks == [] for _, tracks, _ in scene.audience.heard)
    assert scene.told() == []
    scene.detector.closer = [(CERTAIN, (0.33, 0.3, 0.63, 0.7))]
    scene.run(*large(scene, 3))
    assert scene.told()[0] == (AlertEvent.NEW, AlertState.CONFIRMED)


def test_a_new_model_looks_at_its_own_resolution() -> None:
    scene = Scene(looks=1.0)
    small(scene)
    scene.detector.closer = []
    adopted: list[str] = []
    model = NewModel(scene.detector, (64, 64), 0.2, BAND, 0.0, lambda: adopted.append("new"))
    scene.run(scene.frame(image=LARGE), lambda: scene.inbox.put(model), scene.frame(image=LARGE))
    assert adopted == ["new"]
    assert scene.detector.pictures == [(192, 288), (43, 43), (192, 288), (58, 58)]


def test_a_model_for_which_looks_do_not_pay_ends_them_and_one_for_which_they_do_begins_them() -> None:
    scene = Scene(looks="auto", pay=1.0)
    small(scene)
    scene.detector.closer = []

    def model(pay: float) -> NewModel:
        return NewModel(scene.detector, (48, 48), 0.2, BAND, pay, lambda: None)

    scene.run(
        scene.frame(image=LARGE),
        lambda: scene.inbox.put(model(0.0)),
        scene.frame(image=LARGE),
        lambda: scene.inbox.put(model(1.0)),
        scene.frame(image=LARGE),
    )
    whole, closely = (192, 288), (43, 43)
    assert scene.detector.pictures == [whole, closely, whole, whole, closely]


@pytest.mark.parametrize(("objects", "without"), [(True, FEWER_CELLS), (False, None)])
def test_another_model_has_movement_looked_for_as_a_restart_with_it_would(objects: bool, without: int | None) -> None:
    scene = Scene(looks="auto", pay=1.0, objects=objects)
    lane, first = scene.lanes["front"], scene.lanes["front"].movement
    cells: list[int | None] = []

    def model(pay: float) -> Step:
        return lambda: scene.inbox.put(NewModel(scene.detector, (48, 48), 0.2, BAND, pay, lambda: None))

    def note() -> None:
        cells.append(None if lane.movement is None else lane.movement.cells)

    scene.run(model(2.0), scene.frame(), note)
    assert lane.movement is first, "what knows the scene is not thrown away for nothing"
    scene.run(model(0.0), scene.frame(), note, model(1.0), scene.frame(), note)
    assert cells == [WIDTH, without, WIDTH]


def test_what_moves_unseen_is_asked_about_where_looks_do_not_pay() -> None:
    scene = Scene(looks="auto", objects=True)
    scene.detector.score = None
    scene.run(*large(scene, 6), *(scene.frame(image=walked(4 * step)) for step in range(20)))
    assert {ask.reason for ask, _ in scene.asker.asks} == {AskReason.MOTION}
    stays = Scene(looks="auto", objects=True)
    stays.detector.score = None
    stays.run(*large(stays, 6), *(stays.frame(image=walked(0)) for _ in range(20)))
    assert stays.asker.asks == []


def walked(px: int) -> Image:
    """Something that has gone so far."""
    image = LARGE.copy()
    image[60:120, 100 + px : 130 + px] = 255
    return image


def test_what_moves_unseen_is_looked_at_and_found() -> None:
    scene = Scene(looks=1.0)
    scene.detector.score = None
    scene.detector.closer = [(CERTAIN, (0.2, 0.1, 0.8, 0.9))]
    moved = LARGE.copy()
    moved[90:100, 130:140] = 255
    scene.run(*large(scene, 6), *(scene.frame(image=moved) for _ in range(6)))
    assert (43, 43) in scene.detector.pictures
    assert scene.told()[0] == (AlertEvent.NEW, AlertState.CONFIRMED)


EVERYWHERE = (0.0, 0.0, 1.0, 1.0)


def survey(scene: Scene, *found: Found) -> None:
    ask, _ = scene.asker.asks[-1]
    answer = Answer(ask.id, None, Decision.CONFIRMED, None, None, None, DecidedBy.CLOUD, "", "", EVERYWHERE, found)
    scene.inbox.put(answer)


def test_an_objects_verdict_decides_what_the_device_stands_behind_and_alerts() -> None:
    scene = Scene(objects=True, rule=people(frames_to_confirm=5))
    scene.detector.score = 0.36
    person = Found("person", 0.9, PERSON)
    scene.run(*scene.several(3), lambda: survey(scene, person), *scene.several(2))
    (ask, _) = scene.asker.asks[0]
    assert (ask.reason, ask.alert_id, ask.track) == (AskReason.NEW, None, 1)
    assert scene.lanes["front"].tracks[0].stands
    new, *_ = scene.outbox.changes
    assert (new.state, new.decided_by) == (AlertState.CONFIRMED, DecidedBy.CLOUD)


def test_questions_about_objects_are_chosen_now_and_then_and_those_of_rules_in_any_frame() -> None:
    quick = [Frame("front", index, PICTURE, 100.0 + index / 20) for index in range(4)]
    scene = Scene(objects=True)
    scene.detector.score = 0.9
    scene.run(*quick[:3])
    assert scene.asker.asks == []
    scene.run(*quick[3:])
    (ask, frame) = scene.asker.asks[0]
    assert (ask.reason, frame.index) == (AskReason.NEW, 3)
    rules = Scene(objects=True, rule=people(frames_to_confirm=2))
    rules.detector.score = UNSURE
    rules.run(*quick[:2])
    (ask, frame) = rules.asker.asks[0]
    assert (ask.reason, frame.index) == (AskReason.UNCERTAIN, 1)


def test_what_an_answer_says_of_objects_is_taken_in_at_the_next_turn_or_while_nothing_moves() -> None:
    scene = Scene(objects=True, motion=MotionSettings())
    elsewhere = Found("person", 0.9, (0.6, 0.2, 0.7, 0.6))
    lane = scene.lanes["front"]
    scene.run(*scene.several(3), lambda: survey(scene, elsewhere), *scene.several(1))
    assert (lane.on_turn, len(lane.tracks)) == (False, 1)
    scene.run(*scene.several(1))
    assert (lane.on_turn, len(lane.tracks)) == (True, 2)


def test_one_question_serves_the_object_and_the_rule() -> None:
    scene = Scene(objects=True)
    scene.detector.score = UNSURE
    scene.run(*scene.several(8))
    assert [ask.reason for ask, _ in scene.asker.asks] in ([AskReason.UNCERTAIN], [AskReason.NEW])


def test_what_the_cloud_finds_in_a_mask_or_of_no_interest_is_not_followed() -> None:
    scene = Scene(objects=True)
    scene.lanes["front"].masks = MaskFilter(
        (MaskSettings(camera="front", polygon=((0.8, 0.0), (1.0, 0.0), (1.0, 1.0), (0.8, 1.0))),), "front"
    )
    masked, car = Found("person", 0.9, (0.85, 0.2, 0.95, 0.6)), Found("car", 0.9, (0.1, 0.2, 0.2, 0.6))
    elsewhere = Found("person", 0.9, (0.6, 0.2, 0.7, 0.6))
    scene.run(*scene.several(3), lambda: survey(scene, masked, car, elsewhere), *scene.several(2))
    assert [track.id for track in scene.lanes["front"].tracks] == [1, 2]
    assert scene.lanes["front"].tracks[1].box == pytest.approx(elsewhere.box)


def watch_a_walker(score: float, found: Callable[[Ask], tuple[Found, ...]] = lambda _: ()) -> list[AskReason]:
    """Why is asked, where rules look for cars and somebody walks through whom the device takes for a person.

    Args:
        score: How surely it does.
        found: What the cloud sees in a question's frame.
    """
    scene = Scene(objects=True, rule=people(labels=("car",)))
    scene.detector.score = None
    height, width = LARGE.shape[:2]

    def stand_at(left: int) -> None:
        scene.detector.score = score
        scene.detector.box = (left / width, 60 / height, (left + 30) / width, 140 / height)

    def answer() -> None:
        for ask, _ in scene.asker.asks[:1]:
            seen, whole = found(ask), (0.0, 0.0, 1.0, 1.0)
            scene.inbox.put(
                Answer(
                    ask.id, None, Decision.RETRACTED, None, None, None, DecidedBy.CLOUD, "large 1", "", whole, seen
                )
            )

    steps: list[Step] = [scene.frame(image=LARGE) for _ in range(12)]
    for left in range(0, 255, 3):
        image = LARGE.copy()
        image[60:140, left : left + 30] = 60
        steps += [partial(stand_at, left), scene.frame(image=image)]
        if left == 96:
            steps.append(answer)
    scene.run(*steps)
    return [ask.reason for ask, _ in scene.asker.asks]


def test_who_walks_past_is_not_asked_about_where_the_device_is_sure_that_no_rule_looks_for_him() -> None:
    assert watch_a_walker(CERTAIN) == []
    assert watch_a_walker(UNSURE) == [AskReason.MOTION] * 2


def test_whom_the_cloud_saw_to_be_of_no_interest_is_not_asked_about_again() -> None:
    assert watch_a_walker(UNSURE, lambda ask: (Found("person", 0.9, ask.box),)) == [AskReason.MOTION]
    assert watch_a_walker(UNSURE, lambda ask: (Found("person", 0.4, ask.box),)) == [AskReason.MOTION] * 2
    behind = watch_a_walker(UNSURE, lambda ask: (Found("person", 0.9, ask.box), Found("car", 0.9, ask.box)))
    assert behind == [AskReason.MOTION] * 2, "there is a car as well"


def test_what_is_left_of_the_budget_is_kept_at_the_start_and_at_the_end() -> None:
    scene = Scene(objects=True)
    scene.run(*scene.several(3))
    assert len(scene.kept) == 2
    assert scene.kept[0].left[""] < scene.kept[-1].left[""]
    assert scene.kept[-1] == scene.objects.budget.balance()


def test_what_a_question_cost_is_taken_from_the_budget_and_new_settings_hold_at_once() -> None:
    scene = Scene(objects=True)
    scene.detector.score = 0.36
    scene.run(
        *scene.several(2),
        lambda: scene.inbox.put(Paid(scene.asker.asks[0][0].id, "front", 5_000_000)),
        *scene.several(1),
    )
    assert scene.objects.budget.balance().left[""] < 7.5e6 - 4_900_000
    asking = AskPolicySettings(min_hits=2)
    off = NewRules((people(),), (), asking, {}, ObjectSettings(enabled=False), BudgetSettings(bytes="1kB/day"))
    scene.inbox.put(off)
    asked = len(scene.asker.asks)
    scene.run(*scene.several(30))
    assert len(scene.asker.asks) == asked
    assert scene.objects.budget.balance().left[""] <= 50


def test_a_question_that_decides_no_alert_is_paid_for_and_not_asked_where_nothing_is_left() -> None:
    told: list[bool] = []
    scene = Scene(objects=True)
    [frame] = scene.several(1)

    def draw(number: str) -> Callable[[], object]:
        ask = Ask(number * 32, None, "front", None, "person", 0.5, PERSON, AskReason.DRAWN, 0.0, 2.0)
        return lambda: scene.inbox.put(Aside(ask, frame, told.append))

    left: list[float] = []
    look = lambda: left.append(scene.objects.budget.balance().left[""])  # noqa: E731
    paid = lambda: scene.inbox.put(Paid("a" * 32, "front", 4321))  # noqa: E731
    scene.run(look, draw("a"), None, look, paid, None, look)
    assert [ask.id for ask, _ in scene.asker.asks] == ["a" * 32]
    assert left[0] - 5000 < left[1] < left[0] - 1000
    assert left[2] == pytest.approx(left[0] - 4321, abs=150)
    little = BudgetSettings(bytes="1kB/day")
    scene.inbox.put(NewRules((people(),), (), AskPolicySettings(), {}, ObjectSettings(), little))
    scene.run(draw("b"), None)
    assert told == [True, False]
    assert len(scene.asker.asks) == 1


def test_what_is_left_of_the_budget_can_be_read_while_frames_are_judged() -> None:
    scene = Scene(objects=True)
    scene.detector.score = 0.36
    scene.run(*scene.several(30))
    device, camera = scene.pipeline.budgets
    assert (device.camera, device.allowance, camera.camera) == (None, "200MB/month", "front")
    assert device.spent == camera.spent > 0
    assert device.left is not None
    assert device.left < 7_500_000
    nobody = Scene()
    nobody.run(*nobody.several(1))
    assert nobody.pipeline.budgets == ()
