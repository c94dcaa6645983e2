"""`make bench`: what this machine and this code do together, as ratios and as figures held against their goals.

Repeat it with `make bench`, or `python -m bench`; `--quick` leaves out the slower model and shortens the runs, and
`--json` is for programs. Absolute times depend on the machine and on what else runs on it: compare the ratios, or two
versions of the code on one idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bench.figures import Section, for_programs, table
from bench.labelled import accuracy
from bench.latency import latency
from bench.speed import speed
from bench.still import still
from vision.models import DEFAULT_MODEL, UPGRADE_MODEL, find_model
from wire.errors import VedetteError
from workbench.clip import demo_clip

LATENCY_S: Final = 120.0
"""Over a hundred new alerts, so that p99 is more than the worst one."""
STILL_S: Final = 20.0
QUICK: Final = 4
"""How much shorter the quick runs are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit code is 0 whatever the figures are, and 1 where something could not run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="the default model only, and shorter runs")
    chosen = parser.parse_args(arguments)
    try:
        sections = tuple(_measured(_say, quick=chosen.quick))
    except VedetteError as failed:
        sys.stderr.write(f"{failed.name}: {failed}\n")
        return 1
    except subprocess.CalledProcessError as failed:
        sys.stderr.write(f"`{' '.join(failed.cmd)}` ended with exit code {failed.returncode}; its message is above\n")
        return 1
    if chosen.json:
        print(json.dumps(for_programs(sections)))
    else:
        print(table(sections))
        print(f"\n{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.", end=" ")
        print("Repeat with `make bench`; ARGS=--quick is shorter, ARGS=--json is for programs.")
    return 0


def _measured(say: Callable[[str], None], *, quick: bool) -> Iterator[Section]:
    models = ("default",) if quick else ("default", UPGRADE_MODEL)
    for needed in (DEFAULT_MODEL, UPGRADE_MODEL):
        find_model(needed)
    clip = demo_clip(say).path
    shorter = QUICK if quick else 1
    for model in models:
        say(f"speed of {model}: the pipeline and the bare loop in turns")
        yield speed(clip, model)
    yield from latency(clip, LATENCY_S / shorter, say)
    yield still(clip, STILL_S / shorter, say)
    yield accuracy(clip, models, say)


def _say(line: str) -> None:
    """Progress: in place on a terminal, line by line elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}\r")
        sys.stderr.flush()
    else:
        sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
