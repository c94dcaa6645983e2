"""The lines that `--jsonl` writes, in the shape that the design promises."""

import json

import jsonschema
import numpy as np
import pytest

from agent.adapters.http_asker import HTTP_BYTES
from agent.domain import AlertChange, Track
from wire.messages import AlertEvent, AlertState, DecidedBy
from workbench.replay.budget import Share
from workbench.replay.policies import Policy
from workbench.replay.results import Run, Spent, spent_ms
from workbench.replay.scoring import Catch
from workbench.replay.walk import Outcome, Seen, Sent

UNIT = {"type": "number", "minimum": 0, "maximum": 1}


def exactly(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def some(items):
    return {"type": "array", "items": items}


LINE = exactly(
    frame={"type": "integer", "minimum": 0},
    objects=some(
        exactly(
            track={"type": "integer"},
            label={"type": "string"},
            score=UNIT,
            box=some(UNIT) | {"minItems": 4, "maxItems": 4},
            decided_by={"enum": ["device", "cloud"]},
        )
    ),
    asks=some(exactly(bytes={"type": "integer", "minimum": 1}, reason={"type": "string"})),
    alerts=some(
        exactly(
            id={"type": "string", "pattern": "^[0-9a-f]{32}$"},
            event={"enum": ["new", "update", "end"]},
            state={"enum": ["provisional", "confirmed", "retracted"]},
            label={"type": "string"},
        )
    ),
)
COUNT = {"type": "integer", "minimum": 0}
SUMMARY = {
    "type": "object",
    "required": ["frames", "asks", "bytes_by_reason", "alerts_by_state", "wall_s", "cpu_s", "accuracy"],
    "properties": {
        "frames": COUNT,
        "asks": COUNT,
        "bytes_by_reason": {"type": "object", "additionalProperties": COUNT},
        "alerts_by_state": exactly(provisional=COUNT, confirmed=COUNT, retracted=COUNT),
        "wall_s": {"type": "number"},
        "cpu_s": {"type": "number"},
    },
}


def track(number=3, *, seen_now=True, stands=True):
    box = tuple(np.array([0.1, 0.2, 0.3, 0.4], np.float64).tolist())
    return Track(number, "person", 0.912345, 0.95, box, 0.0, 0.0, 5, seen_now, 0.912345, stands)


def ran(policy=Policy.OURS, catches=()):
    change = AlertChange(
        f"{7:032x}", AlertEvent.NEW, 0, AlertState.PROVISIONAL, "clip", "anyone", None, "person", 3, 0.5,
        (0.1, 0.2, 0.3, 0.4), 0.0, 0.0, 0.0, DecidedBy.DEVICE, "",
    )  # fmt: skip
    seen = (
        Seen(0, 0.0),
        Seen(1, 0.1, (track(), track(4, stands=False)), [Sent(900, "uncertain", 300)], [change], 2),
        Seen(2, 0.2, (track(), track(5, seen_now=False)), [Sent(100, "new"), PICTURE], whole=True),
    )  # fmt: skip
    alerts = {AlertState.PROVISIONAL: 1, AlertState.CONFIRMED: 0, AlertState.RETRACTED: 0}
    return Run(policy, Share(0.05, "5%"), Outcome(seen, alerts, 1.5, 1.25), 10_000, 0.3, catches, False, ({},))


PICTURE = Sent(50, "picture", is_question=False)


def parsed(run):
    lines = [json.loads(line) for line in run.lines()]
    return lines[:-1], lines[-1]["summary"]


def test_each_frame_is_a_line_of_the_promised_shape_and_the_summary_the_last():
    frames, summary = parsed(ran())
    assert [line["frame"] for line in frames] == [0, 1, 2]
    for line in frames:
        jsonschema.validate(line, LINE)
    jsonschema.validate(summary, SUMMARY)


def test_objects_are_what_the_system_stands_behind():
    frames, _ = parsed(ran())
    assert [[one["track"] for one in line["objects"]] for line in frames] == [[], [3], [3, 5]]
    assert frames[1]["objects"][0]["score"] == pytest.approx(0.9123)


def test_the_cloud_decided_what_it_saw_in_a_frame_that_was_sent():
    frames, _ = parsed(ran())
    assert [[one["decided_by"] for one in line["objects"]] for line in frames] == [
        [],
        ["device"],
        ["cloud", "device"],
    ]


def test_bytes_are_summed_by_reason_and_pictures_are_no_questions():
    _, summary = parsed(ran())
    assert summary["bytes_by_reason"] == {
        "new": 100 + HTTP_BYTES, "picture": 50 + HTTP_BYTES, "uncertain": 900 + 300 + HTTP_BYTES,
    }  # fmt: skip
    assert (summary["bytes"], summary["asks"], summary["picture_bytes"]) == (1350 + 3 * HTTP_BYTES, 2, 1050)
    assert summary["share"] == pytest.approx((1350 + 3 * HTTP_BYTES) / 10_000)
    assert summary["budget"] == "5%"


def test_what_could_not_be_measured_is_null():
    assert parsed(ran())[1]["accuracy"] is None
    assert parsed(ran(catches=(Catch(3, 0.5, 0.5, 0.5, 0.4),)))[1]["accuracy"]["f1"] == 0.5


def test_what_asking_took_is_told_of_our_policy_alone():
    assert ran(Policy.OURS).summary()["policy_ms"] == {"mean": 0.0, "p95": 0.0, "most": 0.0}
    assert ran(Policy.NEVER).summary()["policy_ms"] is None


def test_of_twenty_frames_one_may_take_longer_than_the_95th_percentile():
    spent = spent_ms([0.001] * 18 + [0.003, 0.009])
    assert spent == Spent(mean=pytest.approx(1.5), p95=pytest.approx(3.0), most=pytest.approx(9.0))
    assert spent_ms([]) is None
