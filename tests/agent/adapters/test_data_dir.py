import pytest

from agent.adapters.data_dir import held, made
from agent.errors import DataDirInUse, OutboxUnwritable


def test_one_agent_at_a_time(tmp_path):
    first = held(made(tmp_path / "data"))
    with pytest.raises(DataDirInUse, match="data_dir of its own"):
        held(tmp_path / "data")
    first.close()
    held(tmp_path / "data").close()


def test_a_service_s_folder_is_left_alone(tmp_path):
    (tmp_path / "serve.lock").touch()
    with pytest.raises(DataDirInUse, match="is the service's") as refused:
        made(tmp_path)
    assert "VEDETTE_DATA_DIR" in refused.value.mend
    assert [file.name for file in tmp_path.iterdir()] == ["serve.lock"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxUnwritable, match="data_dir"):
        made(tmp_path / "file" / "data")
    with pytest.raises(OutboxUnwritable, match="data_dir"):
        held(tmp_path / "file")
