"""Chance that is the same for the same seed, at 16 bytes a device: `random.Random` holds 2.5 kB of state."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")
_MASK: Final = 2**64 - 1


class Dice:
    """SplitMix64 (Steele, Lea and Flood 2014)."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, name: str = "") -> None:
        """Begin.

        Args:
            seed: Of the whole simulation.
            name: Whose dice: each device's are independent of how many others there are.
        """
        self._state = int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest())

    def bits(self) -> int:
        """64 of them."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        return mixed ^ mixed >> 31

    def unit(self) -> float:
        """From 0 to below 1."""
        return (self.bits() >> 11) / 2**53

    def between(self, low: float, high: float) -> float:
        """Uniform."""
        return low + (high - low) * self.unit()

    def wait(self, mean: float) -> float:
        """Until the next of events that happen at random, `mean` apart."""
        return -mean * math.log(1.0 - self.unit())

    def choose(self, among: Sequence[T]) -> T:
        """One of them."""
        return among[self.bits() % len(among)]
