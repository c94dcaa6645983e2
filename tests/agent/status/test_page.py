from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from agent.status.page import AlertLine, BandLine, BudgetLine, CameraLine, Shown, page_of

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'><b>", "&lt;"]
)


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(text: str = "x", state: str = "live", **changes: object) -> Shown:
    values: dict[str, object] = {
        "device": text,
        "version": text,
        "boot_id": text,
        "uptime_s": 3725.0,
        "rss_mib": 61.4,
        "broker": text,
        "online": True,
        "waiting": 3,
        "model": text,
        "update": ("idle", text),
        "cameras": [CameraLine(text, state, text, 10.0, 21.0, 5, 4, 3)],
        "alerts": [AlertLine("ab" * 16, "provisional", "end", text, 0.5, text, text, text, 70.0)],
        "errors": [(text, 2)],
        "bands": [BandLine(text, text, 0.3, 0.7, "infeasible", text, text, text)],
        "budgets": [BudgetLine(text, text, text, text, text, text, text)],
    }
    return Shown(**{**values, **changes})  # type: ignore[arg-type]


def read(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    elements.close()
    return elements


@given(TEXT)
def test_no_text_becomes_a_tag_or_a_script(text: str) -> None:
    elements = read(page_of(shown(text)))
    plain = read(page_of(shown()))
    assert elements.tags == plain.tags
    assert "script" not in elements.tags


def test_everything_comes_from_the_device() -> None:
    elements = read(page_of(shown("front door")))
    assert elements.sources == ["/style.css", "/frame/front%20door.jpg"]


def test_a_camera_that_is_lost_is_not_asked_for_a_picture() -> None:
    assert read(page_of(shown("yard", "lost"))).sources == ["/style.css"]


def test_it_says_how_things_stand() -> None:
    text = read(page_of(shown("yard"))).text
    for said in (
        "up 1 h 2 min, 61 MiB",
        "online",
        "3 alert messages wait",
        "provisional (over)",
        "1 min ago",
        "yard 2",
    ):
        assert said in text
    assert "never updated here" in read(page_of(shown(update=None))).text
    assert "None since the start" in read(page_of(shown(alerts=[]))).text


def test_what_foreign_code_says_of_a_camera_shows_no_password() -> None:
    camera = CameraLine("yard", "lost", "rtsp://admin:hunter2@10.0.0.3/live failed", 0.0, 0.0, 0, 0, 0)
    assert "hunter2" not in page_of(shown(cameras=[camera]))
