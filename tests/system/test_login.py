"""Operators of a service that is heard beyond this machine: over TLS, with a program, and with a real Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.sync_api import Page, expect

from tests.system.browser import in_browser
from tests.system.parts import BOUND_S, eventually
from tests.system.test_rollout import vedette
from workbench.demo.parts import cloud_folder, start_service
from workbench.demo.processes import Children

pytestmark = [pytest.mark.system, pytest.mark.timeout(4 * BOUND_S)]

SERVED = """
tls = true
http_host = "0.0.0.0"
http_port = 0
mqtt_port = 0
device_port = 0
answer_questions = false
log_format = "json"
[identity]
names = ["localhost"]
"""
BOUND_MS = BOUND_S * 1000


@dataclass
class Served:
    """A service that asks for a login."""

    address: str
    root: Path
    log: Path
    config: Path
    password: str

    def operator(self, *words: str) -> str:
        return vedette(self.root, "operator", *words, "--config", str(self.config)).strip()

    @property
    def authority(self) -> Path:
        return self.root / "identity" / "authority.pem"

    def client(self, **headers: str) -> httpx.Client:
        trusting = ssl.create_default_context(cafile=self.authority)
        return httpx.Client(base_url=self.address, verify=trusting, timeout=BOUND_S, headers=headers)

    def log_in(self, http: httpx.Client) -> httpx.Response:
        form = {"name": "anna", "password": self.password}
        return http.post("/login", data=form, headers={"Origin": self.address})

    def age_sessions(self) -> None:
        """Have all that there are been begun longer ago than one lives."""
        with closing(sqlite3.connect(self.root / "vedette.db", timeout=BOUND_S)) as database:
            database.execute("UPDATE operator_sessions SET begun_at = '2026-01-01 00:00:00.000000'")
            database.commit()

    def logged(self) -> list[dict[str, object]]:
        """Whole lines: the service may be writing the last one."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("login")
    root, config = cloud_folder(folder).root, folder / "serve.toml"
    config.write_text(SERVED)
    password = vedette(root, "operator", "add", "anna", "--generate", "--config", str(config)).strip()
    children = Children(folder)
    try:
        child, addresses = start_service(children, folder, ["--config", str(config)])
        yield Served(addresses.http, root, child.log, config, password)
        children.check()
    finally:
        children.stop_all()


def test_beyond_loopback_a_program_logs_in_over_tls(served: Served) -> None:
    assert served.address.startswith("https://localhost:")
    with served.client() as http:
        assert http.get("/api/alerts").status_code == 401
        assert served.log_in(http).headers["location"] == "/"
        assert http.get("/api/session").json()["operator"] == "anna"
        assert http.get("/api/alerts").status_code == 200
        served.age_sessions()
        assert http.get("/api/alerts").status_code == 401
    token = served.operator("token", "anna", "prometheus")
    with served.client(Authorization=f"Bearer {token}") as http:
        assert "vedette_logins_total 1.0" in http.get("/metrics").text
        served.operator("token", "anna", "prometheus", "--revoke")
        assert http.get("/metrics").status_code == 401


def test_nothing_is_heard_in_plain_text(served: Served) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(served.address.replace("https", "http") + "/healthz", timeout=BOUND_S)


def test_who_does_not_believe_the_authority_is_not_served(served: Served) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(served.address + "/healthz", timeout=BOUND_S)


def test_a_stream_ends_within_moments_of_its_session(served: Served) -> None:
    with served.client() as http:
        served.log_in(http)
        with http.stream("GET", "/api/events") as stream:
            assert stream.status_code == 200
            lines = stream.iter_lines()
            assert next(lines) == "retry: 1000"
            served.age_sessions()
            # Ends, rather than to be silent until the client's own bound.
            assert all(not line.startswith("data:") for line in lines)
        assert http.get("/api/events").status_code == 401


def test_a_person_logs_in_is_sent_back_when_it_is_over_and_logs_out(served: Served) -> None:
    def log_in(page: Page) -> None:
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(served.password)
        page.get_by_role("button", name="Log in").click()

    def look(page: Page) -> None:
        page.set_default_timeout(BOUND_MS)
        expect.set_options(timeout=BOUND_MS)
        page.goto(served.address + "/#/commands")
        expect(page).to_have_title("Vedette · Log in")
        expect(page.get_by_label("Name")).to_be_focused()
        assert urlsplit(page.url).path == "/login"

        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill("not the password of anna")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
        expect(page.get_by_label("Name")).to_have_value("anna")

        log_in(page)
        expect(page).to_have_title("Vedette · Commands")
        expect(page.get_by_test_id("link")).to_have_text("Live")
        expect(page.get_by_test_id("operator")).to_contain_text("anna")
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (
            "__Host-vedette", True, True, "Strict",
        )  # fmt: skip
        assert page.evaluate("document.cookie") == ""

        # A link from elsewhere does not ask who is logged in to log in again.
        page.route("https://elsewhere.example/", lambda route: route.fulfill(body=LINK.format(served.address)))
        page.goto("https://elsewhere.example/")
        page.get_by_role("link").click()
        expect(page).to_have_title("Vedette · Accuracy")

        # The page is open and nobody touches it: it notices by itself, and comes back to where it was.
        served.age_sessions()
        expect(page).to_have_title("Vedette · Log in")
        log_in(page)
        expect(page).to_have_title("Vedette · Accuracy")

        page.get_by_role("button", name="Log out").click()
        expect(page).to_have_title("Vedette · Log in")
        assert page.context.cookies() == []
        page.goto(served.address + "/")
        expect(page).to_have_title("Vedette · Log in")

    complaints = in_browser(look, f"--ignore-certificate-errors-spki-list={key_digest(served)}")
    # Of refusals, as it must; of the policy for pages and of scripts, nothing.
    assert [text for text in complaints if "the server responded with a status of 401" not in text] == []


LINK = '<a href="{}/#/accuracy">the dashboard</a>'


def key_digest(served: Served) -> str:
    """By which Chromium is told to believe this key, and no other."""
    certificate = x509.load_pem_x509_certificate((served.root / "identity" / "service.pem").read_bytes())
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def test_the_log_says_who_came_and_went(served: Served) -> None:
    with served.client() as http:
        served.log_in(http)
        http.delete("/api/session", headers={"Origin": served.address})
    served.operator("add", "ben", "--generate")
    eventually(
        lambda: (
            {("operator logged out", "anna"), ("operator added", "ben")}
            <= {(str(line["message"]), line.get("operator")) for line in served.logged()}
        ),
        "who came and went is not in the log",
    )
    assert served.password not in served.log.read_text()
