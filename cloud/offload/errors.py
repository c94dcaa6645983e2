"""Why a question is not answered.

OffloadError
├── TooManyQuestions    as many are under way as may be
├── QuestionNotYours    another device asked a question of that id
└── OffloadStopped      the service is shutting down; the question is kept and answered after the restart
"""

from __future__ import annotations

from cloud.errors import CloudError


class OffloadError(CloudError):
    """A question can't be answered."""


class TooManyQuestions(OffloadError):
    """As many questions are under way as may be."""


class QuestionNotYours(OffloadError):
    """Another device asked a question of that id."""


class OffloadStopped(OffloadError):
    """The service is shutting down."""
