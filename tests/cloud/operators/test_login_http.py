"""The gate, the login and the cookie, over ASGI on the real database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.errors import StoreFailed
from cloud.operators.errors import LoginRefused
from cloud.store.operators import OperatorStore
from cloud.web.login import read_form
from tests.cloud.operators.site import COOKIE, ORIGIN, PASSWORD, WRONG, Site, cheap, site_at
from tests.cloud.samples import BOUND_S

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    cheap(monkeypatch)
    (tmp_path / "index.html").write_text("<title>the dashboard</title>")
    async with site_at(tmp_path) as made:
        yield made


async def test_who_logs_in_is_let_in_and_who_logs_out_is_not(site: Site) -> None:
    assert await site.who() is None
    answer = await site.log_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert await site.who() == "anna"
    assert (await site.http.get("/")).text == "<title>the dashboard</title>"
    kept = site.http.cookies[COOKIE]
    gone = await site.http.delete("/api/session", headers={"Origin": ORIGIN})
    assert gone.status_code == 204
    assert COOKIE not in site.http.cookies
    assert await site.who() is None
    site.http.cookies.set(COOKIE, kept, domain="vedette.lan")
    assert await site.who() is None, "the session goes on, though the browser forgot it"


async def test_the_cookie_is_for_this_host_over_tls_and_not_for_scripts(site: Site) -> None:
    said = (await site.log_in()).headers["set-cookie"]
    cookie = SimpleCookie(said)[COOKIE]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, True, "strict", "/")
    assert (cookie["max-age"], cookie["domain"]) == ("43200", "")
    assert len(cookie.value) == 43
    gone = (await site.http.delete("/api/session", headers={"Origin": ORIGIN})).headers["set-cookie"]
    assert SimpleCookie(gone)[COOKIE]["secure"], "a browser takes a __Host- cookie back only so"


async def test_a_person_is_led_to_the_login_and_a_program_is_told(site: Site) -> None:
    page = await site.http.get("/", headers=HTML)
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    told = await site.http.get("/api/alerts")
    assert (told.status_code, told.json()["error"]) == (401, "LoginRequired")
    assert told.headers["www-authenticate"] == "Bearer"
    assert "vedette operator token" in told.json()["mend"]
    for answer in (page, told):
        assert answer.headers["cache-control"] == "no-store"


async def test_a_link_from_elsewhere_is_followed_once_more_from_here(site: Site) -> None:
    """The browser keeps the cookie back at first, and sends it when a page of ours opens the same address."""
    first = await site.http.get("/", headers=HTML | {"Sec-Fetch-Site": "cross-site"})
    assert first.status_code == 200
    assert 'src="/login/again.js"' in first.text
    assert "/login/again" in (await site.http.get("/login/again.js")).text
    assert (await site.http.get("/login/again")).headers["location"] == "/"
    again = await site.http.get("/", headers=HTML | {"Sec-Fetch-Site": "same-origin"})
    assert again.headers["location"] == "/login"


async def test_pages_keep_their_headers_and_the_form_has_its_own(site: Site) -> None:
    page = await site.http.get("/login")
    assert page.status_code == 200
    assert page.headers["x-frame-options"] == "DENY"
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    # Under `no-referrer`, browsers say `Origin: null` of a form.
    assert page.headers["referrer-policy"] == "same-origin"
    style = await site.http.get("/login/style.css")
    assert (style.status_code, style.headers["content-type"].partition(";")[0]) == (200, "text/css")
    assert (await site.http.get("/login/mark.svg")).headers["content-type"] == "image/svg+xml"
    await site.log_in()
    shown = await site.http.get("/")
    assert "form-action 'none'" in shown.headers["content-security-policy"]
    assert shown.headers["cache-control"] == "private, no-cache"


async def test_a_wrong_name_and_a_wrong_password_are_answered_alike(site: Site) -> None:
    answers = [await site.log_in("anna", WRONG), await site.log_in("nobody", PASSWORD)]
    assert [answer.status_code for answer in answers] == [401, 401]
    texts = [answer.text.replace('value="nobody"', 'value="anna"') for answer in answers]
    assert texts[0] == texts[1]
    assert "Name or password is wrong." in texts[0]
    assert site.counters["login.failed"] == 2


async def test_hostile_text_in_the_form_stays_text(site: Site) -> None:
    answer = await site.log_in('"><script>alert(1)</script>', WRONG)
    assert "<script" not in answer.text


async def test_a_name_is_taken_as_phones_write_it(site: Site) -> None:
    assert (await site.log_in(" Anna ")).status_code == 303


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "https://vedette.lan", ORIGIN + ".evil.example"]
)
async def test_a_form_from_elsewhere_is_refused(site: Site, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    form = {"name": "anna", "password": PASSWORD}
    answer = await site.http.post("/login", data=form, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    await site.log_in()
    refused = await site.http.delete("/api/session", headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (403, "RequestForeign")
    assert await site.who() == "anna"


@pytest.mark.parametrize(
    "shown",
    ["", "x", "x" * 43, "x" * 5000, "%00", "a=b", '"quoted"'],
)
async def test_a_cookie_that_is_no_session_lets_nobody_in(site: Site, shown: str) -> None:
    answer = await site.http.get("/api/session", headers={"Cookie": f"{COOKIE}={shown}; vedette={shown}"})
    assert answer.status_code == 401


async def test_a_program_shows_a_token(site: Site) -> None:
    token = await site.accounts.new_token("anna", "prometheus")
    bearing = {"Authorization": f"Bearer {token}"}
    answer = await site.http.get("/api/session", headers=bearing)
    assert answer.json() == {"asked": True, "operator": "anna", "by_session": False}
    await site.log_in()
    for wrong in ("", "Bearer", "Bearer " + token[:-1], "Basic YTpi", "Bearer " + site.http.cookies[COOKIE]):
        answer = await site.http.get("/api/session", headers={"Authorization": wrong})
        assert answer.status_code == 401, wrong
    await site.accounts.remove_token("anna", "prometheus")
    assert (await site.http.get("/api/session", headers=bearing)).status_code == 401


# --- guesses --------------------------------------------------------------------------------------------------------


async def test_guesses_from_an_address_are_held_back(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for number in range(10):
            assert (await site.log_in(f"name{number}", WRONG)).status_code == 401
        held = [await site.log_in("anna", PASSWORD) for _ in range(3)]
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in held} == {(429, "6")}
    assert "Wait 6 s" in held[0].text
    assert site.counters["login.held_back"] == 3
    assert [one.message for one in caplog.records].count("logins are held back") == 1
    async with site.from_address("192.0.2.7") as other:
        form = {"name": "anna", "password": PASSWORD}
        assert (await other.post("/login", data=form, headers={"Origin": ORIGIN})).status_code == 303
    site.clock.turn(6)
    assert (await site.log_in()).status_code == 303


async def test_guesses_of_a_name_are_held_back_from_wherever_and_whether_or_not_it_is_one(site: Site) -> None:
    for name in ("anna", "nobody"):
        answers = []
        for number in range(21):
            async with site.from_address(f"2001:db8:{number:x}::1") as one:
                form = {"name": name, "password": WRONG}
                answers.append((await one.post("/login", data=form, headers={"Origin": ORIGIN})).status_code)
        assert answers == [401] * 20 + [429]
    site.clock.turn(30)
    assert (await site.log_in()).status_code == 303


async def test_a_host_with_many_ipv6_addresses_is_one(site: Site) -> None:
    answers = []
    for number in range(11):
        async with site.from_address(f"2001:db8::{number:x}") as one:
            form = {"name": f"name{number}", "password": WRONG}
            answers.append((await one.post("/login", data=form, headers={"Origin": ORIGIN})).status_code)
    assert answers == [401] * 10 + [429]


async def test_the_log_names_operators_and_nothing_that_was_typed(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await site.log_in("anna", WRONG)
        await site.log_in(PASSWORD, "")
        await site.log_in()
        await site.http.delete("/api/session", headers={"Origin": ORIGIN})
    told = [(one.message, getattr(one, "operator", None), getattr(one, "address", None)) for one in caplog.records]
    assert [line for line in told if line[2] is not None] == [
        ("login failed", "anna", "127.0.0.1"),
        ("login failed", None, "127.0.0.1"),
        ("operator logged in", "anna", "127.0.0.1"),
        ("operator logged out", "anna", "127.0.0.1"),
    ]
    everything = " ".join(str(vars(one)) for one in caplog.records)
    assert PASSWORD not in everything
    assert WRONG not in everything


# --- forms ----------------------------------------------------------------------------------------------------------


@given(st.text(max_size=63), st.text(max_size=256))
def test_what_a_browser_sends_is_read_as_it_was_typed(name: str, password: str) -> None:
    try:
        sent = urlencode({"name": name, "password": password}).encode()
    except UnicodeEncodeError:  # half a surrogate pair: no browser sends that
        return
    assert read_form(sent) == (name.strip().lower()[:63], password)


@given(
    st.binary(max_size=200) | st.from_regex(rb"(name|password|x)(=[a-z%0-9+]{0,9})?(&(name|password)=[^&]{0,9}){0,9}")
)
def test_any_other_body_is_read_or_refused_by_name(body: bytes) -> None:
    try:
        name, password = read_form(body)
    except LoginRefused:
        return
    assert isinstance(name, str)
    assert isinstance(password, str)


async def test_a_body_that_is_too_large_is_not_read(site: Site) -> None:
    answer = await site.http.post("/login", content=b"x" * 9000, headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.json()["error"]) == (413, "BodyTooLarge")


# --- what goes on ---------------------------------------------------------------------------------------------------


async def test_a_session_ends_while_a_page_is_open(site: Site) -> None:
    await site.log_in()
    site.clock.turn(3599)
    assert await site.who() == "anna"
    site.clock.turn(3600)
    assert await site.who() is None


async def test_a_stream_that_is_open_ends_with_its_session(site: Site) -> None:
    await site.log_in()
    viewer = await site.sessions.by_session(site.http.cookies[COOKIE])
    assert viewer is not None
    stream = site.feed.listen(viewer.digest)
    async with asyncio.timeout(BOUND_S):
        await anext(stream)
        await site.watch.look()
        await site.accounts.change_password("anna", WRONG)
        await site.watch.look()
        assert [event async for event in stream if event.startswith(b"event")] == []
    refused = await site.http.get("/api/events")
    assert refused.status_code == 401


async def test_the_stream_of_a_request_is_its_viewers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str | None] = []

    async def listen(owner: str | None = None) -> AsyncIterator[bytes]:
        heard.append(owner)
        yield b": hello\n\n"

    monkeypatch.setattr(site.feed, "listen", listen)
    await site.log_in()
    await site.http.get("/api/events")
    viewer = await site.sessions.by_session(site.http.cookies[COOKIE])
    assert viewer is not None
    assert heard == [viewer.digest]


async def test_a_database_that_refuses_lets_nobody_in(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.log_in()

    async def broken(*_: object) -> None:
        raise StoreFailed("the database refused: gone", "Look.")

    monkeypatch.setattr(OperatorStore, "sessions", broken)
    answer = await site.http.get("/api/summary")
    assert (answer.status_code, answer.json()["error"]) == (503, "StoreFailed")
    monkeypatch.setattr(OperatorStore, "password", broken)
    assert (await site.log_in()).status_code == 503


async def test_health_is_open_and_says_little(site: Site) -> None:
    async with httpx.AsyncClient(transport=site.http._transport, base_url=ORIGIN) as stranger:
        for path in ("/healthz", "/readyz"):
            answer = await stranger.get(path)
            assert answer.status_code == 200
            assert answer.json()["counts"] == {}
