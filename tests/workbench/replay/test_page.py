"""The page and the words on it; in a real browser where there is one."""

import json
import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from agent.adapters.http_asker import HTTP_BYTES
from agent.domain import Track
from tests.cloud.dashboard.conftest import WAIT_MS
from wire.messages import AlertState
from workbench.replay.budget import Rate, Share
from workbench.replay.events import AlertFigures
from workbench.replay.page import page
from workbench.replay.policies import Policy
from workbench.replay.results import Run
from workbench.replay.scoring import Alerting, Catch, Verdicts
from workbench.replay.telling import (
    MEANINGS,
    Advised,
    Told,
    advised,
    facts,
    figure,
    in_lines,
    lead,
    own_cost,
    settings,
    share,
    steps,
    where,
)
from workbench.replay.walk import Outcome, Seen, Sent

STREAM = 1_000_000
TOLD = Told(
    source="</script><b>clip</b>.avi", frames=range(100), size=(768, 576), fps=10.0, streamed_per_s=STREAM / 10,
    device="a small model", cloud="a large one", by_cloud=False, names=("person",), latency_ms=300.0, looks=2.3,
    question_bytes=2500.0,
)  # fmt: skip
ONE, FIVE = Share(0.01, "1%"), Share(0.05, "5%")


def ran(policy, budget, sent_bytes, f1):
    track = Track(1, "person", 0.9, 0.9, (0.1, 0.1, 0.2, 0.4), 0.0, 0.0, 5, seen_now=True)
    seen = [Seen(i, i / 10, (track,)) for i in range(100)]
    if sent_bytes:
        seen[50].sent.append(Sent(sent_bytes - HTTP_BYTES, "uncertain"))
    outcome = Outcome(tuple(seen), dict.fromkeys(AlertState, 0), 0.0, 0.0)
    caught = () if f1 is None else (Catch(100, f1, f1, f1, f1),)
    return Run(policy, budget, outcome, STREAM, 10.0, caught, agreement=False, alertings=({},))


RUNS = [
    ran(Policy.NEVER, None, 0, 0.80),
    ran(Policy.ALWAYS, None, STREAM, 0.92),
    ran(Policy.RANDOM, ONE, 9_000, 0.805),
    ran(Policy.RANDOM, FIVE, 48_000, 0.82),
    ran(Policy.OURS, ONE, 8_000, 0.88),
    ran(Policy.OURS, FIVE, 45_000, 0.925),
]


def data_of(made):
    return json.loads(re.search(r'id="data">(.*?)</script>', made, re.DOTALL)[1])


def test_the_sentence_names_what_to_use_and_what_it_is_held_against():
    said = "Use ours 5%: F1 .925 for 4.5 % of the bytes, where the device alone gets .800."
    assert lead(RUNS, TOLD) == f"{said} Sending every frame gets .920."


def test_nothing_is_sent_where_nothing_is_gained():
    assert lead([RUNS[0], ran(Policy.OURS, FIVE, 45_000, 0.801)], TOLD).startswith("Send nothing: ")


def test_what_could_not_be_measured_is_not_advised():
    assert "Nothing could be measured" in lead([ran(Policy.OURS, FIVE, 1000, None)], TOLD)


def test_what_asking_takes_is_told_of_the_run_where_it_is_most():
    slow, fast = ran(Policy.OURS, FIVE, 1000, 0.8), ran(Policy.OURS, ONE, 1000, 0.8)
    for seen in slow.outcome.seen:
        seen.policy_s = 0.0004 if seen.index % 10 else 0.0006
    said = "Asking takes this machine 0.42 ms a frame, and no more than 0.60 ms in 95 of 100 (ours 5%)."
    assert own_cost([RUNS[0], fast, slow]) == said
    assert said in page([slow], [FIVE], TOLD)
    assert own_cost(RUNS[:4]) == ""


def test_each_budget_has_its_setting():
    found = steps(RUNS, [ONE, FIVE, Rate(10.0, "10B/s")], TOLD)
    assert {step.heading: step.use for step in found} == {
        "1% (86.4 MB a day)": "ours 1%: F1 .880 for 0.8 % of the bytes",
        "5% (432.0 MB a day)": "ours 5%: F1 .925 for 4.5 % of the bytes",
        "10B/s (864.0 kB a day)": "never: F1 .800 for no bytes at all",
    }

    looks = ["[looks]", "per_frame = 2.3"]
    assert [in_lines(settings(step.run, TOLD)) for step in found] == [
        ["[asking.budget]", 'bytes = "3.6MB/hour"', "questions_per_minute = 6000", *looks],
        ["[asking.budget]", 'bytes = "18MB/hour"', "questions_per_minute = 6000", *looks],
        [*looks, "And no table [ask]."],
    ]
    assert [step.note for step in found] == [None] * 3, "the labels don't say who is who"


def test_what_is_best_but_no_setting_of_a_device_is_said_to_be_none():
    best = advised([RUNS[0], RUNS[3]], TOLD).run
    assert best.name == "random 5%"
    assert in_lines(settings(best, TOLD)) == ["No device can be set to this: it is here to compare."]


def test_no_setting_is_named_where_none_is_advised():
    unmeasured = [ran(Policy.OURS, FIVE, 1000, None)]
    assert advised(unmeasured, TOLD).run is None
    assert steps(unmeasured, [FIVE], TOLD)[0].run is None
    assert data_of(page(unmeasured, [FIVE], TOLD))["set"] == {"tables": [], "beside": ""}


def with_alerts(run, in_time, false):
    figures = AlertFigures(10, 8 + false, in_time, 8 / (8 + false), 0.0, 0.2)
    return replace(run, alertings=({"person": Alerting(figures, figures, Verdicts())},))


def test_what_is_advised_for_its_f1_is_said_to_lose_alerts():
    never, ours = with_alerts(RUNS[0], 0.9, 0), with_alerts(RUNS[-1], 0.8, 1)
    said = (
        "Than the device alone it finds fewer in time: .80 instead of .90, and it raises more false alerts: 1.0"
        " instead of 0.0 a run. Of one run each this may be chance: --repeats tells."
    )
    assert advised([never, ours], TOLD) == Advised(ours, said)
    assert [step.note for step in steps([never, ours], [ONE, FIVE], TOLD)] == [None, said]
    made = data_of(page([never, ours], [FIVE], TOLD))
    assert (made["note"], made["steps"][0]["note"]) == (said, said)
    assert advised([never], TOLD).note is advised([ours], TOLD).note is None


class Refusing:
    """An agent's file beside which some amounts are refused."""

    name, asks, cameras = "agent.toml", True, 1

    def __init__(self, *amounts):
        self.amounts = amounts

    def complaint(self, chosen):
        return "too little" if chosen.budget in self.amounts else None


def test_what_the_agent_refuses_is_no_advice_where_something_else_is_as_good():
    told = replace(TOLD, checks=Refusing("3.6MB/hour"))
    never, one, five = RUNS[0], RUNS[4], ran(Policy.OURS, FIVE, 45_000, 0.879)
    assert advised([never, one, five], TOLD).run is one
    assert advised([never, one, five], told) == Advised(five, None)
    assert lead([never, one, five], told).startswith("Use ours 5%: ")


def test_where_the_agent_refuses_what_is_better_that_is_said_and_with_what_to_try():
    said = "With the settings of ours 1% (F1 .880) `vedette-agent check` refuses agent.toml: too little."
    longer = f"{said} It takes as much over a longer time: replay 604.8MB/week."
    some, all_of_them = (
        Refusing("3.6MB/hour", "86.4MB/day"),
        Refusing("3.6MB/hour", "86.4MB/day", "604.8MB/week", "2.592GB/month"),
    )
    told = replace(TOLD, checks=some)
    assert advised([RUNS[0], RUNS[4]], told) == Advised(RUNS[0], longer)
    assert advised([RUNS[4]], replace(TOLD, checks=all_of_them)) == Advised(RUNS[4], said)
    (step,) = steps([RUNS[4]], [ONE], told)
    assert (step.run, step.note, in_lines(settings(step.run, told))) == (RUNS[4], longer, [])
    assert settings(step.run, told).for_programs() is None
    made = data_of(page([RUNS[4]], [ONE], told))
    assert (made["note"], made["set"]) == (longer, {"tables": [], "beside": ""})
    assert (made["steps"][0]["note"], made["steps"][0]["set"]) == (longer, {"tables": [], "beside": ""})


def test_a_file_without_the_table_for_asking_is_said_to_need_it():
    told = replace(TOLD, checks=Refusing())
    told.checks.asks = False
    assert in_lines(settings(RUNS[4], told))[-1] == "And a table [ask], which the file does not have yet."
    assert in_lines(settings(RUNS[0], told))[-1] == "And no table [ask]."


def test_of_a_device_with_several_cameras_the_amount_is_said_to_be_of_all():
    told = replace(TOLD, checks=Refusing())
    assert where(told) == where(TOLD)
    told.checks.cameras = 10
    assert where(told) == f"{where(TOLD)} The amount is the whole device's; of its 10 cameras one was replayed."
    assert data_of(page(RUNS, [ONE], told))["where"] == where(told)


def test_the_camera_s_own_budget_is_named():
    assert "budget" not in facts(TOLD)
    limited = replace(TOLD, camera_limits="20MB/day")
    assert "The camera's own budget holds as well: 20MB/day." in facts(limited)


def test_every_policy_is_explained():
    assert set(MEANINGS) == set(Policy)


@pytest.mark.parametrize(("value", "text"), [(0.9361, ".936"), (1.0, "1.000"), (0.0, ".000")])
def test_figures_as_the_field_writes_them(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "nothing"), (0.00037, "0.037 %"), (0.0456, "4.6 %"), (0.5, "50 %"), (1.0, "100 %")]
)
def test_shares_have_the_digits_that_matter(value, text):
    assert share(value) == text


def test_the_page_needs_nothing_from_elsewhere():
    made = page(RUNS, [ONE, FIVE], TOLD)
    assert "</script><b>" not in made
    assert re.findall(r"(?:src|href)=|@import|url\(|https?://(?!www\.w3\.org/2000/svg)", made) == []
    assert len(data_of(made)["runs"]) == len(RUNS)


@pytest.mark.parts
def test_the_page_in_a_browser(browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page(RUNS, [ONE, FIVE], TOLD), "utf-8")
    complaints, requests = [], []
    view = browser.new_page(viewport={"width": 1100, "height": 900})
    view.set_default_timeout(WAIT_MS)
    view.on("pageerror", lambda error: complaints.append(str(error)))
    view.on("console", lambda message: complaints.append(message.text))
    view.on("request", lambda request: requests.append(request.url))
    view.goto(file.as_uri())

    assert view.locator("#lead").inner_text().replace("\N{NO-BREAK SPACE}", " ") == lead(RUNS, TOLD)
    assert view.locator("#set code").all_text_contents() == list(settings(RUNS[-1], TOLD).tables)
    assert view.locator("#where").inner_text() == where(TOLD)
    assert view.locator("#steps li").count() == 2
    assert view.locator("#steps code").first.inner_text().splitlines()[:2] == [
        "[asking.budget]",
        'bytes = "3.6MB/hour"',
    ]
    assert not view.locator("#note").is_visible()
    assert view.locator("#chart circle").count() == len(RUNS)
    assert view.locator("#chart .name").all_text_contents() == ["ours", "always", "random", "never"]
    assert view.locator("#runs tr").count() == 1 + len(RUNS)
    assert view.locator("#when").is_visible()

    ours = view.locator('#chart [data-policy="ours"] circle')
    (left, right) = (ours.nth(place).bounding_box() for place in range(2))
    assert left["x"] < right["x"]
    assert left["y"] > right["y"]
    ours.nth(1).hover()
    expect(view.locator(".tip")).to_be_visible()
    assert view.locator(".tip").inner_text().splitlines()[:2] == ["ours 5%", "45 kB in 1 picture: 4.5 %"]
    view.get_by_role("button", name="Recall").click()
    expect(view.locator("#chart circle")).to_have_count(len(RUNS))
    assert (complaints, requests) == ([], [file.as_uri()])
    view.close()
