"""Which objects the cloud is asked about, and when again. Pure: time and ids are handed in.

Each frame makes candidates: objects that are new, whose last answer is old or does not fit them any more, that broke
off in the middle of the scene; and places where something is suspected. Each has an expected gain (`agent.ask.gain`),
to which the objects beside it add theirs where its picture shows them as well, and a price in bytes. The best are
asked about as long as they are worth more for each byte than the budget's bar.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.ask.budget import AskBudget
from agent.ask.crop import crop_around, scaled
from agent.ask.gain import OTHERS, Case, Gains, by_hand, changed
from agent.ask.object_settings import ObjectSettings, Shown
from agent.ask.suspects import Movers, Places, Sign, Suspect
from agent.boxes import cut_off, inside
from agent.domain import Answer, Appearance, Ask, Box, Found, Report, Track
from wire.messages import AskReason, Decision
from wire.pictures import SHOWN_AROUND

CHOOSE_EVERY_S: Final = 0.12
"""How often questions are chosen before one camera, and pictures made in which to follow what was found, at the most:
in every other of ten frames a second, and no more often at thirty. In each of ten it takes half as long again, and F1
is the same within chance (ADR 53). Asked about is also what would grow too old before the next time."""
MOST_OPEN: Final = 256
"""Questions whose answers are waited for; beyond, the oldest is forgotten, and its answer helps no track."""
MOST_AT_ONCE: Final = 3
"""Questions a frame: a frame costs no more than this many cut-outs."""
MOST_WEIGHED: Final = 12
"""Candidates a frame, best first: weighing grows with their square."""
FORGOTTEN_S: Final = 10.0
"""What was asked about an object is remembered for so long after it was reported last."""
LOST_S: Final = 0.2
"""A small model misses what is there for a frame or two; what is unseen for longer is asked about at once."""
RESTS_S: Final = 5.0
"""So long a candidate that no rule is concerned with is left out."""

# See `agent.ask.suspects.Places`.
WEAK_SIGNS: Final = 3
WEAK_S: Final = 0.3
MOVING_SIGNS: Final = 3
MOVING_S: Final = 0.5
SUSPECTED_AGAIN_S: Final = 20.0
MOVING_AGAIN_S: Final = 5.0
"""What goes on is elsewhere by then, and may be easier to see."""

REQUEST_BYTES: Final = 1000.0
"""Of a question beside its picture: the message in its header, and HTTP's own. Learnt from there on."""
PICTURE_BYTES: Final = 600.0
"""Of a JPEG that shows nothing: its tables."""
BYTES_PER_PX: Final = 0.1
"""Of a JPEG of quality 40, to begin with."""
LEARNT: Final = 0.1
"""How much one question counts in what pictures are learnt to cost."""
FEWEST_BYTES_PER_PX: Final = 0.01
MOST_BYTES_PER_PX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What a frame came to.

    Attributes:
        tracks: As the tracker reported them.
        signs: What the model said of the frame, the weakest included; what objects explain is passed over.
        moving: Where something moves, those who pass by included; None where that was not looked for in this frame.
        size: Width and height of the frame, in pixels.
    """

    camera: str
    tracks: Sequence[Track]
    signs: Sequence[Sign]
    moving: Sequence[Sign] | None
    size: tuple[int, int]
    now: float


@dataclass(slots=True)
class _About:
    """What was asked about an object last."""

    at: float
    box: Box
    score: float
    looks: Appearance | None
    question: str | None
    deadline_at: float
    seen_at: float


@dataclass(slots=True)
class _Open:
    """A question that was asked.

    Attributes:
        known: Where the tracker had its objects.
        price: What was taken from the budget for it.
    """

    camera: str
    track: int | None
    at: float
    box: Box
    known: Mapping[int, Box]
    pixels: float
    price: float
    paid: bool = False


@dataclass(frozen=True, slots=True)
class _Candidate:
    case: Case
    label: str | None
    box: Box
    track: int | None
    gain: float
    region: Box
    pixels: float


class ObjectQuestions:
    """The questions about the objects of all cameras. Not safe for use from two threads at once.

    Args:
        settings: See there.
        shown: What a question's picture shows, and how large it is sent.
        budget: Of all questions, those of rules included.
        deadline_s: For how long an answer is awaited.
        new_id: Gives ids, 32 hex digits, never the same twice.
        gains: What an answer is likely to be worth.
        on_asked: Told of each question of the policy's own what was known of its object.
    """

    def __init__(
        self,
        settings: ObjectSettings,
        shown: Shown,
        budget: AskBudget,
        *,
        deadline_s: float,
        new_id: Callable[[], str],
        gains: Gains = by_hand,
        on_asked: Callable[[Ask, Case], object] | None = None,
    ) -> None:
        self._settings = settings
        self._shown = shown
        self.budget: Final = budget
        self._deadline_s = deadline_s
        self._new_id = new_id
        self._gains = gains
        self._on_asked = on_asked
        self._about: dict[str, dict[int, _About]] = {}
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._weak: defaultdict[str, Places] = defaultdict(
            lambda: Places(AskReason.WEAK, least_signs=WEAK_SIGNS, least_s=WEAK_S, again_s=SUSPECTED_AGAIN_S)
        )
        self._moving: defaultdict[str, Movers] = defaultdict(
            lambda: Movers(AskReason.MOTION, least_signs=MOVING_SIGNS, least_s=MOVING_S, again_s=MOVING_AGAIN_S)
        )
        self._bytes_per_px = BYTES_PER_PX
        self._sizes: dict[str, tuple[int, int]] = {}
        self._promised = 0.0
        self._promised_at = -math.inf

    def follow(self, settings: ObjectSettings, deadline_s: float) -> None:
        """Go on under other settings; what was asked stays asked."""
        self._settings = settings
        self._deadline_s = deadline_s

    def weigh_by(self, gains: Gains) -> None:
        """Go on by these: another model judges."""
        self._gains = gains

    # --- asking ---------------------------------------------------------------------------------------------------

    def ask(self, scene: Scene, interest: Callable[[str | None, Box], str | None]) -> list[Ask]:
        """What to ask about a frame, best first.

        Args:
            scene: What the frame came to.
            interest: The label to ask for at a place, None where no rule is concerned; see `RuleBook.interest`.
        """
        self._sizes[scene.camera] = scene.size
        if not self._settings.enabled:
            return []
        self._take_note(scene)
        if not self.budget.allows(scene.camera, self._least_price(scene.size), scene.now):
            return []
        weighed = self._candidates(scene)
        asks: list[Ask] = []
        while weighed and len(asks) < MOST_AT_ONCE:
            worth, place = max((self._worth(one, weighed), -place) for place, one in enumerate(weighed))
            best = weighed.pop(-place)
            price = self._price(best.pixels)
            if worth < self.budget.bar(scene.camera, scene.now):
                break
            if not self.budget.allows(scene.camera, price, scene.now):
                break
            label = interest(best.label, best.box)
            if label is None:
                self._rest(scene, best)
                continue
            ask = Ask(
                id=self._new_id(),
                alert_id=None,
                camera=scene.camera,
                track=best.track,
                label=label,
                score=best.case.score,
                box=best.box,
                reason=best.case.reason,
                asked_at=scene.now,
                deadline_s=self._deadline_s,
            )
            asks.append(ask)
            self._asked(ask, scene, best.region, best.pixels)
            if self._on_asked is not None:
                self._on_asked(ask, best.case)
            weighed = [one for one in weighed if not _within(one.box, best.region)]
        return asks

    def asked(self, ask: Ask, scene: Scene) -> None:
        """Take note of a question about this frame, the policy's own or a rule's: one answer serves both."""
        shown, pixels = self._picture(ask.camera, ask.box, ask.reason, scene.size)
        # Of a whole frame, too, the cloud speaks of the object and what is close to it alone.
        self._asked(ask, scene, shown, self._whole(scene.size) if ask.context else pixels)

    def _asked(self, ask: Ask, scene: Scene, region: Box, pixels: float) -> None:
        price = self._price(pixels)
        self.budget.spend(ask.camera, price, scene.now)
        known = {track.id: track.box for track in scene.tracks}
        self._open[ask.id] = _Open(ask.camera, ask.track, scene.now, ask.box, known, pixels, price)
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        about = self._about.setdefault(ask.camera, {})
        for track in scene.tracks:
            if track.id == ask.track or _within(track.box, region):
                about[track.id] = _About(
                    scene.now,
                    track.box,
                    track.score,
                    track.appearance,
                    ask.id,
                    scene.now + ask.deadline_s,
                    scene.now,
                )
        for places in (self._weak.get(ask.camera), self._moving.get(ask.camera)):
            if places is not None:
                places.asked(region, scene.now)

    def may_ask(self, camera: str, now: float, *, urgent: bool, context: bool) -> bool:
        """See `agent.decide.inquiry.Questions`.

        A whole frame of which all but the object is painted over is not worth its bytes.
        """
        if context and camera in self._shown.alone:
            return False
        promised = self._promised if now == self._promised_at else 0.0
        price = self._price_of_alerts(camera, context=context)
        return self.budget.allows(camera, promised + price, now, urgent=urgent, alert=True)

    def set_aside(self, camera: str, now: float, *, context: bool) -> None:
        """See `agent.decide.inquiry.Questions`; else one frame's many alerts would each spend the same bytes."""
        if now != self._promised_at:
            self._promised, self._promised_at = 0.0, now
        self._promised += self._price_of_alerts(camera, context=context)

    # --- answers --------------------------------------------------------------------------------------------------

    def heard(self, answer: Answer) -> tuple[str, Report] | None:
        """What the tracker of a camera should know of an answer; None where there was no such question."""
        asked = self._open.get(answer.question_id)
        if asked is None:
            return None
        if asked.paid:
            del self._open[answer.question_id]
        for about in self._about.get(asked.camera, {}).values():
            if about.question == answer.question_id:
                about.question = None
        looked, found = answer.looked, answer.found
        if looked is None or found is None:
            # A cloud that says only what it makes of the object in question.
            looked, found = asked.box, ()
            if answer.decision is Decision.CONFIRMED and answer.box is not None and answer.label is not None:
                looked, found = answer.box, (Found(answer.label, answer.score or 1.0, answer.box),)
        return asked.camera, Report(answer.question_id, asked.track, asked.at, looked, found, asked.known)

    def told_of_passers(self, camera: str, at: float, places: Sequence[Box]) -> None:
        """In the frame of that time, which was asked about, the cloud saw here what no rule looks for."""
        if camera in self._moving:
            self._moving[camera].known_to_pass(places, at)

    def paid(self, question_id: str, camera: str, size: int, now: float) -> None:
        """A question left with so many bytes; one that is sent again, again, and one of an earlier run as well."""
        asked = self._open.get(question_id)
        if asked is None:
            self.budget.settle(camera, size, now)
            return
        self.budget.settle(asked.camera, size - (0.0 if asked.paid else asked.price), now)
        if not asked.paid and asked.pixels:
            each = max(size - REQUEST_BYTES - PICTURE_BYTES, 0.0) / asked.pixels
            self._bytes_per_px += LEARNT * (each - self._bytes_per_px)
            self._bytes_per_px = min(max(self._bytes_per_px, FEWEST_BYTES_PER_PX), MOST_BYTES_PER_PX)
        asked.paid = True

    def unsent(self, question_id: str, now: float) -> None:
        """A question will not leave any more: where it never did, what was set aside for it is there again."""
        asked = self._open.get(question_id)
        if asked is not None and not asked.paid:
            del self._open[question_id]
            self.budget.settle(asked.camera, -asked.price, now)

    def close(self, now: float) -> None:
        """The run ends: what is kept is paid for by the next one, when it sends it."""
        for question_id in tuple(self._open):
            self.unsent(question_id, now)

    # --- weighing -------------------------------------------------------------------------------------------------

    def _worth(self, one: _Candidate, all_of_them: Sequence[_Candidate]) -> float:
        """The gain for each byte."""
        beside = sum(other.gain for other in all_of_them if other is not one and _within(other.box, one.region))
        return (one.gain + OTHERS * beside) / self._price(one.pixels)

    def _price_of_alerts(self, camera: str, *, context: bool) -> float:
        """What one is taken to cost before its picture is made; where no frame was seen yet, as large as any."""
        most = self._shown.context_px
        return self._price(
            self._whole(self._sizes.get(camera, (most, most))) if context else float(self._shown.min_px**2)
        )

    def _price(self, pixels: float) -> float:
        return REQUEST_BYTES + PICTURE_BYTES + self._bytes_per_px * pixels

    def _least_price(self, size: tuple[int, int]) -> float:
        """No question about a frame of this size costs less."""
        width, height = size
        return self._price(float(min(self._shown.min_px, width) * min(self._shown.min_px, height)))

    def _picture(self, camera: str, box: Box, reason: AskReason, size: tuple[int, int]) -> tuple[Box, float]:
        """The part of the frame in which a question's picture shows something, and of how many pixels it is."""
        width, height = size
        margin = self._shown.margins.of(reason)
        crop = crop_around(box, width=width, height=height, margin=margin, min_px=self._shown.min_px)
        shown = _grown(box) if camera in self._shown.alone else crop.region(width, height)
        return shown, float((crop.right - crop.left) * (crop.bottom - crop.top))

    def _whole(self, size: tuple[int, int]) -> float:
        """Of how many pixels the picture is that shows a whole frame of this size."""
        width, height = scaled(*size, self._shown.context_px)
        return float(width * height)

    # --- candidates -----------------------------------------------------------------------------------------------

    def _take_note(self, scene: Scene) -> None:
        """What is to be known of a frame in any case, for the questions of later ones."""
        about, now = self._about.setdefault(scene.camera, {}), scene.now
        for track in scene.tracks:
            known = about.get(track.id)
            if known is not None:
                known.seen_at = now
            elif track.word is not None:
                # The cloud found it: it counts as asked about, or it would be asked about at once.
                about[track.id] = _About(track.word.at, track.box, track.score, track.appearance, None, 0.0, now)
        for number in [number for number, one in about.items() if now - one.seen_at > FORGOTTEN_S]:
            del about[number]
        if self._settings.weak:
            self._weak[scene.camera].note(scene.signs, scene.tracks, now)
        if self._settings.motion and scene.moving is not None:
            self._moving[scene.camera].note(scene.moving, scene.tracks, now)

    def _candidates(self, scene: Scene) -> list[_Candidate]:
        about = self._about.get(scene.camera, {})
        boxes = [track.box for track in scene.tracks]
        found: list[tuple[float, Case, Track | Suspect]] = []
        for track in scene.tracks:
            case = self._of_track(track, about.get(track.id), scene.now, boxes)
            if case is not None:
                found.append((self._gains(case), case, track))
        for suspect in self._suspects(scene):
            case = Case(suspect.reason, suspect.box, suspect.score, others=boxes)
            found.append((self._gains(case), case, suspect))
        found.sort(key=_best_first)
        return [self._candidate(scene, *one) for one in found[:MOST_WEIGHED]]

    def _candidate(self, scene: Scene, worth: float, case: Case, what: Track | Suspect) -> _Candidate:
        region, pixels = self._picture(scene.camera, what.box, case.reason, scene.size)
        number = what.id if isinstance(what, Track) else None
        return _Candidate(case, what.label, inside(what.box), number, worth, region, pixels)

    def _of_track(self, track: Track, about: _About | None, now: float, boxes: Sequence[Box]) -> Case | None:
        """Why to ask about an object; None where there is no reason to."""
        settings = self._settings
        if about is None:
            if settings.new and track.seen_now and track.hits >= settings.min_hits:
                return _case(AskReason.NEW, track, boxes)
            return None
        if about.question is not None and now < about.deadline_at:
            return None
        age_s = now - about.at
        is_other = track.seen_now and changed(about.box, about.score, about.looks, track)
        # It was seen when it was asked about last: that it is not by now is news.
        is_lost = not track.seen_now and about.at < track.last_at and now - track.last_at >= LOST_S
        if not is_other and not is_lost and age_s + CHOOSE_EVERY_S < settings.refresh_after_s:
            return None
        if track.seen_well and not is_other:
            return None
        if track.seen_now:
            return _case(AskReason.REFRESH, track, boxes, age_s, changed=is_other) if settings.refresh else None
        if settings.lost and track.stands and not cut_off(track.box):
            return _case(AskReason.LOST, track, boxes, age_s, changed=is_lost)
        return None

    def _suspects(self, scene: Scene) -> list[Suspect]:
        kinds = ((self._settings.weak, self._weak), (self._settings.motion, self._moving))
        return [
            suspect
            for on, places in kinds
            if on and scene.camera in places
            for suspect in places[scene.camera].suspects(scene.tracks, scene.now)
        ]

    def _rest(self, scene: Scene, one: _Candidate) -> None:
        """No rule is concerned with it just now."""
        track = next((track for track in scene.tracks if track.id == one.track), None)
        if track is not None:
            at = scene.now + RESTS_S - self._settings.refresh_after_s
            self._about[scene.camera][track.id] = _About(
                at, track.box, track.score, track.appearance, None, 0.0, scene.now
            )
            return
        for places in (self._weak.get(scene.camera), self._moving.get(scene.camera)):
            if places is not None:
                places.asked(one.box, scene.now)


def _case(
    reason: AskReason, track: Track, boxes: Sequence[Box], age_s: float = 0.0, *, changed: bool = False
) -> Case:
    return Case(
        reason,
        track.box,
        track.score,
        track.belief,
        track.hits,
        track.seen_now,
        track.stands,
        age_s,
        changed,
        boxes,
    )


def _grown(box: Box) -> Box:
    x1, y1, x2, y2 = box
    across, down = SHOWN_AROUND * (x2 - x1), SHOWN_AROUND * (y2 - y1)
    return (x1 - across, y1 - down, x2 + across, y2 + down)


def _within(box: Box, region: Box) -> bool:
    return box[0] >= region[0] and box[1] >= region[1] and box[2] <= region[2] and box[3] <= region[3]


def _best_first(one: tuple[float, Case, Track | Suspect]) -> float:
    return -one[0]
