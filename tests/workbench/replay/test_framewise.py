"""Frames that are sent whole: whose detections the tracker gets, and what is paid."""

import numpy as np
import pytest

from agent.adapters.http_asker import HTTP_BYTES
from agent.detect.budget import LookBudget, Pace
from agent.detect.regions import Target
from agent.detect.settings import LookSettings
from tests.workbench.replay.scripted import ScriptedDetector, detections, frames
from vision.pictures import encode_jpeg
from workbench.replay.budget import Purse, Share
from workbench.replay.framewise import FrameAsking, LooksUnlessSent, on_even_odds
from workbench.replay.policies import Every, Uncertain
from workbench.replay.walk import Seen

MESSAGE_BYTES = 400
BY_DEVICE, BY_CLOUD = (0.1, 0.1, 0.2, 0.4, 0.5), (0.6, 0.1, 0.7, 0.4, 0.4)


class ScriptedCloud:
    class rules:  # noqa: N801 - plays an attribute
        min_score = 0.4

    def __init__(self):
        self.pictures = []

    def whole(self, picture, min_score):
        self.pictures.append(picture)
        return detections(BY_CLOUD)


def asking(policy, budget=None, *, mixed=True, labels=("person",)):
    cloud, device = ScriptedCloud(), ScriptedDetector([detections(BY_DEVICE)])
    detector = FrameAsking(
        device=device, cloud=cloud, policy=policy, purse=Purse(budget), reason="always", labels=frozenset(labels),
        message_bytes=MESSAGE_BYTES, mixed=mixed,
    )  # fmt: skip
    return detector, cloud


def judged(detector, count=1):
    found = []
    for frame in frames(count):
        seen = Seen(frame.index, frame.at)
        detector.show(frame, seen)
        found.append((detector.detect(frame.image, 0.2), seen, frame))
    return found


def test_a_frame_that_is_sent_is_what_the_cloud_says():
    detector, cloud = asking(Every())
    ((found, seen, frame),) = judged(detector)
    assert found.boxes == pytest.approx(np.array([BY_CLOUD[:4]]))
    assert cloud.pictures == [encode_jpeg(frame.image, 80)]
    assert seen.whole
    whole = len(cloud.pictures[0]) + MESSAGE_BYTES + HTTP_BYTES
    assert [(sent.bytes, sent.reason) for sent in seen.sent] == [(whole, "always")]


def test_a_frame_that_is_not_worth_it_is_the_device_s():
    detector, cloud = asking(Uncertain((0.6, 0.9)))
    ((found, seen, _),) = judged(detector)
    assert found.boxes == pytest.approx(np.array([BY_DEVICE[:4]]))
    assert (cloud.pictures, seen.whole, seen.sent) == ([], False, [])


def test_what_no_rule_looks_for_is_no_reason_to_send():
    detector, cloud = asking(Uncertain((0.4, 0.6)), labels=("car",))
    judged(detector)
    assert cloud.pictures == []


def test_frames_are_sent_as_far_as_the_purse_goes():
    detector, cloud = asking(Every(), Share(0.25, "25%"))
    sent = [seen.whole for _, seen, _ in judged(detector, 60)]
    size = len(cloud.pictures[0])
    every = 4 * (size + MESSAGE_BYTES + HTTP_BYTES) / size
    assert sum(sent) == pytest.approx(60 / every, abs=1), "messages and headers are paid for as well"
    assert not any(sent[: int(every) - 1])


def test_a_part_of_a_frame_is_judged_by_the_device():
    detector, cloud = asking(Every())
    ((_, _, frame),) = judged(detector)
    found = detector.detect(frame.image[:20, :20], 0.2)
    assert found.boxes == pytest.approx(np.array([BY_DEVICE[:4]]))
    assert len(cloud.pictures) == 1


def test_mixed_scores_are_on_one_scale():
    assert on_even_odds(detections((0, 0, 1, 1, 0.4), (0, 0, 1, 1, 0.7), (0, 0, 1, 1, 1.0)), 0.4).scores == (
        pytest.approx(np.array([0.5, 0.75, 1.0]))
    )
    ((mixed, _, _),) = judged(asking(Every())[0])
    ((alone, _, _),) = judged(asking(Every(), mixed=False)[0])
    assert (mixed.scores[0], alone.scores[0]) == (pytest.approx(0.5), pytest.approx(0.4))


def test_a_frame_that_was_sent_gets_no_second_look():
    sent = True
    budget = LookBudget(LookSettings(per_frame=2.0), {"clip": Pace(waits=True)})
    looks = LooksUnlessSent(budget, (32, 32), lambda: sent)
    wanted = [Target((0.1, 0.1, 0.2, 0.4), 0.9)]
    first, second = frames(2)
    assert looks.choose(first, wanted) == ()
    sent = False
    assert len(looks.choose(second, wanted)) == 1
