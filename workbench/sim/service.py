"""The service under the simulation: one that is started for it, or one that runs elsewhere; and its operator.

What an operator does is done as one does it: enrolling in one transaction, a release that is imported, signed and
published, a rollout and commands by the same ways as `vedette rollout start` and `vedette command`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from agent.adapters.identity_folder import Enrolled, IdentityFolder
from agent.app.enrol import enroll
from agent.errors import EnrolmentFailed
from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.deployment import DEFAULT_GROUP, Policy
from cloud.fleet.enrolment import Enrolment
from cloud.registry.service import Registry
from cloud.rollout.start import start as start_rollout
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from cloud.store.rollouts import RolloutStore
from cloud.web.health import Health
from cloud.web.rollouts import RolloutView
from cloud.web.views import DeviceView
from wire.identity import read_claim
from wire.messages import Presence
from wire.updates import Gates, ModelRef
from workbench.errors import SimFailed, SimOptionsInvalid
from workbench.sim.fleet import Credential
from workbench.sim.tls import Certificates

TOKENS_FILE: Final = "tokens.jsonl"
COMMANDS_WITHIN_S: Final = 300
READ_ATTEMPTS: Final = 3
REDEEM_ATTEMPTS: Final = 30
REDEEM_PAUSE_S: Final = 1.0
REDEEMED_AT_ONCE: Final = 8
"""One after the other, a thousand took five minutes, in which both sides waited for the disk and for each other."""
TOLD_EVERY: Final = 100
POLICY: Final = Policy(
    stages=(5.0, 25.0, 100.0),
    soak_s=1.0,
    # Liars and old agents fail by design, at once, and are to be seen failing; a halt would end what is to be shown.
    max_failure_share=1.0,
    max_in_flight=100_000,
    timeout_s=120.0,
    vanish_s=120.0,
    gates=Gates(shadow_frames=15, probation_frames=25, probation_s=5.0),
)


def names(count: int) -> list[str]:
    """`sim-0001` and so on; their names sort as they count."""
    width = max(4, len(str(count)))
    return [f"sim-{number:0{width}}" for number in range(1, count + 1)]


async def enrol(data: DataDir, folder: Path, count: int) -> list[Credential]:
    """Take devices in, in one transaction; a kept folder has the tokens of those that it knows.

    Raises:
        CloudError: The database can't be used.
    """
    kept = folder / TOKENS_FILE
    tokens = {one["device"]: one["token"] for one in _lines(kept)} if kept.is_file() else {}
    wanted = names(count)
    missing = [name for name in wanted if name not in tokens]
    if missing:
        data.make()
        async with open_database(data.database_url) as database:
            fresh = await Enrolment(DeviceStore(database), SystemClock()).enroll_all(missing)
        kept.touch(mode=0o600)
        with kept.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps({"device": device, "token": token}) + "\n" for device, token in fresh.items())
        tokens |= fresh
    return [Credential(name, tokens[name]) for name in wanted]


def read_credentials(
    file: Path, count: int, identities: Path, tell: Callable[[str], object] = lambda _: None
) -> tuple[list[Credential], str | None]:
    """Devices that are enrolled elsewhere, and the broker that their claims name; claims are redeemed here.

    Args:
        file: JSON lines with `device` and `token`, or with `device` and `claim`.
        count: How many are wanted; the first ones are taken.
        identities: Where certificates are kept, a folder each: a claim works once.
        tell: Told in words how far it is, now and then: a thousand claims take a minute or two.

    Raises:
        SimOptionsInvalid: It can't be read, or holds fewer.
        EnrolmentFailed: A claim can't be redeemed.
        IdentityUnusable: What was kept of an enrolment is damaged.
    """
    found = _lines(file)
    if len(found) < count:
        raise SimOptionsInvalid(
            f"{file} holds {len(found)} devices, and {count} are to be simulated",
            "Enrol more, or say fewer with --devices.",
        )
    credentials: list[Credential] = []
    broker: str | None = None
    with ThreadPoolExecutor(REDEEMED_AT_ONCE, "redeem") as pool:
        try:
            for number, (credential, named) in enumerate(pool.map(partial(_one, identities), found[:count]), 1):
                credentials.append(credential)
                broker = named or broker
                if named is not None and number % TOLD_EVERY == 0:
                    tell(f"{number} of {count} devices have their certificates")
        finally:
            pool.shutdown(cancel_futures=True)
    certificates = Certificates()
    for credential in credentials:
        if credential.identity is not None:
            certificates.load(credential.identity)
    return credentials, broker


def _one(identities: Path, one: dict[str, str]) -> tuple[Credential, str | None]:
    """A device, and the broker that its claim names."""
    if "token" in one:
        return Credential(one["device"], one["token"]), None
    kept = IdentityFolder(identities / read_claim(one["claim"]).device)
    enrolled = kept.enrolled() or _redeemed(one["claim"], kept)
    return Credential(enrolled.device, identity=kept.root), enrolled.mqtt


def _redeemed(claim: str, into: IdentityFolder) -> Enrolled:
    """As many devices redeem their claims from one address, the service has them wait now and then."""
    for left in reversed(range(REDEEM_ATTEMPTS)):
        try:
            return enroll(claim, into, SystemClock().wall)
        except EnrolmentFailed as refused:
            if "TooManyRequests" not in refused.what or not left:
                raise
            time.sleep(REDEEM_PAUSE_S)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _lines(file: Path) -> list[dict[str, str]]:
    mend = "Make it with `vedette device enroll --from NAMES --json`."
    try:
        read = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as refused:
        raise SimOptionsInvalid(f"{file} can't be read: {refused}", mend) from None
    for number, one in enumerate(read, 1):
        fit = isinstance(one, dict) and isinstance(one.get("device"), str)
        if not fit or not isinstance(one.get("token", one.get("claim")), str):
            raise SimOptionsInvalid(f"{file}, line {number}: neither a token nor a claim", mend)
    return read


async def begin_rollout(data: DataDir, ref: ModelRef, canaries: Sequence[str]) -> str:
    """Start a rollout of a published release over all devices; its id.

    Args:
        data: The service's.
        ref: The release.
        canaries: Who is told first.

    Raises:
        RolloutError: It can't begin now.
    """
    clock = SystemClock()
    async with open_database(data.database_url) as database:
        rollout = await start_rollout(
            store=RolloutStore(database),
            signer=Registry(data.registry, clock),
            clock=clock,
            model=f"{ref.name}@{ref.version}",
            group=DEFAULT_GROUP,
            policy=POLICY.model_copy(update={"canaries": tuple(canaries)}),
        )
        return rollout.id


async def command(data: DataDir, devices: Sequence[str] | None, words: Sequence[str]) -> list[dict[str, Any]]:
    """`vedette command … --wait` in a process of its own; what came of each.

    Args:
        data: The service's.
        devices: Whom to ask; None is all.
        words: The command and its arguments.

    Raises:
        SimFailed: It did not end as it should.
    """
    whom = ["--all", *words] if devices is None else [",".join(devices), *words]
    bounds = ["--wait", "--timeout", f"{COMMANDS_WITHIN_S}s", "--expires", "2m", "--json"]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "workbench", "command", *whom, *bounds, "--data-dir", str(data.root)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("VEDETTE_")},
        start_new_session=True,
    )
    try:
        said, complained = await child.communicate()
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise
    try:
        return list(json.loads(said))
    except ValueError:
        why = complained.decode("utf-8", "replace").strip()[-500:]
        raise SimFailed(f"`vedette command` ended with {child.returncode}: {why}") from None


@dataclass(frozen=True, slots=True)
class CloudView:
    """What the service shows over HTTP."""

    http: httpx.AsyncClient

    async def counts(self) -> dict[str, int]:
        """What it counted since its start."""
        return Health.model_validate_json(await self._get("/readyz")).counts

    async def online(self, devices: frozenset[str]) -> int:
        """How many of these it shows as online."""
        found = [DeviceView.model_validate(one) for one in json.loads(await self._get("/api/devices"))]
        return sum(one.presence is Presence.ONLINE for one in found if one.device in devices)

    async def rollout(self, rollout_id: str) -> RolloutView:
        """How it stands."""
        return RolloutView.model_validate_json(await self._get(f"/api/rollouts/{rollout_id}"))

    async def _get(self, path: str) -> bytes:
        """Read; once more where a connection that was kept open is closed in that moment."""
        failed: httpx.HTTPError | None = None
        for _ in range(READ_ATTEMPTS):
            try:
                return (await self.http.get(path)).content
            except httpx.HTTPError as error:
                failed = error
        said = str(failed) or type(failed).__name__
        raise SimFailed(f"the service does not answer {path}: {said}", "See cloud.log in the simulation's folder.")
