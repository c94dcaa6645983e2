"""The pages for rollouts and commands, and what a device's card says of its updates, in a real Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.cloud.dashboard.conftest import Complaints
from tests.cloud.dashboard.fake_service import (
    FakeService,
    alert,
    answered,
    command,
    device,
    grey_jpeg,
    model,
    order,
    reported,
    rollout,
    trial,
)

pytestmark = pytest.mark.system

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
REASON = "it finds 0.00 objects a frame where the current model finds 1.43"


def open_page(page: Page, service: FakeService, name: str) -> None:
    page.goto(service.address)
    expect(page.get_by_test_id("link")).to_have_text("Live")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
    expect(page).to_have_title(f"Vedette · {name}")


def rows(page: Page) -> Locator:
    return page.get_by_test_id("rollout-device")


def commands(page: Page) -> Locator:
    return page.get_by_test_id("command")


# --- getting about ------------------------------------------------------------------------------------------------


def test_pages_are_reached_by_keyboard_by_link_and_by_the_back_button(page: Page, service: FakeService):
    service.alerts = [alert(1)]
    page.goto(service.address)
    expect(page.get_by_test_id("link")).to_have_text("Live")
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    expect(links).to_have_text(["Overview", "Rollouts", "Commands", "Accuracy"])
    expect(links.nth(0)).to_have_attribute("aria-current", "page")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the alerts")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#alerts")).to_be_focused()
    links.nth(2).press("Enter")
    expect(page.get_by_role("heading", name="Commands")).to_be_visible()
    expect(page.get_by_role("main")).to_be_focused()
    expect(links.nth(2)).to_have_attribute("aria-current", "page")
    expect(page.get_by_test_id("alert")).to_have_count(0)

    page.go_back()
    expect(page.get_by_test_id("alert")).to_have_count(1)
    page.goto(f"{service.address}/#/no-such-page")
    expect(page.get_by_test_id("alert")).to_have_count(1)


def test_an_alert_opened_over_the_overview_leaves_it_where_it_was(page: Page, service: FakeService):
    service.alerts = [alert(number) for number in range(30, 0, -1)]
    page.goto(service.address)
    last = page.get_by_test_id("alert").last
    last.scroll_into_view_if_needed()
    before = page.evaluate("window.scrollY")
    assert before > 0
    last.get_by_role("link").click()
    expect(page.get_by_test_id("detail")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("detail")).to_have_count(0)
    # To click, the browser may have moved it by a little.
    assert page.evaluate("window.scrollY") > before / 2


def test_empty_pages_say_what_to_type(page: Page, service: FakeService):
    service.devices = [device("gate")]
    open_page(page, service, "Rollouts")
    expect(page.get_by_test_id("no-rollout")).to_contain_text("vedette rollout start NAME")
    page.get_by_role("link", name="Commands").click()
    expect(page.get_by_test_id("no-command")).to_contain_text("vedette command gate ping --wait")
    page.get_by_label("Show commands to").select_option("gate")
    expect(page.get_by_test_id("no-command")).to_contain_text("Nothing was asked of gate.")
    expect(page).to_have_url(re.compile("#/commands/gate$"))


# --- rollouts -----------------------------------------------------------------------------------------------------


def test_a_rollout_is_followed_live_to_its_halt(page: Page, service: FakeService):
    names = ["gate", "yard", "dock"]
    service.devices = [device(name, reported=reported(name)) for name in names]
    open_page(page, service, "Rollouts")
    expect(page.get_by_test_id("no-rollout")).to_be_visible()

    policy = {"stages": [34, 100], "canaries": ["gate"]}
    service.move_rollout(rollout(1, order("gate"), policy=policy))
    shown = page.get_by_test_id("rollout")
    expect(shown.get_by_role("heading", level=2)).to_have_text("nanodet-g-416-fp16 1.0.0")
    expect(shown).to_contain_text("in the place of ssdlite-mobilenetv2 1.0.0")
    expect(page.get_by_test_id("stages").get_by_role("listitem")).to_have_text(
        [re.compile(r"34 %\s+1 device$"), re.compile(r"100 %\s+ahead")]
    )
    expect(page.locator("[aria-current=step]")).to_contain_text("34 %")
    expect(rows(page)).to_contain_text("no answer yet")

    own = {"deployment_id": f"{1:032x}", "target": model("nanodet-g-416-fp16", 2)}
    downloading = reported("gate", state="downloading", progress=0.4, **own)
    service.push("device", device("gate", reported=downloading))
    expect(rows(page)).to_contain_text("downloading 40\u00a0%")
    expect(rows(page).get_by_role("progressbar")).to_have_attribute("aria-valuenow", "40")

    rejected = reported("gate", state="rejected", reason=REASON, trial=trial(), **own)
    service.push("device", device("gate", reported=rejected))
    refused = order("gate", fate="failed", state="rejected", reason=REASON)
    why = f"1 of all 1 device tried failed; most often: {REASON}"
    service.move_rollout(rollout(1, refused, order("yard"), policy=policy, phase="halted", reason=why))
    expect(page.get_by_test_id("reason")).to_contain_text(f"Halted: {why}")
    expect(page.get_by_test_id("reason").get_by_role("listitem").first).to_contain_text(
        f"vedette rollout rollback {0:08x}"
    )
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first).to_contain_text(REASON)
    expect(rows(page).first).to_contain_text(re.compile(r"agreement 87\s%.*22\sms against 5\.4\sms.*30 frames"))
    expect(page.get_by_test_id("counts").get_by_role("img")).to_have_accessible_name(
        "Of 3 devices: 0 run it, 1 at work, 1 failed, 0 away, 1 not told yet"
    )
    expect(page.get_by_test_id("counts")).to_contain_text(re.compile(r"They report:\s+no answer yet 1 · rejected 1"))
    expect(page.get_by_test_id("rollouts").get_by_role("link")).to_contain_text("halted")

    page.get_by_text("Gates and policy").click()
    expect(shown).to_contain_text(re.compile(r"Agreement with the present model\s*at least 30\s%"))
    expect(shown).to_contain_text(re.compile(r"Canaries\s*gate"))


def test_the_navigation_says_when_a_rollout_needs_a_person(page: Page, service: FakeService):
    service.rollouts = [rollout(2, order("gate")), rollout(1, phase="finished")]
    page.goto(service.address)
    expect(page.get_by_test_id("link")).to_have_text("Live")
    link = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Rollouts")
    expect(link).to_have_accessible_name("Rollouts under way")

    service.move_rollout(rollout(2, order("gate", fate="failed"), phase="halted", reason=REASON))
    expect(link).to_have_accessible_name("Rollouts halted")
    expect(page.locator("[aria-live=polite]")).to_have_text(
        f"The rollout of nanodet-g-416-fp16 1.0.0 halted: {REASON}"
    )
    service.move_rollout(rollout(2, order("gate", fate="failed"), phase="aborted"))
    expect(link).to_have_accessible_name("Rollouts")


def test_an_older_rollout_is_looked_at_while_another_one_moves(page: Page, service: FakeService):
    done = order("gate", fate="committed", state="committed")
    service.rollouts = [rollout(2, order("gate")), rollout(1, done, phase="finished", stage=3, reason="1 run it")]
    open_page(page, service, "Rollouts")
    listed = page.get_by_test_id("rollouts").get_by_role("link")
    expect(listed).to_have_count(2)
    expect(listed.first).to_have_attribute("aria-current", "true")

    listed.nth(1).click()
    expect(page).to_have_url(re.compile(f"#/rollouts/{1:032x}$"))
    expect(page.get_by_test_id("reason")).to_have_text("1 run it")
    service.move_rollout(rollout(2, order("gate", state="proving"), phase="paused", reason="a person paused it"))
    expect(listed.first).to_contain_text("paused")
    expect(page.get_by_test_id("reason")).to_have_text("1 run it")
    expect(page.get_by_test_id("stages").get_by_text("passed")).to_have_count(4)


def test_a_link_to_a_rollout_that_is_not_there_says_so(page: Page, service: FakeService, complaints: Complaints):
    service.rollouts = [rollout(1, order("gate"))]
    page.goto(f"{service.address}/#/rollouts/{9:032x}")
    expect(page.get_by_role("alert")).to_contain_text("there is no rollout")
    page.get_by_test_id("rollouts").get_by_role("link").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(rows(page)).to_have_count(1)
    complaints.texts = [text for text in complaints.texts if "404" not in text]


@pytest.mark.parametrize("meanwhile", ["Rollouts", "Commands"])
def test_what_moved_while_the_service_was_away_is_read_afresh(
    page: Page, service: FakeService, complaints: Complaints, meanwhile: str
):
    service.rollouts = [rollout(1, order("gate"))]
    open_page(page, service, "Rollouts")
    expect(rows(page)).to_contain_text("at work")
    page.get_by_role("link", name=meanwhile).click()
    service.stop()
    expect(page.get_by_test_id("banner")).to_be_visible()
    service.rollouts = [rollout(1, order("gate", fate="committed", state="committed"), phase="finished")]
    service.start()
    expect(page.get_by_test_id("link")).to_have_text("Live")
    page.get_by_role("link", name="Rollouts").click()
    expect(rows(page)).to_contain_text("runs it")
    complaints.forget_lost_connections()


def test_a_device_card_tells_of_its_update(page: Page, service: FakeService):
    service.devices = [device("gate"), device("yard", reported=reported("yard"))]
    page.goto(service.address)
    cards = page.get_by_test_id("device")
    expect(cards.first.get_by_test_id("update")).to_have_text("ssdlite-mobilenetv2 1.0.0")
    expect(cards.last.get_by_test_id("update")).to_have_text("ssdlite-mobilenetv2 1.0.0")

    bad = model("nanodet-g-416-fp16", 2)
    service.push(
        "device",
        device(
            "yard",
            reported=reported(
                "yard", state="rolled_back", reason=REASON, target=bad, deployment_id=f"{1:032x}", trial=trial(),
                trust="MetadataExpired", quarantined=[bad["digest"]],
            ),
        ),
    )  # fmt: skip
    update = cards.last.get_by_test_id("update")
    expect(update).to_contain_text("rolled back")
    expect(update).to_contain_text(re.compile(r"Update was to\s+nanodet-g-416-fp16 1\.0\.0"))
    expect(update).to_contain_text(REASON)
    expect(update).to_contain_text("Takes no update: the signed metadata has expired")
    expect(update.locator("code")).to_have_attribute("title", bad["digest"])
    service.rollouts = [rollout(1, order("yard"))]
    update.get_by_role("link", name="nanodet").click()
    expect(rows(page)).to_contain_text("yard")

    page.go_back()
    service.push(
        "device", device("yard", reported=reported("yard", state="committed", running=bad, reason="watched"))
    )
    expect(update).to_have_text(re.compile(r"^nanodet-g-416-fp16 1\.0\.0\s+committed\s*$"))


# --- commands -----------------------------------------------------------------------------------------------------


def test_a_command_is_followed_to_its_result(page: Page, service: FakeService):
    open_page(page, service, "Commands")
    expect(page.get_by_test_id("no-command")).to_be_visible()
    service.change_commands(command(1, name="snapshot", arguments={"camera": "north", "quality": 80}))
    card = commands(page)
    expect(card.get_by_role("heading")).to_have_text(re.compile(r"snapshot\s+to gate"))
    expect(card).to_contain_text("camera=north quality=80")
    expect(card).to_contain_text("by anna")
    expect(card).to_contain_text("sent")

    service.change_commands(command(1, name="snapshot", state="running", progress=0.5, reason="sending 4096 bytes"))
    expect(card).to_contain_text("running 50\u00a0%")
    expect(card.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")

    service.pictures[f"{1:032x}"] = grey_jpeg()
    told = {"camera": "north", "bytes": 4096, "picture": "https://example.org/spy.jpg"}
    service.change_commands(answered(1, "ok", name="snapshot", result=told))
    picture = card.get_by_role("img", name="What gate saw")
    expect(picture).to_have_attribute("src", f"/api/commands/{1:032x}/snapshot")
    page.wait_for_function("image => image.naturalWidth === 160", arg=picture.element_handle())
    expect(card).to_contain_text(re.compile(r"done\s+after 3\ss"))


def test_every_outcome_is_told_apart_and_a_long_result_folds(page: Page, service: FakeService):
    service.commands = [
        answered(4, "ok", result={"times": 1}),
        answered(3, "refused", name="update-model", reason="a command can't choose a model"),
        answered(2, "expired", reason="the device was not there before it expired"),
        answered(1, "ok", name="diagnose", result={"log": ["line"] * 40}),
    ]
    open_page(page, service, "Commands")
    expect(commands(page)).to_have_count(4)
    expect(commands(page).nth(0)).to_contain_text("times=1")
    expect(commands(page).nth(1)).to_contain_text("a command can't choose a model")
    expect(commands(page).nth(2)).to_contain_text("expired")
    folded = commands(page).nth(3)
    expect(folded.locator("pre")).not_to_be_visible()
    folded.get_by_text("Result").click()
    expect(folded.locator("pre")).to_contain_text('"log"')


def test_the_trail_is_filtered_paged_and_kept_current(page: Page, service: FakeService):
    service.page_size = 20
    service.devices = [device("gate"), device("yard")]
    service.commands = [command(number, device="yard" if number % 2 else "gate") for number in range(60, 0, -1)]
    open_page(page, service, "Commands")
    expect(commands(page)).to_have_count(20)
    page.get_by_role("button", name="Show older commands").click()
    expect(commands(page)).to_have_count(40)

    service.change_commands(command(61), *service.commands)
    expect(commands(page)).to_have_count(41)
    page.get_by_label("Show commands to").select_option("yard")
    expect(commands(page)).to_have_count(20)
    expect(commands(page).filter(has_text="to gate")).to_have_count(0)
    page.get_by_role("button", name="Show older commands").click()
    expect(commands(page)).to_have_count(30)
    expect(page.get_by_role("button", name="Show older commands")).to_have_count(0)


def test_nothing_is_asked_for_that_nobody_looks_at(page: Page, service: FakeService):
    with page.expect_response(lambda answer: "/api/rollouts" in answer.url):
        page.goto(service.address)
    expect(page.get_by_test_id("link")).to_have_text("Live")
    service.change_commands(command(1))
    service.move_rollout(rollout(1, order("gate")))
    service.raise_alert(alert(1))
    expect(page.get_by_test_id("alert")).to_have_count(1)
    assert set(service.asked) == {"open rollouts"}

    page.get_by_role("link", name="Commands").click()
    expect(commands(page)).to_have_count(1)
    asked = service.asked.count("commands")
    service.change_commands(command(2), command(1))
    expect(commands(page)).to_have_count(2)
    assert service.asked.count("commands") == asked + 1
    assert "rollouts" not in service.asked


# --- hostile and narrow -------------------------------------------------------------------------------------------


def test_hostile_text_stays_text_on_every_page(page: Page, service: FakeService):
    said = reported("gate", state="rejected", reason=HOSTILE, target=model("nanodet-g-416-fp16", 2), trust=HOSTILE)
    service.devices = [device("gate", reported=said)]
    service.rollouts = [
        rollout(1, order("gate", fate="failed", state="rejected", reason=HOSTILE), phase="halted", reason=HOSTILE)
    ]
    service.commands = [
        answered(2, "failed", reason=HOSTILE, issued_by=HOSTILE, arguments={HOSTILE: HOSTILE}, result={HOSTILE: 1}),
        answered(1, "ok", name="diagnose", result={"log": [HOSTILE] * 20}),
    ]
    page.goto(service.address)
    expect(page.get_by_test_id("update")).to_contain_text(f"Takes no update: {HOSTILE}")
    page.get_by_role("link", name="Rollouts").click()
    expect(page.get_by_test_id("reason")).to_contain_text(HOSTILE)
    expect(rows(page)).to_contain_text(HOSTILE)
    expect(page.locator("main img")).to_have_count(0)
    page.get_by_role("link", name="Commands").click()
    expect(commands(page).first).to_contain_text(f"{HOSTILE}={HOSTILE}")
    commands(page).last.get_by_text("Result").click()
    expect(commands(page).last.locator("pre")).to_contain_text("onerror")
    expect(page.locator("main img")).to_have_count(0)
    expect(page).to_have_title("Vedette · Commands")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_every_page_without_scrolling_sideways(page: Page, service: FakeService, scheme: str):
    long = "y" * 63
    service.devices = [device(long, reported=reported(long, state="rejected", reason="x" * 400, trial=trial()))]
    service.rollouts = [
        rollout(1, order(long, fate="failed", state="rejected", reason="x" * 400), phase="halted", reason="z" * 400)
    ]
    service.commands = [answered(1, "refused", device=long, reason="x" * 400, arguments={"toml": "w" * 400})]
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    page.goto(service.address)
    for name, shown in (("Overview", "device"), ("Rollouts", "rollout-device"), ("Commands", "command")):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_test_id(shown)).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_badge_can_be_read(page: Page, service: FakeService, scheme: str):
    """Text against its own background, by WCAG's formula: at least 4.5."""
    fates = ("committed", "failed", "pending", "away")
    service.rollouts = [rollout(1, *(order(fate, fate=fate, reason="why") for fate in fates), reason="waiting")]
    page.emulate_media(color_scheme=scheme)
    open_page(page, service, "Rollouts")
    expect(rows(page)).to_have_count(4)
    faint = page.evaluate(
        """() => {
          const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
          const rgba = (colour) => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
          };
          const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
            .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (element) => {
            for (let at = element; at; at = at.parentElement) {
              const colour = rgba(getComputedStyle(at).backgroundColor);
              if (colour[3] === 255) return colour;
            }
            return [255, 255, 255, 255];
          };
          const found = [];
          for (const element of document.querySelectorAll("body *")) {
            const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
            if (!own || !element.checkVisibility() || element.closest(".unseen, .skip")) continue;
            const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) found.push(`${element.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
          }
          return found;
        }"""
    )
    assert faint == []
