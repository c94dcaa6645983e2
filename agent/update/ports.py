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
            ProofPostponed: The process could not be started, or ended before it turned to the candidate.
            ProofOutOfMemory: The kernel killed it for want of memory.
        """


@dataclass(frozen=True, slots=True)
class Handover:
    """How the model that judges took over from the one before.

    Attributes:
        in_place: That one was closed first.
        gap_ms: From its last answer to the first of the new one; None while there is none.
    """

    in_place: bool
    gap_ms: float | None = None

    def __str__(self) -> str:
        """In words."""
        how = "in place" if self.in_place else "beside the model before"
        if self.gap_ms is None:
            return f"opened {how}"
        return f"opened {how}; {self.gap_ms:.0f} ms from the last answer of that one to its first"


class LiveModel(Protocol):
    """The model that judges frames, and trials beside it. All calls may come from any thread."""

    def latency_ms(self) -> float | None:
        """Median inference time of the current model lately; None before it judged anything."""

    def why_untried(self, candidate: Candidate, needed_mib: float | None) -> str | None:
        """Why the candidate can't run beside the current model, in words; None where it can.

        Args:
            candidate: To be tried.
            needed_mib: What its proof measured.

        Raises:
            CandidateRejected: That is seen without running it.
        """

    def trial(self, candidate: Candidate, gates: Gates, cancelled: Callable[[], bool]) -> TrialFigures:
        """Run the candidate beside the current model on live frames, and wait for the result.

        Raises:
            CandidateRejected: It failed a gate, or to run at all.
        """

    def switch(self, candidate: Candidate, needed_mib: float | None) -> None:
        """Let the candidate judge from the next frame on. No frame is lost, unless memory does not hold both.

        Args:
            candidate: To be opened.
            needed_mib: What its proof measured; None where it was not proven since the start.

        Raises:
            CandidateRejected: It could not be opened; the current model goes on.
            NoModelOpens: Nor could the current one be opened again; the agent ends.
        """

    def handover(self) -> Handover | None:
        """How the latest switch went; None before the first."""

    def watch(self, gates: Gates, cancelled: Callable[[], bool]) -> None:
        """Wait until the probation of the model that judges now is over.

        Raises:
            CandidateRejected: It did harm; says which gate it failed.
        """
