"""What the command line refuses before it starts anything, and what its list of credentials may hold."""

from __future__ import annotations

import contextlib
import json

import httpx
import pytest
from typer.testing import CliRunner

from workbench.__main__ import app
from workbench.errors import SimFailed, SimOptionsInvalid
from workbench.sim import surroundings
from workbench.sim.figures import Figures, Tally, quantile
from workbench.sim.lies import Lie
from workbench.sim.screen import summary
from workbench.sim.service import CloudView, names, read_credentials

DESIGNED = {
    "devices", "online", "alerts_raised", "alerts_stored", "duplicates", "alert_p99_s", "commands_done", "updated",
    "wall_s", "rss_mib",
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--mix", "brave=1"], "is no part of a mix"),
        (["--broker", "mqtt://127.0.0.1"], "--broker is about another service"),
        (["--root", "root.json"], "--root is about another service"),
        (["--service", "http://127.0.0.1:1"], "none are given"),
        (["--service", "http://127.0.0.1:1", "--credentials", "/nowhere"], "can't be read"),
    ],
)
def test_options_that_don_t_fit_are_refused(words, why):
    done = CliRunner().invoke(app, ["sim", "--no-rollout", *words])
    assert done.exit_code == 2
    assert why in done.output


def test_more_devices_than_open_files_are_refused(monkeypatch):
    monkeypatch.setattr(surroundings.resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(SimOptionsInvalid, match="4096 are allowed"):
        surroundings.raise_file_limit(4000)


def test_names_sort_as_they_count():
    assert names(3) == ["sim-0001", "sim-0002", "sim-0003"]
    assert names(12_345) == sorted(names(12_345))


@pytest.mark.parametrize(
    "line", ["not json", "[]", '{"device": "sim-1"}', '{"token": "t"}', '{"device": "sim-1", "token": 5}']
)
def test_a_line_that_is_no_credential_is_refused_by_its_number(tmp_path, line):
    file = tmp_path / "credentials"
    file.write_text(json.dumps({"device": "sim-0", "token": "t"}) + "\n" + line + "\n")
    with pytest.raises(SimOptionsInvalid):
        read_credentials(file, 1, tmp_path)


def test_fewer_credentials_than_devices_are_refused(tmp_path):
    file = tmp_path / "credentials"
    file.write_text(json.dumps({"device": "sim-0", "token": "t"}) + "\n")
    assert read_credentials(file, 1, tmp_path)[0][0].token == "t"
    with pytest.raises(SimOptionsInvalid, match="holds 1 devices"):
        read_credentials(file, 2, tmp_path)


def test_the_figures_hold_what_the_design_promises():
    assert set(Figures().for_programs()) >= DESIGNED


def test_a_liar_abuses_an_alert_that_the_cloud_has_and_that_is_not_its_own():
    tally = Tally(["a", "b"], 1)
    tally.raised("1" * 32, "e" * 32, first=True)
    assert tally.someone("a")[1] == "", "the cloud may not know yet whose it is"
    tally.acked("b", "e" * 32, 0.1, cut=False)
    assert tally.someone("a")[1] == "e" * 32
    assert tally.someone("b")[1] == ""
    for alert in ("f" * 32, "9" * 32):
        tally.acked("a", alert, 0.1, cut=False)
    assert tally.someone("a")[1] == "e" * 32
    assert tally.someone("b")[1] == "9" * 32


@pytest.mark.parametrize("wrong", ["messages_lost", "duplicates", "lies_stored"])
def test_figures_with_a_fault_are_not_sound(wrong):
    assert Figures().sound
    assert not Figures(**{wrong: 1}).sound


def test_delays_of_cut_connections_are_told_apart():
    tally = Tally(["a", "b"], 1)
    for number in range(100):
        tally.acked("a", "d" * 32, number / 100, cut=False)
    tally.acked("a", "d" * 32, 50.0, cut=True)
    tally.lied(Lie.NO_JSON, None)
    figures = Figures()
    tally.fill(figures)
    assert figures.alert_p50_s == pytest.approx(0.5)
    assert figures.alert_p99_s == pytest.approx(0.99)
    assert figures.alert_p99_with_cuts_s == pytest.approx(0.99)
    tally.acked("a", "d" * 32, 60.0, cut=True)
    tally.fill(figures)
    assert figures.alert_p99_with_cuts_s == pytest.approx(50.0)
    assert quantile(tally.delays[:0], 0.99) is None


def test_the_end_is_told_in_words():
    figures = Figures(devices=3, online=3, alerts_raised=7, alerts_stored=7, commands={"ok": 3}, rollout="finished",
                      rollout_states={"committed": 3}, updated=3, lies_told={"no-json": 2})  # fmt: skip
    told = summary(figures)
    for words in (
        "3 of 3 devices",
        "7 alerts raised, 7 stored",
        "3 ok",
        "3 updated",
        "2 lies told, 0 of them stored",
    ):
        assert words in told
    elsewhere = summary(Figures(devices=3, online=3, rollout_states={"idle": 3}))
    assert "Updates: 3 idle." in elsewhere
    assert "None s" not in elsewhere.partition("\n")[2]


@pytest.mark.parametrize(
    ("failure", "kept"), [(SimFailed("it broke"), True), (KeyboardInterrupt(), False), (None, False)]
)
def test_a_temporary_folder_outlives_a_failure_only(tmp_path, monkeypatch, failure, kept):
    monkeypatch.setattr(surroundings.tempfile, "tempdir", str(tmp_path))
    with contextlib.suppress(SimFailed, KeyboardInterrupt), surroundings.folder_for(None) as folder:
        if failure is not None:
            raise failure
    assert folder.is_dir() is kept


async def test_a_connection_that_is_closed_while_it_is_used_is_made_anew():
    tried = []

    def answer(request):
        tried.append(request.url.path)
        if len(tried) == 1:
            raise httpx.ReadError("closed")
        return httpx.Response(200, json={"ok": True, "parts": {}, "counts": {"auth.admitted": 3}})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://service") as http:
        assert await CloudView(http).counts() == {"auth.admitted": 3}
    assert tried == ["/readyz"] * 2


async def test_a_service_that_is_gone_has_a_name():
    def answer(request):
        raise httpx.ConnectError("refused")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://service") as http:
        with pytest.raises(SimFailed, match="does not answer /readyz"):
            await CloudView(http).counts()
