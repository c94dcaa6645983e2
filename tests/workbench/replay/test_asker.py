"""A question's way: cut out and encoded as on a device, judged by the service's own code, answered when it is due."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from agent.adapters.crops import encode_jpeg
from agent.adapters.http_asker import HTTP_BYTES
from agent.ask.crop import crop_around
from agent.ask.gain import Case, by_hand, features, was_wrong
from agent.ask.settings import AskSettings
from agent.domain import AlertChange, Answer, Ask, Frame
from agent.pipeline import Paid
from agent.redact.door import PictureDoor
from agent.redact.settings import RedactionSettings
from cloud.offload.settings import OffloadSettings
from tests.workbench.replay.scripted import ScriptedDetector, detections
from vision.errors import PictureUnreadable
from vision.pictures import decode_jpeg
from wire.messages import AlertEvent, AlertState, AskReason, DecidedBy, Decision
from workbench.replay.asker import ReplayAsker, Uplink
from workbench.replay.cloud import ReplayCloud
from workbench.replay.memory import Memory
from workbench.replay.walk import BEGAN, Walk

DIGEST = f"sha256:{0:064x}"
BOX = (0.4, 0.2, 0.6, 0.8)
SETTINGS = AskSettings(url="http://127.0.0.1", margin=0.5, question_min_px=32, question_quality=70)
WHOLE = (0.0, 0.0, 1.0, 1.0)


class ScriptedModel(ScriptedDetector):
    name = "scripted 1.0"
    digests = (DIGEST,)

    def close(self):
        """Nothing is held."""


@pytest.fixture
def memory():
    with Memory(None) as kept:
        yield kept


@pytest.fixture
def frame():
    image = np.random.default_rng(7).integers(0, 255, (120, 160, 3), np.uint8)
    return Frame("clip", 3, image, 0.3, 0.3)


def ask(box=BOX):
    return Ask(
        f"{1:032x}", f"{2:032x}", "clip", 5, "person", 0.5, box, AskReason.UNCERTAIN, asked_at=0.3, deadline_s=2.0
    )  # fmt: skip


def door_of(*masks):
    return PictureDoor({"clip": RedactionSettings()}, lambda _: masks)


DOOR = door_of()


def asked(memory, frame, script, latency_s=0.3, door=DOOR):
    walk = Walk(iter([frame]))
    walk.take(0.0)
    model = ScriptedModel(script)
    cloud = ReplayCloud(model, "scripted", memory, OffloadSettings())
    asker = ReplayAsker(Uplink(SETTINGS, latency_s), cloud, walk, door, DIGEST)
    return walk, asker, cloud, model


def answered(walk):
    """What the pipeline would find in its inbox once the answer is due."""
    assert walk.take(0.0) is None
    while (waiting := walk.inbox.take()) is not None:
        if isinstance(waiting[0], Answer):
            return waiting[0]
    return None


def holds(picture, piece):
    height, width = piece.shape[:2]
    return any(
        np.array_equal(piece, picture[top : top + height, left : left + width])
        for top in range(picture.shape[0] - height + 1)
        for left in range(picture.shape[1] - width + 1)
    )


def test_a_question_with_context_sends_the_whole_frame_and_counts_it(memory, frame):
    walk, asker, _, model = asked(memory, frame, [detections((*BOX, 0.8))])
    assert asker.submit(replace(ask(), context=True), frame)
    (sent,) = walk.seen[-1].sent
    assert sent.picture_bytes == len(encode_jpeg(DOOR.cut(frame), quality=70, max_px=960))
    assert answered(walk) is not None
    (judged,) = model.images
    assert judged.shape == (240, 240, 3), "the frame's 160 × 120 in a square of half as much again"


def test_a_question_is_encoded_counted_and_answered_when_it_is_due(memory, frame):
    walk, asker, cloud, _ = asked(memory, frame, [detections((0.41, 0.3, 0.59, 0.7, 0.8))])
    assert asker.submit(ask(), frame)

    crop = crop_around(BOX, width=160, height=120, margin=0.5, min_px=32)
    jpeg = encode_jpeg(DOOR.cut(frame, crop), quality=70, max_px=640)
    (sent,) = walk.seen[-1].sent
    assert (sent.picture_bytes, sent.reason, sent.is_question) == (len(jpeg), "uncertain", True)
    assert sent.message_bytes > 300
    assert sent.bytes == sent.picture_bytes + sent.message_bytes + HTTP_BYTES
    paid, _ = walk.inbox.take()
    assert paid == Paid(f"{1:032x}", "clip", sent.bytes), "the agent's own budget pays for what is counted"

    answer = answered(walk)
    assert walk.monotonic() == pytest.approx(0.6)
    assert walk.wall() == BEGAN + timedelta(seconds=0.6)
    assert (answer.question_id, answer.alert_id) == (f"{1:032x}", f"{2:032x}")
    assert (answer.decision, answer.label, answer.decided_by) == (Decision.CONFIRMED, "person", DecidedBy.CLOUD)
    assert answer.model == "scripted 1.0"
    assert walk.over()
    cloud.close()


def test_what_was_known_is_noted_with_what_the_cloud_said_of_it(memory, frame):
    walk, asker, cloud, _ = asked(memory, frame, [detections((0.41, 0.3, 0.59, 0.7, 0.8))])
    known = Case(AskReason.UNCERTAIN, BOX, 0.5, belief=0.5, stands=True)
    walk.recorder.asked(ask(), known)
    asker.submit(ask(), frame)
    (noted,) = walk.recorder.answers
    assert noted.features == pytest.approx(features(known), abs=1e-5)
    assert (noted.by_hand, noted.reason) == (by_hand(known), "uncertain")
    assert noted.bytes == walk.seen[-1].sent[0].bytes
    assert noted.wrong == was_wrong(known, "person", answered(walk).found)
    asker.submit(ask(), frame)
    assert len(walk.recorder.answers) == 1, "nothing is noted of what others ask"
    cloud.close()


def test_what_the_cloud_does_not_see_is_retracted(memory, frame):
    walk, asker, cloud, _ = asked(memory, frame, [detections()])
    asker.submit(ask(), frame)
    assert answered(walk).decision is Decision.RETRACTED
    cloud.close()


def test_the_cloud_judges_what_is_left_after_encoding(memory, frame):
    _, asker, cloud, model = asked(memory, frame, [detections()])
    asker.submit(ask(), frame)
    crop = crop_around(BOX, width=160, height=120, margin=0.5, min_px=32)
    decoded = decode_jpeg(encode_jpeg(DOOR.cut(frame, crop), quality=70, max_px=640))
    (judged,) = model.images
    row, column = judged.shape[0] // 2, judged.shape[1] // 2
    piece = judged[row : row + 8, column : column + 8]
    assert holds(decoded, piece)
    assert not holds(frame.image, piece)
    cloud.close()


def test_what_is_masked_does_not_leave(memory, frame):
    behind = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    walk, asker, cloud, model = asked(memory, frame, [detections()], door=door_of(behind))
    assert not asker.submit(ask(), frame)
    assert (walk.seen[-1].sent, model.asked) == ([], 0)
    cloud.close()


def test_the_same_picture_is_judged_once(memory, frame):
    _, asker, cloud, model = asked(memory, frame, [detections()])
    asker.submit(ask(), frame)
    asker.submit(ask(), frame)
    assert (model.asked, cloud.judged) == (1, 1)
    cloud.close()


def test_an_alert_s_picture_is_counted_and_asks_nothing(memory, frame):
    walk, asker, cloud, model = asked(memory, frame, [detections()])
    change = AlertChange(
        f"{2:032x}", AlertEvent.NEW, 0, AlertState.CONFIRMED, "clip", "anyone", None, "person", 5, 0.9, BOX, 0.0, 0.3,
        0.3, DecidedBy.DEVICE, "",
    )  # fmt: skip
    asker.submit_picture(change, frame)
    (sent,) = walk.seen[-1].sent
    assert (sent.reason, sent.is_question, sent.picture_bytes > 0) == ("picture", False, True)
    assert sent.message_bytes > 150
    assert model.asked == 0
    cloud.close()


def test_a_torn_picture_is_refused_as_by_the_service(memory):
    cloud = ReplayCloud(ScriptedModel([detections()]), "scripted", memory, OffloadSettings())
    with pytest.raises(PictureUnreadable):
        cloud.whole(b"no picture", 0.1)
    cloud.close()
