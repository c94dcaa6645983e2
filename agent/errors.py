"""What can go wrong on a device; model errors are in `vision.errors`, message errors in `wire.errors`.

AgentError
├── ConfigInvalid            names the key and the mend
├── OutputUnwritable         a file of results can't be written where it was to go
├── LifecycleBroken          an alert was to make a move that its table does not name: a fault of this program
├── CaptureError
│   ├── SourceMissing        no such file, folder or device
│   ├── SourceUnreadable     it is there, but no picture can be had from it
│   ├── SourceEmpty          a video or folder without a single frame
│   └── CameraLost           it gave pictures, and stopped
├── DeliveryError
│   ├── OutboxUnwritable     the disk is full or refuses; what was kept stays kept
│   ├── OutboxCorrupt        the file is no database; it is set aside, and a new one begun
│   ├── LinkLost             the broker can't be reached, or went away
│   └── LinkRefused          the broker refused the name, password, client id or a publish
└── AskError
├── AskUnreachable       the cloud can't be reached
├── AskRefused           the cloud refused the question, for good
└── AnswerInvalid        the answer breaks its contract
"""

from __future__ import annotations

from wire.errors import VedetteError


class AgentError(VedetteError):
    """Something went wrong on the device."""


class ConfigInvalid(AgentError):
    """The configuration can't be used."""


class OutputUnwritable(AgentError):
    """Results can't be written where they were to go."""


class LifecycleBroken(AgentError):
    """An alert was to make a move that its lifecycle does not name; nothing was told about it."""


class DataDirInUse(AgentError):
    """Another agent works in the data folder."""


class CaptureError(AgentError):
    """No pictures."""


class SourceMissing(CaptureError):
    """There is no such file, folder or device."""


class SourceUnreadable(CaptureError):
    """The source is there, but no picture can be had from it."""


class SourceEmpty(CaptureError):
    """The source holds no frame."""


class CameraLost(CaptureError):
    """The camera gave pictures, and stopped."""


class DeliveryError(AgentError):
    """Something can't be kept or sent."""


class OutboxUnwritable(DeliveryError):
    """The disk is full or refuses."""


class OutboxCorrupt(DeliveryError):
    """The outbox file is no usable database."""


class LinkLost(DeliveryError):
    """The broker can't be reached, or went away."""


class LinkRefused(DeliveryError):
    """The broker refused us."""


class AskError(AgentError):
    """A question could not be asked or answered."""


class AskUnreachable(AskError):
    """The cloud can't be reached; ask again later."""


class AskRefused(AskError):
    """The cloud refused the question, for good."""


class AnswerInvalid(AskError):
    """The cloud's answer breaks its contract."""
