"""Proves a candidate in a process of its own: `python -m agent.app.prove`. Implements `agent.update.ports.Prover`.

How it is kept apart is in `vision.child`; here stand what it is told, what its end means, and the gates.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.adapters.memory_left import oom_kills
from agent.detect.settings import DetectSettings
from agent.errors import CandidateRejected, ProofOutOfMemory, ProofPostponed
from agent.update.ports import Candidate, Proof
from vision.child import FREE_MEMORY, STARTING, Limits, run_child
from vision.errors import ProofFailed, ProofKilled, ProofNotStarted
from vision.runtime import NO_DELEGATE, XNNPACK
from wire.fields import Digest
from wire.model import ModelName, Version
from wire.updates import Gates

log: Final = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-P", "-m", "agent.app.prove")
BUILT_IN: Final = frozenset({XNNPACK, NO_DELEGATE})
RUNS_S: Final = 300.0
"""For the measured runs and the golden pictures, after loading. The reference kernels take 2 s for the default model
on a fast machine; for one five times as large on a slow board it is a hundred."""
START_S: Final = 30.0
"""For Python and its libraries on a slow board under load; 0.4 s on a fast one."""
DATA_ROOM_MIB: Final = 128.0
"""The limit on data stands above the gate on resident memory, so that a model just over the gate is told by figures
and not by a crash; the libraries alone come to 74 MiB of data."""
MAX_ANSWER_BYTES: Final = 16 << 10
MEND: Final = "Publish a release that runs on this device."
FREE_MEMORY_FIRST: Final = "Free memory, or publish a release that takes less."


class ProofRequest(BaseModel):
    """What the process is told, as its one argument."""

    model_config = ConfigDict(frozen=True)

    parent: int
    folder: Path
    name: ModelName
    version: Version
    digest: Digest
    model: DetectSettings
    delegate: str | None
    memory_mib: float
    cpu_s: float


class Refusal(BaseModel):
    """The last line of a process that found something wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refused: Annotated[str, Field(max_length=1000)]


class Figures(BaseModel):
    """The last line of a process that found nothing wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    load_s: Annotated[float, Field(ge=0)]
    latency_ms: Annotated[float, Field(ge=0)]
    memory_mib: Annotated[float, Field(ge=0)]
    network: Literal["none", "open"]


class ProcessProver:
    """Starts the process, waits for it, and reads its end.

    Args:
        model: As the device opens models: runtimes, delegates, threads.
        delegate: What the current model runs on; a candidate that falls back from it is refused. Not asked of a
            library's delegate, whose device may be the current model's alone. None: anything will do.
        command: What to start.
        start_s: How long it may take to start.
        killed: How many processes the kernel has killed for want of memory so far; None where it does not tell.
    """

    def __init__(
        self,
        model: DetectSettings,
        *,
        delegate: str | None = None,
        command: Sequence[str] = COMMAND,
        start_s: float = START_S,
        killed: Callable[[], int | None] = oom_kills,
    ) -> None:
        self._model = model
        self._command = tuple(command)
        self._start_s = start_s
        self._killed = killed
        self._delegate = delegate if delegate in BUILT_IN else None

    def prove(self, candidate: Candidate, gates: Gates, current_latency_ms: float | None) -> Proof:
        """See `agent.update.ports.Prover`."""
        allowed_s = gates.max_load_s + RUNS_S
        request = ProofRequest(
            parent=os.getpid(),
            folder=candidate.folder.absolute(),
            name=candidate.ref.name,
            version=candidate.ref.version,
            digest=candidate.ref.digest,
            model=self._model,
            delegate=self._delegate,
            memory_mib=gates.max_memory_mib + DATA_ROOM_MIB,
            cpu_s=allowed_s * self._model.threads,
        )
        figures = self._figures(request, self._start_s + allowed_s)
        _pass_gates(figures, gates, current_latency_ms)
        if figures.network == "open":
            log.info("the proof of %s ran with the network in reach: no namespaces here", candidate.ref.name)
        return Proof(figures.load_s, figures.latency_ms, figures.memory_mib)

    def _figures(self, request: ProofRequest, allowed_s: float) -> Figures:
        limits = Limits(allowed_s, request.cpu_s, request.memory_mib, MAX_ANSWER_BYTES)
        before = self._killed()
        try:
            ended = run_child([*self._command, request.model_dump_json()], limits)
        except ProofNotStarted as short:
            raise ProofPostponed(short.what, short.mend) from None
        except ProofKilled as gone:
            # A SIGKILL by itself proves nothing: what runs a candidate may send itself one.
            after = self._killed()
            if before is not None and after is not None and after > before:
                raise ProofOutOfMemory(f"{gone.what}: the kernel wanted its memory", FREE_MEMORY_FIRST) from None
            raise CandidateRejected(gone.what, MEND) from None
        except ProofFailed as failed:
            raise CandidateRejected(failed.what, MEND) from None
        try:
            if ended.code == 0:
                return Figures.model_validate_json(ended.last)
            raise CandidateRejected(Refusal.model_validate_json(ended.last).refused, MEND)
        except ValidationError:
            what = f"its proof ended with code {ended.code} while {ended.stage}"
            if ended.stage == STARTING:
                raise ProofPostponed(what, FREE_MEMORY) from None
            raise CandidateRejected(what, MEND) from None


def _pass_gates(figures: Figures, gates: Gates, current_latency_ms: float | None) -> None:
    if figures.load_s > gates.max_load_s:
        raise CandidateRejected(f"it took {figures.load_s:.1f} s to load, more than {gates.max_load_s:g} s", MEND)
    if figures.memory_mib > gates.max_memory_mib:
        raise CandidateRejected(
            f"its process took {figures.memory_mib:.0f} MiB, more than {gates.max_memory_mib:g} MiB", MEND
        )
    if current_latency_ms is not None and figures.latency_ms > gates.max_latency_ratio * current_latency_ms:
        raise CandidateRejected(
            f"it takes {figures.latency_ms:.0f} ms a frame where the current model takes "
            f"{current_latency_ms:.0f} ms, more than {gates.max_latency_ratio:g} times as long",
            MEND,
        )
