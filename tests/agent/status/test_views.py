"""A frame on its way from the judging thread to who looks."""

from __future__ import annotations

import asyncio

import cv2
import numpy as np

from agent.adapters.annotated import FRESH_S, AnnotatedFrames, annotated
from agent.domain import Frame, Track
from agent.status.views import REMEMBERED, Look, Views
from tests.agent.deliver.samples import change
from tests.agent.redact.doors import plain_door
from tests.agent.test_pipeline import ManualClock

WHITE = np.full((360, 640, 3), 255, np.uint8)
PERSON = Track(1, "person", 0.9, 0.9, (0.5, 0.25, 0.75, 0.75), 0.0, 0.0, 3, True)


def frame(index: int = 0, camera: str = "yard") -> Frame:
    return Frame(camera, index, WHITE, float(index))


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


async def asked(views: Views, camera: str = "yard") -> asyncio.Task[Look | None]:
    """Somebody who waits for a frame by now."""
    task = asyncio.create_task(views.next(camera, 5.0))
    await asyncio.sleep(0)
    return task


async def test_the_next_frame_of_the_camera_goes_to_all_who_wait() -> None:
    views = Views()
    first, second = await asked(views), await asked(views)
    views.looked(frame(1, "porch"), ())
    views.looked(frame(2), (PERSON,))
    views.looked(frame(3), ())
    looks = await asyncio.gather(first, second)
    assert [look.frame.index for look in looks if look is not None] == [2, 2]
    assert looks[0] is not None
    assert looks[0].tracks == (PERSON,)


async def test_a_camera_that_gives_nothing_gathers_up_nobody() -> None:
    views = Views()
    assert await views.next("yard", 0.0) is None
    assert not views._awaited
    gone = await asked(views)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert not views._awaited
    views.looked(frame(), ())


def test_the_latest_alerts_are_remembered_as_they_stand() -> None:
    views = Views()
    for number in range(REMEMBERED + 5):
        views.changed(change(number))
    views.changed(change(REMEMBERED + 4, revision=1, reason="anew"))
    alerts = views.alerts()
    assert len(alerts) == REMEMBERED
    assert (alerts[0].id, alerts[0].reason) == (f"{REMEMBERED + 4:032x}", "anew")


def test_masked_parts_are_blotted_out_and_objects_have_boxes() -> None:
    mask = ((0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.0, 1.0))
    shown = decoded(annotated(Look(frame(), (PERSON,)), plain_door(mask), 960))
    assert shown.shape == (360, 640, 3)
    assert shown[:, :240].max() < 30
    assert shown[350, 600].min() > 240
    left_edge = shown[180, 320].astype(int)
    assert left_edge[1] > left_edge[0] + 60
    assert left_edge[1] > left_edge[2] + 60
    assert WHITE.min() == 255, "the frame is the judging thread's, too"


def test_a_large_frame_is_made_smaller() -> None:
    large = Frame("yard", 0, np.full((720, 1280, 3), 255, np.uint8), 0.0)
    assert decoded(annotated(Look(large, ()), plain_door(), 320)).shape == (180, 320, 3)


async def test_a_frame_is_drawn_once_a_second_however_many_look() -> None:
    views, clock = Views(), ManualClock()
    frames = AnnotatedFrames(views, plain_door(), clock, 960)
    looking = [asyncio.create_task(frames.jpeg("yard")) for _ in range(3)]
    await asyncio.sleep(0)
    views.looked(frame(1), ())
    pictures = await asyncio.gather(*looking)
    assert pictures[0] is not None
    assert all(picture is pictures[0] for picture in pictures)
    clock.now += FRESH_S
    again = asyncio.create_task(frames.jpeg("yard"))
    while not views._awaited:  # noqa: ASYNC110 - a turn of the loop or two
        await asyncio.sleep(0)
    views.looked(frame(2), (PERSON,))
    fresh = await again
    assert fresh is not None
    assert fresh != pictures[0]
