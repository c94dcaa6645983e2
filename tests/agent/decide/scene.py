"""A scripted scene before a rule book: people who stand where the test says, and a clock turned by hand."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.decide.rulebook import RuleBook
from agent.decide.settings import AskPolicySettings, RuleSettings, ZoneSettings
from agent.domain import Answer, Track
from wire.messages import DecidedBy, Decision

BAND = (0.35, 0.6)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CERTAIN, UNSURE = 0.9, 0.5
ASKING = AskPolicySettings(min_hits=3)


def rule(**values):
    return RuleSettings(**({"name": "people", "labels": ("person",), "frames_to_confirm": 3} | values))


def person(number=1, score=CERTAIN, x=0.5, y=0.5, label="person", seen=True):
    box = (x - 0.02, y - 0.2, x + 0.02, y)
    return Track(number, label, score, score, box, 0.0, 0.0, 1, seen)


def verdict(ask, decision=Decision.CONFIRMED, label=None, decided_by=DecidedBy.CLOUD, question=None):
    return Answer(
        question_id=question or ask.id,
        alert_id=ask.alert_id,
        decision=decision,
        label=label,
        score=0.95,
        box=None,
        decided_by=decided_by,
        model="large 1",
        reason="",
    )


class Scene:
    """Ten frames a second of one camera after another."""

    def __init__(self, *rules, zones=(), asking=ASKING):
        self.ids = 0
        self.now = 100.0
        self.book = RuleBook(rules or (rule(),), zones, asking, BAND, self.new_id)
        self.told = []
        self.asks = []

    def new_id(self):
        self.ids += 1
        return f"{self.ids:032x}"

    def frames(self, count, *tracks, camera="front", local=NOON, step_s=0.1):
        """What `count` frames of these tracks led to, as (event, state) pairs."""
        before = len(self.told)
        for _ in range(count):
            self.now += step_s
            decided = self.book.step(camera, tracks, self.now, local)
            self.told += decided.changes
            self.asks += decided.asks
        return self.since(before)

    def wait(self, seconds):
        before = len(self.told)
        self.now += seconds
        self.told += self.book.tick(self.now)
        return self.since(before)

    def answer(self, answer):
        before = len(self.told)
        self.told += self.book.answer(answer, self.now)
        return self.since(before)

    def finish(self):
        before = len(self.told)
        self.told += self.book.finish(self.now, "the agent stopped")
        return self.since(before)

    def since(self, count):
        return [(str(change.event), str(change.state)) for change in self.told[count:]]


def zone(name, x1, x2):
    return ZoneSettings(name=name, camera="front", polygon=((x1, 0.0), (x2, 0.0), (x2, 1.0), (x1, 1.0)))
