"""A repository in memory, and a link that writes down what goes over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cloud.errors import LinkLost, RolloutRefused
from wire.messages import Message
from wire.topics import Channel
from wire.updates import Desired, GroupRelease, ModelRef


@dataclass(frozen=True)
class Release:
    ref: ModelRef
    published: bool = True


@dataclass
class FakeSigner:
    known: list[Release] = field(default_factory=list)
    documents: list[GroupRelease] = field(default_factory=list)
    broken: bool = False

    def releases(self) -> Sequence[Release]:
        return self.known

    def group(self, name: str, /) -> GroupRelease | None:
        return next((one for one in reversed(self.documents) if one.group == name), None)

    def set_group(self, name: str, /, allowed: Sequence[ModelRef]) -> GroupRelease:
        if self.broken:
            raise RolloutRefused("the key is missing")
        document = GroupRelease(group=name, sequence=len(self.documents) + 1, allowed=tuple(allowed))
        self.documents.append(document)
        return document


@dataclass
class FakeLink:
    sent: list[Desired] = field(default_factory=list)
    broken: bool = False

    async def publish(self, device: str, channel: Channel, message: Message) -> None:
        if self.broken:
            raise LinkLost("gone")
        assert channel is Channel.DESIRED
        assert isinstance(message, Desired)
        assert message.device == device
        self.sent.append(message)
