"""What rollouts need from the rest of the cloud."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vision.estimates import Drop
from wire.messages import Message
from wire.topics import Channel
from wire.updates import GroupRelease, ModelRef


class ReleaseInfo(Protocol):
    """A release of the signed repository."""

    @property
    def ref(self) -> ModelRef:
        """What it is."""

    @property
    def published(self) -> bool:
        """Devices can fetch it."""


class GroupSigner(Protocol):
    """The signed repository. Its calls block on the disk: called in a thread.

    Each raises errors of ours that say why it could not be done.
    """

    def releases(self) -> Sequence[ReleaseInfo]:
        """Every release there is."""

    def group(self, name: str, /) -> GroupRelease | None:
        """What the group may run, as it was signed last."""

    def set_group(self, name: str, /, allowed: Sequence[ModelRef]) -> GroupRelease:
        """Sign what the group may run; its floors stay."""


class Publisher(Protocol):
    """The way to the devices."""

    async def publish(self, device: str, channel: Channel, message: Message) -> None:
        """Hand the message to the broker; returns once it has it.

        Raises:
            LinkLost: It can't be reached, or went away before it said that it has it.
        """


class AuditedAccuracy(Protocol):
    """What audits found."""

    async def drop(self, before: str, now: str, /) -> Drop | None:
        """How the accuracy changed between the two models, named by digest, on the cameras where both were audited.

        None where too few frames were audited to tell.
        """
