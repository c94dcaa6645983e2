"""How long a rule keeps quiet: after an alert, and where somebody asked for it."""

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


class Mutes:
    """Which rules raise nothing on which cameras, and until when; None is any of them."""

    def __init__(self) -> None:
        self._until: dict[tuple[str | None, str | None], float] = {}

    def set(self, rule: str | None, camera: str | None, until: float) -> None:
        """Raise nothing before `until`; one that is set already is replaced."""
        self._until[rule, camera] = until

    def hold(self, rule: str, camera: str, now: float) -> bool:
        """Whether this rule is muted on this camera; forgets what is over."""
        self._until = {which: until for which, until in self._until.items() if until > now}
        return any(which[0] in (None, rule) and which[1] in (None, camera) for which in self._until)
