"""A reader of FlatBuffers that believes nothing: every offset is checked before it is followed.

Model files come from strangers, and the runtimes' own readers trust them. Only what `vision.tflite_file` asks for is
read; depth is fixed by its questions, so no structure can make it loop.
Format: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

from vision.errors import ModelUnreadable

MAX_TEXT_BYTES: Final = 4096
"""Names and descriptions beyond this serve no reader."""

Bytes = bytes | mmap.mmap

_UOFFSET: Final = struct.Struct("<I")
_SOFFSET: Final = struct.Struct("<i")
_VOFFSET: Final = struct.Struct("<H")


class Table:
    """One table in a buffer; a field that is absent reads as its default."""

    __slots__ = ("_data", "_position", "_vtable", "_vtable_size")

    def __init__(self, data: Bytes, position: int) -> None:
        self._data = data
        self._position = position
        self._vtable = position - _read(data, _SOFFSET, position)
        self._vtable_size = _read(data, _VOFFSET, self._vtable)

    def integer(self, field: int, layout: str, default: int = 0) -> int:
        """A scalar field; `layout` is a one-value format of `struct`, without the byte order."""
        at = self._field(field)
        return default if at is None else _read(self._data, struct.Struct(f"<{layout}"), at)

    def table(self, field: int) -> Table | None:
        """A sub-table."""
        at = self._field(field)
        return None if at is None else Table(self._data, at + _read(self._data, _UOFFSET, at))

    def tables(self, field: int, limit: int) -> list[Table]:
        """A vector of tables.

        Raises:
            ModelUnreadable: It claims more than `limit`, or reaches outside the buffer.
        """
        start, count = self._vector(field, _UOFFSET.size, limit)
        places = range(start, start + count * _UOFFSET.size, _UOFFSET.size)
        return [Table(self._data, at + _read(self._data, _UOFFSET, at)) for at in places]

    def integers(self, field: int, layout: str, limit: int) -> tuple[int, ...]:
        """A vector of whole numbers."""
        return tuple(int(value) for value in self._numbers(field, layout, limit))

    def floats(self, field: int, limit: int) -> tuple[float, ...]:
        """A vector of 32-bit floats."""
        return self._numbers(field, "f", limit)

    def raw(self, field: int, limit: int) -> bytes:
        """A vector of bytes, copied."""
        start, count = self._vector(field, 1, limit)
        return self._data[start : start + count]

    def text(self, field: int) -> str:
        """A string; bytes that are not UTF-8 become U+FFFD."""
        return self.raw(field, MAX_TEXT_BYTES).decode("utf-8", "replace")

    def _field(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + _VOFFSET.size > self._vtable_size:
            return None
        offset = _read(self._data, _VOFFSET, self._vtable + entry)
        return self._position + offset if offset else None

    def _vector(self, field: int, extent: int, limit: int) -> tuple[int, int]:
        at = self._field(field)
        if at is None:
            return 0, 0
        at += _read(self._data, _UOFFSET, at)
        count = _read(self._data, _UOFFSET, at)
        start = at + _UOFFSET.size
        if count > limit or start + count * extent > len(self._data):
            raise ModelUnreadable(f"a list in the model claims {count} entries, more than there can be")
        return start, count

    def _numbers(self, field: int, layout: str, limit: int) -> tuple[float, ...]:
        start, count = self._vector(field, struct.calcsize(f"<{layout}"), limit)
        return struct.unpack_from(f"<{count}{layout}", self._data, start) if count else ()


def root(data: Bytes) -> Table:
    """The table that a buffer begins with."""
    return Table(data, _read(data, _UOFFSET, 0))


def _read(data: Bytes, layout: struct.Struct, at: int) -> int:
    if not 0 <= at <= len(data) - layout.size:
        raise ModelUnreadable("the model's structure points outside the file", "Fetch or build the file again.")
    return int(layout.unpack_from(data, at)[0])
