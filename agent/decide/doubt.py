"""Whether the cloud's answer about a cut-out leaves it open if the object is there. Pure.

The cloud always decides. But it also says all that it saw, with how likely each is there, and stands behind what is
at least as likely as not. What it saw over the object in question, and did not stand behind, is a doubt.
"""

from __future__ import annotations

from typing import Final

from agent.boxes import overlap
from agent.domain import Answer, Box
from wire.messages import DecidedBy, Decision

DOUBT: Final = 0.25
"""From this likelihood on, what the cloud saw and did not stand behind makes a doubt; it stands behind one of .5."""
THERE: Final = 0.35
"""So well (intersection over union) it must lie over the box in question, as for the cloud itself."""


def leaves_in_doubt(answer: Answer, asked: Box, label: str) -> bool:
    """Whether the cloud retracted an object of this label in `asked`, though it saw something like it there."""
    if answer.decision is not Decision.RETRACTED or answer.decided_by is not DecidedBy.CLOUD:
        return False
    # Where it stands behind something else, it knows what is there.
    if answer.label is not None or answer.found is None:
        return False
    return any(one.label == label and one.score >= DOUBT and overlap(one.box, asked) >= THERE for one in answer.found)
