"""The questions of a trial: put through the judging thread, and matched with their answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from agent.domain import Answer, Ask, Clock, Frame
from agent.judging.inbox import Aside, Inbox
from agent.update.disputes import Dispute, Side
from wire.messages import AskReason, Decision

ANSWERS_S: Final = 30.0
"""How long a trial waits for answers after its last frame. One that misses its deadline comes as a message soon
after; what takes longer waits for the link or the cloud, and the trial is judged without it."""


@dataclass(frozen=True, slots=True)
class AsideSettings:
    """What a question takes.

    Attributes:
        new_id: Gives ids, 32 hex digits, never the same twice.
        deadline_s: For how long an answer is awaited over HTTP.
    """

    new_id: Callable[[], str]
    deadline_s: float


@dataclass(slots=True)
class _Put:
    dispute: Dispute
    asked: bool | None = None
    there: bool | None = None


@dataclass(eq=False)
class Asides:
    """Of one trial. All calls may come from any thread.

    Attributes:
        news: Notified when anything changes.
        digests: Of the models, by side.
    """

    inbox: Inbox
    clock: Clock
    settings: AsideSettings
    news: threading.Condition
    digests: dict[Side, str]
    _put: dict[str, _Put] = field(default_factory=dict)

    def ask(self, dispute: Dispute, frame: Frame) -> None:
        """Have the cloud asked about an object of the frame, if the limits allow it."""
        put, found = _Put(dispute), dispute.found
        ask = Ask(
            id=self.settings.new_id(),
            alert_id=None,
            camera=dispute.camera,
            track=None,
            label=found.label,
            score=found.score,
            box=found.box,
            reason=AskReason.DISAGREEMENT,
            asked_at=self.clock.monotonic(),
            deadline_s=self.settings.deadline_s,
            model_digest=self.digests[dispute.side],
        )
        with self.news:
            self._put[ask.id] = put

        def asked(was: bool) -> None:  # noqa: FBT001 - `Aside` calls it so
            with self.news:
                put.asked = was
                self.news.notify_all()

        self.inbox.put(Aside(ask, frame, asked))

    def heard(self, answer: Answer) -> bool:
        """Take in an answer; whether it was to one of these questions."""
        with self.news:
            put = self._put.get(answer.question_id)
            if put is None:
                return False
            put.there = answer.decision is Decision.CONFIRMED
            self.news.notify_all()
            return True

    def waiting(self) -> bool:
        """Whether an answer is still to come."""
        with self.news:
            return any(put.asked is not False and put.there is None for put in self._put.values())

    def outcome(self) -> list[tuple[Dispute, bool | None]]:
        """What was asked, each with whether the cloud saw the object there too; None where it has not answered."""
        with self.news:
            return [(put.dispute, put.there) for put in self._put.values() if put.asked]
