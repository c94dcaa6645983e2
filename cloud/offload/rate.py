"""How often each device may ask: a token bucket for each, of which a bounded number is remembered. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """Lets each name act `per_s` times a second in the long run, and `burst` times at once.

    When more than `remembered` names are about, the one that was heard least recently starts afresh.
    """

    def __init__(self, *, per_s: float, burst: int, remembered: int = 10_000) -> None:
        self._per_s = per_s
        self._burst = burst
        self._remembered = remembered
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, name: str, now: float) -> float:
        """Take one of `name`'s tokens and return 0, or take none and return how long until there is one."""
        bucket = self._buckets.setdefault(name, _Bucket(float(self._burst), now))
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._remembered:
            self._buckets.popitem(last=False)
        bucket.tokens = min(float(self._burst), bucket.tokens + max(0.0, now - bucket.at) * self._per_s)
        bucket.at = now
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / self._per_s
        bucket.tokens -= 1.0
        return 0.0
