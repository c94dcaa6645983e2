"""A simulated device as a state machine without a socket: packets and the clock in, bytes and wishes out.

It keeps the protocol as the agent does (docs/delivery.md): birth and last will, one window over one outbox that only
the cloud's ack empties, everything again from the oldest after a new connection or a silence, commands done once and
answered until the answer is acked. What it knows is kept small: thousands of them live in one process.

It is long because it is the one thing that has all of a device's state; what it says, decides and lies is elsewhere
(`speech`, `desk`, `updating`, `lies`).
"""

from __future__ import annotations

import heapq
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from agent.deliver.link import LinkSettings
from agent.deliver.window import Window
from agent.domain import Clock
from wire.codec import decode_on, encode
from wire.commands import Command, Phase
from wire.errors import WireError
from wire.messages import (
    Acks,
    Message,
    Presence,
    Status,
    Telemetry,
)
from wire.topics import Channel, topic
from wire.updates import Desired, ModelRef, UpdateState
from workbench.sim import desk, updating
from workbench.sim.alerts import Outbox, Sight, alert_of, seen
from workbench.sim.desk import Desk, Ending
from workbench.sim.dice import Dice
from workbench.sim.lies import Lie, tell
from workbench.sim.mqtt import (
    REFUSED_SUBSCRIPTION,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Will,
)
from workbench.sim.mqtt import (
    encode as packed,
)
from workbench.sim.personality import Traits
from workbench.sim.speech import Envelope, reported_of, response_of, status_of, telemetry_of
from workbench.sim.updating import Update, Wanted

_LINK: Final = LinkSettings.model_fields
WINDOW: Final[int] = _LINK["window"].default
ACK_TIMEOUT_S: Final[float] = _LINK["ack_timeout_s"].default
"""The agent's own defaults."""
KEEPALIVE_S: Final = 60
PING_EVERY_S: Final = 45.0
TELEMETRY_FIRST_S: Final = 5.0
TELEMETRY_EVERY_S: Final = 30.0
ANSWER_WITHIN_S: Final = 30.0
"""For CONNACK, SUBACK and the PUBACK of the birth together, from a broker that a whole fleet asks at once."""
SIGHT_S: Final = 8.0
"""Mean time from an alert's first message to its last."""
LAST_SIGHTS_S: Final = 4.0
"""Within so long the alerts that are open at the end of a simulation end, instead of all at once."""
RECONNECT_MIN_S: Final = 0.5
RECONNECT_MAX_S: Final = 30.0
HEARD: Final = (Channel.ACKS, Channel.VERDICTS, Channel.COMMANDS, Channel.DESIRED)
LIES: Final = tuple(Lie)


class Witness(Protocol):
    """Told of what happens, for the figures."""

    def raised(self, message_id: str, alert_id: str, *, first: bool) -> None:
        """An alert message went into the outbox."""

    def acked(self, delay_s: float, *, cut: bool) -> None:
        """The cloud has it, so long after it was raised; `cut` where the connection broke in between."""

    def lied(self, lie: Lie, message_id: str | None) -> None:
        """A lie left the device."""

    def answered(self, ending: Ending) -> None:
        """A command came to its end."""

    def came(self, *, first: bool) -> None:
        """A device is online; `first` where it never was before."""

    def went(self) -> None:
        """It no longer is."""

    def moved(self, before: UpdateState, after: UpdateState) -> None:
        """An update's state."""

    def refused(self, why: str) -> None:
        """The broker or a message was not as it should be."""

    def someone(self) -> tuple[str, str]:
        """A device and an alert of anybody's, for a liar to abuse."""


@dataclass(frozen=True, slots=True)
class Life:
    """What all devices of a simulation have in common.

    Attributes:
        alerts_every_s: Mean time between a device's alerts; None for none.
        model: What they were born with.
        trusts: They have a root of trust, and so take updates.
    """

    alerts_every_s: float | None
    model: ModelRef
    trusts: bool = True


@dataclass(frozen=True, slots=True)
class Timer:
    """Something to do later; forgotten with its connection where it belongs to one."""

    what: Callable[..., None]
    argument: Any
    connection: int | None


class Device:
    """One device. `due` says when `tick` is wanted; after each call `take` gives what is to be sent."""

    __slots__ = (
        "_alerts", "_answers", "_arrived", "_begun", "_birth", "_boot_id", "_boot_seq", "_calm", "_claims", "_clock",
        "_connection", "_desk", "_dice", "_failures", "_invented", "_life", "_mid", "_muted_until", "_number",
        "_online", "_open", "_outbox", "_password", "_said", "_sequence", "_started_at", "_timers", "_track",
        "_update", "_window", "_witness", "hangs_up", "looks", "name", "traits",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        password: str | None,
        traits: Traits,
        life: Life,
        *,
        seed: int,
        clock: Clock,
        witness: Witness,
    ) -> None:
        self.name = name
        self.traits = traits
        self.hangs_up = False
        """The connection is to be closed at once, without a goodbye, once what was said is sent."""
        self.looks = False
        """Somebody is to ask the repository for `wanted`, and call `looked`."""
        self._password = password
        self._life = life
        self._dice = Dice(seed, name)
        self._clock = clock
        self._witness = witness
        self._said: list[bytes] = []
        self._timers: list[tuple[float, int, Timer]] = []
        self._number = 0
        self._connection = 0
        self._failures = 0
        self._online = False
        self._birth = 0
        self._mid = 0
        self._claims: str | None = None
        self._calm = False
        self._arrived = False
        self._window = Window(WINDOW, ACK_TIMEOUT_S)
        self._outbox = Outbox()
        self._sequence = 0
        self._track = 0
        self._alerts = 0
        self._open = 0
        self._invented = 0
        self._muted_until = 0.0
        self._desk = Desk()
        self._answers: dict[str, bytes] = {}
        self._update = Update(life.model)
        self._boot_id = secrets.token_hex(16)
        self._boot_seq = 0
        self._begun = clock.monotonic()
        self._started_at = clock.wall()
        if life.alerts_every_s is not None:
            self._after(self._dice.wait(life.alerts_every_s), self._raise)

    # --- what the driver sees -------------------------------------------------------------------------------------

    @property
    def online(self) -> bool:
        """Whether the broker has its birth."""
        return self._online

    @property
    def waiting(self) -> int:
        """Messages that the cloud has not acked: alerts and answers."""
        return len(self._outbox) + len(self._answers)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way any more, once it was calmed down."""
        return self._online and not self._open and not self.waiting

    @property
    def update(self) -> Update:
        """Where its update stands."""
        return self._update

    @property
    def due(self) -> float | None:
        """When `tick` is wanted, by the monotonic clock."""
        return self._timers[0][0] if self._timers else None

    def take(self) -> bytes:
        """What is to be sent now."""
        if not self._said:
            return b""
        said, self._said = b"".join(self._said), []
        return said

    def tick(self) -> None:
        """Do what is due."""
        now = self._clock.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.connection in {None, self._connection}:
                if timer.argument is None:
                    timer.what()
                else:
                    timer.what(timer.argument)

    def opened(self) -> None:
        """The socket is open."""
        self._connection += 1
        self.hangs_up = False
        will = encode(self._status(Presence.OFFLINE, "the connection was lost"))
        name = self._claims or self.name
        password = None if self._password is None else self._password.encode()
        to = topic(self.name, Channel.STATUS)
        self._say(Connect(name, self.name, password, Will(to, will), KEEPALIVE_S))
        self._claims = None
        self._after(ANSWER_WITHIN_S, self._give_up, link=True)

    def lost(self) -> float:
        """The socket is closed, or could not be opened; how long to wait before the next try, in seconds."""
        self._connection += 1
        self._said.clear()
        self._outbox.cut()
        stayed, self._online = self._online, False
        if stayed:
            self._witness.went()
            if self.traits.away_s and not self._calm:
                return self._dice.between(0.2, self.traits.away_s)
        self._failures += 1
        longest = min(RECONNECT_MAX_S, RECONNECT_MIN_S * 2 ** min(self._failures - 1, 10))
        return float(longest) * self._dice.between(0.5, 1.0)

    def heard(self, packet: Packet) -> None:
        """A packet came."""
        match packet:
            case Publish():
                self._hear(packet)
            case Puback(mid) if mid == self._birth:
                self._birth = 0
                self._begin()
            case Connack(code):
                self._connected(code)
            case Suback(_, codes) if not self._online:
                if REFUSED_SUBSCRIPTION in codes:
                    self._witness.refused("the broker refused a subscription")
                    self.hangs_up = True
                    return
                self._birth = self._next_mid()
                self._publish(Channel.STATUS, encode(self._status(Presence.ONLINE)), mid=self._birth)
            case _:
                pass

    def calm_down(self) -> None:
        """From now on nothing new, no lies and no cuts: what is under way comes to its end, and soon."""
        self._calm = True
        for _, _, timer in tuple(self._timers):
            if timer.what == self._end:
                self._timers = [one for one in self._timers if one[2] is not timer]
                self._after(self._dice.between(0.0, LAST_SIGHTS_S), self._end, timer.argument)
        heapq.heapify(self._timers)

    def say_goodbye(self) -> None:
        """End the connection in good order."""
        if self._online:
            self._publish(Channel.TELEMETRY, encode(self._telemetry()))
            self._publish(Channel.STATUS, encode(self._status(Presence.OFFLINE, "stopped")))
        self._say(Disconnect())

    def looked(self, turn: int, step: Callable[[Update], updating.Step]) -> None:
        """The repository was asked, for the turn that began it."""
        if self._update.turn == turn and self._update.looking:
            self._take_step(step(self._update))

    # --- the connection -------------------------------------------------------------------------------------------

    def _connected(self, code: int) -> None:
        if code:
            self.hangs_up = True
            return
        topics = tuple((topic(self.name, channel), channel.qos) for channel in HEARD if self._hears(channel))
        self._say(Subscribe(self._next_mid(), topics))

    def _hears(self, channel: Channel) -> bool:
        return channel is not Channel.DESIRED or self._life.trusts

    def _begin(self) -> None:
        """The birth is known: everything else may follow."""
        self._online = True
        self._failures = 0
        self._witness.came(first=not self._arrived)
        self._arrived = True
        self._window.restart()
        if self._life.trusts:
            self._report()
        for answer in tuple(self._answers.values()):
            self._publish(Channel.RESPONSES, answer)
        self._drain()
        self._after(TELEMETRY_FIRST_S * self._dice.between(0.5, 1.5), self._tell, link=True)
        self._after(PING_EVERY_S, self._ping, link=True)
        if self.traits.cut_every_s is not None:
            self._after(self._dice.wait(self.traits.cut_every_s), self._cut, link=True)
        if self.traits.lie_every_s is not None:
            self._after(self._dice.wait(self.traits.lie_every_s), self._lie, link=True)

    def _give_up(self) -> None:
        if not self._online:
            self._witness.refused("the broker did not answer in time")
            self.hangs_up = True

    def _cut(self) -> None:
        self.hangs_up = not self._calm

    def _ping(self) -> None:
        self._say(Pingreq())
        self._after(PING_EVERY_S, self._ping, link=True)

    # --- hearing --------------------------------------------------------------------------------------------------

    def _hear(self, packet: Publish) -> None:
        try:
            where, said = decode_on(packet.topic, packet.payload)
        except WireError as refused:
            self._witness.refused(refused.name)
        else:
            if where.device != self.name or (packet.retain and not isinstance(said, Desired)):
                self._witness.refused("NotOurs")
            else:
                self._understand(said)
        if packet.qos:
            if self.traits.ack_after_s:
                self._after(self.traits.ack_after_s, self._acknowledge, packet.mid, link=True)
            else:
                self._acknowledge(packet.mid)

    def _acknowledge(self, mid: int) -> None:
        self._say(Puback(mid))

    def _understand(self, said: Message) -> None:
        match said:
            case Acks():
                self._acked(said.message_ids)
            case Command():
                self._command(said)
            case Desired():
                self._desired(said)
            case _:
                pass

    def _acked(self, message_ids: tuple[str, ...]) -> None:
        now = self._clock.monotonic()
        for one in self._outbox.acked(message_ids):
            self._witness.acked(now - one.raised_at, cut=one.cut)
        for message_id in message_ids:
            self._answers.pop(message_id, None)
        self._window.acked(message_ids, now)
        self._drain()

    # --- alerts ---------------------------------------------------------------------------------------------------

    def _raise(self) -> None:
        every_s = self._life.alerts_every_s
        if self._calm or every_s is None:
            return
        self._after(self._dice.wait(every_s), self._raise)
        if self._clock.monotonic() < self._muted_until:
            return
        self._track += 1
        sight = seen(self._dice, secrets.token_hex(16), self._track, self._clock.wall())
        self._alerts += 1
        self._open += 1
        self._record(sight, ends=False)
        self._after(self._dice.wait(SIGHT_S), self._end, sight)

    def _end(self, sight: Sight) -> None:
        self._open -= 1
        self._record(sight, ends=True)

    def _record(self, sight: Sight, *, ends: bool) -> None:
        self._sequence += 1
        digest = self._update.running.digest
        alert = alert_of(sight, self._envelope(), sequence=self._sequence, ends=ends, model_digest=digest)
        self._witness.raised(alert.message_id, alert.id, first=not ends)
        self._outbox.add(alert.message_id, encode(alert), self._clock.monotonic(), cut=not self._online)
        self._drain()

    def _drain(self) -> None:
        if not self._online:
            return
        now = self._clock.monotonic()
        idle = not self._window.waiting
        for queued in self._outbox.after(self._window.cursor, self._window.room):
            self._publish(Channel.ALERTS, queued.payload)
            self._window.sent(queued, now)
        if idle and self._window.waiting:
            self._await_ack()

    def _await_ack(self) -> None:
        at = self._window.repeat_at()
        if at is not None:
            self._after(at - self._clock.monotonic(), self._repeat, link=True)

    def _repeat(self) -> None:
        if self._window.overdue(self._clock.monotonic()):
            self._window.go_back()
            self._drain()
        else:
            self._await_ack()

    # --- commands -------------------------------------------------------------------------------------------------

    def _command(self, command: Command) -> None:
        if not self._desk.is_new(command.message_id):
            ending = self._desk.ended(command.message_id)
            if ending is not None:
                self._answer(command, Phase.DONE, ending)
        elif self.traits.answer_after_s:
            self._after(self.traits.answer_after_s * self._dice.between(0.5, 1.5), self._take_up, command)
        else:
            self._take_up(command)

    def _take_up(self, command: Command) -> None:
        ending = desk.refusal(command, self.traits, self._clock.wall())
        if ending is None:
            self._answer(command, Phase.ACCEPTED)
            ending = desk.done(command, {"alerts": self._alerts, "waiting": self.waiting, "model": self._running})
            if ending.mute_s is not None:
                self._muted_until = self._clock.monotonic() + ending.mute_s
        self._desk.end(command.message_id, ending)
        self._witness.answered(ending)
        self._answer(command, Phase.DONE, ending)

    @property
    def _running(self) -> str:
        return self._update.running.name

    def _answer(self, command: Command, phase: Phase, ending: Ending | None = None) -> None:
        response = response_of(self._envelope(), command, phase, ending)
        payload = encode(response)
        self._answers[response.message_id] = payload
        if self._online:
            self._publish(Channel.RESPONSES, payload)

    # --- updates --------------------------------------------------------------------------------------------------

    def _desired(self, desired: Desired) -> None:
        wanted = Wanted.of(desired)
        if self.traits.lie_every_s is not None and wanted.model is not None:
            self._pretend(wanted)
            return
        step = updating.desire(self._update, wanted)
        if step is not None:
            self._take_step(step)

    def _pretend(self, wanted: Wanted) -> None:
        """A liar says that it is done, and runs something else."""
        if wanted.version > self._update.version:
            invented = self._update.running.model_copy(update={"digest": f"sha256:{secrets.token_hex(32)}"})
            self._become(
                Update(invented, UpdateState.COMMITTED, wanted, self._update.running, wanted.model, "trust me")
            )

    def _take_step(self, step: updating.Step) -> None:
        turn = step.update.turn
        self._become(step.update)
        if step.look:
            self.looks = True
        elif step.after_s is not None:
            self._after(step.after_s, self._go_on, turn)

    def _go_on(self, turn: int) -> None:
        if turn == self._update.turn:
            old = "" if self.traits.updates else f"agent {self.traits.agent_version} can't run this release"
            self._take_step(updating.go_on(self._update, refused_because=old))

    def _become(self, update: Update) -> None:
        before, self._update = self._update, update
        if before.state is not update.state:
            self._witness.moved(before.state, update.state)
        if self._online and (before.state, before.version) != (update.state, update.version):
            self._report()

    def _report(self) -> None:
        self._publish(Channel.REPORTED, encode(reported_of(self._envelope(), self._update)))

    # --- lies -----------------------------------------------------------------------------------------------------

    def _lie(self) -> None:
        if self._calm or self.traits.lie_every_s is None:
            return
        lie = self._dice.choose(LIES)
        victim, victims_alert = self._witness.someone()
        if victim != self.name:
            if lie is Lie.OTHERS_ID:
                self._claims = victim
                self.hangs_up = True
                self._witness.lied(lie, None)
                return
            self._invented += 1
            sight = seen(self._dice, secrets.token_hex(16), 0, self._clock.wall())
            digest = self._update.running.digest
            alert = alert_of(sight, self._envelope(), sequence=1, ends=False, model_digest=digest)
            # A camera of its own for each, so that a refusal is about what is wrong with it, and about nothing else.
            alert = alert.model_copy(update={"camera": f"invented-{self._invented}"})
            told = tell(lie, alert, victim, victims_alert, self._next_mid())
            for packet in told.packets:
                self._say(packet)
            self._witness.lied(lie, told.message_id)
        self._after(self._dice.wait(self.traits.lie_every_s), self._lie, link=True)

    # --- saying ---------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        self._publish(Channel.TELEMETRY, encode(self._telemetry()))
        self._after(TELEMETRY_EVERY_S, self._tell, link=True)

    def _telemetry(self) -> Telemetry:
        uptime_s = self._clock.monotonic() - self._begun
        return telemetry_of(self._envelope(), uptime_s, self._alerts, len(self._outbox))

    def _status(self, presence: Presence, reason: str = "") -> Status:
        running = self._update.running
        return status_of(self._envelope(), self.traits, running, presence, self._started_at, reason)

    def _envelope(self) -> Envelope:
        self._boot_seq += 1
        return Envelope(self.name, secrets.token_hex(16), self._boot_id, self._boot_seq, self._clock.wall())

    def _publish(self, channel: Channel, payload: bytes, mid: int | None = None) -> None:
        number = 0 if not channel.qos else self._next_mid() if mid is None else mid
        self._say(Publish(topic(self.name, channel), payload, channel.qos, channel.retained, number))

    def _say(self, packet: Packet) -> None:
        self._said.append(packed(packet))

    def _next_mid(self) -> int:
        self._mid = self._mid % 0xFFFF + 1
        return self._mid

    def _after(self, delay_s: float, what: Callable[..., None], argument: Any = None, *, link: bool = False) -> None:  # noqa: ANN401 - whatever `what` takes
        self._number += 1
        timer = Timer(what, argument, self._connection if link else None)
        heapq.heappush(self._timers, (self._clock.monotonic() + max(0.0, delay_s), self._number, timer))
