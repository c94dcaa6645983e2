"""What a simulation counts while it runs, and tells at its end."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from wire.commands import Outcome
from wire.updates import UpdateState
from workbench.sim.desk import Ending
from workbench.sim.dice import Dice
from workbench.sim.lies import Lie

P99: Final = 0.99


@dataclass(slots=True)
class Figures:
    """What was seen; everything about the store is read from the service, not from the devices.

    Attributes:
        online: Devices that the service showed as online when all had come to rest.
        alerts_raised: Alerts that the devices raised.
        alerts_stored: Of those, what lies in the service's store.
        duplicates: Messages that lie there more than once.
        alert_p99_s: From the raising of an alert message to the cloud's ack, where the connection held in between.
        alert_p99_with_cuts_s: The same over all, so with the time that flaky devices were away.
        messages_lost: Alert messages that were raised and are not in the store.
        messages_left: Messages that came to the service before one that they follow, and so had to come once more.
        messages_redelivered: Messages, of any kind, that the broker repeated to the service.
        lies_stored: Messages of liars in the store that must not be there; anything but 0 is a fault.
        commands_done: Commands that devices answered with `ok`.
        updated: Devices that run the rolled-out model and have come through their probation.
        connected_s: From the first connection to the last device's birth.
        kb_per_device: What the simulation's process grew by, over the number of devices, in kB.
        tls: Each device has a certificate of its own; what that takes is in `kb_per_device`.
        rss_mib: The simulation's process at its largest.
        service_rss_mib, broker_rss_mib, service_cpu_s, broker_cpu_s: Of the service that was started here.
    """

    devices: int = 0
    online: int = 0
    alerts_raised: int = 0
    alerts_stored: int = 0
    duplicates: int = 0
    alert_p99_s: float | None = None
    commands_done: int = 0
    updated: int = 0
    wall_s: float = 0.0
    rss_mib: float = 0.0
    alert_p50_s: float | None = None
    alert_max_s: float | None = None
    alert_p99_with_cuts_s: float | None = None
    messages_raised: int = 0
    messages_lost: int = 0
    messages_left: int = 0
    messages_redelivered: int = 0
    lies_told: dict[str, int] = field(default_factory=dict)
    lies_refused: dict[str, int] = field(default_factory=dict)
    lies_stored: int = 0
    commands: dict[str, int] = field(default_factory=dict)
    rollout: str = ""
    rollout_states: dict[str, int] = field(default_factory=dict)
    personalities: dict[str, int] = field(default_factory=dict)
    connected_s: float | None = None
    commands_s: float | None = None
    rollout_s: float | None = None
    connections: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    kb_per_device: float = 0.0
    tls: bool = False
    service_rss_mib: float | None = None
    broker_rss_mib: float | None = None
    service_cpu_s: float | None = None
    broker_cpu_s: float | None = None
    dashboard: str = ""
    dashboard_events: int = 0
    phase: str = "starting"

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing twice, no lie believed."""
        return not (self.messages_lost or self.duplicates or self.lies_stored)

    def for_programs(self) -> dict[str, Any]:
        """The `--json` object."""
        return asdict(self)


class Tally:
    """Implements `workbench.sim.witness.Witness`, in as little memory as it can."""

    def __init__(self, names: list[str], seed: int) -> None:
        self._names = names
        self._dice = Dice(seed, "victims")
        self._latest = self._before = ("", "")
        self.messages: set[bytes] = set()
        """Message ids of every alert message that was raised, 16 bytes each."""
        self.alert_ids: set[bytes] = set()
        self.alerts = 0
        self.delays = array("f")
        self.delays_cut = array("f")
        self.lies: Counter[Lie] = Counter()
        self.lie_ids: set[bytes] = set()
        self.endings: Counter[Outcome] = Counter()
        self.online = 0
        self.arrived = 0
        self.births = 0
        self.states: Counter[UpdateState] = Counter({UpdateState.IDLE: len(names)})
        self.refusals: Counter[str] = Counter()

    def raised(self, message_id: str, alert_id: str, *, first: bool) -> None:
        """See `Witness`."""
        self.messages.add(bytes.fromhex(message_id))
        if first:
            self.alerts += 1
            self.alert_ids.add(bytes.fromhex(alert_id))

    def acked(self, device: str, alert_id: str, delay_s: float, *, cut: bool) -> None:
        """See `Witness`."""
        (self.delays_cut if cut else self.delays).append(delay_s)
        if device != self._latest[0]:
            self._before = self._latest
        self._latest = device, alert_id

    def lied(self, lie: Lie, message_id: str | None) -> None:
        """See `Witness`."""
        self.lies[lie] += 1
        if message_id is not None:
            self.lie_ids.add(bytes.fromhex(message_id))

    def answered(self, ending: Ending) -> None:
        """See `Witness`."""
        self.endings[ending.outcome] += 1

    def came(self, *, first: bool) -> None:
        """See `Witness`."""
        self.arrived += first
        self.online += 1
        self.births += 1

    def went(self) -> None:
        """See `Witness`."""
        self.online -= 1

    def moved(self, before: UpdateState, after: UpdateState) -> None:
        """See `Witness`."""
        self.states[before] -= 1
        self.states[after] += 1

    def refused(self, why: str) -> None:
        """See `Witness`."""
        self.refusals[why] += 1

    def someone(self, liar: str) -> tuple[str, str]:
        """See `Witness`."""
        _, alert = self._before if self._latest[0] == liar else self._latest
        return self._dice.choose(self._names), alert

    def fill(self, figures: Figures) -> None:
        """Write what was counted into the figures."""
        figures.alerts_raised = self.alerts
        figures.messages_raised = len(self.messages)
        figures.alert_p50_s = quantile(self.delays, 0.5)
        figures.alert_p99_s = quantile(self.delays, P99)
        figures.alert_max_s = quantile(self.delays, 1.0)
        figures.alert_p99_with_cuts_s = quantile(self.delays + self.delays_cut, P99)
        figures.lies_told = {str(lie): count for lie, count in sorted(self.lies.items())}
        figures.connections = self.births
        figures.refusals = dict(self.refusals)


def quantile(values: array[float], share: float) -> float | None:
    """The value that `share` of them do not exceed, in seconds; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)
