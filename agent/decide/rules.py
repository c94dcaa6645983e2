"""What the rules say of a place, a label and a score; nothing here remembers what was seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from agent.decide.schedule import applies
from agent.decide.settings import AskPolicySettings, PicturePolicy, RuleSettings, ZoneSettings
from agent.decide.zones import Polygon, contains, ground_point
from agent.domain import Box

Band = tuple[float, float]
"""From which score on an object counts, and from which on it is certain."""


class Rules:
    """The rules, their zones, and the band of scores in which an object is uncertain.

    Args:
        rules: Their names are unique.
        zones: Those of all cameras.
        asking: How the cloud is asked; None where there is none: from a rule's `min_score` on all is certain then.
        uncertain: The model's own band, where `asking` names none.

    Attributes:
        by_name: The rules.
        asking: As it was given.
        uncertain: The model's own band.
        tuned: Bands that were found for a camera and a label, before which all others stand back.
    """

    def __init__(
        self,
        rules: Iterable[RuleSettings],
        zones: Iterable[ZoneSettings],
        asking: AskPolicySettings | None,
        uncertain: Band,
    ) -> None:
        self.uncertain = uncertain
        self.tuned: Mapping[tuple[str, str], Band] = {}
        self.configure(rules, zones, asking)

    def configure(
        self, rules: Iterable[RuleSettings], zones: Iterable[ZoneSettings], asking: AskPolicySettings | None
    ) -> None:
        """Go on under other settings; what the model and the tuning say stays."""
        by_camera: dict[str, dict[str, Polygon]] = {}
        for zone in zones:
            by_camera.setdefault(zone.camera, {})[zone.name] = zone.polygon
        self.by_name = {rule.name: rule for rule in rules}
        self.labels = frozenset(label for rule in self.by_name.values() for label in rule.labels)
        """What is looked for."""
        self.asking = asking
        self._zones = by_camera

    @property
    def keep_for_s(self) -> float:
        """For how long an alert is remembered after its object went, in seconds."""
        return (self.asking or AskPolicySettings()).keep_for_s

    def on(self, camera: str) -> Iterator[RuleSettings]:
        """The rules that watch this camera, in their order."""
        return (rule for rule in self.by_name.values() if not rule.cameras or camera in rule.cameras)

    def looking_for(self, camera: str, label: str) -> Iterator[RuleSettings]:
        """Those of them that look for the label."""
        return (rule for rule in self.on(camera) if label in rule.labels)

    def zone(self, rule: RuleSettings, camera: str, box: Box) -> str | None:
        """The first of the rule's zones in which the object stands."""
        if not rule.zones:
            return None
        zones, point = self._zones.get(camera, {}), ground_point(box)
        return next((name for name in rule.zones if name in zones and contains(zones[name], point)), None)

    def band(self, rule: RuleSettings, camera: str, label: str) -> Band:
        """From where on a score counts for the rule, and from where on it is certain."""
        if self.asking is None:
            return max(rule.min_score, 0.0), 0.0
        tuned = self.tuned.get((camera, label))
        if tuned is not None:
            return max(told_score(rule), tuned[0]), tuned[1]
        lower, upper = self.asking.uncertain or self.uncertain
        return max(rule.min_score, lower), upper

    def interest(self, camera: str, label: str | None, box: Box, local: datetime) -> str | None:
        """The label for which to ask about a place; None where no rule looks there just then, or none may ask.

        Args:
            camera: Whose frame it is.
            label: What it may be; None where nothing tells: then it is any that a rule looks for.
            box: Where.
            local: The device's time of day.
        """
        for rule in self.on(camera):
            for wanted in rule.labels if label is None else (label,):
                if self._concerns(rule, camera, wanted, box, local):
                    return wanted
        return None

    def _concerns(self, rule: RuleSettings, camera: str, label: str, box: Box, local: datetime) -> bool:
        return (
            rule.picture is not PicturePolicy.NEVER
            and label in rule.labels
            and (not rule.zones or self.zone(rule, camera, box) is not None)
            and applies(rule.schedule, local)
        )


def told_score(rule: RuleSettings) -> float:
    """The least score that a person gave the rule: what is there by default must not hold up what is tuned."""
    return rule.min_score if "min_score" in rule.model_fields_set else 0.0
