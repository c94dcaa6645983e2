"""Whether a camera's message is next, or comes beyond a gap. Pure.

A broker that was killed may hand over later messages before earlier ones that were under way. So what comes beyond a
gap is not taken: the device gets no ack, and goes back to the oldest message that it holds. If that is again beyond
the gap, the device does not hold what is missing (its outbox was full, or its disk broke), and the gap is final.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from cloud.domain import CameraOrder

GAP_WAIT_S: Final = 120.0
"""A gap is final after so long whatever the device does: several of its ack timeouts. Reached only where each new
message drops the one before, so that none is ever sent twice."""


def taken(order: CameraOrder, sequence: int, at: datetime) -> CameraOrder | None:
    """The camera's order once the message is taken; None where it is to be left to come again, see `left`.

    Args:
        order: As it stands.
        sequence: Of a message that is not stored.
        at: When it arrived.
    """
    if sequence <= order.last:
        # The numbering began anew, as after a lost data folder, or a final gap was not.
        return order
    if sequence > order.last + 1 and not _is_final(order, sequence, at):
        return None
    return replace(order, last=sequence, ahead=None, gap_since=None)


def left(order: CameraOrder, sequence: int, at: datetime) -> CameraOrder:
    """The camera's order once a message beyond its gap is left."""
    return replace(order, ahead=max(sequence, order.ahead or 0), gap_since=order.gap_since or at)


def _is_final(order: CameraOrder, sequence: int, at: datetime) -> bool:
    went_back = order.ahead is not None and sequence <= order.ahead
    return went_back or (order.gap_since is not None and (at - order.gap_since).total_seconds() > GAP_WAIT_S)
