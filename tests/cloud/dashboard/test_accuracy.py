"""The dashboard's page on accuracy in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.cloud.dashboard.conftest import Complaints
from tests.cloud.dashboard.fake_service import FakeService, Json, device, telemetry

pytestmark = pytest.mark.system

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
OLD, NEW = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32


def estimate(value: float, off: float = 0.05) -> Json:
    return {"value": value, "low": max(0.0, value - off), "high": min(1.0, value + off), "frames": 42}


def accuracy(f1: float, **changes: object) -> Json:
    return {
        "device": "gate",
        "camera": "north",
        "label": None,
        "model_digest": OLD,
        "model": "ssdlite 1.0.0",
        "audits": 60,
        "recall": estimate(0.61),
        "precision": estimate(0.83),
        "f1": estimate(f1),
        "first_at": "2026-05-01T12:00:00Z",
        "last_at": "2026-05-01T13:00:00Z",
        **changes,
    }


def report(*estimates: Json, **sample: object) -> Json:
    camera = {"device": "gate", "camera": "north", "kept": 102, "waiting": 0, "lost": 0, "walked": 90_000}
    return {
        "since": "2026-04-01T12:00:00Z",
        "level": 0.95,
        "estimates": list(estimates),
        "cameras": [{**camera, "picture_bytes": 1_632_000, **sample}],
    }


def boards(page: Page, service: FakeService) -> Locator:
    page.goto(f"{service.address}/#/accuracy")
    expect(page).to_have_title("Vedette · Accuracy")
    return page.get_by_test_id("accuracy-board")


def test_before_the_first_audit_it_says_how_to_have_one(page: Page, service: FakeService):
    expect(boards(page, service)).to_have_count(0)
    expect(page.get_by_test_id("no-accuracy")).to_contain_text("No frame was audited yet")


def test_models_are_compared_camera_by_camera_with_their_intervals(page: Page, service: FakeService):
    whole = {"device": None, "camera": None}
    newer = {"model_digest": NEW, "model": "nanodet 1.0.0"}
    service.accuracy = report(
        accuracy(0.7, **whole), accuracy(0.9, **whole, **newer), accuracy(0.7), accuracy(0.9, **newer), lost=3
    )
    found = boards(page, service)
    expect(found).to_have_count(2)
    expect(found.nth(0)).to_contain_text("All cameras")
    gate = found.nth(1)
    expect(gate.get_by_role("row")).to_have_count(3)
    expect(gate.get_by_role("img", name="F1 0.70, between 0.65 and 0.75, on 42 frames")).to_be_visible()
    expect(gate).to_contain_text("20 points better")
    expect(gate).to_contain_text("102 of 90,000 frames sent, 1.63 MB; 3 of 105 drawn frames never arrived")


def test_a_label_can_be_looked_at_alone(page: Page, service: FakeService):
    service.accuracy = report(
        accuracy(0.7), accuracy(0.6, label="person"), accuracy(0.4, label="car", recall=None, audits=1)
    )
    found = boards(page, service)
    page.get_by_label("What").select_option("car")
    expect(found).to_contain_text("1 frame")
    expect(found.get_by_role("img", name="Recall: nothing to count yet")).to_be_visible()
    expect(found.get_by_role("img", name="F1 0.40")).to_be_visible()


def test_names_from_devices_stay_text_and_narrow_screens_scroll_down_only(page: Page, service: FakeService):
    service.accuracy = report(accuracy(0.7, model=HOSTILE), accuracy(0.5, label="person"))
    page.set_viewport_size({"width": 360, "height": 800})
    expect(boards(page, service)).to_contain_text(HOSTILE)
    assert page.title() != "owned"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_service_that_can_t_say_is_told(page: Page, service: FakeService, complaints: Complaints):
    service.accuracy = None
    boards(page, service)
    expect(page.get_by_test_id("accuracy")).to_contain_text("the database refused")
    complaints.texts = [text for text in complaints.texts if "503" not in text]


def band(**changes: object) -> Json:
    return {
        "camera": "north",
        "label": "person",
        "lower": 0.31,
        "upper": 0.72,
        "state": "met",
        "reason": "the answers prove it",
        "model_digest": OLD,
        "frames": 412,
        "objects": 96,
        "miss_rate": 0.062,
        "miss_rate_at_most": 0.097,
        "best_miss_rate": 0.02,
        "false_per_day": 0.4,
        "false_per_day_at_most": 1.8,
        "asked_share": 0.34,
        **changes,
    }


def test_where_devices_stand_to_their_objectives_is_told(page: Page, service: FakeService):
    why = "no band misses 10% or less: even from 0.20 on, 24% are missed"
    bands = [
        band(),
        band(camera="south", state="infeasible", reason=why, miss_rate=0.24, miss_rate_at_most=0.29, lower=0.2),
        band(label="car", state="gathering", reason="4 of 30 audited frames", miss_rate=None, false_per_day=None),
    ]
    service.devices = [device("gate", telemetry=telemetry("2026-05-01T12:00:00Z", bands=bands)), device("yard")]
    service.accuracy = report(accuracy(0.7))
    boards(page, service)
    told = page.get_by_test_id("objectives")
    rows = told.get_by_role("row")
    expect(rows).to_have_count(4)
    expect(rows.nth(1)).to_contain_text("car")
    expect(rows.nth(1)).to_contain_text("4 of 30 audited frames")
    expect(rows.nth(2)).to_contain_text("0.31–0.72")
    expect(rows.nth(2)).to_contain_text("6 %, at most 10 %")
    expect(rows.nth(2)).to_contain_text("0.4, at most 1.8")
    expect(rows.nth(3)).to_contain_text("infeasible")
    expect(rows.nth(3)).to_contain_text(why)
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth")


def test_hostile_labels_stay_text_among_objectives(page: Page, service: FakeService):
    bands = [band(label=HOSTILE, reason=HOSTILE)]
    service.devices = [device("gate", telemetry=telemetry("2026-05-01T12:00:00Z", bands=bands))]
    boards(page, service)
    expect(page.get_by_test_id("objectives")).to_contain_text(HOSTILE)
    assert page.title() != "owned"
