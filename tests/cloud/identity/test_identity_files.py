"""The service's own certificates on its disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.adapters.identity_files import IdentityFolder
from cloud.identity.errors import AuthorityUnusable
from tests.cloud.samples import NOW


def test_an_address_is_the_same_however_it_is_spelt(tmp_path: Path) -> None:
    """Else the service's certificate would be made anew every hour."""
    folder = IdentityFolder(tmp_path)
    authority, hosts = folder.authority(NOW), ["FD00:0:0::1", "127.0.0.1", "Vedette.lan"]
    assert folder.certify(authority, hosts, "link", NOW)
    assert not folder.certify(authority, hosts, "link", NOW)
    assert folder.certify(authority, [*hosts, "fd00::2"], "link", NOW)


def test_what_can_t_be_removed_is_named(tmp_path: Path) -> None:
    folder = IdentityFolder(tmp_path)
    folder.authority(NOW)
    (tmp_path / "replacement.json").mkdir()
    with pytest.raises(AuthorityUnusable, match=r"replacement\.json can't be removed"):
        folder.finish_replacement()
