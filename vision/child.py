"""A model that is not trusted yet is run in a process of its own: the parent's side, on the device and in the cloud.

The process inherits no open files, and of the environment only what finding libraries takes. It limits itself before
it opens the model (`vision.confinement`), and is held to its time from here. It prints a line of JSON for each stage
that it turns to, so that a crash can be told where it happened, and a last one of its own. What it prints is not
trusted: it ran a model that may have taken it over.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import vision
from vision.errors import ProofFailed, ProofKilled, ProofNotStarted

KEPT: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "HOME")
"""Of the environment: where libraries and delegates are found. Tokens and passwords are not among it."""
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A user namespace can't be entered once numpy has started threads."""
MEND: Final = "Make the release from another export of the model."
FREE_MEMORY: Final = "Free memory, or allow more processes."
STARTING: Final = "starting"
"""Until a process tells its first stage, it has not looked at the model."""

Say = Callable[[dict[str, object]], None]
"""The child's way to tell its parent a line."""


class Stage(BaseModel):
    """A line of the process: what it turns to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Annotated[str, Field(max_length=80, pattern=r"^[ -~]*$")]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process is held to.

    Attributes:
        wall_s: From here.
        cpu_s, memory_mib: What it was told to hold itself to; for the words of a refusal.
        answer_bytes: The most that it may say.
    """

    wall_s: float
    cpu_s: float
    memory_mib: float
    answer_bytes: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended that was not killed: its exit code, its last line, and what it was about."""

    code: int
    last: bytes
    stage: str


def run_child(command: Sequence[str], limits: Limits) -> Ended:
    """Start the process, wait for its end, and see that nothing of it is left.

    Raises:
        ProofNotStarted: It could not be started, crashed before it told a stage, or took too long until then.
        ProofKilled: Somebody else killed it.
        ProofFailed: It crashed, took too long, or talked without end.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=child_environment(),
            start_new_session=True,
        )
    except OSError as failed:
        raise ProofNotStarted(f"the proof could not be started: {failed.strerror}", FREE_MEMORY) from None
    answer = bytearray()
    deadline = time.monotonic() + limits.wall_s
    try:
        for chunk in _chunks(process, deadline):
            answer += chunk
            if len(answer) > limits.answer_bytes:
                raise ProofFailed("its proof talked without end", MEND)
        _await_exit(process, deadline)
    except subprocess.TimeoutExpired:
        raise _failed(f"it was not done after {limits.wall_s:.0f} s, while {_stage(answer)}", answer) from None
    finally:
        code = _end(process)
    if code < 0:
        crash = _crash(-code, _stage(answer), limits)
        # What is killed from here, for its time or its talk, has raised above.
        if -code == signal.SIGKILL and _stage(answer) != STARTING:
            raise ProofKilled(crash, MEND)
        raise _failed(crash, answer)
    return Ended(code, bytes(answer).splitlines()[-1] if answer.strip() else b"", _stage(answer))


def only_voice() -> Say:
    """The child's one way to standard output; native code that prints there can't mix with it."""
    voice = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(line: dict[str, object]) -> None:
        voice.write(json.dumps(line) + "\n")

    return say


def child_environment() -> dict[str, str]:
    """What of the environment a process gets that runs a model."""
    # The same code as this process runs, from wherever that came.
    home = str(Path(vision.__file__).parents[1])
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
        chunk = os.read(descriptor, 1 << 14)
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


def _failed(what: str, answer: bytes | bytearray) -> ProofFailed:
    return ProofNotStarted(what, FREE_MEMORY) if _stage(answer) == STARTING else ProofFailed(what, MEND)


def _crash(number: int, stage: str, limits: Limits) -> str:
    if number == signal.SIGXCPU:
        return f"it took more than {limits.cpu_s:.0f} s of processor time, while {stage}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = f" (memory is limited to {limits.memory_mib:.0f} MiB)" if number == signal.SIGABRT else ""
    return f"crashed with {name} while {stage}{hint}"


def _stage(answer: bytes | bytearray) -> str:
    """What the process last said that it turned to."""
    stage = STARTING
    for line in bytes(answer).splitlines():
        try:
            told = Stage.model_validate_json(line).stage
        except ValidationError:
            continue
        # What ran the model may say anything, but not that it never did.
        stage = told if told != STARTING else stage
    return stage
