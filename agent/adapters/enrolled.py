"""What an enrolment says, laid beneath a configuration: whatever the file says itself stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent.adapters.identity_folder import IdentityFolder
from agent.errors import ConfigInvalid

VARIABLE: Final = "VEDETTE_IDENTITY"
FROM_ENROLMENT: Final = frozenset({("device",), ("link",), ("link", "url"), ("ask", "url")})
"""What need not stand in the file of a device that is enrolled."""


def enrolled_values(values: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The values with what the folder under `identity` adds: the id, and the addresses and files of `link` and `ask`.

    Raises:
        ConfigInvalid: No device is enrolled there, or the folder can't be read.
    """
    named = environ.get(VARIABLE) or values.get("identity")
    if not isinstance(named, str) or not named:
        return dict(values)
    folder = IdentityFolder(Path(named))
    enrolled = folder.enrolled()
    if enrolled is None:
        raise ConfigInvalid(
            f"identity: no device is enrolled in {named!r}",
            "Enrol it: `vedette device enroll NAME` at the service, `vedette-agent enroll` here.",
        )
    files = {"ca_file": str(folder.authority_file), "cert_file": str(folder.device_file)}
    laid = {"device": enrolled.device, **values}
    for table, url in (("link", enrolled.mqtt), ("ask", enrolled.http)):
        said = values.get(table, {} if table == "link" else None)
        if isinstance(said, Mapping):
            laid[table] = {"url": url, **(files if "url" not in said else {}), **said}
    return laid
