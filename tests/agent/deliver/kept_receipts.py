"""Receipts kept in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.deliver.receipts import Sending, Ticket
from agent.errors import EgressUnwritable


@dataclass
class KeptReceipts:
    """Implements `agent.deliver.receipts.Receipts`; `full` refuses as a full disk does."""

    full: bool = False
    begun: list[Sending] = field(default_factory=list)
    ended: list[tuple[int, str, int]] = field(default_factory=list)

    def begin(self, sending: Sending) -> Ticket:
        if self.full:
            raise EgressUnwritable("the disk is full")
        self.begun.append(sending)
        return Ticket(len(self.begun), sending.why)

    def end(self, ticket: Ticket, outcome: str, sent: int) -> None:
        self.ended.append((ticket.n, outcome, sent))
