"""Proves a candidate in a process of its own: `python -m agent.app.prove`. Implements `agent.update.ports.Prover`.

The process inherits no open files and of the environment only what finding libraries takes; it limits itself before
it opens the model (`agent.adapters.confinement`), and is held to its time from here. What it prints is not trusted:
it ran a model that may have taken it over.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import agent
from agent.detect.settings import DetectSettings
from agent.errors import CandidateRejected
from agent.update.ports import Candidate, Proof
from vision.runtime import NO_DELEGATE, XNNPACK
from wire.fields import Digest
from wire.model import ModelName, Version
from wire.updates import Gates

log: Final = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-P", "-m", "agent.app.prove")
BUILT_IN: Final = frozenset({XNNPACK, NO_DELEGATE})
RUNS_S: Final = 30.0
"""For the golden pictures and the measured runs, after loading."""
START_S: Final = 30.0
"""For Python and its libraries on a slow board under load; 0.4 s on a fast one."""
DATA_ROOM_MIB: Final = 128.0
"""The limit on data stands above the gate on resident memory, so that a model just over the gate is told by figures
and not by a crash; the libraries alone come to 74 MiB of data."""
MAX_ANSWER_BYTES: Final = 16 << 10
KEPT: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "HOME")
"""Of the environment: where libraries and delegates are found. Tokens and passwords are not among it."""
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A user namespace can't be entered once numpy has started threads."""
MEND: Final = "Publish a release that runs on this device."


class ProofRequest(BaseModel):
    """What the process is told, as its one argument."""

    model_config = ConfigDict(frozen=True)

    parent: int
    folder: Path
    name: ModelName
    version: Version
    digest: Digest
    model: DetectSettings
    memory_mib: float
    cpu_s: float


class Stage(BaseModel):
    """A line of the process: what it turns to, so that a crash can be told where it happened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Annotated[str, Field(max_length=80, pattern=r"^[ -~]*$")]


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
    delegate: Annotated[str, Field(max_length=500)]
    network: Literal["none", "open"]


class ProcessProver:
    """Starts the process, waits for it, and reads its end.

    Args:
        model: As the device opens models: runtimes, delegates, threads.
        delegate: What the current model runs on; a candidate that falls back from it is refused. Not asked of a
            library's delegate, whose device may be the current model's alone. None: anything will do.
        command: What to start.
        start_s: How long it may take to start.
    """

    def __init__(
        self,
        model: DetectSettings,
        *,
        delegate: str | None = None,
        command: Sequence[str] = COMMAND,
        start_s: float = START_S,
    ) -> None:
        self._model = model
        self._command = tuple(command)
        self._start_s = start_s
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
            memory_mib=gates.max_memory_mib + DATA_ROOM_MIB,
            cpu_s=allowed_s * self._model.threads,
        )
        figures = self._figures(request, self._start_s + allowed_s)
        if self._delegate is not None and figures.delegate != self._delegate:
            raise CandidateRejected(
                f"it does not run on {self._delegate} as the current model does, only on {figures.delegate}", MEND
            )
        _pass_gates(figures, gates, current_latency_ms)
        if figures.network == "open":
            log.info("the proof of %s ran with the network in reach: no namespaces here", candidate.ref.name)
        return Proof(figures.load_s, figures.latency_ms, figures.memory_mib)

    def _figures(self, request: ProofRequest, allowed_s: float) -> Figures:
        try:
            process = subprocess.Popen(
                [*self._command, request.model_dump_json()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        except OSError as failed:
            raise CandidateRejected(f"the proof could not be started: {failed.strerror}", "Free memory.") from None
        answer = bytearray()
        deadline = time.monotonic() + allowed_s
        try:
            for chunk in _chunks(process, deadline):
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    raise CandidateRejected("its proof talked without end", MEND)
            _await_exit(process, deadline)
        except subprocess.TimeoutExpired:
            raise CandidateRejected(
                f"it was not done after {allowed_s:.0f} s, while {_stage(answer)}", MEND
            ) from None
        finally:
            code = _end(process)
        return _read(bytes(answer), code, request)


def _environment() -> dict[str, str]:
    # The same code as this process runs, from wherever that came.
    home = str(Path(agent.__file__).parents[1])
    return {key: os.environ[key] for key in KEPT if key in os.environ} | ONE_THREAD | {"PYTHONPATH": home}


def _chunks(process: subprocess.Popen[bytes], deadline: float) -> Iterator[bytes]:
    """What the process prints, until it closes its output.

    Raises:
        subprocess.TimeoutExpired: It did not in time.
    """
    assert process.stdout is not None  # noqa: S101 - asked for as a pipe
    descriptor = process.stdout.fileno()
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise subprocess.TimeoutExpired(process.args, left)
        chunk = os.read(descriptor, MAX_ANSWER_BYTES)
        if not chunk:
            return
        yield chunk


def _await_exit(process: subprocess.Popen[bytes], deadline: float) -> None:
    """Waits for the end without taking the exit code: until that is taken, the process group's number stays its own.

    Raises:
        subprocess.TimeoutExpired: It did not end in time.
    """
    descriptor = os.pidfd_open(process.pid)
    try:
        left = max(0.0, deadline - time.monotonic())
        if not select.select([descriptor], [], [], left)[0]:
            raise subprocess.TimeoutExpired(process.args, left)
    finally:
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes]) -> int:
    """Ends the process and what it started, if anything of it is left; its exit code."""
    os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()
    return process.wait()


def _read(answer: bytes, code: int, request: ProofRequest) -> Figures:
    if code < 0:
        raise CandidateRejected(_crash(-code, answer, request), MEND)
    last = answer.splitlines()[-1] if answer.strip() else b""
    try:
        if code == 0:
            return Figures.model_validate_json(last)
        raise CandidateRejected(Refusal.model_validate_json(last).refused, MEND)
    except ValidationError:
        raise CandidateRejected(f"its proof ended with code {code} while {_stage(answer)}", MEND) from None


def _crash(number: int, answer: bytes, request: ProofRequest) -> str:
    if number == signal.SIGXCPU:
        return f"it took more than {request.cpu_s:.0f} s of processor time, while {_stage(answer)}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = f" (memory is limited to {request.memory_mib:.0f} MiB)" if number == signal.SIGABRT else ""
    return f"crashed with {name} while {_stage(answer)}{hint}"


def _stage(answer: bytes | bytearray) -> str:
    """What the process last said that it turned to."""
    stage = "starting"
    for line in bytes(answer).splitlines():
        try:
            stage = Stage.model_validate_json(line).stage
        except ValidationError:
            continue
    return stage


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
