"""Audits over HTTP: devices bring frames, people read what came of them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict

from cloud.audit.estimate import Accuracy, accuracies
from cloud.audit.service import AuditService
from cloud.audited import CameraAudits
from cloud.offload.ports import TokenCheck
from cloud.ports import Clock
from cloud.store.audits import AuditStore
from cloud.web.admission import Admission, DoorSettings
from cloud.web.bodies import jpeg_body
from cloud.web.refusals import RESPONSES, DeviceMismatch, RefusingRoute
from vision.estimates import Estimate
from wire import codec
from wire.audits import AUDIT_HEADER, AUDITS_PATH, Audit, AuditOutcome
from wire.errors import MessageInvalid
from wire.fields import DEVICE_ID_PATTERN, ID_PATTERN
from wire.messages import Pending, Refusal

DAYS: Final = 30
HexId = Annotated[str, Path(pattern=ID_PATTERN)]


class View(BaseModel):
    """The base: made here, never changed."""

    model_config = ConfigDict(frozen=True)


class EstimateView(View):
    """A share, 0..1, with its 95 % interval; `frames` is how many of the audited had something to count."""

    value: float
    low: float
    high: float
    frames: int


class AccuracyView(View):
    """How good one model is on one camera, or on all where `device` and `camera` are null.

    `label` is null for all labels that rules look for, together; a figure is null where there was nothing to count.
    """

    device: str | None
    camera: str | None
    label: str | None
    model_digest: str
    model: str
    audits: int
    recall: EstimateView | None
    precision: EstimateView | None
    f1: EstimateView | None
    first_at: AwareDatetime
    last_at: AwareDatetime


class CameraAuditsView(View):
    """How complete a camera's sample is: drawn frames that arrived, wait to be looked at, and never arrived."""

    device: str
    camera: str
    kept: int
    waiting: int
    lost: int
    walked: int
    picture_bytes: int


class AuditReport(View):
    """Estimates: each model over all cameras first, then each camera with its models in the order in which they came.

    The reference is what the cloud's model says of the same frames.
    """

    since: AwareDatetime
    level: float
    estimates: tuple[AccuracyView, ...]
    cameras: tuple[CameraAuditsView, ...]


def audits_router(
    *,
    service: AuditService,
    tokens: TokenCheck,
    clock: Clock,
    settings: DoorSettings,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> APIRouter:
    """The route that devices call."""
    router = APIRouter(route_class=RefusingRoute, tags=["devices"])
    admission = Admission(tokens, settings, clock)

    def answer(device: str, audit_id: str, outcome: AuditOutcome | None) -> Response:
        if outcome is not None:
            return Response(codec.encode(outcome), 200, media_type="application/json")
        pending = Pending(message_id=new_id(), device=device, made_at=clock.wall(), question_id=audit_id)
        return Response(codec.encode(pending), 202, media_type="application/json")

    @router.post(AUDITS_PATH, responses=RESPONSES)
    async def take(request: Request) -> Response:
        """A whole frame, drawn at random, with what the device said of it; answered with what the cloud says."""
        received_at = clock.monotonic()
        device = await admission.device(request)
        audit = _audit(request)
        if audit.device != device:
            raise DeviceMismatch(f"{device} asks, the audit is {audit.device}'s", "Use the device's own identity.")
        picture = await jpeg_body(request, settings.body_timeout_s)
        return answer(device, audit.message_id, await service.take(audit, picture, received_at))

    @router.get(AUDITS_PATH + "/{audit_id}", responses=RESPONSES | {404: {"model": Refusal}})
    async def later(audit_id: str, request: Request) -> Response:
        """What came of a frame that the device brought earlier; 202 where the cloud has not looked at it yet."""
        device = await admission.device(request)
        if re.fullmatch(ID_PATTERN, audit_id) is None:
            raise MessageInvalid("the audit's id is not 32 lower-case hex digits")
        return answer(device, audit_id, await service.outcome(audit_id, device))

    return router


def estimates_router(*, audits: AuditStore, clock: Clock) -> APIRouter:
    """The routes for reading."""
    router = APIRouter(tags=["audits"], responses={404: {"model": Refusal}, 503: {"model": Refusal}})

    @router.get("/api/audits/estimates")
    async def estimates(
        days: Annotated[float, Query(gt=0, le=3650)] = DAYS,
        device: Annotated[str | None, Query(pattern=DEVICE_ID_PATTERN)] = None,
        camera: Annotated[str | None, Query(max_length=63)] = None,
        label: Annotated[str | None, Query(max_length=64)] = None,
        model: Annotated[str | None, Query(max_length=80)] = None,
    ) -> AuditReport:
        """Recall, precision and F1 with their 95 % intervals, from what arrived in the last `days`."""
        report = await read_report(audits, clock, days)
        return narrowed(report, device=device, camera=camera, label=label, model=model)

    # As it was told to the device: what an older cloud did not say is left out.
    @router.get("/api/audits/{audit_id}", response_model_exclude_none=True)
    async def one(audit_id: HexId) -> AuditOutcome:
        """What the cloud made of one frame."""
        return await audits.outcome(audit_id)

    return router


async def read_report(audits: AuditStore, clock: Clock, days: float) -> AuditReport:
    """The report on what arrived in the last `days`."""
    since = clock.wall() - timedelta(days=days)
    return report_of(accuracies(await audits.sums(since)), await audits.cameras(since), since)


def report_of(found: Sequence[Accuracy], cameras: Sequence[CameraAudits], since: AwareDatetime) -> AuditReport:
    """As a person sees it."""
    return AuditReport(
        since=since,
        level=0.95,
        estimates=tuple(_accuracy_view(one) for one in found),
        cameras=tuple(
            CameraAuditsView(
                device=one.device,
                camera=one.camera,
                kept=one.kept,
                waiting=one.waiting,
                lost=one.lost,
                walked=one.walked,
                picture_bytes=one.picture_bytes,
            )
            for one in cameras
        ),
    )


def narrowed(
    report: AuditReport, *, device: str | None, camera: str | None, label: str | None, model: str | None
) -> AuditReport:
    """What fits, where None fits all; `model` is the beginning of a name or digest."""
    return report.model_copy(
        update={
            "estimates": tuple(
                one
                for one in report.estimates
                if device in {None, one.device}
                and camera in {None, one.camera}
                and label in {None, one.label}
                and (model is None or one.model.startswith(model) or _hex(one).startswith(_hexed(model)))
            ),
            "cameras": tuple(
                one for one in report.cameras if device in {None, one.device} and camera in {None, one.camera}
            ),
        }
    )


def _hex(one: AccuracyView) -> str:
    return _hexed(one.model_digest)


def _hexed(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _accuracy_view(one: Accuracy) -> AccuracyView:
    audited = one.audited
    return AccuracyView(
        device=audited.device,
        camera=audited.camera,
        label=audited.label,
        model_digest=audited.model_digest,
        model=audited.model,
        audits=audited.audits,
        recall=_estimate_view(one.recall),
        precision=_estimate_view(one.precision),
        f1=_estimate_view(one.f1),
        first_at=audited.first_at,
        last_at=audited.last_at,
    )


def _estimate_view(one: Estimate | None) -> EstimateView | None:
    if one is None:
        return None
    return EstimateView(value=round(one.value, 4), low=round(one.low, 4), high=round(one.high, 4), frames=one.frames)


def _audit(request: Request) -> Audit:
    header = request.headers.get(AUDIT_HEADER)
    if header is None:
        raise MessageInvalid(f"the header {AUDIT_HEADER} is missing", "Send the audit as JSON in it.")
    return codec.decode(Audit, header.encode("latin-1"))
