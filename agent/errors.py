"""What can go wrong on a device; model errors are in `vision.errors`, message errors in `wire.errors`.

AgentError
├── ConfigInvalid            names the key and the mend
├── OutputUnwritable         results can't be written where they were to go
├── ServiceRefused           the agent can't be made a service, or be one no more, as was asked
├── LifecycleBroken          an alert was to make a move that its table does not name: a fault of this program
├── PictureWithheld          a picture stays here: it can't be told what must be hidden, or nothing would be seen
├── StatusUnavailable        the status page's address is taken; tried again
├── CaptureError
│   ├── SourceMissing        no such file, folder or device
│   ├── SourceUnreadable     it is there, but no picture can be had from it
│   ├── SourceEmpty          a video or folder without a single frame
│   └── CameraLost           it gave pictures, and stopped
├── DeliveryError
│   ├── OutboxUnwritable     the disk is full or refuses; what was kept stays kept
│   ├── OutboxCorrupt        the file is no database; it is set aside, and a new one begun
│   ├── EgressUnwritable     an upload can't be written down, so it waits
│   ├── EgressUnreadable     there is no egress log to read
│   ├── EgressLeftover       an old file of the egress log can't be removed
│   ├── LinkLost             the broker can't be reached, or went away
│   └── LinkRefused          the broker refused the name, password, client id or a publish
├── AskError
│   ├── AskUnreachable       the cloud can't be reached
│   ├── AskRefused           the cloud refused the question, for good
│   └── AnswerInvalid        the answer breaks its contract
└── EnrolmentFailed          no certificate could be had; says why
    └── AuthorityMismatch    the service shows another authority than the claim names
"""

from __future__ import annotations

from wire.errors import VedetteError


class AgentError(VedetteError):
    """Something went wrong on the device."""


class ConfigInvalid(AgentError):
    """The configuration can't be used."""


class OutputUnwritable(AgentError):
    """Results can't be written where they were to go."""


class ServiceRefused(AgentError):
    """The agent can't be made a service, or be one no more, as was asked."""


class LifecycleBroken(AgentError):
    """An alert was to make a move that its lifecycle does not name; nothing was told about it."""


class DataDirInUse(AgentError):
    """Another agent works in the data folder, or it is a service's."""


class PictureWithheld(AgentError):
    """A picture does not leave: it can't be told what must be hidden in it, or what it is about would not be seen."""


class StatusUnavailable(AgentError):
    """The status page can't be served; the agent goes on without it."""


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


class EgressUnwritable(DeliveryError):
    """What leaves can't be written down, so nothing leaves that must be."""


class EgressUnreadable(DeliveryError):
    """There is no egress log, or it can't be read."""


class EgressLeftover(DeliveryError):
    """An old file of the egress log can't be removed; it is tried again, and what leaves is written down."""


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


class EnrolmentFailed(AgentError):
    """No certificate could be had; what was there before stays."""


class AuthorityMismatch(EnrolmentFailed):
    """The service shows another authority than the claim names."""


class UpdateError(AgentError):
    """A model update could not be done; the old model goes on."""


class TrustError(UpdateError):
    """What is signed does not allow it."""


class MetadataExpired(TrustError):
    """The signed metadata was not renewed in time."""


class MetadataRolledBack(TrustError):
    """The metadata is older than what was seen before."""


class MetadataInvalid(TrustError):
    """The metadata is not signed by whom it should be, or is torn, mixed or endless."""


class ReleaseNotAllowed(TrustError):
    """The group's signed document does not allow this release."""


class ReleaseTooOld(TrustError):
    """The release is below the signed minimum."""


class ClockImplausible(TrustError):
    """The clock is before a time that was already seen."""


class RepositoryUnreachable(UpdateError):
    """The repository can't be reached; try again later."""


class DownloadFailed(UpdateError):
    """The download was too slow, too large, or not what was signed."""


class NoRoom(UpdateError):
    """The disk can't hold the candidate and its reserve."""


class CandidateRejected(UpdateError):
    """The proof or the trial on live frames failed."""


class ProofPostponed(UpdateError):
    """The proof could not begin, for want of memory say: nothing is known of the candidate; it is tried again."""


class ProofOutOfMemory(UpdateError):
    """The kernel killed the proof for want of memory, the device's or because of the candidate: tried a few times."""


class JudgeStuck(UpdateError):
    """The judging thread does not come back from the model that it runs; only a restart gets rid of that one."""


class NoModelOpens(UpdateError):
    """In a swap neither the candidate nor the model before could be opened; the next start opens what it can."""


class ModelStoreBroken(UpdateError):
    """The folder of models can't be read or written."""


class UpdateMoveRefused(UpdateError):
    """The table of states names no such move."""
