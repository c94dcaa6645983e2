"""The walk around the pipeline: when frames and answers come, and what is noted of them."""

from itertools import count

import pytest

from agent.adapters.http_asker import HTTP_BYTES
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import AskPolicySettings, RuleSettings
from agent.deliver.faults import Faults
from agent.domain import Answer
from agent.judging.lane import Lane
from agent.pipeline import Pipeline
from agent.track import Tracker, TrackSettings
from tests.workbench.replay.scripted import ScriptedDetector, detections, frames
from wire.messages import AlertEvent, AlertState, DecidedBy, Decision
from workbench.replay.walk import Sent, Walk, run

THERE = (0.2, 0.2, 0.4, 0.8)


class DelayedCloud:
    """Implements `agent.judging.ports.Asker`: every answer is the same, and comes a time after the frame."""

    def __init__(self, walk, latency_s, decision):
        self._walk, self._latency_s, self._decision = walk, latency_s, decision

    def submit(self, ask, frame):
        self._walk.send(Sent(100, ask.reason.value, 10))
        answer = Answer(
            ask.id, ask.alert_id, self._decision, "person", 0.9, ask.box, DecidedBy.CLOUD, "scripted", "so it is"
        )
        self._walk.answer_at(frame.at + self._latency_s, answer)
        return True

    def submit_picture(self, change, frame):
        return True


def walked(script, *, latency_s=0.3, decision=Decision.CONFIRMED, fps=10.0, many=10, deadline_s=2.0):
    walk, ids = Walk(frames(many, fps=fps)), count(1)
    pipeline = Pipeline(
        frames=walk,
        inbox=walk.inbox,
        detector=ScriptedDetector(script),
        lanes={"clip": Lane(Tracker(TrackSettings()), MaskFilter((), "clip"))},
        rules=RuleBook(
            (RuleSettings(name="anyone", labels=("person",)),),
            (),
            AskPolicySettings(min_hits=3, deadline_s=deadline_s),
            (0.3, 0.6),
            lambda: f"{next(ids):032x}",
        ),
        outbox=walk,
        asker=DelayedCloud(walk, latency_s, decision),
        clock=walk,
        faults=Faults(),
        min_score=0.2,
        audience=walk,
    )
    return run(walk, pipeline)


def changes(outcome):
    return [
        (seen.index, change.event, change.state, change.decided_by)
        for seen in outcome.seen
        for change in seen.changes
    ]


UNSURE, SURE = [detections((*THERE, 0.5))], [detections((*THERE, 0.9))]
NEW, UPDATE, END = AlertEvent.NEW, AlertEvent.UPDATE, AlertEvent.END
PROVISIONAL, CONFIRMED, RETRACTED = AlertState.PROVISIONAL, AlertState.CONFIRMED, AlertState.RETRACTED


def test_each_frame_is_judged_once_at_the_clip_s_time():
    outcome = walked(SURE)
    assert [(seen.index, seen.at) for seen in outcome.seen] == [(i, pytest.approx(i / 10)) for i in range(10)]
    assert all(len(seen.followed) == 1 for seen in outcome.seen)
    assert [bool(seen.objects) for seen in outcome.seen[:2]] == [False, True]


def test_what_is_certain_asks_nothing():
    outcome = walked(SURE)
    assert (outcome.asks, outcome.sent_bytes) == (0, 0)


def test_an_answer_is_there_at_the_frame_at_which_it_is_due():
    outcome = walked(UNSURE)
    ((asked_at, _),) = [(seen.index, sent) for seen in outcome.seen for sent in seen.sent]
    assert asked_at == 2
    assert changes(outcome)[:2] == [
        (asked_at, NEW, PROVISIONAL, DecidedBy.DEVICE),
        (asked_at + 3, UPDATE, CONFIRMED, DecidedBy.CLOUD),
    ]


def test_an_answer_between_two_frames_is_taken_up_before_the_next():
    outcome = walked(UNSURE, latency_s=0.25, fps=2.0)
    amended = outcome.seen[2].changes[-1]
    assert (amended.state, amended.decided_at) == (CONFIRMED, pytest.approx(1.25))


def test_an_answer_after_the_last_frame_still_amends():
    outcome = walked(UNSURE, latency_s=1.5, decision=Decision.RETRACTED, many=5)
    assert changes(outcome)[-1] == (4, END, RETRACTED, DecidedBy.CLOUD)
    assert outcome.alerts[RETRACTED] == 1


def test_an_answer_after_the_deadline_amends_what_the_fallback_made_of_it():
    outcome = walked(UNSURE, latency_s=0.6, deadline_s=0.2, decision=Decision.RETRACTED)
    assert [state for _, _, state, _ in changes(outcome)] == [PROVISIONAL, RETRACTED]


def test_open_alerts_end_with_the_clip():
    assert changes(walked(SURE))[-1][:3] == (9, END, CONFIRMED)


def test_bytes_are_counted_by_picture():
    outcome = walked(UNSURE)
    assert (outcome.asks, outcome.sent_bytes) == (1, 110 + HTTP_BYTES)


def test_each_frame_is_charged_what_was_spent_until_the_next():
    walk, spent = Walk(frames(3, fps=10.0)), [7.0]
    walk.meter(lambda: spent[0])
    for took in (0.25, 0.5, 0.0):
        assert walk.take(0.0) is not None
        spent[0] += took
    walk.charge()
    assert [seen.policy_s for seen in walk.seen] == [0.25, 0.5, 0.0]


def test_an_answer_between_two_frames_is_charged_to_the_one_before():
    walk, spent = Walk(frames(2, fps=2.0)), [0.0]
    walk.meter(lambda: spent[0])
    walk.take(0.0)
    walk.answer_at(0.25, Answer("q", None, Decision.CONFIRMED, None, None, None, DecidedBy.CLOUD, "scripted", ""))
    assert walk.take(0.0) is None
    spent[0] = 0.125
    walk.take(0.0)
    assert [seen.policy_s for seen in walk.seen] == [0.125, 0.0]


def test_a_run_meters_what_the_pipeline_spends_on_asking():
    assert all(seen.policy_s > 0.0 for seen in walked(UNSURE).seen)
