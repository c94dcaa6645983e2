"""How long a rule keeps quiet after an alert."""

from __future__ import annotations

Place = tuple[str, str, str | None, str]
"""Rule, camera, zone and label: what keeps quiet together."""


class Cooldowns:
    """Until when each place keeps quiet, and because of which alert."""

    def __init__(self) -> None:
        self._until: dict[Place, dict[str, float]] = {}

    def begin(self, place: Place, alert: str, until: float) -> None:
        """Keep quiet for an alert's sake; a later call for the same alert extends it."""
        self._until.setdefault(place, {})[alert] = until

    def lift(self, alert: str) -> None:
        """The alert was a false one: nothing has to be quiet for it."""
        for running in self._until.values():
            running.pop(alert, None)

    def holds(self, place: Place, now: float) -> bool:
        """Whether the place keeps quiet; forgets what is over."""
        running = {alert: until for alert, until in self._until.get(place, {}).items() if until > now}
        if running:
            self._until[place] = running
        else:
            self._until.pop(place, None)
        return bool(running)
