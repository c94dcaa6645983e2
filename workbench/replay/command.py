"""The `vedette replay` command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Protocol

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent.ask.budget import Limits
from agent.ask.prices import question_bytes
from agent.decide.settings import RuleSettings
from agent.detect.settings import GOOD_LOOKS, DetectSettings, LookSettings
from cloud.cli.telling import errors, exit_code
from vision.manifest import load_gain
from wire.errors import VedetteError
from workbench.clip import cache_folder
from workbench.errors import ReplayRefused
from workbench.replay.ablation import ablated
from workbench.replay.agent_file import Acceptance, AgentFile
from workbench.replay.choices import (
    ALL,
    BUDGETS,
    ONE_BUDGET,
    chosen_budgets,
    chosen_cloud,
    chosen_labels,
    chosen_policies,
)
from workbench.replay.clip import Clip, Half, survey
from workbench.replay.cloud import ReplayCloud
from workbench.replay.device import Setup, Workbench, setup_of
from workbench.replay.labels import Labels, read_labels
from workbench.replay.memory import Memory
from workbench.replay.outputs import Outputs
from workbench.replay.policies import Policy
from workbench.replay.results import Run
from workbench.replay.sweep import Measure, Planned, planned, reference, sweep
from workbench.replay.telling import Told

USUAL_LABEL: Final = "person"
MEMORY_FILE: Final = "detections.db"
INTERRUPTED: Final = 130
UNUSABLE: Final = 2


class Show(Protocol):
    """Shows how far the work is: what is done, and how much of how much."""

    def __call__(self, what: str, done: int, of: int | None = None) -> None:
        """Show it."""


def replay(
    *,
    source: Annotated[str, typer.Option(help="A video file, or a folder of pictures.")],
    labels: Annotated[
        Path | None, typer.Option(help="What is in the clip: MOT's gt.txt, or COCO's JSON in a .json file.")
    ] = None,
    policy: Annotated[
        str, typer.Option(help=f"What decides what is sent: {', '.join(Policy)}; several with commas, or {ALL}.")
    ] = Policy.OURS,
    budget: Annotated[
        str | None,
        typer.Option(
            help="What may be sent: 5% of sending every frame whole, or 20kB/min, 200MB/month; several with commas."
            f" Else {ONE_BUDGET}, and {BUDGETS} where there are several policies.",
        ),
    ] = None,
    half: Annotated[Half, typer.Option(help="Which half of the clip: tune on one, report on the other.")] = "all",
    label: Annotated[
        list[str] | None,
        typer.Option(help=f"What to look for, once for each; else what COCO's labels name, or {USUAL_LABEL}."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="An agent's TOML file: its model, rules, zones, masks, looks and asking.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="With --config: the camera that the clip is of; else the first.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The device's model, by name or path.")] = None,
    cloud_model: Annotated[
        list[str] | None, typer.Option(help="The cloud's model, by name or path; several are asked together.")
    ] = None,
    looks: Annotated[
        float | None, typer.Option(help=f"Second looks a frame; else --config's, or {GOOD_LOOKS}.", min=0, max=16)
    ] = None,
    latency_ms: Annotated[float, typer.Option(help="From a question to its answer.", min=0, max=600_000)] = 300.0,
    fps: Annotated[
        float | None, typer.Option(help="At which a folder's pictures were made; else 10.", min=0.01, max=1000)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn at random.")] = 1,
    repeats: Annotated[
        int,
        typer.Option(
            help="Make each run so often, each beginning a frame later, and say how much of a difference is chance.",
            min=1,
            max=100,
        ),
    ] = 1,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Ours again and again, each time without one of its reasons for asking.")
    ] = False,
    gain: Annotated[
        Path | None, typer.Option(help="Rank questions by these weights, of `vedette gain train`, not the model's.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Write what was known at each question, and its answer: to learn from.")
    ] = None,
    jsonl: Annotated[
        Path | None, typer.Option(help="Write a line for each frame; with several runs a file for each.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a page with a chart.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the table as Markdown.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where detections are remembered; else in the user's cache.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Remember nothing beyond this command.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON instead of text.")] = False,
) -> None:
    """The whole hybrid on a clip, offline: what a policy would cost, and what it would catch.

    Runs the agent's own pipeline and the service's own judging as fast as this machine can, under the clip's time.
    What the models say is remembered, so that a second run takes seconds.
    """
    with _told(), _progress() as show:
        policies = chosen_policies(policy)
        if ablate and policies != [Policy.OURS]:
            raise ReplayRefused("--ablate is of ours", "Leave --policy out.")
        budgets = chosen_budgets((ONE_BUDGET if len(policies) == 1 else BUDGETS) if budget is None else budget)
        outputs = Outputs(jsonl, plot, table, answers, as_json=as_json, ablating=ablate)
        outputs.demand_folders()
        judges = chosen_cloud(cloud_model or ())
        if answers is not None and (policies != [Policy.OURS] or len(budgets) > 1):
            raise ReplayRefused("--answers is of one run of ours", "Name one --budget, and no other --policy.")
        file = None if config is None else AgentFile.read(config)
        setup = _setup(file, camera, model, label, looks)
        if gain is not None:
            setup = replace(setup, gain=load_gain(gain))
        clip = survey(source, half=half, fps=fps, camera=setup.camera, show=partial(show, "reading the clip"))
        clip.later(repeats - 1)
        truth = None
        if labels is not None:
            truth = read_labels(labels, clip.source, clip.frames, setup.labels[0])
            if label is None and config is None:
                setup = setup.looking_for(truth.names or (USUAL_LABEL,))
            truth = truth.only(setup.labels)
        with (
            Memory(None if no_cache else (cache or cache_folder().parent / "replay") / MEMORY_FILE) as memory,
            closing(ReplayCloud.open(judges, memory)) as cloud,
            closing(Workbench(setup, clip, cloud, memory, latency_s=latency_ms / 1000, seed=seed)) as bench,
        ):
            measure = _measure(truth, bench, cloud, show)
            told = _facts(bench, cloud, measure, latency_ms, repeats, file)
            if ablate:
                frames = len(clip.frames)
                rows = ablated(bench, budgets, measure, lambda what, done: show(what, done, frames), repeats)
                outputs.ablations(rows, told)
            else:
                runs = list(_runs(bench, planned(policies, budgets), measure, show, repeats))
                outputs.runs(runs, budgets, told)
        if clip.remark:
            errors.print(clip.remark)


def _setup(
    file: AgentFile | None, camera: str | None, model: str | None, label: list[str] | None, looks: float | None
) -> Setup:
    if file is None:
        if camera is not None:
            raise ReplayRefused("--camera is of a --config", "Give the agent's file with --config.")
        rule = RuleSettings(name="anything", labels=chosen_labels(label or [USUAL_LABEL]))
        setup = Setup(DetectSettings(), (rule,))
    else:
        setup = setup_of(file.config, camera)
        if label is not None:
            raise ReplayRefused("--label and --config both say what to look for", "Leave one of them out.")
    return setup.changed(model=model, looks=None if looks is None else LookSettings(per_frame=looks))


def _measure(truth: Labels | None, bench: Workbench, cloud: ReplayCloud, show: Show) -> Measure:
    if truth is not None:
        return Measure(truth, by_cloud=False)
    return reference(
        bench.clip, cloud, bench.setup, lambda done, of: show("asking the cloud for a reference", done, of)
    )


def _runs(bench: Workbench, plans: Sequence[Planned], measure: Measure, show: Show, repeats: int) -> Iterator[Run]:
    frames = len(bench.clip.frames)
    return sweep(bench, plans, measure, lambda plan, done: show(plan.name, done, frames), repeats)


def _facts(
    bench: Workbench, cloud: ReplayCloud, measure: Measure, latency_ms: float, repeats: int, file: AgentFile | None
) -> Told:
    clip: Clip = bench.clip
    return Told(
        source=clip.source.name,
        frames=clip.frames,
        size=clip.size,
        fps=clip.fps,
        streamed_per_s=clip.streamed_bytes / clip.lasts_s,
        device=bench.model,
        cloud=cloud.name,
        by_cloud=measure.by_cloud,
        names=measure.labels.names,
        latency_ms=latency_ms,
        looks=bench.looks_per_frame,
        question_bytes=question_bytes(bench.setup.ask, about_objects=bench.setup.asking.objects.enabled),
        camera_limits=_limits(bench.setup.camera_limits),
        repeats=repeats,
        checks=None if file is None else Acceptance(file, bench.setup.camera, lambda: next(clip.pictures()).image),
    )


def _limits(own: Limits) -> str:
    said = [] if own.bytes is None else [own.bytes]
    if own.questions_per_minute is not None:
        said.append(f"{own.questions_per_minute} questions a minute")
    return ", ".join(said)


@contextmanager
def _progress() -> Iterator[Show]:
    """A bar on a terminal's standard error; elsewhere nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def show(what: str, done: int, of: int | None = None) -> None:
            if progress.tasks[0].description != what:
                progress.reset(task, description=what, total=of)
            progress.update(task, completed=done, total=of)

        yield show


@contextmanager
def _told() -> Iterator[None]:
    """Say an error of ours to the person; where no other exit code stands for it, what was given can't be replayed.

    Raises:
        typer.Exit: Instead of the error, or of Ctrl-C.
    """
    try:
        yield
    except VedetteError as failed:
        errors.print(f"error: {failed.what}", style="red")
        if failed.mend:
            errors.print(failed.mend)
        code = exit_code(failed)
        raise typer.Exit(UNUSABLE if code == 1 else code) from None
    except KeyboardInterrupt:
        errors.print("Stopped. What the models said so far is remembered.")
        raise typer.Exit(INTERRUPTED) from None
