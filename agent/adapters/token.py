"""The device's token: its password at the broker and at the cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from agent.errors import ConfigInvalid


def token_source(file: Path | None, env_name: str, environ: Mapping[str, str]) -> Callable[[], str | None]:
    """What reads the token each time it is needed, so that a new one is taken without a restart.

    The reading raises `ConfigInvalid` where the file can't be read or is empty.
    """

    def read() -> str | None:
        if file is None:
            return environ.get(env_name) or None
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as refused:
            raise ConfigInvalid(
                f"token_file: {file} can't be read ({refused})",
                "Put the device's token there, readable by the agent.",
            ) from None
        if not token:
            raise ConfigInvalid(f"token_file: {file} is empty", "Put the device's token there.")
        return token

    return read
