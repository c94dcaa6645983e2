"""The agent's configuration: a TOML file, then the environment, checked as a whole before anything runs.

Each table belongs to the part that it configures; this module puts them together and checks what crosses tables.
`VEDETTE_DATA_DIR=…` sets a top-level key, `VEDETTE_LINK__URL=…` one inside a table.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from agent.adapters.enrolled import FROM_ENROLMENT, enrolled_values
from agent.ask.audit import AuditRate, AuditSettings
from agent.ask.budget import BudgetSettings
from agent.ask.object_settings import ObjectSettings
from agent.ask.prices import SMALLEST_FRAME, question_bytes, too_little, too_little_for, whole_frame_bytes
from agent.ask.settings import AskSettings
from agent.capture.settings import CameraSettings
from agent.decide.settings import AskPolicySettings, MaskSettings, PicturePolicy, RuleSettings, ZoneSettings
from agent.deliver.link import LinkSettings
from agent.deliver.outbox import OutboxSettings
from agent.deliver.receipts import ReceiptSettings
from agent.deliver.telemetry import TelemetrySettings
from agent.detect.motion import MotionSettings
from agent.detect.settings import DetectSettings, LookSettings
from agent.errors import ConfigInvalid
from agent.redact.settings import RedactionSettings
from agent.status.settings import StatusSettings
from agent.track.settings import TrackSettings
from agent.tune.settings import Objective, PinnedBand
from agent.update.settings import UpdateSettings
from agent.update.trust import TrustSettings
from wire.fields import DeviceId
from wire.log_lines import LogFormat, LogLevel
from wire.messages import Hide

MAX_CONFIG_BYTES: Final = 1 << 20
"""A megabyte of TOML is no configuration; refusing it keeps a wrong path from filling the memory."""
ENV_PREFIX: Final = "VEDETTE_"
ENV_DELIMITER: Final = "__"
LONGEST_SHOWN: Final = 60
"""A value that is shown beside its error still leaves the error on one line."""


class CameraConfig(CameraSettings):
    """A camera, whether its still scenes are skipped, and what of its pictures may leave.

    Attributes:
        motion: How still scenes are told; without it every frame is looked at.
        audit: How often its frames are drawn for audit; without it as the table `audit` says.
        redaction: What is painted over in its pictures before they leave, beside its masks.
        objective: What this camera is held to, instead of the table `objective`.
        bands: Scores that are worth a question before this camera, one table for each label; they are never tuned.
    """

    motion: MotionSettings | None = None
    audit: AuditRate | None = None
    redaction: RedactionSettings = RedactionSettings()
    objective: Objective | None = None
    bands: Annotated[tuple[PinnedBand, ...], Field(max_length=64)] = ()


class AskingConfig(AskPolicySettings):
    """When the cloud is asked, about which objects, and at what price.

    Attributes:
        objects: Which objects it is asked about, beside those that rules ask about.
        budget: What all questions together may cost.
    """

    objects: ObjectSettings = ObjectSettings()
    budget: BudgetSettings = BudgetSettings()


class Config(BaseSettings):
    """Everything that `vedette-agent run` needs to know.

    Attributes:
        device: The id under which the device was enrolled.
        identity: The folder that `vedette-agent enroll` made. It says the device, and the addresses and certificates
            of `link` and `ask`, where they are left out; `[ask]` may then be empty, and without it nothing is asked.
        data_dir: Where alerts and questions wait until they are delivered; made where it is missing.
        log_level: Below it nothing is logged.
        log_format: `auto` is text on a terminal and in systemd's journal, and JSON otherwise.
        objective: What the bands of scores are tuned to; without it they stay as they are.
        ask: Without it the cloud is not asked, and no picture leaves.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        allow_inf_nan=False,
    )

    device: DeviceId
    identity: Path | None = None
    data_dir: Path
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    model: DetectSettings = DetectSettings()
    looks: LookSettings = LookSettings()
    cameras: Annotated[tuple[CameraConfig, ...], Field(min_length=1, max_length=64)]
    tracking: TrackSettings = TrackSettings()
    zones: tuple[ZoneSettings, ...] = ()
    masks: tuple[MaskSettings, ...] = ()
    rules: Annotated[tuple[RuleSettings, ...], Field(min_length=1, max_length=256)]
    asking: AskingConfig = AskingConfig()
    ask: AskSettings | None = None
    audit: AuditSettings = AuditSettings()
    objective: Objective | None = None
    link: LinkSettings = LinkSettings()
    outbox: OutboxSettings = OutboxSettings()
    egress: ReceiptSettings = ReceiptSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    status: StatusSettings = StatusSettings()
    trust: TrustSettings = TrustSettings()
    updates: UpdateSettings = UpdateSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced by the strict one below
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env files on devices
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - secrets are named by path
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before the file, which comes in as the initial values."""
        return EnvSettingsSource(settings_cls), init_settings


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigInvalid: Everything that is wrong, one line each: the key, what is wrong with it, and the mend.
    """
    return check_config(read_values(path), str(path))


def read_values(path: Path) -> dict[str, Any]:
    """The values of a configuration file, not checked yet.

    Raises:
        ConfigInvalid: The file can't be read, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            raise ConfigInvalid(f"{path} is over {MAX_CONFIG_BYTES} bytes", "Name the agent's TOML file.")
        return tomllib.loads(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigInvalid(f"there is no file {path}", "Name the agent's TOML file with --config.") from None
    except (OSError, UnicodeDecodeError) as refused:
        raise ConfigInvalid(f"{path} can't be read: {refused}", "Name a readable TOML file with --config.") from None
    except (ValueError, RecursionError) as broken:
        # tomllib also lets through what int() and the stack refuse: numbers of thousands of digits, deep nesting.
        raise ConfigInvalid(f"{path} is not TOML: {broken}", "Mend the file at that place.") from None


def check_config(values: Mapping[str, Any], source: str) -> Config:
    """Check values as they come out of a TOML file.

    Raises:
        ConfigInvalid: As `load_config`.
    """
    lines = [
        f"{_key((key,))}: unknown key; {_mend(key, Config, ())}" for key in values if key not in Config.model_fields
    ]
    enrolled = True
    try:
        values = enrolled_values(values, os.environ)
    except ConfigInvalid as refused:
        lines.append(_one_line(refused))
        enrolled = False
    try:
        # Only what it knows: pydantic-settings takes arguments of its own under names with an underscore.
        config = Config(**{key: value for key, value in values.items() if key in Config.model_fields})
    except SettingsError as refused:
        lines.append(f"{_one_line(refused)}; a variable for a whole table holds JSON")
    except ValidationError as refused:
        errors = refused.errors(include_url=False)
        lines += [
            _line(error, Config)
            for error in errors
            if not _follows(error, errors) and (enrolled or tuple(error["loc"]) not in FROM_ENROLMENT)
        ]
    else:
        lines += _across(config)
        if not lines:
            return config
    raise ConfigInvalid(f"{source} can't be used:\n" + "\n".join(f"  {line}" for line in lines))


def _across(config: Config) -> Iterator[str]:
    """What no single table can see: names that must be unique, or must exist elsewhere."""
    cameras = [camera.name for camera in config.cameras]
    yield from _twice("cameras", cameras)
    yield from _twice("rules", [rule.name for rule in config.rules])
    yield from _twice("zones", [f"{zone.camera}/{zone.name}" for zone in config.zones])
    for i, camera in enumerate(config.cameras):
        yield from _twice(f"cameras[{i}].bands", [band.label for band in camera.bands])
    yield from _objectives(config)
    for i, zone in enumerate(config.zones):
        yield from _unknown(f"zones[{i}].camera", [zone.camera], cameras, "camera")
    for i, mask in enumerate(config.masks):
        yield from _unknown(f"masks[{i}].camera", [mask.camera], cameras, "camera")
    for name in config.asking.budget.cameras:
        yield from _unknown(f"asking.budget.cameras.{name}", [name], cameras, "camera")
    zones = sorted({zone.name for zone in config.zones})
    for i, rule in enumerate(config.rules):
        yield from _unknown(f"rules[{i}].cameras", rule.cameras, cameras, "camera")
        yield from _unknown(f"rules[{i}].zones", rule.zones, zones, "zone")
    if config.ask is not None:
        question = question_bytes(config.ask, about_objects=config.asking.objects.enabled)
        yield from too_little(config.asking.budget, question)
        yield from _never_whole(config, config.ask)
        for i, camera in enumerate(config.cameras):
            yield from _blinded(f"cameras[{i}]", camera, config)


def _blinded(key: str, camera: CameraConfig, config: Config) -> Iterator[str]:
    """Where the cloud would be asked about what is hidden from it: what it said would be worth nothing."""
    redaction, audit = camera.redaction, camera.audit or config.audit
    audited = _share(audit)
    rules = [rule for rule in config.rules if not rule.cameras or camera.name in rule.cameras]
    about_people = [rule for rule in rules if set(rule.labels) & set(redaction.people)]
    if redaction.hide is Hide.PEOPLE:
        for rule in about_people:
            if rule.picture is not PicturePolicy.NEVER:
                yield (
                    f"{key}.redaction.hide: rule {rule.name!r} asks the cloud about people, whom it would not see;"
                    ' hide "heads", or set the rule\'s picture to "never"'
                )
    if redaction.hide is Hide.ALL_BUT_ASKED:
        for rule in rules:
            if rule.context:
                yield (
                    f"{key}.redaction.hide: rule {rule.name!r} asks with context, of which {redaction.hide.value!r}"
                    " leaves nothing to be seen; hide less, or set the rule's context to false"
                )
    # With heads hidden, the cloud's model misses more than twice as many people (docs/privacy.md).
    if audited and (redaction.hide is Hide.ALL_BUT_ASKED or (redaction.hide is not Hide.NOTHING and about_people)):
        yield (
            f"{key}.redaction.hide: an audit of frames with {redaction.hide.value} hidden would judge the device by"
            f" what is left; set {key}.audit = {{ per_hour = 0 }}"
        )


def _twice(key: str, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{key}: {name!r} is used more than once; give each a name of its own"


def _objectives(config: Config) -> Iterator[str]:
    for i, camera in enumerate(config.cameras):
        if camera.objective is not None:
            yield from _unheard(f"cameras[{i}].objective", camera.objective, [camera], config)
    common = [camera for camera in config.cameras if camera.objective is None]
    if config.objective is not None and common:
        yield from _unheard("objective", config.objective, common, config)


def _unheard(key: str, objective: Objective, cameras: Sequence[CameraConfig], config: Config) -> Iterator[str]:
    """An objective without the answers that it is tuned by."""
    if config.ask is None:
        yield f"{key}: nobody answers without the table [ask]; add it, or remove the objective"
        return
    rates = {camera.name: camera.audit or config.audit for camera in cameras}
    unseen = [name for name, rate in rates.items() if not _share(rate)]
    if objective.max_miss_rate is not None and unseen:
        mend = "leave it out" if key != "objective" else "give that camera an objective of its own without it"
        yield (
            f"{key}.max_miss_rate: no frame of {', '.join(unseen)} is drawn for audit;"
            f" set audit.per_hour above 0 there, or {mend}"
        )


def _share(rate: AuditRate) -> float:
    return rate.per_hour if rate.probability is None else rate.probability


def _never_whole(config: Config, ask: AskSettings) -> Iterator[str]:
    """Rules that show whole frames, where an amount never holds even one as small as any."""
    told: set[tuple[int, str]] = set()
    for camera in config.cameras:
        size = SMALLEST_FRAME if camera.width is None or camera.height is None else (camera.width, camera.height)
        whole = whole_frame_bytes(size, ask.context_px)
        for i, rule in enumerate(config.rules):
            if not rule.shows_context(camera.name):
                continue
            for key, text, needed in too_little_for(config.asking.budget, camera.name, whole, urgent=rule.urgent):
                if (i, key) not in told:
                    told.add((i, key))
                    yield (
                        f"rules[{i}].context: {key} = {text!r} never holds the {whole:.0f} bytes that a frame of"
                        f' {camera.name} takes at the least; write "{needed}" or more, or set context to false'
                    )


def _unknown(key: str, names: tuple[str, ...] | list[str], known: list[str], what: str) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{key}: there is no {what} {name!r}; {_known(what, known)}"


def _known(what: str, known: list[str]) -> str:
    return f"the {what}s are {', '.join(known)}" if known else f"no {what} is configured"


def _follows(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether a list is said to be too short only because what it holds is wrong."""
    path = error["loc"]
    return error["type"] == "too_short" and any(
        other["loc"][: len(path)] == path and len(other["loc"]) > len(path) for other in errors
    )


def _line(error: ErrorDetails, model: type[BaseModel]) -> str:
    path = tuple(error["loc"])
    key = _key(path)
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; {_mend(str(path[-1]), model, path[:-1])}"
        case "missing":
            return f"{key}: is missing; add it"
        case "tuple_type" if isinstance(error["input"], dict):
            return f"{key}: is one table; write [[{key}]], since there may be several"
        case "tuple_type":
            return f"{key}: should be a list, in brackets"
        case _:
            shown = repr(error["input"])
            secret = path[-1:] in {("source",), ("url",)} or isinstance(error["input"], dict | list | tuple)
            got = "" if secret or len(shown) > LONGEST_SHOWN else f" (got {shown})"
            message = error["msg"].removeprefix("Value error, ").replace("Tuple should", "List should")
            if path[-1:] == ("url",) and "@" in str(error["input"]):
                # Its own message may repeat a part of the password.
                message = "the url must not hold a name or password: the password goes into token_file"
            return f"{key}: {message}{got}{_set_by(path)}"


def _key(path: tuple[str | int, ...]) -> str:
    """As a person would write it; what TOML allows in quotes must not break the line."""
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{step if step.isprintable() else repr(step)}" for step in path
    )
    return "".join(steps).lstrip(".") or "the file"


def _set_by(path: tuple[str | int, ...]) -> str:
    variable = ENV_PREFIX + ENV_DELIMITER.join(map(str, path)).upper()
    return f" (set by {variable} in the environment)" if variable in os.environ else ""


def _mend(key: str, model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    known = _keys_at(model, path)
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"remove it; the keys here are {', '.join(known)}" if known else "remove it"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _keys_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The keys that the table at `path` may hold."""
    found: list[type[BaseModel]] = [model]
    for step in path:
        if isinstance(step, str) and found and step in found[0].model_fields:
            found = list(_models_in(found[0].model_fields[step].annotation))
    return list(found[0].model_fields) if found else []


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)
