"""Whether a camera's message is next, or comes beyond a gap. Pure.

A broker that was killed may hand over later messages before earlier ones that were under way. So what comes beyond a
gap is not taken: the device gets no ack, and goes back to the oldest message that it holds. If that is beyond the gap
again and again, the device does not hold what is missing (its outbox was full, or its disk broke), and the gap is
final. What the broker itself repeats, since it heard no acknowledgement in time, is marked as such and doesn't count;
once would not do all the same, since what is missing may be on its way.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from cloud.domain import CameraOrder

RETURNS: Final = 2
"""So often the device must have gone back, and not have begun with what is missing."""
GAP_WAIT_S: Final = 120.0
"""A gap is final after so long whatever the device does: several of its ack timeouts. Reached only where each new
message drops the one before, so that none is ever sent twice."""


def taken(order: CameraOrder, sequence: int, at: datetime, *, again: bool = False) -> CameraOrder | None:
    """The camera's order once the message is taken; None where it is to be left to come again, see `left`.

    Args:
        order: As it stands.
        sequence: Of a message that is not stored.
        at: When it arrived.
        again: The broker repeats it: no sign that the device went back.
    """
    if sequence <= order.last:
        # The numbering began anew, as after a lost data folder, or a final gap was not.
        return order
    if sequence > order.last + 1 and not _is_final(order, sequence, at, again=again):
        return None
    return replace(order, last=sequence, ahead=None, returns=0, gap_since=None)


def left(order: CameraOrder, sequence: int, at: datetime, *, again: bool = False) -> CameraOrder:
    """The camera's order once a message beyond its gap is left; see `taken`."""
    if again and order.ahead is not None:
        return order
    returns = order.returns + _went_back(order, sequence)
    return replace(order, ahead=sequence, returns=returns, gap_since=order.gap_since or at)


def _is_final(order: CameraOrder, sequence: int, at: datetime, *, again: bool) -> bool:
    if not again and order.returns + _went_back(order, sequence) >= RETURNS:
        return True
    return order.gap_since is not None and (at - order.gap_since).total_seconds() > GAP_WAIT_S


def _went_back(order: CameraOrder, sequence: int) -> bool:
    return order.ahead is not None and sequence <= order.ahead
