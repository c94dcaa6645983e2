"""The service's settings: a TOML file, then the environment, then the command line, checked before anything runs.

`VEDETTE_DATA_DIR=…` sets a top-level key, `VEDETTE_OFFLOAD__AT_ONCE=…` one inside a table.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from cloud.audit.settings import AuditSettings
from cloud.errors import BindRefused, SettingsInvalid
from cloud.home.settings import HomeAssistantSettings
from cloud.identity.settings import IdentitySettings
from cloud.infer.default import InferSettings
from cloud.offload.settings import OffloadSettings
from cloud.operators.settings import LoginSettings
from cloud.push.settings import PushSettings
from cloud.retention.settings import RetentionSettings
from cloud.web.admission import DoorSettings
from wire.log_lines import LogFormat, LogLevel

MAX_CONFIG_BYTES: Final = 1 << 20
MQTT_PORT: Final = 1883
MQTTS_PORT: Final = 8883
Port = Annotated[int, Field(ge=0, le=65535)]


def _each_named_once(pushes: tuple[PushSettings, ...]) -> tuple[PushSettings, ...]:
    names = [push.name for push in pushes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        msg = f"{twice!r} is used more than once; give each a name of its own"
        raise ValueError(msg)
    return pushes


def default_data_dir() -> Path:
    """Where a person's programs keep their data."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "vedette"


class ExternalBrokerSettings(BaseModel):
    """A broker that is run by somebody else, on this machine or another; without `host` the service runs its own.

    Attributes:
        kind: `nats` asks the service who a device is; `mosquitto` has the same rules from files, and needs `tls`.
        host: Where it is, for devices and for the service; its certificate is for this name or address.
        client_port: Where NATS takes the service's own connections, over which it asks who a device is.
        folder: Where `vedette broker prepare` writes what the broker is started with; it must lie there under the
            same path.
        sessions: Where the broker keeps sessions and messages, on its own disk.
        pid_file: Of a mosquitto that the service may signal; without it, whoever runs it reloads it when the list of
            revoked certificates changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["nats", "mosquitto"] = "nats"
    host: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    client_port: Annotated[int, Field(ge=1, le=65535)] = 4222
    folder: Path | None = None
    sessions: Path = Path("/var/lib/vedette-broker")
    pid_file: Path | None = None

    @model_validator(mode="after")
    def _host_and_folder_belong_together(self) -> Self:
        if (self.host is None) != (self.folder is None):
            msg = "host and folder belong together: give both, or neither for the embedded broker"
            raise ValueError(msg)
        if self.host is None and self.kind == "mosquitto":
            msg = "the service does not run mosquitto itself: give host and folder of one that you run"
            raise ValueError(msg)
        if self.pid_file is not None and self.kind == "nats":
            msg = 'pid_file belongs to kind = "mosquitto"'
            raise ValueError(msg)
        return self


class Settings(BaseSettings):
    """Everything that `vedette serve` needs to know.

    Attributes:
        data_dir: Database, pictures, the broker's sessions.
        http_host, http_port: Where the dashboard and the API are; port 0 is any free one, told in `serve.json`.
        mqtt_host, mqtt_port: Where devices connect; without a port 1883, or 8883 with `tls`.
        http_cert_file, http_key_file: With `tls`: under which the dashboard and the API are served, PEM, whole chain.
            Without them it is a certificate of the service's own beyond loopback, and none there.
        tls: Serve devices over TLS, and know them by certificates; else by tokens, in plain text. Beyond loopback the
            dashboard and the API are served over TLS as well, to operators who log in.
        device_host, device_port: Where devices call over HTTPS, with `tls`; without it they use the HTTP port.
        allow_plaintext: Listen beyond this machine where nothing is encrypted, and anyone may look at the dashboard.
        allowed_hosts: Names beside loopback's under which browsers may call the service.
        log_level: Below it nothing is logged.
        log_format: `auto` is text on a terminal and in systemd's journal, and JSON otherwise.
        answer_questions: Look at what devices are unsure of; without it no model is loaded.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="VEDETTE_", env_nested_delimiter="__", allow_inf_nan=False
    )

    data_dir: Path = Field(default_factory=default_data_dir)
    http_host: str = "127.0.0.1"
    http_port: Port = 8080
    http_cert_file: Path | None = None
    http_key_file: Path | None = None
    mqtt_host: str = "127.0.0.1"
    mqtt_port: Port | None = None
    tls: bool = False
    device_host: str = "127.0.0.1"
    device_port: Port = 8443
    allow_plaintext: bool = False
    allowed_hosts: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    answer_questions: bool = True
    offload: OffloadSettings = OffloadSettings()
    infer: InferSettings = InferSettings()
    audit: AuditSettings = AuditSettings()
    door: DoorSettings = DoorSettings()
    broker: ExternalBrokerSettings = ExternalBrokerSettings()
    identity: IdentitySettings = IdentitySettings()
    login: LoginSettings = LoginSettings()
    retention: RetentionSettings = RetentionSettings()
    home_assistant: HomeAssistantSettings | None = None
    push: Annotated[tuple[PushSettings, ...], Field(max_length=32), AfterValidator(_each_named_once)] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is given
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - read in `load_settings`
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a file is named, not found by chance
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - nothing here is a secret
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What it is made with, only: `load_settings` puts the sources together, since it knows one more."""
        return (init_settings,)

    @model_validator(mode="after")
    def _broker_elsewhere_has_a_port(self) -> Self:
        if self.broker.host is not None and self.mqtt_port == 0:
            msg = "mqtt_port = 0 is for the embedded broker: give the port of the one that [broker] names"
            raise ValueError(msg)
        if self.broker.kind == "mosquitto" and not (self.tls and self.identity.authority == "embedded"):
            # It can't ask whose a token is, nor who of all that another authority certifies is enrolled and welcome.
            msg = (
                "mosquitto knows devices by certificates of the embedded authority only: set tls = true, or use NATS"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _http_certificate_is_whole(self) -> Self:
        if (self.http_cert_file is None) != (self.http_key_file is None):
            msg = "http_cert_file and http_key_file belong together: give both, or neither"
            raise ValueError(msg)
        if self.http_cert_file is not None and not self.tls:
            # Devices with tokens call over this port, too, and would not believe it.
            msg = "http_cert_file and http_key_file need tls = true, so that devices have a port of their own"
            raise ValueError(msg)
        return self

    @property
    def _open_to_all(self) -> bool:
        """Nobody but this machine can reach the dashboard, or everybody may."""
        return self.allow_plaintext or is_loopback(self.http_host)

    @property
    def https(self) -> bool:
        """Whether the dashboard and the API are served over TLS."""
        return self.tls and (self.http_cert_file is not None or not self._open_to_all)

    @property
    def asks_login(self) -> bool:
        """Whether the dashboard and the API are for operators who log in."""
        return self.login.always or not self._open_to_all

    @property
    def broker_port(self) -> int:
        """`mqtt_port`, or what is usual."""
        if self.mqtt_port is not None:
            return self.mqtt_port
        return MQTTS_PORT if self.tls else MQTT_PORT

    def check_binds(self) -> Self:
        """Refuse to be heard beyond this machine by accident.

        Raises:
            BindRefused: An address is not loopback, and that was not allowed.
        """
        if self.tls:
            return self
        heard = {"http_host": self.http_host, "mqtt_host": self.mqtt_host}
        if self.broker.host is not None:
            heard["broker.host"] = self.broker.host
        for key, host in heard.items():
            if not self.allow_plaintext and not is_loopback(host):
                raise BindRefused(
                    f"{key} = {host!r} can be reached from other machines, and neither tokens nor pictures are"
                    " encrypted on the way" + (", nor are viewers asked who they are" if key == "http_host" else ""),
                    "Set `tls = true`: devices then have certificates, and operators log in to the dashboard over"
                    " TLS; or set `allow_plaintext = true` where you trust the whole network.",
                )
        return self


def load_settings(file: Path | None, overrides: Mapping[str, object]) -> Settings:
    """The settings from the file, the environment and the command line, the last one winning.

    Args:
        file: TOML; None for none.
        overrides: From the command line; None values were not given.

    Raises:
        SettingsInvalid: All that is wrong, one line each: the key, what is wrong, and the mend.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    values = {} if file is None else _read(file)
    try:
        return Settings(**_over(_over(values, EnvSettingsSource(Settings)()), given))
    except ValidationError as refused:
        lines = "\n".join(f"  {_line(error)}" for error in refused.errors(include_url=False))
        source = "the settings" if file is None else str(file)
        raise SettingsInvalid(f"{source} can't be used:\n{lines}") from None


def _over(values: dict[str, Any], winning: Mapping[str, Any]) -> dict[str, Any]:
    """`winning` laid over `values`, table by table."""
    laid = dict(values)
    for key, value in winning.items():
        beneath = laid.get(key)
        laid[key] = _over(beneath, value) if isinstance(beneath, dict) and isinstance(value, dict) else value
    return laid


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise SettingsInvalid(f"{file} is over {MAX_CONFIG_BYTES} bytes", "Name the service's TOML file.")
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsInvalid(f"there is no file {file}", "Name the service's TOML file with --config.") from None
    except (OSError, UnicodeDecodeError) as refused:
        raise SettingsInvalid(f"{file} can't be read: {refused}", "Name a readable TOML file.") from None
    except tomllib.TOMLDecodeError as broken:
        raise SettingsInvalid(f"{file} is not TOML: {broken}", "Mend the file at that place.") from None


def _line(error: Mapping[str, Any]) -> str:
    path = tuple(str(step) for step in error["loc"])
    key = ".".join(path) or "the file"
    if error["type"] != "extra_forbidden":
        return f"{key}: {error['msg']}"
    near = difflib.get_close_matches(path[-1], _keys_at(path[:-1]), n=1)
    return f"{key}: unknown key; {f'did you mean {near[0]!r}?' if near else 'remove it'}"


def _keys_at(path: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for step in path:
        field = model.model_fields.get(step)
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return list(model.model_fields)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine is behind that name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
