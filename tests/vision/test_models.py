from __future__ import annotations

from pathlib import Path

import pytest

from vision.errors import ModelMissing
from vision.models import DEFAULT_MODEL, find_model, model_file


def put(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "model.tflite").write_bytes(b"")
    return folder


def test_an_existing_path_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.tflite"
    path.write_bytes(b"")
    assert find_model(path, {}) == path
    assert find_model(str(tmp_path), {}) == tmp_path


def test_the_newest_version_in_the_cache(tmp_path: Path) -> None:
    for version in ("1.9.0", "1.10.0", "1.2.0"):
        put(tmp_path / "vedette" / "models" / "mine" / version)
    assert find_model("mine", {"XDG_CACHE_HOME": str(tmp_path)}).name == "1.10.0"


def test_a_chosen_folder_comes_first_and_may_leave_out_the_version(tmp_path: Path) -> None:
    put(tmp_path / "cache" / "vedette" / "models" / "mine" / "9.0.0")
    chosen = put(tmp_path / "chosen" / "mine")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "VEDETTE_MODELS_DIR": str(tmp_path / "chosen")}
    assert find_model("mine", environment) == chosen


def test_default_is_the_default_model(tmp_path: Path) -> None:
    folder = put(tmp_path / DEFAULT_MODEL / "1.0.0")
    assert find_model("default", {"VEDETTE_MODELS_DIR": str(tmp_path)}) == folder


def test_a_name_that_is_nowhere_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"no model named 'mine' in .*make models"):
        find_model("mine", {"XDG_CACHE_HOME": str(tmp_path)})


@pytest.mark.parametrize("path", ["model.tflite", "folder/model", "/no/such/model.onnx", "../mine"])
def test_a_path_that_is_not_there_is_not_taken_for_a_name(path: str, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="there is no model at"):
        find_model(path, {"XDG_CACHE_HOME": str(tmp_path)})


def test_a_pattern_is_no_name(tmp_path: Path) -> None:
    put(tmp_path / "vedette" / "models" / "mine" / "1")
    with pytest.raises(ModelMissing):
        find_model("m*", {"XDG_CACHE_HOME": str(tmp_path)})


def test_the_file_in_a_folder(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine")
    assert model_file(folder) == folder / "model.tflite"
    with pytest.raises(ModelMissing):
        model_file(tmp_path / "gone")


def test_a_user_without_a_home_has_no_cache_and_all_the_rest(tmp_path: Path) -> None:
    """As the user that systemd makes for a service."""
    nowhere = "~no-user-of-this-name/cache"
    chosen = put(tmp_path / "mine")
    assert find_model("mine", {"XDG_CACHE_HOME": nowhere, "VEDETTE_MODELS_DIR": str(tmp_path)}) == chosen
    with pytest.raises(ModelMissing):
        find_model("other", {"XDG_CACHE_HOME": nowhere})
    with pytest.raises(ModelMissing):
        find_model(nowhere, {})
