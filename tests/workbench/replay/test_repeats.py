"""Runs that are made several times, each begun a frame later, and what is said of chance then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
from rich.console import Console

from agent.capture.settings import CameraSettings
from tests.workbench.replay.test_page import TOLD
from tests.workbench.replay.test_results import parsed, ran
from workbench.errors import ReplayRefused
from workbench.replay.ablation import Ablation, Ablations
from workbench.replay.budget import Share
from workbench.replay.clip import Clip
from workbench.replay.events import AlertFigures
from workbench.replay.outputs import Outputs
from workbench.replay.policies import Policy
from workbench.replay.scoring import Alerting, Catch, Verdicts
from workbench.replay.telling import ALERTS, CATCH, COST, cells

WHOLE = (0.90, 0.86, 0.88)
WITHOUT = (0.89, 0.84, 0.88)


def ran_often(values):
    return replace(ran(catches=caught(values)), alertings=({},) * len(values))


def caught(values):
    return tuple(Catch(100 - later, f1 + 0.01, f1 - 0.01, f1, f1 / 2) for later, f1 in enumerate(values))


def test_accuracy_is_the_mean_of_all_repeats():
    summary = parsed(ran_often(WHOLE))[1]
    assert summary["accuracy"]["f1"] == pytest.approx(fmean(WHOLE))
    assert summary["accuracy"]["precision"] == pytest.approx(fmean(WHOLE) + 0.01)
    assert [one["accuracy"]["f1"] for one in summary["repeats"]] == list(WHOLE)


def test_a_person_is_told_how_much_of_it_is_chance():
    error = stdev(WHOLE) / 3**0.5
    assert f"{error:.3f}" == "0.012"
    assert ".880 ± .012" in cells(ran_often(WHOLE))
    assert ".900" in cells(ran_often(WHOLE[:1]))


def test_what_a_reason_brings_is_held_against_the_run_that_began_alike():
    ablation = Ablation(Share(0.1, "10%"), ran_often(WHOLE), {"new": ran_often(WITHOUT)})
    whole, without = Ablations((ablation,)).cells
    assert whole[4:8] == (".880", "", ".440", "")
    # Losses of .01, .02 and 0: far less by chance than the runs themselves.
    assert without[4:6] == (".870", "+0.010 ± .006")
    once = Ablation(Share(0.1, "10%"), ran_often(WHOLE[:1]), {"new": ran_often(WITHOUT[:1])})
    assert Ablations((once,)).cells[1][5] == "+0.010"


def seen(values):
    """With alerts, and figures as long as they get."""
    figures = AlertFigures(alerts=9, events=90, in_time=1.0, precision=1.0, duplicates=11.455, delay_s=11.25)
    alerting = {"person": Alerting(figures, figures, Verdicts(250, 250, 17, 16))}
    often = tuple(replace(one, ap50=ap50) for one, ap50 in zip(caught(values), (1.0, 1.0, 0.9999), strict=True))
    return replace(ran(catches=often), alertings=(alerting,) * len(values))


def test_what_policies_came_to_fits_a_terminal(capsys, monkeypatch):
    console = Console(width=80, highlight=False, soft_wrap=True, markup=False)
    monkeypatch.setattr("workbench.replay.outputs.output", console)
    often = seen(WHOLE)
    runs = [replace(often, policy=Policy.SEDNA_THRESHOLD, budget=Share(0.1, "200MB/month")), often]
    Outputs(None, None, None, None, as_json=False, ablating=False).runs(runs, [Share(0.1, "10%")], TOLD)
    of_cost, of_catch, of_alerts = capsys.readouterr().out.split("\n\n")[:3]
    _, *of_cost = of_cost.splitlines()
    done = 1
    for table, columns in ((of_cost, COST), (of_catch.splitlines(), CATCH), (of_alerts.splitlines(), ALERTS)):
        assert max(map(len, table)) <= 80
        for run, line in zip(runs, table[1:], strict=True):
            row = cells(run)
            assert line.split() == " ".join((row[0], *row[done : done + len(columns)])).split()
        done += len(columns)


def test_what_each_reason_is_worth_fits_a_terminal(capsys, monkeypatch):
    console = Console(width=80, highlight=False, soft_wrap=True, markup=False)
    monkeypatch.setattr("workbench.replay.outputs.output", console)
    small, large = (
        Ablation(Share(0.1, text), seen(WHOLE), {"uncertain": seen(WITHOUT), "refresh": seen(WHOLE)})
        for text in ("10%", "200MB/month")
    )
    rows = Ablations((small, large))
    Outputs(None, None, None, None, as_json=False, ablating=True).ablations(rows, TOLD)
    said, *shown = capsys.readouterr().out.splitlines()
    assert said.startswith("100 frames of")
    assert max(map(len, shown)) <= 80
    assert "…" not in "".join(shown)
    tables = [table.splitlines() for table in "\n".join(shown).strip().split("\n\n")]
    assert [table[0].split("  ")[0] for table in tables] == [
        "within 10%", "alerts, 10%", "within 200MB/month", "alerts, 200MB/month",
    ]  # fmt: skip
    for number, table in enumerate(tables):
        of_budget = rows.cells[3 * (number // 2) :][:3]
        for name, row, line in zip(
            ("every reason", "without uncertain", "without refresh"), of_budget, table[1:], strict=True
        ):
            kept = row[8:] if number % 2 else row[2:8]
            assert line.split() == " ".join((name, *kept)).split()


def test_without_alerts_there_is_no_table_of_them():
    rows = Ablations((Ablation(Share(0.1, "10%"), ran_often(WHOLE), {"new": ran_often(WITHOUT)}),))
    assert [heads for heads, _ in rows.tables] == [
        ("within 10%", "sent", "asked", "F1", "of it lost", "AP50", "of it lost")
    ]


def clip():
    return Clip(
        Path("a.avi"), CameraSettings(name="clip", source="a.avi"), range(50, 54), (5.0, 5.1, 5.2, 5.3),
        (10, 20, 30, 40), (64, 48), "sha256:0", "",
    )  # fmt: skip


def test_a_clip_that_begins_later_has_the_rest_of_its_frames():
    later = clip().later(2)
    assert (later.frames, later.times_s, later.streamed_bytes) == (range(52, 54), (5.2, 5.3), 70)
    assert clip().later(0) == clip()


def test_more_repeats_than_frames_are_refused():
    with pytest.raises(ReplayRefused, match="none is left") as refused:
        clip().later(4)
    assert "fewer --repeats" in refused.value.mend
