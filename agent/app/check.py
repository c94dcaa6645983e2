"""`vedette-agent check`: tries what a run would need, and says what is wrong before it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import cv2

from agent.adapters.data_dir import made
from agent.adapters.opencv_source import open_source
from agent.adapters.token import token_source
from agent.app.ground import unknown_labels
from agent.ask.audit import AuditRate
from agent.ask.budget import KB
from agent.ask.crop import scaled
from agent.ask.objects import REQUEST_BYTES
from agent.ask.prices import too_little_for, whole_frame_bytes
from agent.ask.settings import AskSettings
from agent.config import CameraConfig, Config
from agent.detect.detector import model_status, open_configured
from agent.redact.door import BY_PEOPLE
from agent.tune.settings import Objective
from vision.detections import Image
from vision.detector import ModelDetector
from vision.pictures import encode_jpeg
from wire.errors import VedetteError
from wire.messages import Hide


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        error: The error's name where it is not fit; None where it is.
    """

    what: str
    said: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def fit(self) -> bool:
        """Nothing is wrong."""
        return all(finding.error is None for finding in self.findings)

    def for_people(self) -> str:
        """A line for each finding."""
        lines = [f"{'ok  ' if f.error is None else 'BAD '} {f.what}: {f.said}" for f in self.findings]
        return "\n".join([*lines, ""])

    def for_programs(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "fit": self.fit,
            "findings": [{"what": f.what, "said": f.said, "error": f.error} for f in self.findings],
        }


def check(config: Config, *, settings_only: bool = False) -> Report:
    """Open the model and each source once, and look at the data folder and the token.

    Args:
        config: What is to be looked at.
        settings_only: Leave out what a running agent has for itself: model, sources, and credentials, which systemd
            does not show to the command that comes before a reload.
    """
    return Report(tuple(_findings(config, settings_only=settings_only)))


def _findings(config: Config, *, settings_only: bool) -> Iterator[Finding]:
    yield Finding(
        "configuration", f"device {config.device}, {len(config.cameras)} cameras, {len(config.rules)} rules"
    )
    yield from _objectives(config)
    yield from _whole_frames(config)
    if settings_only:
        return
    yield from _model(config)
    for camera in config.cameras:
        yield from _camera(config, camera)
    yield _data_dir(config)
    yield _token(config)
    yield from _certificates(config)


def _objectives(config: Config) -> Iterator[Finding]:
    for camera in config.cameras:
        said = [f"{pin.label} pinned at {pin.lower:g} to {pin.upper:g}" for pin in camera.bands]
        wanted = camera.objective or config.objective
        if wanted is not None:
            said.insert(0, _wanted(wanted, camera.audit or config.audit))
        rules = [rule for rule in config.rules if not rule.cameras or camera.name in rule.cameras]
        idle = sorted({pin.label for pin in camera.bands} - {label for rule in rules for label in rule.labels})
        if idle:
            said.append(f"no rule looks for {', '.join(idle)} there")
        if said:
            yield Finding(f"objective of {camera.name}", "; ".join(said))


def _whole_frames(config: Config) -> Iterator[Finding]:
    """Of which cameras more than cut-outs may leave without anybody's command, and why."""
    if config.ask is None:
        return
    context, doubt, audited = [], [], []
    for camera in config.cameras:
        name, rate = camera.name, camera.audit or config.audit
        if any(rule.shows_context(name) for rule in config.rules):
            context.append(name)
        if _asks_again(config, camera):
            doubt.append(name)
        if rate.per_hour if rate.probability is None else rate.probability:
            audited.append(name)
    reasons = {"rules with context": context, "an answer in doubt": doubt, "the audit": audited}
    said = "; ".join(f"{why}: {', '.join(names)}" for why, names in reasons.items() if names)
    yield Finding("whole frames", f"leave for {said}" if said else "none leaves, but by command")


def _asks_again(config: Config, camera: CameraConfig) -> bool:
    asking = [rule for rule in config.rules if rule.asks_about(camera.name)]
    hides_all = camera.redaction.hide is Hide.ALL_BUT_ASKED
    return config.asking.again_with_context and not hides_all and not all(rule.context for rule in asking)


def whole_frames_held(config: Config, ask: AskSettings, camera: CameraConfig, image: Image) -> Iterator[Finding]:
    """Where the budget never holds a whole frame of this camera.

    The device reckons before it has learnt, and then by what its pictures came to: where either is held, it is asked.

    Args:
        config: Names the rules and the budget.
        ask: How the frame would be sent.
        camera: Whose it is.
        image: The frame as it is now: uint8 (height, width, 3), BGR.
    """
    size = scaled(image.shape[1], image.shape[0], ask.context_px)
    shown = cast("Image", cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    jpeg = encode_jpeg(shown, ask.question_quality)
    whole = min(whole_frame_bytes(size, ask.context_px), REQUEST_BYTES + len(jpeg))
    asked = [(f"rule {rule.name!r}", rule.urgent) for rule in config.rules if rule.shows_context(camera.name)]
    if not asked and _asks_again(config, camera):
        asked = [("an answer in doubt", False)]
    for who, urgent in asked:
        for key, text, needed in too_little_for(config.asking.budget, camera.name, whole, urgent=urgent):
            yield Finding(
                f"whole frames of {camera.name}",
                f'{key} = "{text}" never holds the {whole / KB:.0f} kB that one takes, so {who} never shows it;'
                f' "{needed}" would',
                "ConfigInvalid" if who.startswith("rule ") else None,
            )


def _wanted(objective: Objective, rate: AuditRate) -> str:
    parts = []
    if objective.max_miss_rate is not None:
        drawn = f"{rate.per_hour:g} frames an hour" if rate.probability is None else f"{rate.probability:g} of frames"
        parts.append(f"misses at most {objective.max_miss_rate:.1%} ({drawn} are audited)")
    if objective.max_false_alerts_per_day is not None:
        parts.append(
            f"at most {objective.max_false_alerts_per_day:g} false alerts a day ({objective.ask_about:.0%} of objects"
            " are asked about)"
        )
    return f"{', '.join(parts)}; {objective.confidence:.0%} sure, {objective.prefer.replace('_', ' ')} first"


def _model(config: Config) -> Iterator[Finding]:
    try:
        detector = open_configured(config.model)
    except VedetteError as failed:
        yield _bad("model", failed)
        return
    yield _labels(config, detector)
    yield from _redaction(config, detector)


def _redaction(config: Config, detector: ModelDetector) -> Iterator[Finding]:
    """What each camera hides, and whether the model can tell where that is."""
    for camera in config.cameras:
        redaction, what = camera.redaction, f"redaction of {camera.name}"
        masks = sum(mask.camera == camera.name for mask in config.masks)
        if redaction.hide in BY_PEOPLE and not set(redaction.people) & set(detector.labels):
            said = f"the model knows no {' or '.join(redaction.people)}, so no picture of this camera would leave"
            yield Finding(what, said, "LabelUnknown")
        elif redaction.hide in BY_PEOPLE:
            yield Finding(what, f"{redaction.hide} hidden where the model finds them, {masks} masks")
        elif redaction.hide is not Hide.NOTHING or masks:
            yield Finding(what, f"{redaction.hide} hidden, {masks} masks")


def _labels(config: Config, detector: ModelDetector) -> Finding:
    status = model_status(detector)
    if unknown := unknown_labels(config, detector):
        return Finding(
            "model", f"{status.name} knows no {', '.join(unknown)}; see its manifest's labels", "LabelUnknown"
        )
    said = f"{status.name} {status.version} on {status.runtime}, {status.delegate}"
    return Finding("model", f"{said} ({status.detail})" if status.detail else said)


def _camera(config: Config, camera: CameraConfig) -> Iterator[Finding]:
    what = f"camera {camera.name}"
    source = open_source(camera)
    try:
        source.open()
        shot = source.read()
    except VedetteError as failed:
        yield _bad(what, failed)
        return
    finally:
        source.close()
    if shot is None:
        yield Finding(what, f"{camera.redacted_source} gave no picture", "SourceEmpty")
        return
    yield Finding(what, f"{shot.image.shape[1]}×{shot.image.shape[0]} from {camera.redacted_source}")
    if config.ask is not None:
        yield from whole_frames_held(config, config.ask, camera, shot.image)


def _data_dir(config: Config) -> Finding:
    try:
        folder = made(config.data_dir)
    except VedetteError as failed:
        return _bad("data_dir", failed)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("data_dir", f"{folder} is not writable for this user", "OutboxUnwritable")
    return Finding("data_dir", str(folder))


def _token(config: Config) -> Finding:
    try:
        token = token_source(config.link.token_file, config.link.token_env, os.environ)()
    except VedetteError as failed:
        return _bad("token", failed)
    if token is None and config.link.cert_file is not None:
        return Finding("token", f"for {config.link.url}: none, the certificate stands for it")
    return Finding("token", f"for {config.link.url}: {'there' if token else 'none, the broker may refuse'}")


def _certificates(config: Config) -> Iterator[Finding]:
    link = config.link
    files = {"link.ca_file": link.ca_file, "link.cert_file": link.cert_file, "link.key_file": link.key_file}
    if config.ask is not None:
        files["ask.ca_file"] = config.ask.ca_file
    for key, file in files.items():
        if file is not None and not os.access(file, os.R_OK):
            yield Finding(key, f"{file} is not there, or may not be read by this user", "ConfigInvalid")
        elif file is not None:
            yield Finding(key, str(file))


def _bad(what: str, error: VedetteError) -> Finding:
    return Finding(what, str(error), error.name)
