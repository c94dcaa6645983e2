"""What a person types, and is told where it can't be done; no model runs here."""

import pytest
import typer
from typer.testing import CliRunner

from workbench.__main__ import app
from workbench.errors import BudgetUnclear, ReplayRefused
from workbench.replay.choices import chosen_budgets, chosen_cloud, chosen_labels, chosen_policies
from workbench.replay.command import _told
from workbench.replay.policies import WITHOUT_BUDGET, Policy
from workbench.replay.sweep import planned

UNUSABLE = 2


def typed(*words):
    return CliRunner().invoke(app, ["replay", *map(str, words)])


def test_policies_are_listed_with_commas():
    assert chosen_policies("ours, never,ours") == [Policy.OURS, Policy.NEVER]
    assert chosen_policies("all") == list(Policy)


@pytest.mark.parametrize("text", ["", " , ", "mine", "ours,mine", "ours,,never", "ours,", "all,"])
def test_an_unknown_policy_is_refused_with_those_there_are(text):
    with pytest.raises(ReplayRefused) as refused:
        chosen_policies(text)
    assert "sedna-ibt" in refused.value.mend


def test_budgets_are_listed_with_commas():
    assert [budget.text for budget in chosen_budgets("1%, 20kB/min,1%")] == ["1%", "20kB/min"]


@pytest.mark.parametrize("text", ["", " ", ",", "5%,,2%", "5%,", ",5%"])
def test_a_budget_that_was_left_empty_is_refused_with_what_to_write(text):
    with pytest.raises(BudgetUnclear) as refused:
        chosen_budgets(text)
    assert repr(text) in refused.value.what
    assert "1%,2%,5%,10%" in refused.value.mend


def test_labels_and_models_come_one_by_one():
    assert chosen_labels(["person", " car ", "person"]) == ("person", "car")
    assert chosen_cloud(["small", "large"]).models == ("small", "large")
    assert chosen_cloud([]).models == chosen_cloud(()).models != ()


def test_a_model_s_file_may_have_a_comma_in_its_name(tmp_path):
    (tmp_path / "a,b.tflite").touch()
    assert chosen_cloud([str(tmp_path / "a,b.tflite")]).models == (str(tmp_path / "a,b.tflite"),)


def test_what_heeds_no_budget_is_run_once():
    plans = planned(list(Policy), chosen_budgets("1%,5%"))
    assert len(plans) == len(WITHOUT_BUDGET) + 2 * (len(Policy) - len(WITHOUT_BUDGET))
    assert [plan.name for plan in plans if plan.policy is Policy.OURS] == ["ours 1%", "ours 5%"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--source", "nowhere.avi"), "there is no nowhere.avi"),
        (("--source", "0"), "0 is a camera"),
        (("--source", "ftp://user:secret@host/clip.avi"), "this is no source"),
        (("--source", "rtsp://user:secret@camera/1"), "is a camera"),
        (("--source", "x.avi", "--policy", "mine"), "there is no policy 'mine'"),
        (("--source", "x.avi", "--budget", "lots"), "'lots' is no budget"),
        (("--source", "x.avi", "--budget", ""), "--budget '' names no budget"),
        (("--source", "x.avi", "--budget", "5%,,2%"), "'5%,,2%' has a comma with no budget beside it"),
        (("--source", "x.avi", "--policy", "ours,,never"), "'ours,,never' has a comma with no policy beside it"),
        (("--source", "x.avi", "--label", ""), "--label '' is no label"),
        (("--source", "x.avi", "--label", "x" * 65), "is no label: String should have at most 64"),
        (("--source", "x.avi", "--cloud-model", " "), "names no model"),
        (("--source", "x.avi", "--cloud-model", "a,b"), "--cloud-model a --cloud-model b"),
        (("--source", "x.avi", *["--cloud-model", "a"] * 9), "9 models can't be asked together"),
        (("--source", "x.avi", "--plot", "nowhere/page.html"), "nowhere/page.html can't be written"),
        (("--source", "x.avi", "--ablate", "--jsonl", "lines"), "--ablate makes a table"),
        (("--source", "x.avi", "--ablate", "--answers", "answers"), "--ablate makes a table"),
        (("--source", "x.avi", "--ablate", "--policy", "always"), "--ablate is of ours"),
        (("--source", "x.avi", "--policy", "all", "--answers", "answers"), "--answers is of one run of ours"),
        (("--source", "x.avi", "--budget", "1%,2%", "--answers", "answers"), "--answers is of one run of ours"),
        (("--source", "x.avi", "--camera", "gate"), "--camera is of a --config"),
        (("--source", "x.avi", "--config", "nowhere.toml"), "nowhere.toml"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_can_t_be_replayed_is_said_with_a_mend(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = typed(*words)
    assert done.exit_code == UNUSABLE
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.strip().splitlines()) >= 2, "names no mend"


def test_a_file_that_is_no_video_is_said(tmp_path):
    clip = tmp_path / "clip.avi"
    clip.write_bytes(b"RIFF, and then nothing of the kind" * 50)
    done = typed("--source", clip)
    assert (done.exit_code, "no video that can be decoded" in done.stderr) == (UNUSABLE, True)


def test_ctrl_c_ends_it_without_a_trace(capsys):
    with pytest.raises(typer.Exit) as ended, _told():
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert "remembered" in capsys.readouterr().err


def test_weights_that_are_no_good_are_refused_before_anything_runs(tmp_path):
    weights = tmp_path / "gain.json"
    weights.write_text('{"features": 1, "weights": [1e9]}')
    done = typed("--source", "x.avi", "--gain", weights)
    assert (done.exit_code, "gain.weights.0: Input should be less than or equal to 100" in done.output) == (3, True)
