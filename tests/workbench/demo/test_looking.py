"""The demo's figures out of what a scripted service says."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from cloud.web.views import AlertCounts, DeviceView, Summary
from tests.cloud.samples import new_id
from wire.messages import AlertState, CameraState, CameraStatus, Presence, Telemetry
from workbench.demo.figures import Figures, RolloutFigures
from workbench.demo.looking import Looking
from workbench.demo.processes import Child
from workbench.errors import DemoFailed

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOTHING = Summary(
    devices=1, online=1, alerts=AlertCounts(), alerts_total=0, asks=0, answers=0, late_answers=0, bytes_sent=0,
    bytes_by_reason={}, bytes_if_streamed=0, frames=0, first_alert_at=None,
)  # fmt: skip


class ScriptedService:
    def __init__(self) -> None:
        self.summary = NOTHING
        self.devices: list[DeviceView] = []
        self.up = True

    def client(self) -> httpx.Client:
        return httpx.Client(base_url="http://cloud", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if not self.up:
            raise httpx.ConnectError("refused", request=request)
        if request.url.path == "/api/summary":
            return httpx.Response(200, text=self.summary.model_dump_json())
        return httpx.Response(200, json=[device.model_dump(mode="json") for device in self.devices])


@pytest.fixture
def service():
    return ScriptedService()


def device(boot_id: str, alerts: int, presence=Presence.ONLINE, cameras=()) -> DeviceView:
    telemetry = Telemetry(
        message_id=new_id(), device="gate-1", made_at=NOW, boot_id=boot_id, boot_seq=1, uptime_s=1, rss_mib=90,
        cpu_s=1, alerts={AlertState.CONFIRMED: alerts},
    )  # fmt: skip
    return DeviceView(
        device="gate-1", presence=presence, reason="", agent_version="1", last_seen_at=NOW, enrolled_at=NOW,
        revoked_at=None, model=None, cameras=cameras, telemetry=telemetry,
    )  # fmt: skip


def test_what_a_kept_folder_held_already_is_not_counted_again(service):
    service.summary = NOTHING.model_copy(
        update={"alerts_total": 7, "alerts": AlertCounts(confirmed=7), "frames": 100, "bytes_sent": 900, "asks": 3}
    )
    service.devices = [device("0a" * 16, 7, Presence.OFFLINE)]
    figures = Figures()
    looking = Looking(service.client(), figures, time.time())

    looking.look(())
    assert (figures.alerts_raised, figures.alerts_stored, figures.first_alert_s) == (0, 0, None)

    service.summary = service.summary.model_copy(
        update={"alerts_total": 9, "alerts": AlertCounts(confirmed=8, retracted=1), "frames": 140, "asks": 4}
    )
    service.devices = [device("0b" * 16, 2)]
    looking.look(())
    assert (figures.alerts_raised, figures.alerts_stored) == (2, 2)
    assert (figures.confirmed, figures.retracted, figures.frames, figures.asks, figures.bytes_sent) == (
        1,
        1,
        40,
        1,
        0,
    )
    assert figures.first_alert_s is not None


def test_a_lost_camera_shows_why_and_stays_when_its_agent_is_gone(service):
    figures = Figures()
    looking = Looking(service.client(), figures, time.time())
    lost = (CameraStatus(name="gate", state=CameraState.LOST, detail="there is no /dev/video9"),)
    service.devices = [device("0a" * 16, 0, cameras=lost)]
    looking.look([SimpleNamespace(process=SimpleNamespace(pid=os.getpid()))])
    # As it ends, it says so of its cameras before it says goodbye.
    ended = (CameraStatus(name="gate", state=CameraState.ENDED, detail="stopped"),)
    service.devices = [device("0a" * 16, 0, cameras=ended)]
    looking.look(())
    service.devices = [device("0a" * 16, 0, Presence.OFFLINE)]
    looking.look(())
    assert figures.cameras == {"gate": "lost: there is no /dev/video9"}
    assert figures.devices == {"gate-1": "offline"}


def test_settling_ends_once_all_are_gone_and_all_is_stored(service):
    service.devices = [device("0a" * 16, 0, Presence.OFFLINE)]
    figures = Figures()
    looking = Looking(service.client(), figures, time.time())
    service.devices = [device("0b" * 16, 1, Presence.OFFLINE)]
    service.summary = NOTHING.model_copy(update={"alerts_total": 1})
    looking.settle()
    assert figures.alerts_raised == figures.alerts_stored == 1


def test_late_answers_are_answers(service):
    figures = Figures()
    looking = Looking(service.client(), figures, time.time())
    service.summary = NOTHING.model_copy(update={"asks": 4, "answers": 3, "late_answers": 1})
    looking.look(())
    assert (figures.asks, figures.answers) == (4, 4)


def test_a_service_that_does_not_answer_is_named(service):
    looking = Looking(service.client(), Figures(), time.time())
    service.up = False
    with pytest.raises(DemoFailed, match="the service does not answer"):
        looking.look(())


def test_saved_is_a_share_of_streaming_and_unknown_before_the_first_frame():
    assert Figures().saved_share is None
    assert Figures(bytes_sent=10, bytes_if_streamed=1000).saved_share == pytest.approx(0.99)


def test_memory_counts_for_the_model_that_an_agent_began_with_and_after_a_rollout_for_the_other(service):
    figures = Figures()
    looking = Looking(service.client(), figures, time.time())
    ourselves = Child("us", SimpleNamespace(pid=os.getpid()), Path("log"))
    looking.look([ourselves])
    before = figures.agent_rss_mib
    assert before > 0
    figures.agent_rss_mib = 1.0
    figures.rollout = RolloutFigures("r", "nanodet")
    looking.look([ourselves])
    assert figures.agent_rss_mib == 1.0
    assert figures.rollout.agent_rss_mib > 1.0
