"""The entry to the command line: it ends in our words where what it prints can't be written.

Python, rich and typer write to the standard output in many places, `--help` among them, and each takes a full disk
for a fault of the program; Python flushes once more at its end, and then ends with 120. So the stream itself says it.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stdout
from typing import Final

import typer

from cloud.errors import OutputRefused

UNWRITABLE: Final = 14


class StandardOutput(io.TextIOWrapper):
    """A text stream that is over with its first failure: what comes later goes nowhere, so that all else can end.

    Raises:
        OutputRefused: In `write` and `flush`, once: the disk or device refused.
        BrokenPipeError: Likewise: whoever read it went away, as `head` does.
    """

    refused: OutputRefused | None = None

    def write(self, text: str, /) -> int:
        """As `TextIOWrapper.write`."""
        try:
            return super().write(text)
        except OSError as failed:
            raise self._over(failed) from None

    def flush(self) -> None:
        """As `TextIOWrapper.flush`."""
        try:
            super().flush()
        except OSError as failed:
            raise self._over(failed) from None

    def _over(self, failed: OSError) -> Exception:
        # What stays in the buffer would be refused again by every later flush, the interpreter's last one included.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if isinstance(failed, BrokenPipeError):
            return failed
        self.refused = OutputRefused(
            f"the standard output can't be written: {failed.strerror}",
            "Make room where it goes, or let it go elsewhere.",
        )
        return self.refused


def run(app: typer.Typer) -> None:
    """Run what was typed.

    Raises:
        SystemExit: Always, with the command's exit code.
    """
    beneath = sys.stdout
    if not isinstance(beneath, io.TextIOWrapper):
        app()
        return
    stream = StandardOutput(
        beneath.buffer,
        encoding=beneath.encoding,
        errors=beneath.errors,
        line_buffering=beneath.line_buffering,
        write_through=beneath.write_through,
    )
    try:
        with redirect_stdout(stream):
            _run(app, stream)
    except OutputRefused as refused:
        sys.stderr.write(f"error: {refused.what}\n{refused.mend}\n")
        sys.exit(UNWRITABLE)
    finally:
        # Whoever holds the stream beneath goes on using it.
        stream.detach()


def _run(app: typer.Typer, stream: StandardOutput) -> None:
    try:
        app()
    except SystemExit as ended:
        if ended.code:
            raise
        stream.flush()
        # Typer tries by an empty write what kind of stream it has, and passes over its failure.
        if stream.refused is not None:
            raise stream.refused from None
        raise
