"""What can go wrong with identities.

IdentityError
├── ClaimRefused             unknown, used, expired, or another device's
├── SigningRefused           the signing request is none, or asks for what is not given
├── CertificateRefused       not ours, expired, revoked, or of a device that was
└── AuthorityUnusable        its files can't be read, or don't fit each other
"""

from __future__ import annotations

from cloud.errors import CloudError


class IdentityError(CloudError):
    """Something is wrong with who someone is."""


class ClaimRefused(IdentityError):
    """The claim does not entitle to a certificate."""


class SigningRefused(IdentityError):
    """The signing request can't be granted."""


class CertificateRefused(IdentityError):
    """The certificate does not let anyone in."""


class AuthorityUnusable(IdentityError):
    """The authority's files can't be used."""
