"""The service as the dashboard sees it: the API's contract with scripted data, and the built page.

It stands behind the real doorway, whose security policy the page must work under, and says only what the real
service could say: everything passes the types of `cloud.web`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from cloud.deployment import OPEN
from cloud.domain import TelemetryPoint
from cloud.web.audits import AuditReport
from cloud.web.commands import CommandPage, CommandsChanged
from cloud.web.doorway import LOOPBACK_NAMES, Doorway
from cloud.web.login import SessionView
from cloud.web.rollouts import RolloutDetail, RolloutView
from cloud.web.views import AlertDetail, AlertPage, AlertView, DeviceView, Summary
from tests.ports import kept_port

Json = dict[str, Any]

V = TypeVar("V", bound=BaseModel)
QUESTION = "f" * 32
EVENTS: dict[str, type[BaseModel]] = {
    "alert": AlertView,
    "device": DeviceView,
    "summary": Summary,
    "rollout": RolloutDetail,
    "commands": CommandsChanged,
}


class FakeService:
    """Holds what the tests script; `start`, `stop` and `push` may be called from the test's thread."""

    def __init__(self, static: Path) -> None:
        self.summary: Json = summary()
        self.devices: list[Json] = []
        self.history: dict[str, list[Json]] = {}
        self.tells_history = threading.Event()
        """Cleared: the answer is made, and held back until it is set."""
        self.tells_history.set()
        self.alerts: list[Json] = []
        """Newest first."""
        self.changes: dict[str, list[Json]] = {}
        self.pictures: dict[str, bytes] = {}
        self.rollouts: list[Json] = []
        self.commands: list[Json] = []
        """Both newest first."""
        self.asked: list[str] = []
        """Which commands and rollouts pages asked for."""
        self.accuracy: Json | None = {"since": "2026-05-01T12:00:00Z", "level": 0.95, "estimates": [], "cameras": []}
        """None where the service can't say."""
        self.page_size = 50
        self._kept = kept_port()
        self._app = self._routes(static)
        self._streams: set[asyncio.Queue[str | None]] = set()
        self._someone_listens = threading.Condition()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._kept.getsockname()[1]}"

    def start(self) -> None:
        """Listen; after a `stop`, on the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._kept.getsockname())
        # From here on: who comes before the server runs waits, and is not refused.
        listener.listen()
        config = uvicorn.Config(Doorway(self._app, LOOPBACK_NAMES), log_level="warning", ws="none", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(self._server, listener), name="fake-service")
        self._thread.start()

    def _run(self, server: uvicorn.Server, listener: socket.socket) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await server.serve([listener])

        asyncio.run(serve())
        listener.close()

    def stop(self) -> None:
        """End every stream and stop listening; `start` begins again."""
        self.tells_history.set()
        if self._thread is None or self._server is None:
            return
        self._server.should_exit = True
        self._send(None)
        self._thread.join(60)
        assert not self._thread.is_alive(), "the fake service did not stop"
        self._thread = self._server = self._loop = None

    def end(self) -> None:
        """Stop for good."""
        self.stop()
        self._kept.close()

    def wait_for_listener(self) -> None:
        with self._someone_listens:
            assert self._someone_listens.wait_for(lambda: bool(self._streams), 60), "no page opened the event stream"

    def push(self, kind: str, body: Json) -> None:
        """Send one event to every page."""
        self.push_unchecked(kind, _spoken(EVENTS[kind], body).model_dump(mode="json"))

    def push_unchecked(self, kind: str, body: object) -> None:
        """Send what the service would never say."""
        self.wait_for_listener()
        self._send(f"event: {kind}\ndata: {json.dumps(body)}\n\n")

    def raise_alert(self, found: Json) -> None:
        """Store a new or changed alert, and say so."""
        known = next((index for index, one in enumerate(self.alerts) if one["id"] == found["id"]), None)
        if known is None:
            self.alerts.insert(0, found)
        else:
            self.alerts[known] = found
        self.changes.setdefault(found["id"], []).append(change(found))
        self.push("alert", found)

    def move_rollout(self, found: Json) -> None:
        """Store a new or changed rollout, and say so."""
        known = [one for one in self.rollouts if one["id"] != found["id"]]
        self.rollouts = [found, *known]
        self.push("rollout", found)

    def change_commands(self, *commands: Json) -> None:
        """Store the trail, and say that it changed."""
        self.commands = list(commands)
        self.push("commands", {"at": "2026-05-01T12:00:00Z"})

    def _send(self, text: str | None) -> None:
        if self._loop is None:
            return

        def put() -> None:
            for stream in self._streams:
                stream.put_nowait(text)

        self._loop.call_soon_threadsafe(put)

    async def _events(self) -> AsyncIterator[str]:
        stream: asyncio.Queue[str | None] = asyncio.Queue()
        with self._someone_listens:
            self._streams.add(stream)
            self._someone_listens.notify_all()
        try:
            yield ": hello\n\n"
            if self._server is None or self._server.should_exit:
                return  # it came after the word that ends every stream
            while (text := await stream.get()) is not None:
                yield text
        finally:
            with self._someone_listens:
                self._streams.discard(stream)

    def _page(self, before: str | None, device: str | None, state: str | None) -> Json:
        found = [a for a in self.alerts if device in {None, a["device"]} and state in {None, a["state"]}]
        start = int(before) if before else 0
        end = start + self.page_size
        return {"alerts": found[start:end], "next": str(end) if end < len(found) else None}

    def _routes(self, static: Path) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.get("/api/summary")
        async def _summary() -> Summary:
            return _spoken(Summary, self.summary)

        @app.get("/api/devices")
        async def _devices() -> list[DeviceView]:
            return [_spoken(DeviceView, one) for one in self.devices]

        @app.get("/api/devices/{device}/history")
        async def _history(device: str) -> list[TelemetryPoint]:
            told = [_spoken(TelemetryPoint, one) for one in self.history.get(device, [])]
            await asyncio.to_thread(self.tells_history.wait)
            return told

        @app.get("/api/alerts")
        async def _alerts(
            before: str | None = None, device: str | None = None, state: str | None = None
        ) -> AlertPage:
            return _spoken(AlertPage, self._page(before, device, state))

        @app.get("/api/alerts/{alert_id}")
        async def _alert(alert_id: str) -> Response:
            for one in self.alerts:
                if one["id"] == alert_id:
                    found = _spoken(AlertDetail, {**one, "history": self.changes.get(alert_id, [])})
                    return JSONResponse(found.model_dump(mode="json"))
            return JSONResponse({"error": "NotFound", "message": f"there is no alert {alert_id}", "mend": ""}, 404)

        @app.get("/api/events")
        async def _stream() -> StreamingResponse:
            return StreamingResponse(self._events(), media_type="text/event-stream")

        @app.get("/api/questions/{question}/picture")
        async def _picture(question: str) -> Response:
            return Response(self.pictures.get(question, grey_jpeg()), media_type="image/jpeg")

        self._add_boards(app)
        app.mount("/", StaticFiles(directory=static, html=True))
        return app

    def _add_boards(self, app: FastAPI) -> None:
        @app.get("/api/session")
        async def _session() -> SessionView:
            return SessionView(asked=False, operator=None, by_session=False)

        @app.get("/api/audits/estimates")
        async def _accuracy() -> Response:
            if self.accuracy is None:
                return JSONResponse({"error": "StoreFailed", "message": "the database refused", "mend": ""}, 503)
            return JSONResponse(_spoken(AuditReport, self.accuracy).model_dump(mode="json"))

        @app.get("/api/rollouts")
        async def _rollouts(only_open: bool = False) -> list[RolloutView]:
            self.asked.append("open rollouts" if only_open else "rollouts")
            listed = [one for one in self.rollouts if one["phase"] in OPEN or not only_open]
            return [_spoken(RolloutView, {k: v for k, v in one.items() if k != "devices"}) for one in listed]

        @app.get("/api/rollouts/{rollout_id}")
        async def _rollout(rollout_id: str) -> Response:
            for one in self.rollouts:
                if one["id"] == rollout_id:
                    return JSONResponse(_spoken(RolloutDetail, one).model_dump(mode="json"))
            return JSONResponse(
                {"error": "NotFound", "message": f"there is no rollout {rollout_id}", "mend": ""}, 404
            )

        @app.get("/api/commands")
        async def _commands(limit: int, before: int | None = None, device: str | None = None) -> CommandPage:
            self.asked.append("commands")
            found = [one for one in self.commands if device in {None, one["device"]}]
            start = before or 0
            end = start + min(limit, self.page_size)
            following = str(end) if end < len(found) else None
            return _spoken(CommandPage, {"commands": found[start:end], "next": following})

        @app.get("/api/commands/{command_id}/snapshot")
        async def _snapshot(command_id: str) -> Response:
            kept = self.pictures.get(command_id)
            return Response(status_code=404) if kept is None else Response(kept, media_type="image/jpeg")


def _spoken(view: type[V], body: Json) -> V:
    return view.model_validate(body)


def grey_jpeg() -> bytes:
    done, data = cv2.imencode(".jpg", np.full((240, 160, 3), 128, np.uint8))
    assert done
    return data.tobytes()


def summary(**changes: object) -> Json:
    return {
        "devices": 0,
        "online": 0,
        "alerts": {"provisional": 0, "confirmed": 0, "retracted": 0},
        "alerts_total": 0,
        "asks": 0,
        "answers": 0,
        "late_answers": 0,
        "bytes_sent": 0,
        "bytes_by_reason": {},
        "bytes_if_streamed": 0,
        "frames": 0,
        "first_alert_at": None,
        **changes,
    }


def device(name: str, **changes: object) -> Json:
    return {
        "device": name,
        "presence": "online",
        "reason": "",
        "agent_version": "0.1.0",
        "last_seen_at": "2026-05-01T12:00:00Z",
        "enrolled_at": "2026-05-01T11:00:00Z",
        "revoked_at": None,
        "model": {
            "name": "ssdlite-mobilenetv2",
            "version": "1.0.0",
            "digest": "sha256:" + "ab" * 32,
            "runtime": "ai-edge-litert 2.3.0",
            "delegate": "xnnpack",
            "detail": "",
        },
        "cameras": [{"name": "north", "state": "live", "detail": ""}],
        "telemetry": None,
        **changes,
    }


def telemetry(made_at: str, **changes: object) -> Json:
    return {
        "message_id": hashlib.md5(made_at.encode(), usedforsecurity=False).hexdigest(),
        "device": "gate",
        "boot_id": "0" * 32,
        "boot_seq": 1,
        "made_at": made_at,
        "uptime_s": 120.0,
        "rss_mib": 97.2,
        "cpu_s": 22.0,
        "cameras": [
            {
                "name": "north",
                "captured": 840,
                "judged": 700,
                "still": 120,
                "dropped": 20,
                "reopened": 0,
                "fps": 7.0,
                "inference_ms": 5.4,
                "stream_bytes": 63_000_000,
            }
        ],
        "alerts": {"confirmed": 3},
        "outbox_depth": 0,
        "alerts_dropped": 0,
        "asks": 4,
        "answers": 4,
        "answers_late": 0,
        "asks_failed": 0,
        "bytes_by_reason": {"alerts": 12_000, "questions": 46_000},
        "errors": {},
        **changes,
    }


def history_point(at: str, **changes: object) -> Json:
    return {
        "at": at,
        "uptime_s": 120.0,
        "rss_mib": 97.2,
        "cpu_s": 22.0,
        "frames": 840,
        "fps": 7.0,
        "inference_ms": 5.4,
        "alerts": 3,
        "asks": 4,
        "bytes_sent": 58_000,
        "stream_bytes": 63_000_000,
        "outbox_depth": 0,
        **changes,
    }


def alert(number: int, **changes: object) -> Json:
    seen = f"2026-05-01T12:{number // 60 % 60:02d}:{number % 60:02d}Z"
    return {
        "protocol": 1,
        "message_id": f"{number:032x}",
        "device": "gate",
        "boot_id": "0" * 32,
        "boot_seq": number + 1,
        "id": f"{number:032x}",
        "event": "update" if changes.get("revision") else "new",
        "revision": 0,
        "state": "provisional",
        "camera": "north",
        "sequence": number + 1,
        "rule": "people",
        "zone": None,
        "label": "person",
        "track": number,
        "score": 0.47,
        "box": [0.3, 0.2, 0.5, 0.9],
        "seen_first_at": seen,
        "seen_last_at": seen,
        "decided_at": seen,
        "decided_by": "device",
        "reason": "",
        "model_digest": "sha256:" + "ab" * 32,
        "picture": None,
        "made_at": seen,
        "received_at": seen,
        "first_received_at": seen,
        "ended": False,
        "picture_url": None,
        "verdict": None,
        **changes,
    }


def verdict(**changes: object) -> Json:
    return {
        "decision": "confirmed",
        "label": "person",
        "score": 0.91,
        "box": [0.31, 0.21, 0.5, 0.92],
        "model": "ensemble 0.1.0",
        "reason": "",
        "took_ms": 212.4,
        "late": False,
        "decided_by": "cloud",
        "question_id": QUESTION,
        "region": [0.2, 0.1, 0.6, 1.0],
        "asked_box": [0.3, 0.2, 0.5, 0.9],
        "picture_url": f"/api/questions/{QUESTION}/picture",
        **changes,
    }


def change(found: Json) -> Json:
    names = ("event", "state", "revision", "label", "score", "decided_by", "reason", "made_at", "received_at")
    return {name: found[name] for name in names}


def model(name: str, number: int = 1) -> Json:
    return {"name": name, "version": "1.0.0", "digest": f"sha256:{number:064x}", "number": number}


def reported(device_name: str, **changes: object) -> Json:
    return {
        "message_id": "a" * 32,
        "device": device_name,
        "boot_id": "0" * 32,
        "boot_seq": 1,
        "made_at": "2026-05-01T12:00:00Z",
        "desired_version": 1,
        "deployment_id": None,
        "state": "idle",
        "running": model("ssdlite-mobilenetv2"),
        "target": None,
        "reason": "",
        "progress": None,
        "trial": None,
        "trust": "ok",
        "quarantined": [],
        **changes,
    }


def trial(**changes: object) -> Json:
    return {
        "frames": 30,
        "agreement": 0.87,
        "detections_candidate": 1.9,
        "detections_current": 1.43,
        "latency_candidate_ms": 22.4,
        "latency_current_ms": 5.4,
        **changes,
    }


def rollout(number: int, *orders: Json, **changes: object) -> Json:
    policy = changes.pop("policy", {})
    fates = [one["fate"] for one in orders]
    counts = {fate: fates.count(fate) for fate in ("away", "pending", "committed", "failed")}
    states = [one["state"] or "no answer yet" for one in orders]
    return {
        "id": f"{number:032x}",
        "group": "default",
        "target": model("nanodet-g-416-fp16", 2),
        "back_to": model("ssdlite-mobilenetv2"),
        "phase": "running",
        "stage": 0,
        "stage_devices": max(1, len(orders)),
        "reason": "",
        "passed_at": None,
        "created_at": "2026-05-01T12:00:00Z",
        "changed_at": "2026-05-01T12:00:00Z",
        "policy": policy,
        "counts": {"eligible": max(3, len(orders)), "excused": 0, **counts},
        "states": {state: states.count(state) for state in sorted(set(states))},
        "devices": list(orders),
        **changes,
    }


def order(name: str, **changes: object) -> Json:
    return {
        "device": name,
        "stage": 0,
        "ask": "install",
        "fate": "pending",
        "state": None,
        "reason": "",
        "online": True,
        "excused": False,
        "told_at": "2026-05-01T12:00:00Z",
        "moved_at": "2026-05-01T12:00:00Z",
        **changes,
    }


def command(number: int, **changes: object) -> Json:
    return {
        "id": f"{number:032x}",
        "batch": "b" * 32,
        "device": "gate",
        "name": "ping",
        "arguments": {},
        "issued_by": "anna",
        "issued_at": "2026-05-01T12:00:00Z",
        "expires_at": "2099-05-01T12:05:00Z",
        "state": "sent",
        "sent_at": "2026-05-01T12:00:01Z",
        "finished_at": None,
        "progress": None,
        "outcome": None,
        "reason": "",
        "result": {},
        **changes,
    }


def answered(number: int, outcome: str, **changes: object) -> Json:
    return command(number, state="done", outcome=outcome, finished_at="2026-05-01T12:00:03Z", **changes)
