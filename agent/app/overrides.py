"""Rules, zones, masks and asking as a `set-config` command left them: a file beside the alerts, over the agent's own.

The agent's file stays as a person wrote it. What the cloud sets lies in `data_dir/overrides.json`; each key there
replaces the whole key of the file, but for `masks`, which are added to the file's. It is JSON since it is written by
a program. One that does not fit the file any more, because a camera was renamed there, is left out with an error in
the log: a device must start.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.adapters.durable_file import replace_file
from agent.config import Config, check_config, load_config, read_values
from agent.errors import ConfigInvalid, OutboxUnwritable

log = logging.getLogger(__name__)

OVERRIDES_FILE: Final = "overrides.json"
REPLACEABLE: Final = frozenset({"rules", "zones", "masks", "asking"})
"""What takes effect between two frames and can cut off nobody: not the link, the cameras or the model."""


def load_overridden(path: Path) -> Config:
    """The configuration of the agent's file, under what commands have set since.

    Raises:
        ConfigInvalid: The agent's file can't be used.
    """
    config = load_config(path)
    file = config.data_dir / OVERRIDES_FILE
    try:
        overrides = _read(file)
        return overridden(path, overrides) if overrides else config
    except ConfigInvalid as refused:
        log.error("going on without %s: %s", file, refused)  # noqa: TRY400 - for people
        return config


def overridden(path: Path, overrides: Mapping[str, object]) -> Config:
    """The configuration of the agent's file under these values.

    Raises:
        ConfigInvalid: Together they can't be used, or a key can't be replaced.
    """
    foreign = sorted(overrides.keys() - REPLACEABLE)
    if foreign:
        raise ConfigInvalid(
            f"{', '.join(foreign)} can't be set by a command", f"These can: {', '.join(sorted(REPLACEABLE))}."
        )
    own = read_values(path)
    values = {**own, **overrides}
    masked, more = own.get("masks"), overrides.get("masks")
    if isinstance(masked, list) and isinstance(more, list):
        # Who has the cloud must not see what the device's owner masked: a command adds masks and lifts none of those.
        values["masks"] = [*masked, *(mask for mask in more if mask not in masked)]
    return check_config(values, f"{path} with what was set by command")


def keep(data_dir: Path, overrides: Mapping[str, object] | None) -> None:
    """Write the overrides in one step; None removes them.

    Raises:
        OutboxUnwritable: The disk refuses; what was there is still there.
    """
    file = data_dir / OVERRIDES_FILE
    try:
        if overrides is None:
            file.unlink(missing_ok=True)
        else:
            replace_file(file, json.dumps(overrides).encode())
    except OSError as refused:
        raise OutboxUnwritable(f"{file} can't be written ({refused})", "Free some space, or look after it.") from None


def kept(data_dir: Path) -> dict[str, object]:
    """What commands have set; empty where nothing can be read."""
    try:
        return _read(data_dir / OVERRIDES_FILE)
    except ConfigInvalid:
        return {}


def _read(file: Path) -> dict[str, object]:
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as broken:
        raise ConfigInvalid(f"{file} can't be read: {broken}", "Send set-config again, or remove the file.") from None
    if not isinstance(found, dict):
        raise ConfigInvalid(f"{file} holds no object", "Send set-config again, or remove the file.")
    return found
