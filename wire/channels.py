"""Which message is spoken on which channel."""

from __future__ import annotations

from typing import Final

from wire.alerts import Acks, Alert
from wire.commands import Command, Response
from wire.envelope import Message
from wire.questions import Verdict
from wire.status import Status
from wire.telemetry import Telemetry
from wire.topics import Channel
from wire.updates import Desired, Reported

ON_CHANNEL: Final[dict[Channel, type[Message]]] = {
    Channel.STATUS: Status,
    Channel.TELEMETRY: Telemetry,
    Channel.ALERTS: Alert,
    Channel.REPORTED: Reported,
    Channel.RESPONSES: Response,
    Channel.ACKS: Acks,
    Channel.VERDICTS: Verdict,
    Channel.DESIRED: Desired,
    Channel.COMMANDS: Command,
}
