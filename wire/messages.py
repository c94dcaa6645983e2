"""Every message of the protocol, as types, in one place for those who say and hear many kinds."""

from __future__ import annotations

from wire.alerts import Acks, Alert, AlertEvent, AlertState, DecidedBy
from wire.envelope import KIB, Message, Part, Refusal, UpMessage
from wire.pictures import (
    MAX_PICTURE_BYTES,
    MAX_PICTURE_PIXELS,
    PICTURE_HEADER,
    PICTURES_PATH,
    Hide,
    PictureNote,
    Redaction,
)
from wire.questions import MAX_FOUND, QUESTION_HEADER, QUESTIONS_PATH, AskReason, Decision, Pending, Question, Verdict
from wire.status import CameraState, CameraStatus, ModelStatus, Presence, Status
from wire.telemetry import BandState, BudgetLeft, CameraTelemetry, EgressMark, Telemetry, TunedBand

__all__ = [
    "KIB",
    "MAX_FOUND",
    "MAX_PICTURE_BYTES",
    "MAX_PICTURE_PIXELS",
    "PICTURES_PATH",
    "PICTURE_HEADER",
    "QUESTIONS_PATH",
    "QUESTION_HEADER",
    "Acks",
    "Alert",
    "AlertEvent",
    "AlertState",
    "AskReason",
    "BandState",
    "BudgetLeft",
    "CameraState",
    "CameraStatus",
    "CameraTelemetry",
    "DecidedBy",
    "Decision",
    "EgressMark",
    "Hide",
    "Message",
    "ModelStatus",
    "Part",
    "Pending",
    "PictureNote",
    "Presence",
    "Question",
    "Redaction",
    "Refusal",
    "Status",
    "Telemetry",
    "TunedBand",
    "UpMessage",
    "Verdict",
]
