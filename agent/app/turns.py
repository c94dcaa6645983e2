"""How `vedette-agent bench` shares its frames out; apart from it, since the command line has to say so without it."""

from __future__ import annotations

from typing import Final

TURNS: Final = 5
FRAMES_A_TURN: Final = 200
"""Over a second a turn at the default model's speed, so that a commit or a context switch is averaged away."""
FEWEST_FRAMES_A_TURN: Final = 10
