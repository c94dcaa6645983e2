import pytest

from agent.adapters.data_dir import held, made
from agent.errors import DataDirInUse, OutboxUnwritable


def test_one_agent_at_a_time(tmp_path):
    first = held(made(tmp_path / "data"))
    with pytest.raises(DataDirInUse, match="data_dir of its own"):
        held(tmp_path / "data")
    first.close()
    held(tmp_path / "data").close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxUnwritable, match="data_dir"):
        made(tmp_path / "file" / "data")
    with pytest.raises(OutboxUnwritable, match="data_dir"):
        held(tmp_path / "file")
