"""What to send next, and when to try again. Pure.

A fresh question is tried at once, whatever happened before: somebody waits for its answer, and it tells as well
as any other request whether the cloud is there. All else waits out the pause that failures impose, oldest first, one
at a time until the first success: questions, then pictures, then outcomes and audits. A question about an object is
dropped when its deadline is over: by then the object is somewhere else. An outcome that is not there yet is asked for
again later and later, whatever else happens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from agent.ask.uploads import Key, Kind

MAX_DOUBLINGS: Final = 16
_ASKING: Final = {Kind.QUESTION, Kind.OBJECT}
_TURN: Final = {kind: turn for turn, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class Waiting:
    """An upload that waits for its turn.

    Attributes:
        made_at: Monotonic.
        deadline_at: Until when an answer is in time, monotonic; None for what nobody waits for.
        not_before: When it may go at the earliest, monotonic.
    """

    key: Key
    made_at: float
    deadline_at: float | None = None
    not_before: float = 0.0


class Schedule:
    """Takes what is to be sent, gives out what may be sent now, and is told how it went."""

    def __init__(
        self,
        *,
        max_concurrent: int,
        give_up_after_s: float,
        retry_min_s: float,
        retry_max_s: float,
        outcomes_for_s: float = 0.0,
    ) -> None:
        self._max_concurrent = max_concurrent
        self._give_up_after_s = give_up_after_s
        self._outcomes_for_s = outcomes_for_s
        self._retry_min_s = retry_min_s
        self._retry_max_s = retry_max_s
        self._waiting: dict[Key, Waiting] = {}
        self._under_way: dict[Key, Waiting] = {}
        # Of those under way, what is there no more.
        self._dropped: set[Key] = set()
        self._failures = 0
        self._pause_until = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting or key in self._under_way

    def add(self, upload: Waiting) -> None:
        """It is to be sent; replaces one of the same key."""
        self._waiting.pop(upload.key, None)
        self._waiting[upload.key] = upload

    def drop(self, key: Key) -> bool:
        """It is there no more; whether it is lost, and not just under way: then `failed` or `done` will tell."""
        self._waiting.pop(key, None)
        if key in self._under_way:
            self._dropped.add(key)
        return key not in self._under_way

    def take(self, now: float) -> Waiting | None:
        """What to send now; it is under way until `done`, `not_yet`, `unread` or `failed` is called with it."""
        if len(self._under_way) >= self._max_concurrent:
            return None
        chosen = self._fresh(now) or self._due(now)
        if chosen is not None:
            self._under_way[chosen.key] = self._waiting.pop(chosen.key)
        return chosen

    def done(self, upload: Waiting) -> None:
        """The cloud took it, or refused it for good: either way it is there."""
        self._landed(upload)
        self._failures = 0
        self._pause_until = 0.0

    def not_yet(self, upload: Waiting, now: float, *, pause_s: float) -> bool:
        """The cloud is there, and does not know the answer yet: ask again after a pause, if it was not dropped.

        Args:
            upload: As it was taken.
            now: Monotonic.
            pause_s: At least; as long as it has waited so far, where that is longer, so each pause is twice the last.

        Returns:
            Whether it was dropped, and is lost.
        """
        gone = upload.key in self._dropped
        self.done(upload)
        at = now + max(pause_s, now - upload.made_at)
        if not gone:
            self._waiting.setdefault(upload.key, replace(upload, not_before=at))
        return gone

    def unread(self, upload: Waiting, now: float) -> bool:
        """The disk does not give it back now: it is tried again after the longest pause, and holds nothing else up.

        Whether it is lost, as it was dropped meanwhile.
        """
        gone = self._landed(upload)
        if not gone:
            self._waiting.setdefault(
                upload.key, Waiting(upload.key, upload.made_at, not_before=now + self._retry_max_s)
            )
        return gone

    def failed(self, upload: Waiting, now: float, *, jitter: float, at_least_s: float = 0.0) -> bool:
        """It did not get through, and will be tried again, no longer as fresh; whether it was dropped, and is lost.

        Args:
            upload: As it was taken.
            now: Monotonic.
            jitter: 0..1, random.
            at_least_s: How long the cloud asked to be left alone.
        """
        gone = self._landed(upload)
        if not gone:
            self._waiting.setdefault(upload.key, Waiting(upload.key, upload.made_at))
        pause = min(self._retry_max_s, self._retry_min_s * 2 ** min(self._failures, MAX_DOUBLINGS))
        self._failures += 1
        self._pause_until = max(self._pause_until, now + max(pause * (0.5 + jitter / 2), at_least_s))
        return gone

    def give_up(self, now: float) -> list[Key]:
        """What has become too old, and is not to be sent any more."""
        old = [key for key, item in self._waiting.items() if now >= self._gives_up_at(item)]
        for key in old:
            del self._waiting[key]
        return old

    def next_at(self, now: float) -> float | None:
        """When to look again if nothing else happens; None where only an event can change anything."""
        if not self._waiting:
            return None
        at = min(self._gives_up_at(item) for item in self._waiting.values())
        later = (item.not_before for item in self._waiting.values() if item.not_before > now)
        at = min(at, min(later, default=at))
        return min(at, self._pause_until) if self._pause_until > now else at

    def _gives_up_at(self, item: Waiting) -> float:
        if item.key.kind is Kind.OBJECT:
            return item.made_at if item.deadline_at is None else item.deadline_at
        if item.key.kind is Kind.OUTCOME:
            return item.made_at + self._outcomes_for_s
        return item.made_at + self._give_up_after_s

    def _landed(self, upload: Waiting) -> bool:
        """It is under way no more; whether it was dropped meanwhile."""
        self._under_way.pop(upload.key, None)
        gone = upload.key in self._dropped
        self._dropped.discard(upload.key)
        return gone

    def _fresh(self, now: float) -> Waiting | None:
        # A cloud that can't be reached is not tried anew for each object: their questions are many, and worth little.
        paused = now < self._pause_until
        fresh = (
            w
            for w in self._waiting.values()
            if w.deadline_at is not None and w.deadline_at > now and not (paused and w.key.kind is Kind.OBJECT)
        )
        return min(fresh, key=lambda w: _TURN[w.key.kind], default=None)

    def _due(self, now: float) -> Waiting | None:
        if now < self._pause_until or (self._failures and self._under_way):
            return None
        due = (item for item in self._waiting.values() if item.not_before <= now)
        oldest_first = sorted(due, key=lambda w: (_TURN[w.key.kind], w.made_at))
        chosen = next(iter(oldest_first), None)
        if chosen is not None and chosen.key.kind not in _ASKING and not self._other_may_go():
            return None
        return chosen

    def _other_may_go(self) -> bool:
        """A place is kept free for the next question, where there is more than one."""
        others = sum(key.kind not in _ASKING for key in self._under_way)
        return others < max(1, self._max_concurrent - 1)
