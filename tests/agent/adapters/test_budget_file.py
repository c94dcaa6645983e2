from __future__ import annotations

import pytest

from agent.adapters.budget_file import EMPTY, BudgetFile
from agent.ask.budget import AskBudget, Balance, BudgetSettings, Limits
from agent.deliver.faults import Faults


def test_what_is_kept_is_there_at_the_next_start(tmp_path):
    file = BudgetFile(tmp_path / "budget.json", Faults())
    assert file.load() is None
    file.keep(Balance({"": 1234.0, "gate": -5.0}))
    assert BudgetFile(tmp_path / "budget.json", Faults()).load() == Balance({"": 1234.0, "gate": -5.0})


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"[]",
        b'{"": "much"}',
        b'{"": true}',
        b'{"": NaN}',
        b'{"": 1e999}',
        b'{"": 1' + 400 * b"0" + b"}",
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_file_that_cannot_be_read_leaves_empty_buckets_not_full_ones(tmp_path, damaged):
    (tmp_path / "budget.json").write_bytes(damaged)
    balance = BudgetFile(tmp_path / "budget.json", Faults()).load()
    assert balance == EMPTY
    assert not AskBudget(BudgetSettings(), balance, 0.0).allows("gate", 1.0, 0.0)


def test_a_file_that_was_damaged_fills_no_bucket_at_the_starts_after_it_either(tmp_path):
    file = BudgetFile(tmp_path / "budget.json", Faults())
    file.keep(Balance({"": 1.0}))
    (tmp_path / "budget.json").write_text("{")
    settings = BudgetSettings(each_camera=Limits(bytes="1MB/day"))
    for _ in range(3):
        budget = AskBudget(settings, file.load(), 0.0)
        file.keep(budget.balance())
    assert not AskBudget(settings, file.load(), 0.0).allows("gate", 1.0, 1000.0)


def test_a_disk_that_refuses_is_counted_and_nothing_else_happens(tmp_path):
    faults = Faults()
    (tmp_path / "taken").write_text("a file where a folder should be")
    BudgetFile(tmp_path / "taken" / "budget.json", faults).keep(Balance({"": 1.0}))
    assert faults.counts() == {"OutboxUnwritable": 1}
