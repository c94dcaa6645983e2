"""The built dashboard in a real Chromium, against a service that says what the test wants."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.cloud.dashboard.conftest import Complaints
from tests.cloud.dashboard.fake_service import FakeService, alert, device, history_point, summary, telemetry, verdict

pytestmark = pytest.mark.system

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
HOSTILE_SHORT = "<b onclick=alert(1)>person</b>"


def open_live(page: Page, service: FakeService) -> None:
    page.goto(service.address)
    expect(page.get_by_test_id("link")).to_have_text("Live")


def cards(page: Page) -> Locator:
    return page.get_by_test_id("alert")


def test_a_service_without_devices_teaches_how_to_begin(page: Page, service: FakeService):
    open_live(page, service)

    expect(page.get_by_text("No devices yet.")).to_be_visible()
    expect(page.get_by_text("vedette demo")).to_be_visible()
    expect(page.get_by_test_id("empty")).to_contain_text("No alerts yet")


def test_the_summary_says_what_the_hybrid_saves(page: Page, service: FakeService):
    service.summary = summary(
        devices=3, online=2, alerts={"provisional": 1, "confirmed": 5, "retracted": 2}, alerts_total=8, asks=5,
        answers=3, late_answers=1, bytes_sent=58_000, bytes_by_reason={"questions": 46_000, "alerts": 12_000},
        bytes_if_streamed=63_000_000, frames=840, first_alert_at="2026-05-01T12:00:00Z",
    )  # fmt: skip
    open_live(page, service)

    saved = page.get_by_test_id("tile-saved")
    expect(saved).to_contain_text("99.9 %")
    expect(saved).to_contain_text("58 kB sent for 840 frames, instead of 63 MB")
    expect(saved.get_by_role("listitem")).to_have_text(["questions 46 kB", "alerts 12 kB"])
    expect(page.get_by_test_id("tile-alerts").get_by_role("listitem")).to_have_text(
        ["1 provisional", "5 confirmed", "2 retracted"]
    )
    expect(page.get_by_test_id("tile-asks")).to_contain_text("4 answered, 1 not")
    expect(page.get_by_test_id("tile-devices")).to_contain_text("2 of 3")
    service.push("summary", summary(devices=3, online=3))
    expect(page.get_by_test_id("tile-devices")).to_contain_text("3 of 3")


def test_a_device_card_follows_the_device(page: Page, service: FakeService):
    service.devices = [device("gate", telemetry=telemetry("2026-05-01T12:00:00Z"))]
    service.history = {"gate": [history_point("2026-05-01T12:00:00Z")]}
    open_live(page, service)

    card = page.get_by_test_id("device")
    expect(card).to_contain_text("online")
    expect(card).to_contain_text("5.4 ms")
    expect(card).to_contain_text("97 MiB")
    expect(card).to_contain_text("The chart begins with the second telemetry.")

    later = "2026-05-01T12:00:30Z"
    service.push(
        "device", device("gate", last_seen_at=later, telemetry=telemetry(later, uptime_s=150.0, outbox_depth=3))
    )
    expect(card.get_by_role("img")).to_have_accessible_name("frames/s, now 7.0 frames/s")
    expect(card).to_contain_text("3 alert messages wait to be sent")

    lost = [{"name": "north", "state": "lost", "detail": "the address does not answer"}]
    service.push("device", device("gate", presence="offline", reason="connection lost", cameras=lost))
    expect(card).to_contain_text("connection lost")
    expect(card.get_by_role("listitem")).to_contain_text("the address does not answer")


def test_telemetry_that_overtakes_the_answer_about_the_past_stays_in_the_chart(page: Page, service: FakeService):
    service.devices = [device("gate")]
    service.history = {"gate": [history_point("2026-05-01T12:00:00Z")]}
    service.tells_history.clear()
    open_live(page, service)
    later = "2026-05-01T12:00:30Z"
    service.push("device", device("gate", last_seen_at=later, telemetry=telemetry(later, uptime_s=150.0)))
    card = page.get_by_test_id("device")
    expect(card).to_contain_text("5.4 ms")
    service.tells_history.set()
    expect(card.get_by_role("img")).to_have_accessible_name("frames/s, now 7.0 frames/s")


def test_an_alert_appears_live_and_changes_in_place(page: Page, service: FakeService):
    service.alerts = [alert(1, label="car", state="confirmed")]
    open_live(page, service)
    expect(cards(page)).to_have_count(1)

    service.raise_alert(alert(2))
    expect(cards(page)).to_have_count(2)
    newest = cards(page).first
    expect(newest.get_by_test_id("state")).to_have_text("Provisional")
    expect(newest).to_contain_text("Waiting for an answer")
    expect(page.locator("[aria-live=polite]")).to_have_text("New alert: person on gate, north, provisional")
    newest.evaluate("card => { card.dataset.same = 'yes' }")

    gone = verdict(decision="retracted", label=None, score=None, box=None, late=True)
    service.raise_alert(alert(2, revision=1, state="retracted", decided_by="cloud", reason="no person", verdict=gone))
    expect(newest.get_by_test_id("state")).to_have_text(re.compile(r"Provisional →\s*Retracted"))
    expect(newest).to_contain_text(re.compile(r"The cloud saw nothing there\s+in 212\sms, after its deadline"))
    expect(newest).to_contain_text("no person")
    expect(newest).to_have_attribute("data-same", "yes")
    expect(cards(page)).to_have_count(2)
    expect(page.locator("[aria-live=polite]")).to_contain_text("retracted by the cloud")

    service.push("alert", alert(2))
    service.push_unchecked("alert", {"id": "nonsense"})
    service.raise_alert(alert(3))
    expect(cards(page)).to_have_count(3)
    expect(cards(page).nth(1).get_by_test_id("state")).to_contain_text("Retracted")


def test_hostile_text_stays_text(page: Page, service: FakeService):
    service.devices = [device("gate", reason=HOSTILE, presence="offline", agent_version=HOSTILE)]
    service.summary = summary(bytes_sent=1, bytes_if_streamed=100, bytes_by_reason={HOSTILE: 1})
    answer = verdict(label=HOSTILE, reason=HOSTILE, model=HOSTILE)
    service.alerts = [alert(1, label=HOSTILE, reason=HOSTILE_SHORT, verdict=answer)]
    open_live(page, service)
    service.raise_alert(alert(2, label=HOSTILE, reason=HOSTILE, verdict=answer))

    expect(cards(page)).to_have_count(2)
    expect(cards(page).first.get_by_role("link")).to_have_text(HOSTILE)
    cards(page).first.get_by_role("link").click()
    expect(page.get_by_test_id("detail").get_by_role("heading", level=2)).to_have_text(HOSTILE)
    expect(page.get_by_test_id("history")).to_contain_text(HOSTILE)
    expect(page.locator("img")).to_have_count(0)
    expect(page).to_have_title(re.compile("^Vedette"))


def test_filters_by_state_and_device(page: Page, service: FakeService):
    service.devices = [device("gate"), device("yard")]
    service.alerts = [
        alert(3, device="yard", state="retracted"),
        alert(2, state="confirmed"),
        alert(1, state="retracted"),
    ]
    open_live(page, service)
    expect(cards(page)).to_have_count(3)

    page.get_by_role("button", name="Retracted", exact=True).click()
    expect(cards(page)).to_have_count(2)
    page.get_by_label("Show alerts of").select_option("yard")
    expect(cards(page)).to_have_count(1)
    expect(cards(page)).to_contain_text("yard")

    service.raise_alert(alert(4))
    service.raise_alert(alert(5, device="yard", state="retracted"))
    expect(cards(page)).to_have_count(2)

    page.get_by_role("button", name="Provisional", exact=True).click()
    expect(page.get_by_test_id("empty")).to_contain_text("No alert matches")
    page.get_by_role("button", name="Show all alerts").click()
    expect(cards(page)).to_have_count(5)


def test_a_paused_feed_holds_new_alerts_back(page: Page, service: FakeService):
    service.alerts = [alert(1)]
    open_live(page, service)
    page.get_by_role("button", name="Pause").click()

    service.raise_alert(alert(2))
    service.raise_alert(alert(1, revision=1, state="confirmed", decided_by="cloud"))
    expect(cards(page).get_by_test_id("state")).to_contain_text("Confirmed")
    page.get_by_role("button", name="Show 1 new").click()
    expect(cards(page)).to_have_count(2)


def test_older_alerts_come_page_by_page(page: Page, service: FakeService):
    service.page_size = 20
    service.alerts = [alert(number) for number in range(45, 0, -1)]
    open_live(page, service)
    expect(cards(page)).to_have_count(20)
    page.get_by_role("button", name="Show older alerts").click()
    expect(cards(page)).to_have_count(40)
    page.get_by_role("button", name="Show older alerts").click()
    expect(cards(page)).to_have_count(45)
    expect(page.get_by_role("button", name="Show older alerts")).to_have_count(0)


def test_the_page_reconnects_and_catches_up(page: Page, service: FakeService, complaints: Complaints):
    service.alerts = [alert(1)]
    open_live(page, service)
    expect(cards(page)).to_have_count(1)

    service.stop()
    expect(page.get_by_test_id("banner")).to_contain_text("The service is out of reach")
    expect(page.get_by_test_id("banner")).to_contain_text("may be out of date")
    expect(cards(page)).to_have_count(1)

    service.alerts = [alert(2), alert(1, revision=1, state="confirmed", decided_by="cloud")]
    service.start()
    expect(page.get_by_test_id("link")).to_have_text("Live")
    expect(page.get_by_test_id("banner")).to_have_count(0)
    expect(cards(page)).to_have_count(2)
    expect(cards(page).last.get_by_test_id("state")).to_contain_text("Confirmed")
    service.raise_alert(alert(3))
    expect(cards(page)).to_have_count(3)
    complaints.forget_lost_connections()


def test_the_detail_shows_picture_boxes_and_history(page: Page, service: FakeService):
    asked = verdict()
    service.alerts = [alert(1)]
    open_live(page, service)
    service.raise_alert(alert(1, revision=1, state="confirmed", decided_by="cloud", score=0.91, verdict=asked))
    service.raise_alert(alert(2))

    cards(page).last.get_by_role("link").press("Enter")
    detail = page.get_by_test_id("detail")
    expect(detail).to_be_visible()
    expect(detail.get_by_test_id("picture")).to_have_accessible_name(
        "What north sent: the device's box says person, the cloud saw person 91 %"
    )
    expect(detail.get_by_test_id("history").get_by_role("listitem")).to_have_count(1)
    canvas = detail.locator("canvas")
    expect_colours(page, canvas, device=True, cloud=True)

    service.raise_alert(alert(1, revision=2, event="end", state="confirmed", decided_by="cloud", ended=True))
    expect(detail.get_by_test_id("history").get_by_role("listitem")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(detail).to_have_count(0)
    expect(cards(page).last).to_contain_text("over")


def test_a_link_opens_its_alert_and_a_wrong_one_says_so(page: Page, service: FakeService, complaints: Complaints):
    service.alerts = [alert(1, received_at="2026-05-01T11:58:00Z")]
    page.goto(f"{service.address}/#/alerts/{1:032x}")
    expect(page.get_by_test_id("detail")).to_contain_text("The device's clock is ahead by at least 2 min")

    page.goto(f"{service.address}/#/alerts/{9:032x}")
    expect(page.get_by_test_id("detail").get_by_role("alert")).to_contain_text("there is no alert")
    complaints.texts = [text for text in complaints.texts if "404" not in text]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(page: Page, service: FakeService, scheme: str):
    service.devices = [device("gate", telemetry=telemetry("2026-05-01T12:00:00Z")), device("y" * 63)]
    service.alerts = [alert(1, label="W" * 64, reason="x" * 500, verdict=verdict(reason="y" * 500))]
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    open_live(page, service)
    expect(cards(page)).to_have_count(1)

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    cards(page).get_by_role("link").click()
    expect(page.get_by_test_id("history")).to_be_attached()
    assert page.get_by_test_id("detail").evaluate("dialog => dialog.scrollWidth") <= 360


def expect_colours(page: Page, canvas: Locator, *, device: bool, cloud: bool) -> None:
    """Wait until both boxes' colours are on the canvas."""
    page.wait_for_function(
        """([canvas, wanted]) => {
          const own = new OffscreenCanvas(canvas.width, canvas.height);
          const copy = own.getContext("2d", { willReadFrequently: true });
          copy.drawImage(canvas, 0, 0);
          const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
          const has = (r, g, b) => {
            for (let i = 0; i < data.length; i += 4) {
              if (data[i] === r && data[i + 1] === g && data[i + 2] === b) return true;
            }
            return false;
          };
          return has(0xff, 0xb5, 0x2e) === wanted[0] && has(0x4f, 0xd8, 0xff) === wanted[1];
        }""",
        arg=[canvas.element_handle(), [device, cloud]],
    )
