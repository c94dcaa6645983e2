"""What tuning needs of the rest of the agent, as ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from agent.tune.bands import Held
from agent.tune.evidence import Evidence, FrameAnswer, ObjectAnswer, Scene


class Answers(Protocol):
    """Where the evidence lies. From any thread; a disk that refuses is counted, and not raised."""

    def add_frame(self, audit: str, answers: Mapping[Scene, FrameAnswer]) -> None:
        """What an audit said, by label."""

    def add_object(self, question: str, scene: Scene, drawn: ObjectAnswer) -> None:
        """A drawn object that is asked about."""

    def answer_object(self, question: str, *, wrong: bool) -> None:
        """What the cloud said of it."""

    def unanswered(self) -> set[str]:
        """Questions whose answer has not come."""

    def count(
        self, camera: str, digest: str, at: float, watched_s: float, objects: Mapping[tuple[str, int], int]
    ) -> None:
        """A camera was watched for so long, and so many objects have gone, by label and hundredth."""

    def hold(self, held: Mapping[Scene, Held]) -> None:
        """Where bands stand from now on."""

    def held(self) -> dict[Scene, Held] | None:
        """Where all bands stand; None where the disk does not say."""

    def evidence(self, scene: Scene, since: float) -> Evidence | None:
        """What is known of a scene from then on; None where the disk does not say."""

    def forget(self, before: float) -> None:
        """Drop what is older."""

    def close(self) -> None:
        """Let go of the file."""


class Rules(Protocol):
    """What the rule book says; `agent.decide.rulebook.RuleBook`."""

    @property
    def labels(self) -> frozenset[str]:
        """What the rules look for."""

    def frames_to_confirm(self, camera: str, label: str) -> int:
        """How many frames an alert takes."""

    def least_score(self, camera: str, label: str) -> float:
        """Below it, rules were told to ignore the label."""
