"""Learning from answers: on simulated ones whose truth is known, and on what is no good to learn from."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.ask.gain import FORM, NAMES, REASONS, Case, gains_of
from vision.manifest import load_gain
from wire.messages import AskReason
from workbench.__main__ import app
from workbench.errors import AnswersUnusable
from workbench.gain.training import FURTHEST, ahead_error, fitted, ranking, train
from workbench.replay.recorded import Recorded, lines, read_answers

TRUE = {"new": -3.5, "refresh": -4.5, "lost": -1.0, "weak": -2.5, "motion": -4.0, "doubt": 1.5, "crowd": 3.0}
"""Of a camera where what stands in a crowd is what the device is wrong about."""


def simulated(count: int, seed: int, true: dict[str, float] = TRUE) -> list[Recorded]:
    """Answers whose truth is drawn by `true`; what is set by hand does not know the crowd."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        known = dict.fromkeys(NAMES, 0.0)
        known[str(rng.choice([str(reason) for reason in REASONS], p=(0.2, 0.5, 0.1, 0.15, 0.05)))] = 1.0
        for name in ("doubt", "score", "age", "hits", "crowd", "height"):
            known[name] = float(rng.random())
        at = sum(true.get(name, 0.0) * value for name, value in known.items())
        wrong = bool(rng.random() < 1 / (1 + np.exp(-at)))
        hand = 1.6 * known["lost"] + 0.5 * known["weak"] + known["new"] + known["refresh"] * (0.3 + known["doubt"])
        reason = next(str(reason) for reason in REASONS if known[str(reason)])
        made.append(Recorded(FORM, tuple(known.values()), wrong, hand, int(rng.integers(1800, 4000)), reason))
    return made


def test_what_is_learnt_ranks_better_than_what_is_set_by_hand() -> None:
    trained = train([simulated(1500, 1)])
    assert trained.held_out == 450
    assert trained.is_better
    assert trained.learnt.auc > trained.by_hand.auc + 0.1
    assert trained.learnt.caught[0] > trained.by_hand.caught[0] + 0.1

    fresh = simulated(1500, 2)
    wrong = np.array([one.wrong for one in fresh])
    sizes = np.array([one.bytes for one in fresh], float)
    known = np.array([one.features for one in fresh])
    learnt = ranking(known @ np.array(trained.gain.weights), wrong, np.ones(len(fresh)))
    by_hand = ranking(np.array([one.by_hand for one in fresh]), wrong, sizes)
    assert learnt.auc > by_hand.auc + 0.1


def test_the_weights_are_those_that_were_true() -> None:
    answers = simulated(20_000, 3)
    found = fitted(np.array([one.features for one in answers]), np.array([one.wrong for one in answers]))
    assert dict(zip(NAMES, found, strict=True)) == pytest.approx(
        {name: TRUE.get(name, 0.0) for name in NAMES}, abs=0.5
    )


def test_a_device_ranks_by_them() -> None:
    gains = gains_of(train([simulated(1500, 1)]).gain)
    box, near = (0.4, 0.4, 0.5, 0.7), (0.42, 0.4, 0.52, 0.7)
    alone = Case(AskReason.NEW, box, 0.5, belief=0.5, others=[box])
    crowded = Case(AskReason.NEW, box, 0.5, belief=0.5, others=[box, near])
    assert gains(crowded) > gains(alone)


def test_a_reason_without_answers_is_taken_to_be_like_the_others() -> None:
    answers = [one for one in simulated(3000, 4) if one.reason != "lost"]
    found = dict(zip(NAMES, train([answers]).gain.weights, strict=True))
    known = [found[str(reason)] for reason in REASONS if reason is not AskReason.LOST]
    assert min(known) <= found["lost"] <= max(known)


def test_what_follows_from_chance_alone_is_seldom_called_better() -> None:
    nothing = {"new": -1.0, "refresh": -1.0, "lost": -1.0, "weak": -1.0, "motion": -1.0}
    trained = [train([simulated(400, 1000 + number, nothing)]) for number in range(60)]
    assert all(abs(one.learnt.auc - 0.5) < 0.25 for one in trained)
    assert sum(one.is_ahead for one in trained) > 15, "by chance, many are ahead"
    assert sum(one.is_better for one in trained) <= 6


def test_the_error_of_a_lead_is_what_it_varies_by() -> None:
    rng = np.random.default_rng(1)
    leads, errors = [], []
    for _ in range(300):
        wrong = rng.random(120) < 0.3
        by_hand = rng.random(120) + 0.3 * wrong
        learnt = by_hand + rng.random(120) + 0.3 * wrong
        sizes = np.ones(120)
        leads.append(ranking(learnt, wrong, sizes).auc - ranking(by_hand, wrong, sizes).auc)
        errors.append(ahead_error(learnt, by_hand, wrong))
    assert np.mean(errors) == pytest.approx(np.std(leads), rel=0.1)
    assert ahead_error(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([True, False])) > 1.0


def test_no_weight_is_beyond_the_contract_however_plain_the_answers() -> None:
    known = np.zeros((1000, len(NAMES)))
    known[:, 0] = 1.0
    known[:500, 5] = 1.0
    wrong = np.arange(1000) < 500
    assert np.abs(fitted(known, wrong)).max() <= FURTHEST


def test_a_ranking_by_chance_and_a_perfect_one() -> None:
    wrong = np.arange(100) < 25
    same = np.ones(100)
    assert ranking(same, wrong, same).auc == 0.5
    best = ranking(wrong.astype(float), wrong, same)
    assert (best.auc, best.caught[0]) == (1.0, 1.0)


@pytest.mark.parametrize(
    "answers",
    [
        [],
        simulated(99, 6),
        [replace(one, wrong=False) for one in simulated(500, 7)],
        [replace(one, wrong=number < 300) for number, one in enumerate(simulated(500, 8))],
    ],
    ids=["none", "few", "all right", "nothing wrong in the end"],
)
def test_too_few_to_learn_from(answers: list[Recorded]) -> None:
    with pytest.raises(AnswersUnusable, match="too few to learn from") as refused:
        train([answers])
    assert "--budget" in refused.value.mend


# --- the files and the command -----------------------------------------------------------------------------------


def test_answers_are_read_as_they_were_written(tmp_path) -> None:
    file = tmp_path / "answers"
    answers = simulated(20, 9)
    file.write_text("".join(lines(answers)))
    assert read_answers(file) == answers


ONE = json.loads(next(lines(simulated(1, 10))))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "the line"),
        ("[]", "the line"),
        (json.dumps(ONE | {"features": [1e308] * len(NAMES)}), "features.0"),
        (json.dumps(ONE | {"features": [-0.1] * len(NAMES)}), "features.0"),
        (json.dumps(ONE | {"bytes": 10**400}), "bytes"),
        (json.dumps(ONE | {"bytes": 0}), "bytes"),
        (json.dumps(ONE | {"wrong": "maybe"}), "wrong"),
        (json.dumps(ONE | {"features": [float("nan")] * 17}), r"features\.0"),
        (json.dumps(ONE | {"features": [0.5]}), "1 features of the set 1"),
        (json.dumps(ONE | {"form": 2}), "17 features of the set 2"),
        (json.dumps(ONE | {"reason": "boredom"}), "reason"),
    ],
)
def test_a_line_that_is_no_answer_is_named(line, said, tmp_path) -> None:
    file = tmp_path / "answers"
    file.write_text("".join(lines(simulated(2, 11))) + line + "\n")
    with pytest.raises(AnswersUnusable, match=rf"line 3: {said}") as refused:
        read_answers(file)
    assert "vedette replay --answers" in refused.value.mend


def typed(*words):
    return CliRunner().invoke(app, ["gain", "train", *map(str, words)])


def test_the_command_writes_weights_and_says_what_they_are_worth(tmp_path) -> None:
    for number in range(2):
        (tmp_path / f"answers-{number}").write_text("".join(lines(simulated(800, number))))
    out = tmp_path / "gain.json"
    done = typed(tmp_path / "answers-0", tmp_path / "answers-1", "--out", out)
    assert done.exit_code == 0, done.output
    assert "1600 answers. On the last 480 of them" in done.output
    assert "vedette replay --gain" in done.output
    assert load_gain(out).answers == 1600

    told = json.loads(typed(tmp_path / "answers-0", "--out", out, "--json").output)
    assert told["is_better"] is True
    assert told["learnt"]["auc"] > told["by_hand"]["auc"]
    assert told["ahead"] == pytest.approx(told["learnt"]["auc"] - told["by_hand"]["auc"], abs=2e-4)
    assert told["ahead"] > 2 * told["ahead_error"] > 0.0
    assert load_gain(out).model_dump(mode="json") == told["gain"]


def test_a_lead_that_may_be_chance_is_told_as_such(tmp_path) -> None:
    nothing = {"new": -1.0, "refresh": -1.0, "lost": -1.0, "weak": -1.0, "motion": -1.0}
    made = (simulated(400, seed, nothing) for seed in itertools.count(1000))
    answers = next(one for one in made if (found := train([one])).is_ahead and not found.is_better)
    (tmp_path / "answers").write_text("".join(lines(answers)))
    done = typed(tmp_path / "answers", "--out", tmp_path / "gain.json")
    assert "may be chance" in " ".join(done.output.split())
    assert "replay --gain" not in done.output


def test_the_command_says_what_it_can_t_do(tmp_path) -> None:
    missing = typed(tmp_path / "nowhere", "--out", tmp_path / "gain.json")
    assert (missing.exit_code, "can't be read" in missing.output) == (2, True)
    (tmp_path / "answers").write_text("".join(lines(simulated(800, 1))))
    unwritable = typed(tmp_path / "answers", "--out", tmp_path / "nowhere" / "gain.json")
    assert (unwritable.exit_code, "can't be written" in unwritable.output) == (2, True)
    folder = typed(tmp_path / "answers", "--out", "/")
    assert (folder.exit_code, "is a folder" in folder.output) == (2, True)
    assert not list(tmp_path.glob("*.json"))
