"""Pushes over real HTTP, to a receiver in this process; and `vedette push test` and `list`."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud.adapters.clock import SystemClock
from cloud.adapters.http_push import HttpSender
from cloud.cli import app
from cloud.errors import PushFailed
from cloud.push.request import build
from cloud.push.settings import Moment
from tests.cloud.push.made import push
from tests.cloud.push.receiver import SECRET, Receiver
from tests.cloud.samples import alert


def secret_file(folder: Path, text: str = SECRET) -> Path:
    file = folder / "secret"
    file.write_text(f"{text}\n")
    return file


async def sends(receiver: Receiver, **changes: object) -> int:
    settings = push(**({"url": receiver.url} | changes))
    return await HttpSender(SystemClock()).send(settings, build(settings, alert(), Moment.CONFIRMED))


async def test_a_request_arrives_signed_and_authorised(receiver: Receiver, tmp_path: Path) -> None:
    file = secret_file(tmp_path)
    status = await sends(
        receiver, method="PUT", body="$label é", headers={"Title": "$camera ü"}, bearer_file=file, secret_file=file
    )
    ((method, path, headers, body),) = receiver.got
    assert (status, method, path) == (200, "PUT", f"/hook/{SECRET}")
    assert body.decode() == "person é"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Title"].encode("latin-1").decode() == "yard ü"
    assert headers["Authorization"] == f"Bearer {SECRET}"
    time, digest = headers["Vedette-Signature"].removeprefix("t=").split(",v1=")
    assert digest == hmac.new(SECRET.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest()


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.status = 307
    assert await sends(receiver) == 307
    assert len(receiver.got) == 1


async def test_an_address_may_be_kept_in_a_file_and_changed_there(receiver: Receiver, tmp_path: Path) -> None:
    file = secret_file(tmp_path, receiver.url)
    settings = push(url_file=file)
    request, sender = build(settings, alert(), Moment.RAISED), HttpSender(SystemClock())
    assert await sender.send(settings, request) == 200
    file.write_text("no address")
    with pytest.raises(PushFailed, match="holds no address"):
        await sender.send(settings, request)
    file.unlink()
    with pytest.raises(PushFailed, match="can't be read"):
        await sender.send(settings, request)


async def test_silence_and_absence_are_named_and_give_no_secret_away(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.hold.clear()
    with pytest.raises(PushFailed, match=r"no answer within 0\.2 s") as silent:
        await sends(receiver, timeout_s=0.2, bearer_file=secret_file(tmp_path))
    receiver.hold.set()
    with pytest.raises(PushFailed, match="can't be reached") as absent:
        await sends(receiver, url=f"http://127.0.0.1:1/{SECRET}")
    assert SECRET not in f"{silent.value} {absent.value} {caplog.text}"


@pytest.mark.parametrize("content", ["", "two\nlines", "x" * 5000])
async def test_a_secret_s_file_that_holds_none_is_named(receiver: Receiver, tmp_path: Path, content: str) -> None:
    with pytest.raises(PushFailed, match="holds no single line"):
        await sends(receiver, bearer_file=secret_file(tmp_path, content))
    assert receiver.got == []


def types(folder: Path, receiver: Receiver, *words: str) -> tuple[int, str]:
    config = folder / "service.toml"
    config.write_text(
        f'data_dir = "{folder / "data"}"\n[[push]]\nname = "phone"\nurl = "{receiver.url}"\n'
        'fields = { text = "$label at $camera", event = "$moment" }\n'
    )
    done = CliRunner().invoke(app, ["push", *words, "--config", str(config)])
    return done.exit_code, done.output


def test_the_command_line_sends_a_test_and_shows_how_receivers_stand(receiver: Receiver, tmp_path: Path) -> None:
    code, said = types(tmp_path, receiver, "test", "phone")
    assert (code, said.strip()) == (0, "phone took it (200).")
    ((_, _, _, body),) = receiver.got
    assert json.loads(body) == {"text": "person at test", "event": "confirmed"}
    code, said = types(tmp_path, receiver, "list", "--json")
    assert code == 0
    assert [(one["name"], one["delivered"], one["waiting"]) for one in json.loads(said)] == [("phone", 0, 0)]


@pytest.mark.parametrize(
    ("status", "mend"), [(302, "redirects"), (401, "bearer_file"), (422, "template"), (500, "template")]
)
def test_a_test_that_is_not_taken_says_so(
    receiver: Receiver, tmp_path: Path, status: int, mend: str, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.status = status
    code, said = types(tmp_path, receiver, "test", "phone")
    said += capfd.readouterr().err
    assert code == 11
    assert f"phone answers {status}" in said
    assert mend in said
    assert types(tmp_path, receiver, "test", "fax")[0] == 4
