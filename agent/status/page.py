"""The device's own page, as HTML. Pure.

No script, and nothing from elsewhere: it is loaded anew every few seconds, and each picture is asked for then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import quote

from wire.log_lines import without_secrets

RELOAD_S: Final = 5
STYLE: Final = """\
:root{color-scheme:light dark;--line:#8884;--good:#1a7f37;--bad:#cf222e;--unsure:#9a6700}
@media(prefers-color-scheme:dark){:root{--good:#3fb950;--bad:#f85149;--unsure:#d29922}}
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:72rem}
h1{font-size:1.4rem;margin:0 0 .2rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
p{margin:.2rem 0}small,.quiet{opacity:.75}
.cameras{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr))}
figure{margin:0;border:1px solid var(--line);border-radius:.5rem;overflow:hidden}
figure img{display:block;width:100%;aspect-ratio:16/9;object-fit:contain;background:#0008}
.none{aspect-ratio:16/9;display:grid;place-items:center;background:#8882}
figcaption{padding:.5rem .7rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
.good{color:var(--good)}.bad{color:var(--bad)}.unsure{color:var(--unsure)}
.good,.bad,.unsure{font-weight:600}
code{font-size:.9em;overflow-wrap:anywhere}
.wide{overflow-x:auto}.wide code{overflow-wrap:normal}
@media(max-width:45rem){th,td{white-space:nowrap}}
"""

_GRADES: Final = {
    "live": "good",
    "confirmed": "good",
    "committed": "good",
    "lost": "bad",
    "failed": "bad",
    "rolled_back": "bad",
    "rollback_failed": "bad",
    "rejected": "bad",
    "provisional": "unsure",
    "starting": "unsure",
    "met": "good",
    "infeasible": "bad",
    "unproven": "unsure",
    "moving": "unsure",
    "gathering": "unsure",
}


@dataclass(frozen=True, slots=True)
class CameraLine:
    """One camera; `fps` and `inference_ms` since the page was made last.

    Attributes:
        left_out: Frames that a newer one replaced, or that were over the camera's limit.
    """

    name: str
    state: str
    detail: str
    fps: float
    inference_ms: float
    judged: int
    still: int
    left_out: int


@dataclass(frozen=True, slots=True)
class AlertLine:
    """One alert as it stands."""

    id: str
    state: str
    event: str
    label: str
    score: float
    camera: str
    rule: str
    reason: str
    age_s: float


@dataclass(frozen=True, slots=True)
class BandLine:
    """The scores of one label before one camera that are worth a question; see `wire.messages.TunedBand`."""

    camera: str
    label: str
    lower: float
    upper: float
    state: str
    reason: str
    misses: str
    false_alerts: str


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """What questions of one camera, or of all, may still cost; see `wire.messages.BudgetLeft`."""

    of: str
    allowance: str
    left: str
    borrowed: str
    spent: str
    questions_left: str
    bar: str


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the page says.

    Attributes:
        waiting: Alert messages that the cloud has not acked.
        update: State and reason; None where models are never updated.
        errors: By name, since the start.
        bands: Those that are tuned or pinned.
        budgets: The whole device's first; none where nothing is asked.
    """

    device: str
    version: str
    boot_id: str
    uptime_s: float
    rss_mib: float
    broker: str
    online: bool
    waiting: int
    model: str
    update: tuple[str, str] | None
    cameras: Sequence[CameraLine]
    alerts: Sequence[AlertLine]
    errors: Sequence[tuple[str, int]]
    bands: Sequence[BandLine] = ()
    budgets: Sequence[BudgetLine] = ()


def page_of(shown: Shown) -> str:
    """The whole page."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f'<meta http-equiv="refresh" content="{RELOAD_S}"><link rel="stylesheet" href="/style.css">',
            f"<title>{_text(shown.device)} – Vedette</title></head><body>",
            f"<h1>{_text(shown.device)}</h1>",
            *_process(shown),
            *_state(shown),
            "<h2>Cameras</h2><div class=cameras>",
            *(_camera(camera) for camera in shown.cameras),
            "</div><h2>Alerts</h2>",
            *_alerts(shown.alerts),
            *_bands(shown.bands),
            *_budgets(shown.budgets),
            *_errors(shown.errors),
            "</body></html>\n",
        ]
    )


def _process(shown: Shown) -> Iterable[str]:
    yield (
        f"<p class=quiet>Vedette {_text(shown.version)}, up {_lasting(shown.uptime_s)}, {shown.rss_mib:.0f} MiB,"
        f" boot <code>{_text(shown.boot_id)}</code></p>"
    )


def _state(shown: Shown) -> Iterable[str]:
    link = "<span class=good>online</span>" if shown.online else "<span class=bad>offline</span>"
    waiting = "1 alert message waits" if shown.waiting == 1 else f"{shown.waiting} alert messages wait"
    yield f"<p>Link: {link}, {_text(shown.broker)}; {waiting} for the cloud</p>"
    yield f"<p>Model: {_text(shown.model)}</p>"
    if shown.update is None:
        yield "<p>Update: models are never updated here</p>"
    else:
        state, reason = shown.update
        yield f"<p>Update: {_graded(state)}{': ' + _text(reason) if reason else ''}</p>"


def _camera(camera: CameraLine) -> str:
    # A camera without frames is not asked for one, which would be waited for.
    picture = "<div class=none>No picture</div>"
    if camera.state == "live":
        picture = (
            f'<img src="/frame/{quote(camera.name, safe="")}.jpg" alt="The latest frame of {_text(camera.name)}">'
        )
    return (
        f"<figure>{picture}<figcaption><b>{_text(camera.name)}</b> {_graded(camera.state)}"
        f"{': ' + _text(camera.detail) if camera.detail else ''}<br>"
        f"<small>{camera.fps:.1f} frames/s, {camera.inference_ms:.0f} ms each; {camera.judged} judged,"
        f" {camera.still} still, {camera.left_out} left out</small></figcaption></figure>"
    )


def _alerts(alerts: Sequence[AlertLine]) -> Iterable[str]:
    if not alerts:
        yield "<p>None since the start.</p>"
        return
    yield "<div class=wide><table><thead><tr><th>What<th>Where<th>State<th>Why<th>Begun<th>Id</tr></thead><tbody>"
    for alert in alerts:
        over = " (over)" if alert.event == "end" else ""
        yield (
            f"<tr><td>{_text(alert.label)} {alert.score:.2f}<td>{_text(alert.camera)}, {_text(alert.rule)}"
            f"<td>{_graded(alert.state)}{over}<td>{_text(alert.reason)}<td>{_lasting(alert.age_s)} ago"
            f"<td><code>{_text(alert.id)}</code></tr>"
        )
    yield "</tbody></table></div>"


def _bands(bands: Sequence[BandLine]) -> Iterable[str]:
    if not bands:
        return
    yield "<h2>Objective</h2>"
    yield (
        "<div class=wide><table><thead><tr><th>What<th>Where<th>Uncertain<th>State<th>Missed<th>False alerts a day"
        "<th>Why</tr></thead><tbody>"
    )
    for band in bands:
        yield (
            f"<tr><td>{_text(band.label)}<td>{_text(band.camera)}<td>{band.lower:.2f} to {band.upper:.2f}"
            f"<td>{_graded(band.state)}<td>{_text(band.misses)}<td>{_text(band.false_alerts)}"
            f"<td>{_text(band.reason)}</tr>"
        )
    yield "</tbody></table></div>"


def _budgets(budgets: Sequence[BudgetLine]) -> Iterable[str]:
    if not budgets:
        return
    yield "<h2>Asking</h2>"
    yield (
        "<div class=wide><table><thead><tr><th>Budget<th>Allowed<th>Left<th>Borrowed<th>Spent since the start"
        "<th>Questions left<th>Bar</tr></thead><tbody>"
    )
    for one in budgets:
        cells = (one.of, one.allowance, one.left, one.borrowed, one.spent, one.questions_left, one.bar)
        yield f"<tr>{''.join(f'<td>{_text(cell)}' for cell in cells)}</tr>"
    yield "</tbody></table></div>"


def _errors(errors: Sequence[tuple[str, int]]) -> Iterable[str]:
    if errors:
        yield "<h2>Errors since the start</h2>"
        yield f"<p>{', '.join(f'{_text(name)} {count}' for name, count in errors)}</p>"


def _graded(state: str) -> str:
    return f'<span class="{_GRADES.get(state, "")}">{_text(state)}</span>'


def _text(text: str) -> str:
    return escape(without_secrets(text))


def _lasting(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{whole} s"
