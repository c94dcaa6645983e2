"""How close the agent's pipeline comes to the bare runtime, from `vedette-agent bench`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.figures import Figure, Goal, Section

AGENT = (sys.executable, "-m", "agent")


def speed(clip: Path, model: str) -> Section:
    """Run it for one model."""
    done = subprocess.run(
        [*AGENT, "bench", "--source", str(clip), "--model", model, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    key = model.replace("-", "_")
    return Section(
        f"Speed, {found['model']}",
        "`vedette-agent bench`: the whole pipeline and a bare decode + resize + invoke loop on the same frames, in"
        " turns; medians.",
        (
            Figure(f"{key}_ratio", "pipeline ÷ bare loop", found["ratio"], "", Goal(at_least=0.90), digits=3),
            Figure(f"{key}_pipeline_fps", "pipeline", found["pipeline_fps"], "/s"),
            Figure(f"{key}_bare_fps", "bare loop", found["bare_fps"], "/s"),
            Figure(f"{key}_bench_rss_mib", "memory of the pipeline at full speed", found["rss_mib"], "MiB"),
        ),
    )
