"""What questions are likely to take, held against amounts that may never hold so much. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agent.ask.budget import UNLIMITED, BudgetSettings, least_amount
from agent.ask.crop import scaled
from agent.ask.objects import BYTES_PER_PX, PICTURE_BYTES, REQUEST_BYTES
from agent.ask.settings import AskSettings

SMALL_PX: Final = 96
"""Side of a question's picture that is small in any frame; `ask.question_min_px` may be larger than frames are."""
SMALLEST_FRAME: Final = (160, 120)
"""Width and height of the smallest picture that a camera is likely to give: a thermal one's."""


def question_bytes(ask: AskSettings, *, about_objects: bool) -> float:
    """What one question is likely to take; an amount that never holds so much is refused."""
    pixels = min(ask.question_min_px, SMALL_PX) ** 2 if about_objects else 0
    return REQUEST_BYTES + PICTURE_BYTES + BYTES_PER_PX * pixels


def whole_frame_bytes(size: tuple[int, int], context_px: int) -> float:
    """What a question with a whole frame of this width and height takes, as the device reckons before it learns."""
    width, height = scaled(*size, context_px)
    return REQUEST_BYTES + PICTURE_BYTES + BYTES_PER_PX * width * height


def too_little(budget: BudgetSettings, question: float) -> Iterator[str]:
    """Amounts that never hold what one question takes: nothing would be asked, and nobody would be told."""
    amounts = {"bytes": budget.bytes, "each_camera.bytes": budget.each_camera.bytes}
    amounts |= {f"cameras.{name}.bytes": one.bytes for name, one in budget.cameras.items()}
    for key, text in amounts.items():
        needed = None if text is None else least_amount(text, question)
        if needed is not None:
            yield (
                f"asking.budget.{key}: {text!r} never holds the {question:.0f} bytes that a question takes; write"
                f' "{needed}" or more, or "0{needed.lstrip("0123456789")}" where nothing is to be asked'
            )


def too_little_for(
    budget: BudgetSettings, camera: str, question: float, *, urgent: bool
) -> Iterator[tuple[str, str, str]]:
    """The amounts that hold for a camera and never hold such a question, though they hold others.

    Args:
        budget: See there.
        camera: By name.
        question: What it takes, in bytes.
        urgent: Whether it may borrow.

    Yields:
        The key, what is written there, and the least that is enough.
    """
    own, key = budget.each_camera.bytes, "each_camera"
    if camera in budget.cameras:
        own, key = budget.cameras[camera].bytes, f"cameras.{camera}"
    for place, text in (("bytes", budget.bytes), (f"{key}.bytes", own or UNLIMITED)):
        needed = least_amount(text, question, urgent=urgent)
        if needed is not None:
            yield f"asking.budget.{place}", text, needed
