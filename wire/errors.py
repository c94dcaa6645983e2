"""The root of every error that Vedette raises on purpose.

VedetteError
├── WireError                 a message that can't be taken (this module)
│   ├── NotOurs               not a message of this protocol at all
│   ├── MessageTooLarge       over the limit of its kind
│   ├── NewerProtocol         from a program newer than this one
│   └── MessageInvalid        ours, but a field breaks the contract
├── vision.errors.VisionError
├── agent.errors.AgentError
└── cloud.errors.CloudError
"""

from __future__ import annotations


class VedetteError(Exception):
    """Something went wrong that a person can be told about.

    Attributes:
        what: What happened, one sentence, without a final full stop.
        mend: What to do next, one sentence; empty where nothing can be done.
    """

    def __init__(self, what: str, mend: str = "") -> None:
        self.what = what
        self.mend = mend
        super().__init__(f"{what}. {mend}" if mend else what)

    @property
    def name(self) -> str:
        """The error's name as it stands in logs, counters and answers."""
        return type(self).__name__


class WireError(VedetteError):
    """A message that can't be taken."""


class NotOurs(WireError):
    """The topic or the bytes are not of this protocol."""


class MessageTooLarge(WireError):
    """The message is over the limit of its kind."""


class NewerProtocol(WireError):
    """The message is from a program that speaks a newer protocol."""


class MessageInvalid(WireError):
    """The message is ours, but a field breaks the contract."""
