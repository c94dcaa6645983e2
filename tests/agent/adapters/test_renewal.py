"""A certificate is renewed in time, however often that fails first, and whoever uses it is told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from agent.adapters.identity_folder import Enrolled, IdentityFolder
from agent.adapters.renewal import TRY_AGAIN_MAX_S, CertificateRenewal
from agent.deliver.faults import Faults
from tests.agent.deliver.samples import WALL, ManualClock

BOUND_S = 60.0
LIFE = timedelta(minutes=3)


def enrolment(life: timedelta) -> Enrolled:
    return Enrolled(
        device="gate-1",
        http="https://127.0.0.1:1",
        mqtt="mqtts://127.0.0.1:1",
        renew_at=WALL + life * 2 / 3,
        expires_at=WALL + life,
    )


@dataclass
class Site:
    """A device whose certificate is due; its program fails until there is a `mended`."""

    root: Path
    clock: ManualClock = field(default_factory=ManualClock)
    faults: Faults = field(default_factory=Faults)
    renewed: asyncio.Event = field(default_factory=asyncio.Event)
    noted: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.folder = IdentityFolder(self.root / "identity")
        self.folder.begin(b"a key")
        self.folder.keep(b"a key", "a certificate", "an authority", enrolment(LIFE))
        later = (self.root / "later.json").absolute()
        later.write_text(enrolment(10 * LIFE).model_dump_json())
        program = self.root / "program.py"
        program.write_text(
            "import pathlib, shutil, sys\n"
            "assert sys.argv[1:3] == ['renew', '--identity'], sys.argv\n"
            f"if not pathlib.Path({str(self.mended)!r}).exists(): sys.exit('the service is away')\n"
            f"shutil.copy({str(later)!r}, pathlib.Path(sys.argv[3]) / 'enrolment.json')\n"
        )
        note: Callable[[Exception], None] = self.faults.note

        def noting(fault: Exception) -> None:
            note(fault)
            self.noted.set()

        self.faults.note = noting  # type: ignore[method-assign]  # heard as well as counted
        self.renewal = CertificateRenewal(
            self.folder.root,
            clock=self.clock,
            faults=self.faults,
            renewed=self.renewed.set,
            program=(sys.executable, str(program)),
            look_every_s=0.02,
            try_again_s=0.01,
        )

    @property
    def mended(self) -> Path:
        return (self.root / "mended").absolute()


async def test_a_failure_is_repeated_soon_and_the_new_certificate_announced(tmp_path: Path) -> None:
    site, stop = Site(tmp_path), asyncio.Event()
    running = asyncio.create_task(site.renewal.run(stop))
    site.clock.advance(LIFE.total_seconds() * 0.7)
    async with asyncio.timeout(BOUND_S):
        for _ in range(3):
            await site.noted.wait()
            site.noted.clear()
        assert not site.renewed.is_set()
        site.mended.touch()
        await site.renewed.wait()
        stop.set()
        await running
    assert site.faults.counts()["EnrolmentFailed"] >= 3
    assert site.folder.enrolled() == enrolment(10 * LIFE)


async def test_nothing_is_renewed_before_it_is_time(tmp_path: Path) -> None:
    site, stop = Site(tmp_path), asyncio.Event()
    running = asyncio.create_task(site.renewal.run(stop))
    site.clock.advance(LIFE.total_seconds() * 0.6)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await site.noted.wait()
    stop.set()
    await running


async def test_a_program_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    """As during an upgrade, or where memory is short: the agent goes on under what it has."""
    site = Site(tmp_path)
    missing = str(tmp_path / "no-such-program")
    renewal = CertificateRenewal(
        site.folder.root, clock=site.clock, faults=site.faults, renewed=site.renewed.set, program=(missing,)
    )
    site.clock.advance(LIFE.total_seconds() * 2 / 3)
    assert await renewal.look() < await renewal.look()
    assert site.faults.counts() == {"EnrolmentFailed": 2}


async def test_a_third_of_some_minutes_is_enough_for_several_tries(tmp_path: Path) -> None:
    """As deployed: what a fixed pause of minutes would have cost is the device's identity."""
    site = Site(tmp_path)
    renewal = CertificateRenewal(
        site.folder.root,
        clock=site.clock,
        faults=site.faults,
        renewed=site.renewed.set,
        program=(sys.executable, "-c", "raise SystemExit('the service is away')"),
    )
    site.clock.advance(LIFE.total_seconds() * 2 / 3)
    pauses = [await renewal.look() for _ in range(10)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == TRY_AGAIN_MAX_S
    tries_in_time = 1 + sum(sum(pauses[: n + 1]) < LIFE.total_seconds() / 3 for n in range(len(pauses)))
    assert tries_in_time >= 5
