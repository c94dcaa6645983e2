"""What the workbench can fail at.

WorkbenchError
├── ClipUnavailable     no demo video can be had on this machine
├── DemoFailed          a part of the demo did not start, or died
├── DemoRefused         the demo's options can't be used
├── MqttBroken          a broker does not speak MQTT 3.1.1
├── TlsBroken           a connection's TLS came to nothing
├── IdentityUnusable    a simulated device's certificate or key can't be used
├── SimOptionsInvalid   the options of a simulation don't fit together
├── SimFailed           a simulation could not begin, or not come to its end
└── ReplayRefused       a replay can't be made of what was given
    ├── BudgetUnclear   a budget that says nothing
    ├── LabelsMissing   what was asked for needs labels, or labels that fit the clip
    └── MemoryUnusable  remembered detections can't be read or kept
"""

from __future__ import annotations

from cloud.errors import SettingsInvalid
from wire.errors import VedetteError


class WorkbenchError(VedetteError):
    """The workbench can't do what was asked."""


class ClipUnavailable(WorkbenchError):
    """No demo video can be had."""


class DemoFailed(WorkbenchError):
    """A part of the demo did not start, or died."""


class DemoRefused(WorkbenchError, SettingsInvalid):
    """The demo's options can't be used."""


class MqttBroken(WorkbenchError):
    """A broker sends what is no MQTT 3.1.1."""


class TlsBroken(WorkbenchError):
    """The two sides of a connection don't believe each other, or one of them speaks no TLS."""


class IdentityUnusable(WorkbenchError):
    """A simulated device's certificate or key can't be used."""


class SimOptionsInvalid(WorkbenchError, SettingsInvalid):
    """The options of a simulation don't fit together."""


class SimFailed(WorkbenchError):
    """A simulation could not begin, or not come to its end."""


class AnswersUnusable(WorkbenchError):
    """Recorded answers can't be read, or can't be learnt from."""


class ReplayRefused(WorkbenchError):
    """A replay can't be made of what was given."""


class BudgetUnclear(ReplayRefused):
    """A budget says nothing."""


class LabelsMissing(ReplayRefused):
    """There are no labels, or none that fit the clip."""


class MemoryUnusable(ReplayRefused):
    """Remembered detections can't be read or kept."""
