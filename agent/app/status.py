"""Puts together what the device shows on the spot: the page, the pictures, and the figures for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol
from urllib.parse import unquote

from agent.adapters.annotated import AnnotatedFrames
from agent.adapters.status_server import StatusServer
from agent.app.figures import AgentFigures, rss_mib
from agent.capture.camera import CameraCounts
from agent.deliver.faults import Faults
from agent.deliver.messages import Boot
from agent.domain import AlertChange, Clock
from agent.judging.lane import Lane
from agent.redact.door import PictureDoor
from agent.status.doors import CSS, FRAME_PATH, HTML, JPEG, METRICS, TEXT, Reply
from agent.status.exposition import Family, Sample, by_label, text_of
from agent.status.page import STYLE, AlertLine, BandLine, BudgetLine, CameraLine, Shown, page_of
from agent.status.settings import StatusSettings
from agent.status.views import Views
from agent.update.record import ReportedFacts
from wire.messages import AlertState, BudgetLeft, CameraState, CameraStatus, ModelStatus, TunedBand
from wire.updates import UpdateState

MIB: Final = 2**20
KB: Final = 1000.0


class Board(Protocol):
    """What the device says of its model and its cameras."""

    @property
    def now(self) -> tuple[ModelStatus, tuple[CameraStatus, ...]]:
        """As things stand."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where all that is shown comes from; reading any of it waits for nothing.

    Attributes:
        figures: Its own, since rates are counted from one reading to the next.
        update: None where models are never updated.
    """

    boot: Boot
    clock: Clock
    board: Board
    broker: str
    online: Callable[[], bool]
    lanes: Mapping[str, Lane]
    counts: Callable[[], Mapping[str, CameraCounts]]
    figures: AgentFigures
    update: Callable[[], ReportedFacts] | None
    views: Views
    door: PictureDoor


def status_server(settings: StatusSettings, sources: Sources, faults: Faults) -> StatusServer:
    """The server; it has nothing to do where nowhere to listen is configured."""
    frames = AnnotatedFrames(sources.views, sources.door, sources.clock, settings.picture_max_px)
    desk = StatusDesk(sources, frames)
    return StatusServer(settings.address, desk.answer, allowed_hosts=frozenset(settings.allowed_hosts), faults=faults)


class StatusDesk:
    """Answers what the status page's server is asked for."""

    def __init__(self, sources: Sources, frames: AnnotatedFrames) -> None:
        self._sources = sources
        self._frames = frames

    async def answer(self, path: str) -> Reply:
        """What lies under the path."""
        match path:
            case "/":
                return Reply(200, HTML, page_of(shown(self._sources)).encode())
            case "/style.css":
                return Reply(200, CSS, STYLE.encode())
            case "/favicon.ico":
                return Reply(204)
            case "/metrics":
                return Reply(200, METRICS, text_of(families(self._sources)).encode())
        frame = FRAME_PATH.fullmatch(path)
        camera = "" if frame is None else unquote(frame[1])
        if camera not in self._sources.lanes:
            return Reply(404, TEXT, b"there is no such page; / and /metrics are\n")
        picture = await self._frames.jpeg(camera)
        if picture is None:
            return Reply(503, TEXT, b"the camera gave no frame in time, or none of which it is known what to hide\n")
        return Reply(200, JPEG, picture)


def shown(sources: Sources) -> Shown:
    """What the page says now."""
    snapshot = sources.figures.snapshot()
    model, cameras = sources.board.now
    states = {camera.name: camera for camera in cameras}
    now = sources.clock.monotonic()
    facts = None if sources.update is None else sources.update()
    return Shown(
        device=sources.boot.device,
        version=sources.boot.agent_version,
        boot_id=sources.boot.boot_id,
        uptime_s=snapshot.uptime_s,
        rss_mib=snapshot.rss_mib,
        broker=sources.broker,
        online=sources.online(),
        waiting=snapshot.outbox_depth,
        model=f"{model.name} {model.version} on {model.runtime}, {model.delegate}",
        update=None if facts is None else (facts.state, facts.reason),
        cameras=[
            CameraLine(
                name=one.name,
                state=states[one.name].state if one.name in states else CameraState.STARTING,
                detail=states[one.name].detail if one.name in states else "",
                fps=one.fps,
                inference_ms=one.inference_ms,
                judged=one.judged,
                still=one.still,
                left_out=one.dropped,
            )
            for one in snapshot.cameras
        ],
        alerts=[_alert(change, now) for change in sources.views.alerts()],
        errors=sorted(snapshot.errors.items(), key=lambda item: -item[1]),
        bands=[_band(one) for one in snapshot.bands],
        budgets=[_budget(one) for one in snapshot.budgets],
    )


def _budget(one: BudgetLeft) -> BudgetLine:
    return BudgetLine(
        of=one.camera or "the whole device",
        allowance=one.allowance,
        left="no limit" if one.left is None or one.most is None else f"{_kb(one.left)} of {_kb(one.most)}",
        borrowed=_kb(one.borrowed),
        spent=_kb(one.spent),
        questions_left="no limit" if one.questions_left is None else f"{one.questions_left} this minute",
        bar=f"a gain of {one.bar:.3g} for each kB",
    )


def _kb(size: int) -> str:
    return f"{size / 1e3:,.1f} kB"


def _band(one: TunedBand) -> BandLine:
    return BandLine(
        camera=one.camera,
        label=one.label,
        lower=one.lower,
        upper=one.upper,
        state=one.state,
        reason=one.reason,
        misses=_bounded(one.miss_rate, one.miss_rate_at_most, ".0%"),
        false_alerts=_bounded(one.false_per_day, one.false_per_day_at_most, ".1f"),
    )


def _bounded(value: float | None, at_most: float | None, form: str) -> str:
    if value is None or at_most is None:
        return "not known yet"
    return f"{value:{form}}, at most {at_most:{form}}"


def _alert(change: AlertChange, now: float) -> AlertLine:
    return AlertLine(
        id=change.id,
        state=change.state,
        event=change.event,
        label=change.label,
        score=change.score,
        camera=change.camera,
        rule=change.rule,
        reason=change.reason,
        age_s=now - change.first_at,
    )


def families(sources: Sources) -> Iterable[Family]:
    """The figures for Prometheus, in the order in which docs/monitoring.md has them."""
    yield from _process(sources)
    yield from _cameras(sources)
    yield from _delivery(sources)
    yield from _model(sources)


def _process(sources: Sources) -> Iterable[Family]:
    boot = sources.boot
    yield _gauge(
        "vedette_agent_build_info", "Always 1; the version is its label.", 1.0, (("version", boot.agent_version),)
    )
    yield _gauge(
        "vedette_agent_start_time_seconds", "When the agent started, by its own clock.", boot.started_at.timestamp()
    )
    yield _gauge("process_resident_memory_bytes", "Resident memory of the agent.", rss_mib() * MIB)
    yield _count("process_cpu_seconds_total", "User and system time that the agent has taken.", time.process_time())


def _cameras(sources: Sources) -> Iterable[Family]:
    counts, lanes = sources.counts(), sources.lanes
    _, cameras = sources.board.now
    live = {camera.name: camera.state is CameraState.LIVE for camera in cameras}
    each: tuple[tuple[str, str, Callable[[str], float]], ...] = (
        ("frames_captured", "Frames that the camera gave.", lambda name: counts[name].captured),
        ("frames_judged", "Frames that the model looked at.", lambda name: lanes[name].judged),
        ("frames_still", "Frames that were skipped since nothing moved.", lambda name: lanes[name].still),
        (
            "frames_dropped",
            "Frames that a newer one replaced before the model was free.",
            lambda name: counts[name].dropped,
        ),
        ("frames_thinned", "Frames over the camera's fps_limit.", lambda name: counts[name].thinned),
        ("camera_reopenings", "Times that the camera was found again.", lambda name: counts[name].reopened),
    )
    yield Family(
        "vedette_agent_camera_live",
        "gauge",
        "1 where the camera gives frames.",
        by_label("camera", ((name, live.get(name, False)) for name in lanes)),
    )
    for name, meaning, value in each:
        yield Family(
            f"vedette_agent_{name}_total",
            "counter",
            meaning,
            by_label("camera", ((camera, value(camera)) for camera in lanes)),
        )
    yield Family(
        "vedette_agent_inference_seconds",
        "summary",
        "Runs of the model over one frame.",
        tuple(
            sample
            for name, lane in lanes.items()
            for sample in (
                Sample(lane.inference_s, (("camera", name),), "_sum"),
                Sample(lane.judged, (("camera", name),), "_count"),
            )
        ),
    )


def _delivery(sources: Sources) -> Iterable[Family]:
    snapshot = sources.figures.totals()
    yield _gauge("vedette_agent_link_online", "1 while the broker has heard of the device.", sources.online())
    yield Family(
        "vedette_agent_alerts",
        "gauge",
        "Alerts since the start, as they stand.",
        by_label("state", ((state, snapshot.alerts.get(state, 0)) for state in AlertState)),
    )
    yield _gauge(
        "vedette_agent_outbox_alerts", "Alert messages that wait for the cloud's ack.", snapshot.outbox_depth
    )
    yield _count(
        "vedette_agent_alerts_dropped_total",
        "Alert messages that were lost to the outbox's bounds or a damaged file.",
        snapshot.alerts_dropped,
    )
    yield _count("vedette_agent_questions_total", "Questions about uncertain objects.", snapshot.asks)
    yield _count(
        "vedette_agent_questions_again_total",
        "Questions with the whole frame about alerts that an answer had left in doubt.",
        snapshot.asks_again,
    )
    in_time = snapshot.answers - snapshot.answers_late
    yield Family(
        "vedette_agent_answers_total",
        "counter",
        "Verdicts that came; late ones missed their deadline.",
        by_label("late", (("false", in_time), ("true", snapshot.answers_late))),
    )
    yield _count(
        "vedette_agent_questions_failed_total", "Questions dropped, refused or given up.", snapshot.asks_failed
    )
    yield Family(
        "vedette_agent_sent_bytes_total",
        "counter",
        "Bytes that left the device, by why.",
        by_label("reason", sorted(snapshot.bytes_by_reason.items())),
    )
    yield Family(
        "vedette_agent_errors_total",
        "counter",
        "Errors by their names.",
        by_label("error", sorted(snapshot.errors.items())),
    )
    yield from _budgets(snapshot.budgets)


def _budgets(budgets: Sequence[BudgetLeft]) -> Iterable[Family]:
    each: tuple[tuple[str, Literal["counter", "gauge"], str, Callable[[BudgetLeft], float | None]], ...] = (
        ("left_bytes", "gauge", "Bytes that questions may cost at once.", lambda one: one.left),
        ("borrowed_bytes", "gauge", "Bytes that urgent rules took in advance.", lambda one: one.borrowed),
        ("spent_bytes_total", "counter", "Bytes that questions cost.", lambda one: one.spent),
        ("questions_left", "gauge", "Questions that may be asked in this minute.", lambda one: one.questions_left),
        ("bar_gain_per_byte", "gauge", "From which gain a question is worth its price.", lambda one: one.bar / KB),
    )
    for name, kind, meaning, value in each:
        found = ((one.camera or "", value(one)) for one in budgets)
        samples = by_label("camera", ((camera, amount) for camera, amount in found if amount is not None))
        yield Family(f"vedette_agent_budget_{name}", kind, f"{meaning} An empty camera: the whole device.", samples)


def _model(sources: Sources) -> Iterable[Family]:
    model, _ = sources.board.now
    labels = tuple((key, str(getattr(model, key))) for key in ("name", "version", "digest", "runtime", "delegate"))
    yield _gauge("vedette_agent_model_info", "Always 1; the model that judges frames is its labels.", 1.0, labels)
    if sources.update is None:
        return
    facts = sources.update()
    yield Family(
        "vedette_agent_update_state",
        "gauge",
        "1 for the state in which the model's update is.",
        by_label("state", ((state, state is facts.state) for state in UpdateState)),
    )
    yield _gauge("vedette_agent_update_trusted", "0 where the signed metadata can't be trusted.", facts.trust == "ok")


def _gauge(name: str, meaning: str, value: float, labels: tuple[tuple[str, str], ...] = ()) -> Family:
    return Family(name, "gauge", meaning, (Sample(value, labels),))


def _count(name: str, meaning: str, value: float) -> Family:
    return Family(name, "counter", meaning, (Sample(value),))
