"""A simulated device as a state machine without a socket: packets and the clock in, bytes and wishes out.

It keeps the protocol as the agent does (docs/delivery.md): birth and last will, one window over one outbox that only
the cloud's ack empties, everything again from the oldest after a new connection or a silence, commands done once and
answered until the answer is acked. What it knows is kept small: thousands of them live in one process.

Here are its connection, its commands and its update. What comes before its camera is in `camera`, how that reaches
the cloud in `delivery`; what it says, decides and lies is pure, in `speech`, `desk`, `updating` and `lies`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.domain import Clock
from wire.codec import decode_on, encode
from wire.commands import Command, Phase
from wire.errors import WireError
from wire.messages import Acks, Message, Presence, Status, Telemetry
from wire.topics import Channel, everything_down, topic
from wire.updates import Desired, ModelRef, UpdateState
from workbench.sim import desk, updating
from workbench.sim.camera import Camera
from workbench.sim.delivery import Delivery
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
from workbench.sim.personality import Traits
from workbench.sim.speech import reported_of, response_of, status_of, telemetry_of
from workbench.sim.timers import Timers
from workbench.sim.updating import Update, Wanted
from workbench.sim.voice import Voice
from workbench.sim.witness import Witness

KEEPALIVE_S: Final = 60
PING_EVERY_S: Final = 45.0
TELEMETRY_FIRST_S: Final = 5.0
TELEMETRY_EVERY_S: Final = 30.0
ANSWER_WITHIN_S: Final = 30.0
"""For CONNACK, SUBACK and the PUBACK of the birth together, from a broker that a whole fleet asks at once."""
RECONNECT_MIN_S: Final = 0.5
RECONNECT_MAX_S: Final = 30.0
LIES: Final = tuple(Lie)


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


class Device:
    """One device. `due` says when `tick` is wanted; after each call `take` gives what is to be sent."""

    __slots__ = (
        "_answers", "_arrived", "_begun", "_birth", "_calm", "_camera", "_claims", "_clock", "_delivery", "_desk",
        "_dice", "_failures", "_life", "_password", "_started_at", "_timers", "_update", "_voice", "_witness",
        "hangs_up", "looks", "name", "traits",
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
        self._timers = Timers(clock)
        self._voice = Voice(name, clock)
        self._delivery = Delivery(self._voice, self._timers, clock, witness)
        self._camera = Camera(
            life.alerts_every_s,
            life.model,
            voice=self._voice,
            delivery=self._delivery,
            timers=self._timers,
            dice=self._dice,
            clock=clock,
            witness=witness,
        )
        self._failures = 0
        self._birth = 0
        self._claims: str | None = None
        self._calm = False
        self._arrived = False
        self._desk = Desk()
        self._answers: dict[str, bytes] = {}
        self._update = Update(life.model)
        self._begun = clock.monotonic()
        self._started_at = clock.wall()

    # --- what the driver sees -------------------------------------------------------------------------------------

    @property
    def online(self) -> bool:
        """Whether the broker has its birth."""
        return self._voice.online

    @property
    def waiting(self) -> int:
        """Messages that the cloud has not acked: alerts and answers."""
        return len(self._delivery) + len(self._answers)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way any more, once it was calmed down."""
        return self.online and not self._camera.open and not self.waiting

    @property
    def update(self) -> Update:
        """Where its update stands."""
        return self._update

    @property
    def due(self) -> float | None:
        """When `tick` is wanted, by the monotonic clock."""
        return self._timers.due

    def take(self) -> bytes:
        """What is to be sent now."""
        return self._voice.take()

    def tick(self) -> None:
        """Do what is due."""
        self._timers.tick()

    def opened(self) -> None:
        """The socket is open."""
        self._timers.turn_connection()
        self.hangs_up = False
        will = encode(self._status(Presence.OFFLINE, "the connection was lost"))
        name = self._claims or self.name
        password = None if self._password is None else self._password.encode()
        to = topic(self.name, Channel.STATUS)
        self._voice.say(Connect(name, self.name, password, Will(to, will), KEEPALIVE_S))
        self._claims = None
        self._timers.after(ANSWER_WITHIN_S, self._give_up, link=True)

    def lost(self) -> float:
        """The socket is closed, or could not be opened; how long to wait before the next try, in seconds."""
        stayed = self.online
        self._timers.turn_connection()
        self._voice.fall_silent()
        self._delivery.cut()
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
            case Suback(_, codes) if not self.online:
                if REFUSED_SUBSCRIPTION in codes:
                    self._witness.refused("the broker refused a subscription")
                    self.hangs_up = True
                    return
                self._birth = self._voice.publish(Channel.STATUS, encode(self._status(Presence.ONLINE)))
            case _:
                pass

    def calm_down(self) -> None:
        """From now on nothing new, no lies and no cuts: what is under way comes to its end, and soon."""
        self._calm = True
        self._camera.calm_down()

    def say_goodbye(self) -> None:
        """End the connection in good order."""
        if self.online:
            self._voice.publish(Channel.TELEMETRY, encode(self._telemetry()))
            self._voice.publish(Channel.STATUS, encode(self._status(Presence.OFFLINE, "stopped")))
        self._voice.say(Disconnect())

    def looked(self, turn: int, step: Callable[[Update], updating.Step]) -> None:
        """The repository was asked, for the turn that began it."""
        if self._update.turn == turn and self._update.looking:
            self._take_step(step(self._update))

    # --- the connection -------------------------------------------------------------------------------------------

    def _connected(self, code: int) -> None:
        if code:
            self.hangs_up = True
            return
        self._voice.say(Subscribe(self._voice.next_mid(), ((everything_down(self.name), 1),)))

    def _begin(self) -> None:
        """The birth is known: everything else may follow."""
        self._voice.online = True
        self._failures = 0
        self._witness.came(first=not self._arrived)
        self._arrived = True
        if self._life.trusts:
            self._report()
        for answer in self._answers.values():
            self._voice.publish(Channel.RESPONSES, answer)
        self._delivery.begin()
        self._timers.after(TELEMETRY_FIRST_S * self._dice.between(0.5, 1.5), self._tell, link=True)
        self._timers.after(PING_EVERY_S, self._ping, link=True)
        if self.traits.cut_every_s is not None:
            self._timers.after(self._dice.wait(self.traits.cut_every_s), self._cut, link=True)
        if self.traits.lie_every_s is not None:
            self._timers.after(self._dice.wait(self.traits.lie_every_s), self._lie, link=True)

    def _give_up(self) -> None:
        if not self.online:
            self._witness.refused("the broker did not answer in time")
            self.hangs_up = True

    def _cut(self) -> None:
        self.hangs_up = not self._calm

    def _ping(self) -> None:
        self._voice.say(Pingreq())
        self._timers.after(PING_EVERY_S, self._ping, link=True)

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
                self._timers.after(self.traits.ack_after_s, self._acknowledge, packet.mid, link=True)
            else:
                self._acknowledge(packet.mid)

    def _acknowledge(self, mid: int) -> None:
        self._voice.say(Puback(mid))

    def _understand(self, said: Message) -> None:
        match said:
            case Acks():
                self._acked(said.message_ids)
            case Command():
                self._command(said)
            case Desired() if self._life.trusts:
                self._desired(said)
            case _:
                pass

    def _acked(self, message_ids: tuple[str, ...]) -> None:
        for message_id in message_ids:
            self._answers.pop(message_id, None)
        self._delivery.acked(message_ids)

    # --- commands -------------------------------------------------------------------------------------------------

    def _command(self, command: Command) -> None:
        if not self._desk.is_new(command.message_id):
            ending = self._desk.ended(command.message_id)
            if ending is not None:
                self._answer(command, Phase.DONE, ending)
        elif self.traits.answer_after_s:
            self._timers.after(self.traits.answer_after_s * self._dice.between(0.5, 1.5), self._take_up, command)
        else:
            self._take_up(command)

    def _take_up(self, command: Command) -> None:
        ending = desk.refusal(command, self.traits, self._clock.wall())
        if ending is None:
            self._answer(command, Phase.ACCEPTED)
            running = self._update.running.name
            ending = desk.done(command, {"alerts": self._camera.raised, "waiting": self.waiting, "model": running})
            if ending.mute_s is not None:
                self._camera.mute(ending.mute_s)
        self._desk.end(command.message_id, ending)
        self._witness.answered(ending)
        self._answer(command, Phase.DONE, ending)

    def _answer(self, command: Command, phase: Phase, ending: Ending | None = None) -> None:
        response = response_of(self._voice.envelope(), command, phase, ending)
        payload = encode(response)
        self._answers[response.message_id] = payload
        if self.online:
            self._voice.publish(Channel.RESPONSES, payload)

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
            self._timers.after(step.after_s, self._go_on, turn)

    def _go_on(self, turn: int) -> None:
        if turn == self._update.turn:
            old = "" if self.traits.updates else f"agent {self.traits.agent_version} can't run this release"
            self._take_step(updating.go_on(self._update, refused_because=old))

    def _become(self, update: Update) -> None:
        before, self._update = self._update, update
        self._camera.model = update.running
        if before.state is not update.state:
            self._witness.moved(before.state, update.state)
        if self.online and (before.state, before.version) != (update.state, update.version):
            self._report()

    def _report(self) -> None:
        self._voice.publish(Channel.REPORTED, encode(reported_of(self._voice.envelope(), self._update)))

    # --- lies -----------------------------------------------------------------------------------------------------

    def _lie(self) -> None:
        if self._calm or self.traits.lie_every_s is None:
            return
        lie = self._dice.choose(LIES)
        victim, victims_alert = self._witness.someone(self.name)
        if victim != self.name and (victims_alert or lie is not Lie.OTHERS_ALERT):
            if lie is Lie.OTHERS_ID:
                self._claims = victim
                self.hangs_up = True
                self._witness.lied(lie, None)
                return
            told = tell(lie, self._camera.invent(), victim, victims_alert, self._voice.next_mid())
            for packet in told.packets:
                self._voice.say(packet)
            self._witness.lied(lie, told.message_id)
        self._timers.after(self._dice.wait(self.traits.lie_every_s), self._lie, link=True)

    # --- saying ---------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        self._voice.publish(Channel.TELEMETRY, encode(self._telemetry()))
        self._timers.after(TELEMETRY_EVERY_S, self._tell, link=True)

    def _telemetry(self) -> Telemetry:
        uptime_s = self._clock.monotonic() - self._begun
        return telemetry_of(self._voice.envelope(), uptime_s, self._camera.raised, len(self._delivery))

    def _status(self, presence: Presence, reason: str = "") -> Status:
        running = self._update.running
        return status_of(self._voice.envelope(), self.traits, running, presence, self._started_at, reason)
