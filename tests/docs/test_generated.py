"""What is generated says all that there is to say, and a part that is out of date is noticed."""

import re

import pytest
from pydantic import BaseModel

from agent.config import Config
from agent.decide.lifecycle import MOVES
from agent.decide.settings import Fallback, RuleSettings
from cloud.config import Settings
from wire.model import Manifest
from workbench.documents import documents, lifecycle_diagram, openapi, parts, stale
from workbench.reference import _inner, meanings, reference


def types_within(model):
    inner = {_inner(field.annotation) for field in model.model_fields.values()}
    return {model}.union(*(types_within(one) for one in inner if issubclass(one, BaseModel)))


@pytest.mark.parametrize(
    "model", sorted(types_within(Config) | types_within(Settings) | types_within(Manifest), key=lambda m: m.__name__)
)
def test_every_key_says_what_it_means(model):
    assert set(model.model_fields) - set(meanings(model)) == set()


def test_a_table_says_what_a_key_takes():
    table = reference(RuleSettings, "A rule")
    assert "| `labels` | list of text | **required** |" in table
    assert "| `end_after_s` | number, > 0, ≤ 3600 | `5` |" in table
    assert "| `from` | text | **required** |" in table
    assert "### `[[schedule]]`" in table
    assert f'`"{Fallback.KEEP}"`: The alert is, or stays, provisional.' in table


def test_the_diagram_draws_every_move():
    drawn = re.findall(r"(?m)^    (\w+) --> (\w+): (\w+)$", lifecycle_diagram())
    assert len(drawn) == len(set(drawn)) == len(MOVES)
    assert ("ended_retracted", "ended_confirmed", "update") in drawn


def test_the_http_interface_is_the_one_that_is_served():
    paths = openapi()["paths"]
    assert {"/v1/questions", "/v1/pictures/{alert_id}", "/api/alerts", "/readyz"} <= set(paths)
    assert set(paths["/v1/pictures/{alert_id}"]) == {"get", "put"}


def test_every_generated_part_stands_in_a_document():
    text = "".join(documents().values())
    assert [name for name in parts() if f"<!-- generated: {name}, by `make documents` -->" not in text] == []


def test_a_part_that_is_out_of_date_is_noticed(tmp_path):
    for name, text in documents().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    assert stale(tmp_path) == []
    alerts = tmp_path / "alerts.md"
    alerts.write_text(alerts.read_text("utf-8").replace("[*] --> unraised", "[*] --> somewhere"), "utf-8")
    assert stale(tmp_path) == ["alerts.md"]
