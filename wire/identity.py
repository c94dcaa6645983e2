"""How a device gets its certificate: a claim that an operator hands over, an enrolment, and renewals.

A claim names the service, pins its authority by a digest, and holds a secret that works once. The device makes its
key itself, and the key never leaves it: what travels is a signing request (docs/identity.md).
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, ClassVar, Final

from pydantic import Field, StringConstraints, ValidationError

from wire.envelope import KIB, Message, Part
from wire.errors import MessageInvalid, NotOurs
from wire.fields import DeviceId, Digest, Timestamp

AUTHORITY_PATH: Final = "/v1/authority"
"""`GET`: the authority's certificate, PEM; believed only where its digest is the claim's."""
ENROLMENTS_PATH: Final = "/v1/enrolments"
"""`POST` of an `Enrolment`, answered by `Certified`; the one request that a device makes without a certificate."""
CERTIFICATES_PATH: Final = "/v1/certificates"
"""`POST` of a `Renewal` under the present certificate, answered by `Certified`."""
CLAIM_PREFIX: Final = "vdc1."
"""Lets a person, or a scanner of published secrets, see what it is; and counts the format."""
MAX_CLAIM_CHARACTERS: Final = 2048

Url = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[\x21-\x7e]+$")]
Pem = Annotated[str, StringConstraints(min_length=1, max_length=16 * KIB, pattern=r"^[\x0a\x0d\x20-\x7e]+$")]
Secret = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""256 random bits in base64url."""


class Claim(Part):
    """What an operator pastes on the device; whoever holds it may become this device, once.

    Attributes:
        http: The devices' door, `https://…`.
        mqtt: The broker, `mqtts://…`.
        authority: SHA-256 of the authority's certificate in DER.
    """

    device: DeviceId
    http: Url
    mqtt: Url
    authority: Digest
    secret: Annotated[Secret, Field(repr=False)]
    expires_at: Timestamp

    def spell(self) -> str:
        """One word that survives a shell and a chat window."""
        return CLAIM_PREFIX + base64.urlsafe_b64encode(self.model_dump_json().encode()).rstrip(b"=").decode()


def read_claim(word: str) -> Claim:
    """Read what `Claim.spell` wrote.

    Raises:
        NotOurs: It is none.
        MessageInvalid: It is one, but damaged.
    """
    text = "".join(word.split())
    if not text.startswith(CLAIM_PREFIX) or len(text) > MAX_CLAIM_CHARACTERS:
        raise NotOurs(
            f"this is no claim, which begins with `{CLAIM_PREFIX}`", "Copy the whole of what the operator sent."
        )
    body = text.removeprefix(CLAIM_PREFIX)
    try:
        return Claim.model_validate_json(
            base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        )
    except (binascii.Error, ValueError, ValidationError):
        raise MessageInvalid(
            "the claim is damaged", "Copy the whole of what the operator sent, without anything around it."
        ) from None


class Enrolment(Message):
    """A device's first request.

    Attributes:
        request: A PKCS #10 signing request in PEM, by the device's own key, with its id as the common name.
    """

    MAX_BYTES: ClassVar[int] = 20 * KIB

    secret: Annotated[Secret, Field(repr=False)]
    request: Pem


class Renewal(Message):
    """A new key for a device that has a certificate; see `Enrolment`."""

    MAX_BYTES: ClassVar[int] = 20 * KIB

    request: Pem


class Certified(Message):
    """A certificate, and whom the device shall believe from now on.

    Attributes:
        certificate: The device's, and what lies between it and an authority, in PEM.
        authorities: Whom to believe, in PEM; two while the authority is being replaced.
    """

    MAX_BYTES: ClassVar[int] = 48 * KIB

    certificate: Pem
    authorities: Pem
