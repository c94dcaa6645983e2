"""What the documents name exists: files, links, settings, errors; and their examples can be used."""

import json
import re
import tomllib

import pytest
from pydantic import BaseModel

import cloud.infer.errors
import cloud.offload.errors
import cloud.web.questions
import deploy.debian.errors
import deploy.models.errors
import workbench.errors
from agent.config import Config, check_config
from cloud.cli import telling
from cloud.cli.command import OVERDUE, REFUSED
from cloud.cli.rollout import STOPPED
from cloud.config import Settings
from tests.docs.prose import DOCUMENTS, ROOT, blocks, inline, name_of
from vision.manifest import parse_manifest
from wire.errors import VedetteError
from workbench.reference import _inner

ROW = re.compile(r"(?m)^\| (\d+) \|")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
PATH = re.compile(r"^[a-z.]+/[\w./*-]*$")
KEY = re.compile(r"^([a-z]+)\.(?!(?:tflite|onnx|db|py)$)([a-z_]+)$")
ERROR = re.compile(r"^[A-Z][a-z]+(?:[A-Z][a-z]+)+$")
MINIMAL = {
    "device": "gate-1",
    "data_dir": "data",
    "cameras": [{"name": "gate", "source": "clip.avi"}],
    "rules": [{"name": "person", "labels": ["person"]}],
}
EACH = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


def tables():
    """The keys of each table, by its name; some tables are in both files."""
    found = {}
    for settings in (Config, Settings):
        for name, field in settings.model_fields.items():
            inner = _inner(field.annotation)
            if issubclass(inner, BaseModel):
                found.setdefault(name, set()).update(inner.model_fields)
    return found


def errors_under(error):
    return {error.__name__}.union(*(errors_under(one) for one in error.__subclasses__()))


@EACH
def test_links_lead_somewhere(path):
    assert [link for link in LINK.findall(path.read_text("utf-8")) if not (path.parent / link).exists()] == []


@EACH
def test_paths_of_the_repository_exist(path):
    folders = {one.name for one in ROOT.iterdir() if one.is_dir()}
    named = [code for code in inline(path) if PATH.match(code) and code.partition("/")[0] in folders]
    assert [code for code in named if not any(ROOT.glob(code.rstrip("/")))] == []


@EACH
def test_settings_named_in_the_text_exist(path):
    known = tables()
    named = [found.groups() for code in inline(path) if (found := KEY.match(code))]
    unknown = [(table, key) for table, key in named if table in known and key not in known[table]]
    assert unknown == []


@EACH
def test_examples_of_settings_can_be_used(path):
    for code in blocks(path, "toml"):
        if code.startswith("# service.toml\n"):
            Settings.model_validate(tomllib.loads(code))
            continue
        check_config(MINIMAL | tomllib.loads(code), name_of(path))


@EACH
def test_examples_of_manifests_can_be_read(path):
    for code in blocks(path, "json"):
        example = json.loads(code) | {"digest": f"sha256:{'0' * 64}"}
        parse_manifest(json.dumps(example).encode())


def test_exit_codes_are_the_program_s_and_each_stands_for_one_thing():
    told = ROW.findall(telling.__doc__)
    written = ROW.findall((ROOT / "docs" / "operating.md").read_text("utf-8"))
    assert told == written == [str(code) for code in range(len(told))]
    assert {str(code) for _, code in telling.EXIT_CODES} | {str(REFUSED), str(OVERDUE), str(STOPPED)} <= set(told)


def test_named_errors_exist():
    assert all(
        (
            cloud.infer.errors,
            cloud.offload.errors,
            cloud.web.questions,
            deploy.debian.errors,
            deploy.models.errors,
            workbench.errors,
        )
    )
    named = {code for code in inline(ROOT / "docs" / "troubleshooting.md") if ERROR.match(code)}
    assert len(named) > 20
    assert named <= errors_under(VedetteError)
