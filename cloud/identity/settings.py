"""How identities are given out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class IdentitySettings(BaseModel):
    """Of the `[identity]` table.

    Attributes:
        authority: `embedded` makes a certificate authority in the data directory; `external` believes `ca_file`.
        names: Host names and addresses under which devices reach the service, beside those that it listens on.
        certificate_hours: How long a device's certificate lives; it is renewed after two thirds of it. Some minutes
            (0.1) are enough for a device that is always connected; one that is away for longer is enrolled anew.
        claim_minutes: How long an enrolment's claim can be used, unless said otherwise.
        ca_file: With `external`: whose certificates of devices are believed, PEM.
        cert_file, key_file: With `external`: the service's own, fit for servers and clients; devices must believe it.
        server_ca_file: With `external`: who signed `cert_file`, where that is not `ca_file`'s authority.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    authority: Literal["embedded", "external"] = "embedded"
    names: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    certificate_hours: Annotated[float, Field(gt=0, le=24 * 825)] = 24.0 * 30
    claim_minutes: Annotated[float, Field(gt=0, le=60 * 24 * 30)] = 60.0
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_ca_file: Path | None = None

    @model_validator(mode="after")
    def _files_belong_to_an_external_authority(self) -> Self:
        files = (self.ca_file, self.cert_file, self.key_file)
        if self.authority == "external" and None in files:
            msg = "an external authority needs ca_file, cert_file and key_file"
            raise ValueError(msg)
        if self.authority == "embedded" and any((*files, self.server_ca_file)):
            msg = 'ca_file, cert_file and key_file belong to authority = "external"'
            raise ValueError(msg)
        return self
