"""What the service and a broker that runs elsewhere know of each other; made once, for the owner's eyes only."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud.adapters.files import replace_file
from cloud.adapters.nats_callout import SECRET_BYTES, AccountKey
from cloud.adapters.nats_config import BrokerSecrets
from cloud.errors import BrokerFailed

FILE: Final = "secrets.json"
_HEX: Final = r"^[0-9a-f]{64}$"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    cloud: str = Field(pattern=_HEX, repr=False)
    auth: str = Field(pattern=_HEX, repr=False)
    system: str = Field(pattern=_HEX, repr=False)
    key: str = Field(pattern=_HEX, repr=False)


@dataclass(frozen=True, slots=True)
class KeptSecrets:
    """The passwords of the service's own connections, and the key that signs what devices may do."""

    passwords: BrokerSecrets
    key: AccountKey


def kept_secrets(folder: Path) -> KeptSecrets:
    """Those in `folder`; made at the first call.

    Raises:
        BrokerFailed: They can't be read or written.
    """
    file = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            made = {name: secrets.token_hex(SECRET_BYTES) for name in _Kept.model_fields}
            replace_file(file, _Kept(**made).model_dump_json() + "\n")
        kept = _Kept.model_validate_json(file.read_bytes())
    except OSError as refused:
        raise BrokerFailed(
            f"{file} can't be used: {refused.strerror}", "Correct its rights, or free the disk."
        ) from None
    except ValidationError:
        raise BrokerFailed(
            f"{file} is damaged", "Delete it, `vedette broker prepare`, and start the broker and the service again."
        ) from None
    return KeptSecrets(BrokerSecrets(kept.cloud, kept.auth, kept.system), AccountKey(bytes.fromhex(kept.key)))
