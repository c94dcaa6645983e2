"""The record of the update, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from agent.adapters.durable_file import named_errors, replace_file
from agent.errors import ModelStoreBroken
from agent.update.record import UpdateRecord

MAX_BYTES: Final = 64 * 1024
"""A record holds one desired message (8 KiB) and some dozens of short fields; more is not ours."""


class UpdateRecordFile:
    """Implements `agent.update.storage.Records`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> UpdateRecord | None:
        """What was saved last; None where nothing was.

        Raises:
            ModelStoreBroken: What lies there is no record; it was set aside, one such file is kept.
        """
        with named_errors(self._path):
            try:
                with self._path.open("rb") as file:
                    content = file.read(MAX_BYTES + 1)
            except FileNotFoundError:
                return None
        if len(content) > MAX_BYTES:
            raise self._set_aside(f"over {MAX_BYTES} bytes")
        try:
            return UpdateRecord.model_validate_json(content)
        except ValidationError as broken:
            raise self._set_aside(broken.errors()[0]["msg"]) from broken

    def _set_aside(self, reason: str) -> ModelStoreBroken:
        aside = self._path.with_name(f"{self._path.name}.corrupt")
        with named_errors(self._path):
            self._path.replace(aside)
        return ModelStoreBroken(
            f"{self._path} is no record of an update ({reason})",
            f"It was set aside as {aside.name}; check the disk or card.",
        )

    def save(self, record: UpdateRecord) -> None:
        """Keep it; it survives a power cut from here on.

        Raises:
            NoRoom, ModelStoreBroken: What was kept before is still kept.
        """
        with named_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, record.model_dump_json().encode())
