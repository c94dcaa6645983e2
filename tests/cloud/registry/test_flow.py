"""From a file to a device, through the commands that a person types, and what is refused on the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest
from tuf.api.exceptions import RepositoryError
from typer.testing import CliRunner, Result

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli import app
from cloud.registry.service import Registry
from tests.cloud.registry.samples import Device, Shop, served
from tests.vision.shared import built
from tests.vision.tiny_models import CELLS, PICTURE, Spec, build, write_manifest, yolo_rows
from vision.tflite_file import LOGISTIC
from wire.updates import MANIFEST_TARGET, MODEL_TARGET, ModelRef

pytestmark = pytest.mark.parts


class Person:
    def __init__(self, home: Path) -> None:
        self.data = DataDir(home / "data")
        self.keys = home / "keys"

    def types(self, *words: str | Path, **environment: str) -> Result:
        return CliRunner().invoke(
            app, ["model", *map(str, words), "--data-dir", str(self.data.root)], env=environment
        )

    def registry(self) -> Registry:
        return Registry(self.data.registry, SystemClock())


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), 0.9, 0)])
    folder = tmp_path / "made"
    folder.mkdir()
    file = build(folder / "model.tflite", [PICTURE], [Spec((1, 252, 7), values=rows)], extra_codes=[LOGISTIC])
    write_manifest(file, output={"kind": "yolov5"})
    return folder


def test_release_walks_from_a_file_to_a_device(person: Person, model: Path, tmp_path: Path) -> None:
    assert person.types("keys", "create", "--keys", person.keys, "--demo").exit_code == 0
    imported = json.loads(person.types("import", model, "--json").stdout)
    assert json.loads(person.types("show", "tiny", "1", "--json").stdout)["state"] == "staged"
    staged = (person.registry().folder.staged("tiny", "1") / "manifest.json").read_bytes()
    assert json.loads(staged)["golden"]["answers"], "what is signed holds the model's golden answers"

    bundle = tmp_path / "bundle"
    assert person.types("export", "tiny", "1", bundle).exit_code == 0
    assert not list(bundle.rglob("*.pem"))
    aside = person.data.root.rename(tmp_path / "away")  # The machine with the keys knows no service.
    signed = json.loads(person.types("sign", "tiny", "1", "--repo", bundle, "--keys", person.keys, "--json").stdout)
    assert signed == imported | {"number": 1}
    shutil.rmtree(person.data.root, ignore_errors=True)
    aside.rename(person.data.root)
    assert person.types("publish", "tiny", "1", "--signed", bundle).exit_code == 0
    assert [each["state"] for each in json.loads(person.types("list", "--json").stdout)] == ["published"]

    ref = ModelRef.model_validate(signed)
    person.registry().set_group("default", [ref], {"tiny": 1})
    root = person.types("keys", "show-root").stdout.encode()
    with served(person.registry().folder) as url:
        device = Device(tmp_path / "device", url, root)
        document = device.group()
        assert (document["allowed"], document["min_release"]) == ([signed], {"tiny": 1})
        assert device.fetch(MODEL_TARGET.format(name="tiny", version="1")) == (model / "model.tflite").read_bytes()
        manifest = device.fetch(MANIFEST_TARGET.format(name="tiny", version="1"))
        assert manifest == staged
        found = device.updater().get_targetinfo(MODEL_TARGET.format(name="tiny", version="1"))
        assert found is not None
        assert found.custom == {"number": 1}


def test_built_model_is_imported_by_its_name(person: Person) -> None:
    folder = built("nanodet-g-416-fp16")
    imported = json.loads(person.types("import", "nanodet-g-416-fp16", "--json").stdout)
    assert imported["digest"] == json.loads((folder / "manifest.json").read_text())["digest"]


def test_published_release_is_not_staged_again_but_told(person: Person, model: Path, tmp_path: Path) -> None:
    person.types("keys", "create", "--keys", person.keys, "--demo")
    imported = json.loads(person.types("import", model, "--json").stdout)
    person.types("sign", "tiny", "1", "--keys", person.keys)
    person.types("publish", "tiny", "1")

    again = person.types("import", model)
    assert again.exit_code == 0
    assert f"tiny 1 is published already, with these bytes, as release 1: {imported['digest']}" in again.stdout
    assert "Next: vedette rollout start tiny@1" in again.stdout
    assert "staged" not in again.stdout
    assert json.loads(person.types("import", model, "--json").stdout) == imported | {"number": 1}
    assert not person.registry().folder.staged("tiny", "1").exists()
    for words in (("sign", "tiny", "1", "--keys", person.keys), ("export", "tiny", "1", tmp_path / "bundle")):
        refused = person.types(*words)
        assert refused.exit_code == 10
        assert "tiny 1 is published already" in refused.stderr
        assert "vedette rollout start tiny@1" in refused.stderr

    write_manifest(model / "model.tflite", output={"kind": "yolov5"}, licence="another")
    other = person.types("import", model)
    assert (other.exit_code, "published already, with other bytes" in other.stderr) == (10, True)
    assert "--version" in other.stderr
    assert [each["state"] for each in json.loads(person.types("list", "--json").stdout)] == ["published"]


def test_offline_keys_open_with_their_passphrase_only(person: Person, model: Path) -> None:
    secret = {"VEDETTE_KEYS_PASSPHRASE": "a long enough phrase"}
    short = person.types("keys", "create", "--keys", person.keys, VEDETTE_KEYS_PASSPHRASE="short")
    assert (short.exit_code, "12 characters" in short.stderr) == (10, True)
    assert person.types("keys", "create", "--keys", person.keys, **secret).exit_code == 0
    assert all(b"ENCRYPTED" in file.read_bytes() for file in person.keys.glob("*.pem"))
    person.types("import", model)
    wrong = person.types("sign", "tiny", "1", "--keys", person.keys, VEDETTE_KEYS_PASSPHRASE="some other phrase")
    assert (wrong.exit_code, "passphrase" in wrong.stderr) == (10, True)
    assert person.types("sign", "tiny", "1", "--keys", person.keys, **secret).exit_code == 0


REFUSALS = (
    (("sign", "tiny", "9", "--keys", "{keys}"), "no tiny 9 is staged"),
    (("publish", "tiny", "1"), "not signed"),
    (("show", "nobody", "1"), "no release nobody"),
    (("keys", "create", "--keys", "{keys}", "--demo"), "holds something already"),
    (("keys", "add-group", "default", "--keys", "{keys}"), "has its key already"),
    (("keys", "add-group", "No Name", "--keys", "{keys}"), "no name for a group"),
    (("keys", "rotate", "nobody", "--keys", "{keys}"), "no role nobody"),
    (("keys", "renew", "--keys", "/nonexistent"), "takes 1 of its 1 keys"),
)


def test_refusals_are_told_with_their_code(person: Person, model: Path) -> None:
    person.types("keys", "create", "--keys", person.keys, "--demo")
    person.types("import", model)
    for words, said in REFUSALS:
        result = person.types(*(word.format(keys=person.keys) for word in words))
        assert (result.exit_code, said in result.stderr) == (10, True), (words, result.stderr)
        assert "Traceback" not in result.output


def test_without_a_ceremony_it_says_what_to_do(person: Person) -> None:
    assert "vedette model import" in person.types("list").stdout
    assert "vedette model keys create" in person.types("keys", "show-root").stderr


def test_tampered_file_is_refused_by_the_device(shop: Shop, device: Device) -> None:
    shop.release(model=b"a model")
    (file,) = shop.folder.targets.glob("models/tiny/1/*.model.tflite")
    file.write_bytes(b"b model")
    with pytest.raises(RepositoryError):
        device.fetch("models/tiny/1/model.tflite")


def test_what_was_never_signed_does_not_exist_for_a_device(shop: Shop, device: Device) -> None:
    shop.stage()
    assert device.updater().get_targetinfo("models/tiny/1/model.tflite") is None
    assert device.updater().get_targetinfo("groups/default/current.json") is None


def test_address_outside_the_repository_is_not_found(shop: Shop, device: Device) -> None:
    (key,) = shop.folder.keys.glob("timestamp.*")
    with httpx.Client(base_url=device.url) as http:
        for path in (
            f"metadata/..%2F..%2Fkeys%2F{key.name}",
            f"targets/..%2F..%2Fkeys%2F{key.name}",
            "targets//etc/passwd",
        ):
            assert http.get(f"/v1/repository/{path}").status_code == 404


def test_download_goes_on_where_it_was_cut_off(shop: Shop, device: Device) -> None:
    shop.release(model=bytes(range(256)))
    (file,) = shop.folder.targets.glob("models/tiny/1/*.model.tflite")
    with httpx.Client(base_url=f"{device.url}/v1/repository/") as http:
        rest = http.get(f"targets/models/tiny/1/{file.name}", headers={"Range": "bytes=200-"})
        assert (rest.status_code, rest.content) == (206, bytes(range(200, 256)))
        assert "immutable" in rest.headers["cache-control"]
        assert http.get(f"targets/models/tiny/1/{file.name}", headers={"Range": "bytes=999-"}).status_code == 416
        assert http.get("metadata/timestamp.json").headers["cache-control"] == "no-cache"
        assert http.get("metadata/1.root.json").content == shop.root
        assert http.get("metadata/2.root.json").status_code == 404
