"""What the update worker needs from the rest of the agent, as ports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wire.updates import Gates, GroupRelease, ModelRef, TrialFigures


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release whose bytes are those that were signed, lying on disk.

    Attributes:
        folder: Holds `model.tflite` and `manifest.json`.
    """

    ref: ModelRef
    folder: Path


@dataclass(frozen=True, slots=True)
class Proof:
    """What the proving process measured."""

    load_s: float
    latency_ms: float
    memory_mib: float


class Repository(Protocol):
    """The signed repository. Called by the worker's thread only; each call may take as long as its own deadlines."""

    def group_release(self, group: str) -> GroupRelease:
        """Refresh the metadata and read the group's document, fully verified and not below what was seen before.

        Raises:
            TrustError, RepositoryUnreachable: as their names say.
        """

    def fetch(
        self, ref: ModelRef, folder: Path, progress: Callable[[float], None], cancelled: Callable[[], bool]
    ) -> None:
        """Download the release's model and manifest into `folder`, going on from what lies there already.

        Raises:
            TrustError: The release is not in the signed repository, or its digest is not the one named.
            DownloadFailed, RepositoryUnreachable: What was fetched so far is kept for the next try.
        """


class Prover(Protocol):
    """Tries a candidate in a process of its own, under limits."""

    def prove(self, candidate: Candidate, gates: Gates, current_latency_ms: float | None) -> Proof:
        """Load it, hold its tensors against its manifest, run it, measure it.

        Raises:
            CandidateRejected: Says what failed; a crash of the process is one of the reasons.
        """


class LiveModel(Protocol):
    """The model that judges frames, and trials beside it. All calls may come from any thread."""

    def latency_ms(self) -> float | None:
        """Median inference time of the current model lately; None before it judged anything."""

    def trial(self, candidate: Candidate, gates: Gates, cancelled: Callable[[], bool]) -> TrialFigures:
        """Run the candidate beside the current model on live frames, and wait for the result.

        Raises:
            CandidateRejected: It failed a gate, or to run at all.
        """

    def switch(self, candidate: Candidate) -> None:
        """Let the candidate judge from the next frame on; no frame is lost.

        Raises:
            CandidateRejected: It could not be opened; the current model goes on.
        """

    def watch(self, gates: Gates, cancelled: Callable[[], bool]) -> None:
        """Wait until the probation of the model that judges now is over.

        Raises:
            CandidateRejected: It did harm; says which gate it failed.
        """
