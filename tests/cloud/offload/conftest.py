from __future__ import annotations

import itertools

import pytest

from cloud.offload.pictures import Decoding
from cloud.offload.service import OffloadService
from cloud.offload.settings import OffloadSettings
from tests.cloud.offload import fakes


class World:
    """Everything around the service; `service` makes a new process over what was kept."""

    def __init__(self):
        self.clock = fakes.ManualClock()
        self.judge = fakes.Judge()
        self.store = fakes.Store()
        self.blobs = fakes.Blobs()
        self.link = fakes.Link()
        self.witness = fakes.Witness()
        self.ids = itertools.count(5000)

    def service(self, **settings):
        return OffloadService(
            judge=self.judge,
            model="ensemble 1",
            store=self.store,
            blobs=self.blobs,
            link=self.link,
            witness=self.witness,
            clock=self.clock,
            decoding=Decoding(),
            settings=OffloadSettings(**settings),
            new_id=lambda: fakes.hex_id(next(self.ids)),
        )


@pytest.fixture
async def world():
    return World()
