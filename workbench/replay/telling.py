"""What a replay came to, in words and rows: for the terminal, for a Markdown document and for the page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from workbench.demo.screen import size
from workbench.replay.advice import AS_GOOD, Checks, OnDevice, Point, best_within, on_device
from workbench.replay.budget import Budget
from workbench.replay.caution import caution
from workbench.replay.policies import Policy
from workbench.replay.results import Run

DAY_S: Final = 86_400
SETTING: Final = "setting"
COST: Final = ("share", "sent", "a day", "asked")
CATCH: Final = ("F1", "precision", "recall", "AP50")
COST_AND_CATCH: Final = (SETTING, *COST, *CATCH)
ALERTS: Final = ("in time", "right", "twice", "delay", "verdicts")
COLUMNS: Final = (*COST_AND_CATCH, *(f"alerts: {name}" for name in ALERTS[:-1]), "verdicts right/wrong")

ABOUT_ALERTS: Final = (
    "A person who is labelled for a second or longer is one event. In time: the share of them found within 2 s."
    " Right: the share of alerts that are about somebody. Twice: alerts too many for each event. Delay: the median."
    " Verdicts: how many alerts the cloud's word changed rightly and wrongly."
)


@dataclass(frozen=True, slots=True)
class Told:
    """All that a reader needs beside the figures.

    Attributes:
        source: The clip's name.
        device, cloud: The models' names.
        by_cloud: The figures are the agreement with the cloud, for want of labels.
        names: The labels that were measured.
        latency_ms: From a question to its answer.
        looks: Second looks a frame.
        question_bytes: What the agent takes a question to cost.
        camera_limits: What the camera's own budget says, in words; nothing where it has none.
        repeats: How often each run was made.
        checks: The agent's file; None where none was replayed.
    """

    source: str
    frames: range
    size: tuple[int, int]
    fps: float
    streamed_per_s: float
    device: str
    cloud: str
    by_cloud: bool
    names: tuple[str, ...]
    latency_ms: float
    looks: float
    question_bytes: float
    camera_limits: str = ""
    repeats: int = 1
    checks: Checks | None = None


@dataclass(frozen=True, slots=True)
class Advised:
    """Which setting to use.

    Attributes:
        run: None where none could be measured, or every one takes more than there is.
        note: What is to be said beside it: that its alerts are worse than those of the device alone, or that the
            agent does not start with what is better, or with this.
    """

    run: Run | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Step(Advised):
    """Which setting to use for a budget.

    Attributes:
        budget: As the person wrote it.
        heading: The budget, and what it comes to.
        use: In a sentence.
    """

    budget: str
    heading: str
    use: str


def cells(run: Run) -> tuple[str, ...]:
    """A run's row under COLUMNS."""
    found = run.catch
    figures = (
        ("–",) * 4
        if found is None
        else (f1(run, found.f1), *map(figure, (found.precision, found.recall, found.ap50)))
    )
    per_day = run.outcome.sent_bytes / run.lasts_s * DAY_S
    return (
        run.name,
        share(run.share),
        size(run.outcome.sent_bytes),
        size(round(per_day)),
        str(run.outcome.asks),
        *figures,
        *alerts(run),
    )


def alerts(run: Run) -> tuple[str, ...]:
    """What a run's alerts were worth, under ALERTS."""
    worths = [worth for alerting in run.alertings for worth in alerting.values()]
    if not worths:
        return ("–",) * len(ALERTS)
    kept = [worth.kept for worth in worths]
    events, raised = sum(one.events for one in kept), sum(one.alerts for one in kept)
    delays = [one.delay_s for one in kept if one.delay_s is not None]
    verdicts = [worth.verdicts for worth in worths]
    right = sum(one.confirmed_rightly + one.retracted_rightly for one in verdicts)
    wrong = sum(one.confirmed_wrongly + one.retracted_wrongly for one in verdicts)
    return (
        figure(sum(one.in_time * one.events for one in kept) / events, 2) if events else "–",
        figure(sum(one.precision * one.alerts for one in kept) / raised, 2) if raised else "–",
        figure(sum(one.duplicates * one.events for one in kept) / events, 2) if events else "–",
        f"{median(delays):.2f} s" if delays else "–",
        f"{right}/{wrong}",
    )


def figure(value: float, digits: int = 3) -> str:
    """A share as the field writes it: .936."""
    return f"{value:.{digits}f}".removeprefix("0")


def f1(run: Run, value: float) -> str:
    """With its standard error where there are repeats: .936 ± .002."""
    return figure(value) if run.f1_error is None else f"{figure(value)} ± {figure(run.f1_error)}"


def share(value: float) -> str:
    """A share in per cent, with as many digits as matter."""
    if value == 0.0:
        return "nothing"
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %" if percent >= 1 else f"{percent:.2g} %"  # noqa: PLR2004


def points(runs: Sequence[Run]) -> list[Point]:
    """The runs that could be measured, as settings to choose among."""
    return [point for run in runs if (point := _point(run)) is not None]


def _point(run: Run) -> Point | None:
    return None if run.catch is None else Point(run.name, run.share, run.catch.f1)


def lead(runs: Sequence[Run], told: Told) -> str:
    """The one sentence to take away."""
    known = points(runs)
    run = advised(runs, told).run
    best = None if run is None else _point(run)
    if best is None:
        return "Nothing could be measured: the clip has no labels, and the cloud sees nothing in it."
    if len(known) == 1:
        return f"{best.name} catches {figure(best.f1)} (F1) for {_cost(best)}."
    streamed = next((run.catch.f1 for run in runs if run.policy is Policy.ALWAYS and run.catch is not None), None)
    beside = "" if streamed is None or best.name == "always" else f" Sending every frame gets {figure(streamed)}."
    if best.share == 0.0:
        return f"Send nothing: no setting that was tried catches more than {best.name}, F1 {figure(best.f1)}.{beside}"
    alone = next((run.catch.f1 for run in runs if run.policy is Policy.NEVER and run.catch is not None), None)
    before = "" if alone is None else f", where the device alone gets {figure(alone)}"
    return f"Use {best.name}: F1 {figure(best.f1)} for {_cost(best)}{before}.{beside}"


def advised(runs: Sequence[Run], told: Told, limit: float = 1.0) -> Advised:
    """The best run within a share of the bytes that the agent can be set to, or that is here to compare.

    Where it refuses all there are, the best of those.
    """
    best = _best(runs, limit)
    usable = _best([run for run in runs if _refused(run, told) is None], limit)
    chosen = usable or best
    if chosen is None or best is None:
        return Advised(None, None)
    said = [_worse_alerts(runs, chosen), None if usable is best else _better(best, chosen, told)]
    return Advised(chosen, " ".join(one for one in said if one is not None) or None)


def _best(runs: Sequence[Run], limit: float) -> Run | None:
    point = best_within(points(runs), limit)
    return next((run for run in runs if point is not None and run.name == point.name), None)


def _refused(run: Run, told: Told) -> str | None:
    chosen = settings(run, told)
    return None if chosen is None else chosen.refused


def _better(best: Run, chosen: Run, told: Told) -> str | None:
    """What the agent says against the best run, where nothing nearly as good is left."""
    there, here = (0.0 if run.catch is None else run.catch.f1 for run in (best, chosen))
    if best is not chosen and there <= here + AS_GOOD:
        return None
    return f"With the settings of {best.name} (F1 {figure(there)}) {_refused(best, told)}"


def _worse_alerts(runs: Sequence[Run], chosen: Run) -> str | None:
    alone = next((run for run in runs if run.policy is Policy.NEVER), None)
    return None if alone is None or chosen is alone else caution(chosen.alertings, alone.alertings)


def settings(run: Run, told: Told) -> OnDevice | None:
    """What a device is told so that it does as in the run; None where that can't be."""
    return on_device(
        run.policy,
        run.budget,
        streamed_per_s=told.streamed_per_s,
        looks=told.looks,
        question_bytes=told.question_bytes,
        checks=told.checks,
    )


def where(told: Told) -> str:
    """How to copy settings."""
    cameras = 1 if told.checks is None else told.checks.cameras
    shared = f" The amount is the whole device's; of its {cameras} cameras one was replayed." if cameras > 1 else ""
    return (
        "In agent.toml, each line goes under the table of its name, in place of the same key there; a table that is"
        f" not there yet is added.{shared}"
    )


def beside(chosen: OnDevice | None) -> str:
    """What to say with the settings' lines, or instead of them."""
    return "No device can be set to this: it is here to compare." if chosen is None else chosen.beside


def in_lines(chosen: OnDevice | None) -> list[str]:
    """The settings for the terminal."""
    tables = () if chosen is None else chosen.tables
    return [line for part in (*tables, beside(chosen)) for line in part.splitlines()]


def steps(runs: Sequence[Run], budgets: Sequence[Budget], told: Told) -> list[Step]:
    """For each budget, which setting to use."""
    found = []
    for budget in budgets:
        per_s = budget.per_s(told.streamed_per_s)
        choice = advised(runs, told, per_s / told.streamed_per_s)
        best = None if choice.run is None else _point(choice.run)
        if best is None:
            use = "no setting that was tried stays within it"
        else:
            use = f"{best.name}: F1 {figure(best.f1)} for {_cost(best)}"
        heading = f"{budget.text} ({size(round(per_s * DAY_S))} a day)"
        found.append(Step(choice.run, choice.note, budget.text, heading, use))
    return found


def facts(told: Told) -> str:
    """What was replayed, and what it was held against."""
    width, height = told.size
    seconds = len(told.frames) / told.fps
    against = "what the cloud itself sees, for want of labels" if told.by_cloud else "labels"
    return (
        f"{len(told.frames)} frames of {told.source}, {width}×{height}, {seconds:.0f} s at {told.fps:.3g} frames a"
        " second."
        f" Sending every frame whole as a JPEG of quality 80 takes {size(round(told.streamed_per_s))} a second."
        f" Device: {told.device}, {told.looks:g} second looks a frame. Cloud: {told.cloud}."
        f"{_limited(told.camera_limits)}"
        f" Measured against {against}: {', '.join(told.names) or 'nothing was found'}.{_repeated(told.repeats)}"
    )


def _limited(limits: str) -> str:
    return f" The camera's own budget holds as well: {limits}." if limits else ""


def _repeated(repeats: int) -> str:
    if repeats == 1:
        return ""
    return (
        f" Made {repeats} times, each beginning a frame later than the one before: accuracy is the mean, with its"
        " standard error, and alerts and verdicts are those of all; costs are of the first."
    )


def fine_print(told: Told) -> str:
    """How the figures come about."""
    agreement = (
        " Without labels there is no truth: the figures say how far a setting agrees with the cloud's own detections"
        " in whole frames, at most one a second, and nothing about what the cloud itself gets wrong."
        if told.by_cloud
        else ""
    )
    return (
        "Every run goes through the agent's own pipeline and the service's own judging; bytes are those of the JPEGs"
        " that were really encoded, and the cloud judges what is left after decoding. Time is the clip's."
        f" Answers to questions come {told.latency_ms:g} ms after the frame. Where frames are sent whole, the cloud's"
        " detections replace the device's at once, without any latency, and the same tracker carries them to the"
        " frames between. F1, precision and recall are of what the system stands behind, with no threshold to choose;"
        " AP50 is of all that it follows, by its belief. An alert counts as it stands at the end: what was retracted"
        " is gone."
        " Not replayed: lost and repeated uploads, random audits." + agreement
    )


def own_cost(runs: Sequence[Run]) -> str:
    """What asking takes of the device's time, of the run where that is most; nothing where none asks."""
    asking = [(spent.p95, spent.mean, run.name) for run in runs if (spent := run.policy_ms) is not None]
    if not asking:
        return ""
    p95, mean, name = max(asking)
    return f"Asking takes this machine {mean:.2f} ms a frame, and no more than {p95:.2f} ms in 95 of 100 ({name})."


def document(title: str, told: Told, columns: Sequence[str], rows: Sequence[Sequence[str]], about: str) -> str:
    """A table as a Markdown document of its own, with what was replayed above it and what it means below."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"# {title}\n\n{facts(told)}\n\n{table}\n\n{about}\n"


def meanings(policies: Sequence[Policy]) -> list[tuple[str, str]]:
    """What each policy does, in a line."""
    return [(policy.value, MEANINGS[policy]) for policy in policies]


MEANINGS: Final = {
    Policy.NEVER: "Nothing is sent: the device alone, with its second looks and its tracker.",
    Policy.TRACKER_ONLY: "Nothing is sent, and each frame is judged once: the tracker alone goes over the gaps.",
    Policy.ALWAYS: "Every frame is sent whole, whatever the budget.",
    Policy.RANDOM: "Frames drawn at random, as many as the budget pays for.",
    Policy.KEY_FRAMES: "A frame as soon as the budget pays for one: evenly spread.",
    Policy.THRESHOLD: "A frame with a score in the model's own band of uncertain scores.",
    Policy.SEDNA_IBT: "KubeEdge Sedna's IBT filter: half of the frame's boxes have a score of .5 or less.",
    Policy.SEDNA_THRESHOLD: "KubeEdge Sedna's Threshold filter: the mean score of the frame's boxes is below .5.",
    Policy.UNCERTAINTY: "Frames whose scores have more entropy than most of the last hundred.",
    Policy.OURS: "What the agent asks by itself: about objects, in crops.",
}


def _cost(point: Point) -> str:
    return "no bytes at all" if point.share == 0.0 else f"{share(point.share)} of the bytes"
