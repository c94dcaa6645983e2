from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.registry.samples import Device, Shop, open_shop, reopen_shop, served


@pytest.fixture(scope="session")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop as it is after its ceremony, to be copied: its 130 files each wait for the disk."""
    home = tmp_path_factory.mktemp("ceremony")
    open_shop(home)
    return home


@pytest.fixture
def shop(ceremony: Path, tmp_path: Path) -> Shop:
    for name in ("registry", "keys"):
        shutil.copytree(ceremony / name, tmp_path / name)
    return reopen_shop(tmp_path)


@pytest.fixture
def device(shop: Shop, tmp_path: Path) -> Iterator[Device]:
    with served(shop.folder) as url:
        yield Device(tmp_path / "device", url, shop.root)
