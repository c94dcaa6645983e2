"""What is advised is held against the agent's file, by the agent's own check."""

import tomllib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.__main__ import main
from agent.config import check_config
from tests.workbench.replay.pasting import pasted
from workbench.replay.advice import OnDevice, on_device
from workbench.replay.agent_file import Acceptance, AgentFile
from workbench.replay.budget import Rate, parse_budget
from workbench.replay.policies import Policy

FILE = """
device = "gate-1"
data_dir = "data"
[[cameras]]
name = "gate"
source = "gate"
[[rules]]
name = "yard at night"
labels = ["person"]
context = {context}
[asking.budget]
bytes = "1GB/month"   # a comment
[asking.budget.each_camera]
questions_per_minute = 10
{more}"""
ASK = '[ask]\nurl = "http://127.0.0.1:9"\n'
OBJECTIVE = "[objective]\nmax_miss_rate = 0.1\n"
FRAME = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)


def agent_file(context="true", more=ASK):
    values = tomllib.loads(FILE.format(context=context, more=more))
    return AgentFile("agent.toml", values, check_config(values, "agent.toml"))


def advised(text, *, file=None, image=FRAME, policy=Policy.OURS):
    budget = text if isinstance(text, Rate) else parse_budget(text)
    checks = Acceptance(file or agent_file(), "gate", lambda: image)
    return on_device(policy, budget, streamed_per_s=760_000.0, looks=0.0, question_bytes=2500.0, checks=checks)


AMOUNTS = st.one_of(st.floats(0, 500), st.floats(0, 1e7))


@given(st.builds(Rate, AMOUNTS, st.just("some"), st.sampled_from(["hour", "day", "week", "month"])))
def test_the_agent_takes_whatever_is_advised(budget):
    chosen = advised(budget)
    text = FILE.format(context="true", more=ASK)
    if chosen.refused is None:
        read = tomllib.loads(pasted(text, chosen.tables))
        assert read["asking"]["budget"]["bytes"] == chosen.budget
        assert read == chosen.within(tomllib.loads(text))
        check_config(read, "agent.toml")
    else:
        assert (chosen.tables, chosen.for_programs()) == ((), None)


@pytest.mark.parametrize(
    ("amount", "refused"),
    [
        ("80kB/hour", "never holds the 32 kB that one takes, so rule 'yard at night' never shows it;"),
        ("861kB/hour", '"862kB/hour" would.'),
        ("862kB/hour", None),
        ("10kB/hour", None),
    ],
)  # fmt: skip
def test_an_amount_that_never_holds_a_frame_of_the_clip_is_left_out(amount, refused):
    chosen = advised(amount)
    assert (chosen.refused is None) == (refused is None)
    if refused is not None:
        assert chosen.refused.startswith("`vedette-agent check` refuses agent.toml: whole frames of gate: ")
        assert refused in chosen.refused


def test_as_much_for_longer_is_named_where_that_is_enough():
    assert advised("80kB/hour").refused.endswith(" It takes as much over a longer time: replay 1.92MB/day.")
    assert advised("80kB/month").refused.endswith('"862kB/month" would.')


def test_a_clip_of_frames_smaller_than_any_camera_s_is_held_to_what_the_agent_takes_for_the_least():
    assert 'write "94kB/hour" or more, or set context to false' in advised("80kB/hour", image=FRAME[:40, :40]).refused


@pytest.mark.parametrize(("context", "more"), [("false", ASK), ('true\npicture = "never"', ASK)])
def test_nothing_is_refused_where_no_rule_shows_whole_frames(context, more):
    assert advised("80kB/hour", file=agent_file(context, more)).refused is None


def test_a_file_that_asks_nobody_is_held_as_if_it_did_and_said_to_lack_it():
    file = agent_file(more="")
    assert '"862kB/hour" would' in advised("80kB/hour", file=file).refused
    chosen = advised("5MB/hour", file=file)
    assert (chosen.refused, chosen.lacks_ask) == (None, True)


def test_to_ask_nothing_is_refused_beside_an_objective_that_lives_from_answers():
    assert advised("1%", policy=Policy.NEVER).refused is None
    said = advised("1%", file=agent_file(more=ASK + OBJECTIVE), policy=Policy.NEVER).refused
    assert "objective: nobody answers without the table [ask]" in said


def test_the_agent_s_command_agrees(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gate").mkdir()
    cv2.imwrite("gate/1.png", FRAME)
    for budget in (862, 861):
        tables = OnDevice(f"{budget}kB/hour", 0.0).tables
        (tmp_path / "agent.toml").write_text(pasted(FILE.format(context="true", more=ASK), tables))
        main(["check", "--config", "agent.toml"])
        told = [line for line in capsys.readouterr().out.splitlines() if "whole frames of gate" in line]
        accepted = advised(f"{budget}kB/hour").refused is None
        assert accepted == (not told)
