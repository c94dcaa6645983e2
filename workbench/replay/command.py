"""The `vedette replay` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.detect.settings import GOOD_LOOKS, DetectSettings, LookSettings
from agent.decide.settings import RuleSettings
from cloud.cli.telling import told
from cloud.infer.default import DEFAULT_MODELS, InferSettings
from workbench.replay.budget import parse_budget
from workbench.replay.clip import survey
from workbench.replay.cloud import ReplayCloud
from workbench.replay.device import Setup, Workbench
from workbench.replay.labels import read_labels
from workbench.replay.memory import Memory
from workbench.replay.policies import WITHOUT_BUDGET, Policy
from workbench.replay.results import Run
from workbench.replay.scoring import alerting, catch
from workbench.replay.walk import Walk, run


def replay(
    *,
    source: Annotated[str, typer.Option(help="A video file, or a folder of pictures.")],
    labels: Annotated[Path | None, typer.Option(help="What is in it: MOT's gt.txt, or COCO's JSON.")] = None,
    policy: Annotated[Policy, typer.Option(help="What decides what is sent.")] = Policy.OURS,
    budget: Annotated[str, typer.Option(help="5%, or 20kB/min.")] = "5%",
    label: Annotated[str, typer.Option(help="What to look for.")] = "person",
    half: Annotated[str, typer.Option(help="first, second or all.")] = "all",
    looks: float = GOOD_LOOKS,
    latency_ms: float = 300.0,
    jsonl: Path | None = None,
) -> None:
    with told():
        clip = survey(source, half=half, fps=None, show=lambda _: None)
        truth = None if labels is None else read_labels(labels, clip.source, clip.frames, label)
        rule = RuleSettings(name="anyone", labels=(label,))
        setup = Setup(DetectSettings(), (rule,), looks=LookSettings(per_frame=looks))
        with Memory(Path("~/.cache/vedette/replay/detections.db").expanduser()) as memory:
            cloud = ReplayCloud.open(InferSettings(), memory)
            bench = Workbench(setup, clip, cloud, memory, latency_s=latency_ms / 1000, seed=1)
            limit = None if policy in WITHOUT_BUDGET else parse_budget(budget)
            walk = Walk(clip.pictures())
            outcome = run(walk, bench.pipeline(walk, policy, limit))
            one = Run(
                policy, limit, outcome, clip.streamed_bytes, clip.lasts_s,
                None if truth is None else catch(outcome, truth, clip.size), False,
                {} if truth is None else alerting(outcome, truth, clip.size, clip.fps),
            )
            if jsonl is not None:
                jsonl.write_text("\n".join(one.lines()) + "\n")
            print(json.dumps(one.summary(), indent=1))
