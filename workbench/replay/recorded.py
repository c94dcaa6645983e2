"""What a replayed device knew of the objects that it asked about, and whether it was wrong: what is learnt from.

One JSON object a line, the oldest first:

    {"form":1,"features":[0.0,…],"wrong":true,"by_hand":0.7,"bytes":2412,"reason":"refresh"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from agent.ask.gain import FORM, NAMES, Case, by_hand, features, was_wrong
from agent.domain import Answer, Ask
from wire.fields import Unit
from wire.messages import AskReason
from workbench.errors import AnswersUnusable

DIGITS: Final = 5
MOST_BYTES: Final = 1 << 30
MEND: Final = "Write it with `vedette replay --answers FILE`."


@dataclass(frozen=True, slots=True)
class Recorded:
    """One answered question of the policy's own.

    Attributes:
        form: Of the features; see `wire.model.GAIN_FEATURES`.
        wrong: The device was, in the cloud's eyes.
        by_hand: The gain by the figures that were set by hand.
        bytes: Of the whole request.
    """

    form: int
    features: tuple[float, ...]
    wrong: bool
    by_hand: float
    bytes: int
    reason: str


class Recorder:
    """Notes what is known when a question is asked, and what is answered."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[Ask, Case]] = {}
        self.answers: list[Recorded] = []

    def asked(self, ask: Ask, case: Case) -> None:
        """A question is about to be asked."""
        self._asked[ask.id] = ask, case

    def answered(self, answer: Answer, size: int) -> None:
        """This is what the cloud says to it; nothing is noted of questions that others asked."""
        ask, case = self._asked.pop(answer.question_id, (None, None))
        if ask is None or case is None or answer.found is None:
            return
        known = tuple(round(value, DIGITS) for value in features(case))
        wrong = was_wrong(case, ask.label, answer.found)
        self.answers.append(Recorded(FORM, known, wrong, round(by_hand(case), DIGITS), size, ask.reason.value))


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    form: int
    features: tuple[Unit, ...]
    wrong: bool
    by_hand: FiniteFloat
    bytes: int = Field(ge=1, le=MOST_BYTES)
    reason: AskReason


def lines(answers: Sequence[Recorded]) -> Iterator[str]:
    """Each as a line of JSON, its end included."""
    for one in answers:
        yield json.dumps(asdict(one), separators=(",", ":")) + "\n"


def read_answers(path: Path) -> list[Recorded]:
    """Read what `lines` wrote.

    Raises:
        AnswersUnusable: The file can't be read, or a line is not what was written there.
    """
    found = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                found.append(_read(line, f"{path}, line {number}"))
    except OSError as refused:
        raise AnswersUnusable(f"{path} can't be read: {refused.strerror}", MEND) from None
    except UnicodeDecodeError:
        raise AnswersUnusable(f"{path} is no text", MEND) from None
    return found


def _read(line: str, where: str) -> Recorded:
    try:
        one = _Line.model_validate_json(line)
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "the line"
        raise AnswersUnusable(f"{where}: {field}: {first['msg']}", MEND) from None
    if one.form != FORM or len(one.features) != len(NAMES):
        raise AnswersUnusable(f"{where}: {len(one.features)} features of the set {one.form} are not known here", MEND)
    return Recorded(one.form, one.features, one.wrong, one.by_hand, one.bytes, one.reason.value)
