"""What other threads want of the judging thread, which takes it up between two frames."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from agent.ask.budget import BudgetSettings
from agent.ask.object_settings import ObjectSettings
from agent.decide.masks import MaskFilter
from agent.decide.settings import AskPolicySettings, RuleSettings, ZoneSettings
from agent.domain import Answer, Ask, Frame
from vision.detections import Detector


@dataclass(frozen=True, slots=True)
class NewRules:
    """Rules that replace the present ones, from a reloaded configuration."""

    rules: tuple[RuleSettings, ...]
    zones: tuple[ZoneSettings, ...]
    asking: AskPolicySettings | None
    masks: Mapping[str, MaskFilter]
    objects: ObjectSettings = field(default_factory=ObjectSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)


@dataclass(frozen=True, slots=True)
class NewBands:
    """Scores worth a question, by camera and label, that replace those tuned or pinned before."""

    bands: Mapping[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True, slots=True, eq=False)
class NewModel:
    """A model that replaces the present one; whoever hands it in closes that one afterwards.

    Attributes:
        input_size: Width and height of its input, in pixels.
        min_score: The lowest score that it is asked for.
        uncertain: Its band of scores worth a question.
        looks: How many second looks a frame pay for it.
        adopted: Called between the two frames, by the judging thread.
    """

    detector: Detector
    input_size: tuple[int, int]
    min_score: float
    uncertain: tuple[float, float]
    looks: float
    adopted: Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class SwapModel:
    """A model that replaces the present one where memory does not hold both.

    Attributes:
        swap: Called between two frames, by the judging thread: closes the present model and returns the one to go on
            with. Frames that come meanwhile are dropped, except for the newest of each camera.
    """

    swap: Callable[[], NewModel]


@dataclass(frozen=True, slots=True, eq=False)
class Aside:
    """A question that decides no alert; asked within the limits that the rules' own questions have.

    Attributes:
        asked: Told by the judging thread whether it was.
    """

    ask: Ask
    frame: Frame
    asked: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Paid:
    """A question left the device, with so many bytes; told each time it does, and ahead of its answer."""

    question_id: str
    camera: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Unsent:
    """A question will not leave the device any more, whether it ever did or not."""

    question_id: str


@dataclass(frozen=True, slots=True)
class Mute:
    """No new alerts of this rule, on this camera (None: of any, on any), for so long."""

    rule: str | None
    camera: str | None
    for_s: float


Event = Answer | Paid | Unsent | Aside | NewBands | NewRules | NewModel | SwapModel | Mute


class Inbox:
    """From any thread to the judging one, in order."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._waiting: queue.SimpleQueue[tuple[Event, Future[None]]] = queue.SimpleQueue()
        self._wake = wake

    def put(self, event: Event) -> Future[None]:
        """Hand in an event; from any thread. What follows from it is committed once the future is done.

        A model can be withdrawn by cancelling the future; whether that came in time is what `cancel` returns.
        """
        done: Future[None] = Future()
        self._waiting.put((event, done))
        self._wake()
        return done

    def take(self) -> tuple[Event, Future[None]] | None:
        """The oldest event, and what to set when it is done."""
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None
