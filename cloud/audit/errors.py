"""Why an audit is not taken.

AuditError
├── AuditNotYours     another device sent an audit of that id
├── AuditsBehind      as many wait to be looked at as may
└── AuditsStopped     the service is shutting down; the audit is kept and looked at after the restart
"""

from __future__ import annotations

from cloud.errors import CloudError


class AuditError(CloudError):
    """An audit can't be taken."""


class AuditNotYours(AuditError):
    """Another device sent an audit of that id."""


class AuditsBehind(AuditError):
    """As many audits wait to be looked at as may."""


class AuditsStopped(AuditError):
    """The service is shutting down."""
