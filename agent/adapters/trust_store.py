"""The floors on disk: a small file replaced as a whole, and a copy of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from agent.adapters.durable_file import named_errors, replace_file
from agent.deliver.faults import Faults
from agent.errors import ModelStoreBroken
from agent.update.trust import Floors


class TrustStore:
    """Keeps `Floors`. Used by the update worker's thread alone."""

    def __init__(self, file: Path, faults: Faults) -> None:
        self._file = file
        self._copy = file.with_name(f"{file.name}.copy")
        self._faults = faults

    def load(self) -> Floors:
        """The floors; none on a new device, and, noted as a fault, where both files are damaged.

        A card that lost both still has the metadata itself against an older repository; refusing every update until
        somebody visits the device would cost more than that.

        Raises:
            ModelStoreBroken: The disk can't be read.
        """
        for file in (self._file, self._copy):
            try:
                with named_errors(file):
                    if not file.exists():
                        continue
                    found = Floors.model_validate_json(file.read_bytes())
            except ValidationError:
                found = None
            # What was saved says what it is: any other object would pass for floors, and be as low as can be.
            if found is not None and "floors" in found.model_fields_set:
                return found
            self._faults.note(ModelStoreBroken(f"{file} is damaged", "Check the disk or card."))
        return Floors()

    def save(self, floors: Floors) -> None:
        """Keep the floors for good.

        Raises:
            NoRoom, ModelStoreBroken: The disk refuses; the floors before are still there.
        """
        data = floors.model_dump_json().encode()
        for file in (self._file, self._copy):
            with named_errors(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                replace_file(file, data)
