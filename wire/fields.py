"""Field types that several messages share, each validated where it is made."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

# Device ids stand in topics, client ids, certificate names and file paths, so they hold only what is harmless in
# all of them. NATS maps a topic's "/" to "." and reads "." and "*" itself, hence neither.
DEVICE_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}$"
ID_PATTERN: Final = r"^[0-9a-f]{32}$"
DIGEST_PATTERN: Final = r"^sha256:[0-9a-f]{64}$"


def _printable(text: str) -> str:
    # Whatever Python prints holds none of these; looking at each character takes 30 times as long.
    if text.isprintable():
        return text
    bad = next((c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}), None)
    if bad is not None:
        msg = f"holds the unprintable character U+{ord(bad):04X}"
        raise ValueError(msg)
    return text


def _ordered(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    if x1 > x2 or y1 > y2:
        msg = "is [x1, y1, x2, y2] with x1 ≤ x2 and y1 ≤ y2"
        raise ValueError(msg)
    return box


DeviceId = Annotated[str, StringConstraints(pattern=DEVICE_ID_PATTERN)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""A camera, rule or zone: letters, digits, blank, `_`, `.` and `-`, at most 63."""
MessageId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
"""128 random bits as 32 lower-case hex digits; alerts, questions and boots are named the same way."""
Digest = Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_printable)]
"""An object class. Labels come out of model files, so they are not trusted: printable, at most 64 characters."""
Text = Annotated[str, StringConstraints(max_length=500), AfterValidator(_printable)]
Unit = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Box = Annotated[tuple[Unit, Unit, Unit, Unit], AfterValidator(_ordered)]
"""x1, y1, x2, y2 as shares of the full frame, 0..1, origin at the upper left."""
Timestamp = AwareDatetime
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Sighting(NamedTuple):
    """An object, as `[label, score, box]`."""

    label: Label
    score: Unit
    box: Box
