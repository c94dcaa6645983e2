"""The protocol number and its history.

The number stands in every topic (`vedette/v1/…`) and in every message. It goes up only when a program that
speaks the older number would misread the newer one: a new optional field does not raise it, since unknown
fields are ignored.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PROTOCOL: Final = 1


class Change(NamedTuple):
    """One line of the protocol's history."""

    number: int
    date: str
    what: str


HISTORY: Final[tuple[Change, ...]] = (
    Change(1, "2026-11-23", "First protocol: status, telemetry, alerts, acks, questions over HTTPS, late verdicts."),
    Change(1, "2026-11-25", "Questions that decide no alert; what candidate and current model disagree about."),
    Change(1, "2026-11-25", "Audits: frames drawn at random over HTTPS; gates on the audited accuracy."),
    Change(1, "2026-11-26", "Pictures say what was painted over in them; telemetry says where the egress log ends."),
    Change(1, "2026-11-26", "Questions about objects; verdicts say what else is in the picture."),
    Change(1, "2026-11-26", "Telemetry says what is left of the budget of questions; late outcomes of audits."),
    Change(1, "2026-11-26", "Questions that show the whole frame for its context."),
    Change(1, "2026-11-27", "Telemetry says how often was asked again with the whole frame."),
)
