"""One message of each kind, with every field filled in."""

from datetime import UTC, datetime

from wire.messages import (
    Acks,
    Alert,
    AlertEvent,
    AlertState,
    AskReason,
    CameraState,
    CameraStatus,
    CameraTelemetry,
    DecidedBy,
    Decision,
    Message,
    ModelStatus,
    Pending,
    Presence,
    Question,
    Status,
    Telemetry,
    Verdict,
)

AT = datetime(2026, 11, 23, 9, 30, 0, 250000, UTC)
DIGEST = "sha256:" + "ab" * 32
UP = {"device": "gate-1", "made_at": AT, "boot_id": "b0" * 16, "boot_seq": 7}
DOWN = {"device": "gate-1", "made_at": AT}

SAMPLES: dict[str, Message] = {
    "alert": Alert(
        **UP,
        message_id="01" * 16,
        id="a1" * 16,
        event=AlertEvent.UPDATE,
        revision=1,
        state=AlertState.CONFIRMED,
        camera="front door",
        sequence=12,
        rule="people",
        zone="steps",
        label="person",
        track=4,
        score=0.8125,
        box=(0.25, 0.5, 0.375, 0.75),
        seen_first_at=AT,
        seen_last_at=AT,
        decided_at=AT,
        decided_by=DecidedBy.CLOUD,
        reason="the cloud sees a person",
        model_digest=DIGEST,
        picture="/v1/pictures/" + "a1" * 16,
    ),
    "acks": Acks(**DOWN, message_id="02" * 16, message_ids=("01" * 16, "03" * 16)),
    "status": Status(
        **UP,
        message_id="04" * 16,
        presence=Presence.ONLINE,
        reason="started",
        agent_version="0.1.0",
        started_at=AT,
        model=ModelStatus(
            name="ssdlite", version="1.0.0", digest=DIGEST, runtime="litert 2.3.0", delegate="xnnpack", detail=""
        ),
        cameras=(CameraStatus(name="front door", state=CameraState.LOST, detail="no picture for 10 s"),),
    ),
    "telemetry": Telemetry(
        **UP,
        message_id="05" * 16,
        uptime_s=61.5,
        rss_mib=98.5,
        cpu_s=20.25,
        cameras=(
            CameraTelemetry(name="front door", captured=600, judged=590, dropped=10, fps=9.75, inference_ms=5.5),
        ),
        alerts={AlertState.CONFIRMED: 3},
        outbox_depth=1,
        asks=5,
        answers=4,
        bytes_by_reason={"alerts": 4096},
        errors={"CameraLost": 1},
    ),
    "question": Question(
        **UP,
        message_id="06" * 16,
        alert_id="a1" * 16,
        camera="front door",
        track=4,
        label="person",
        score=0.4375,
        box=(0.25, 0.5, 0.375, 0.75),
        region=(0.125, 0.375, 0.5, 0.875),
        reason=AskReason.UNCERTAIN,
        seen_at=AT,
        deadline_ms=2000,
        model_digest=DIGEST,
    ),
    "verdict": Verdict(
        **DOWN,
        message_id="07" * 16,
        question_id="06" * 16,
        alert_id="a1" * 16,
        decision=Decision.CONFIRMED,
        label="person",
        score=0.875,
        box=(0.25, 0.5, 0.375, 0.75),
        model="default 1",
        reason="the cloud sees a person",
        took_ms=180.5,
        late=True,
    ),
    "pending": Pending(**DOWN, message_id="08" * 16, question_id="06" * 16),
}
