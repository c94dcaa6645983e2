"""What can go wrong with operators.

OperatorError
├── OperatorExists           there is one of that name
├── OperatorUnknown          there is none of that name, or no such token of theirs
├── OperatorNameRefused      no name that an operator can have
├── PasswordRefused          too short, too long, or not text
├── LoginRefused             name or password is wrong; which of the two is not said
├── LoginRequired            nobody, or nobody any more, is logged in
├── RequestForeign           a page of somebody else made the browser ask
└── TooManyLogins            guesses come faster than they may, or faster than they can be looked at
"""

from __future__ import annotations

import math

from cloud.errors import CloudError


class OperatorError(CloudError):
    """Something is wrong with who looks."""

    @property
    def told(self) -> str:
        """For a person: what is wrong, and what to do, as sentences."""
        what = self.what[:1].upper() + self.what[1:]
        return f"{what}. {self.mend}".strip()


class OperatorExists(OperatorError):
    """There is an operator of that name."""


class OperatorUnknown(OperatorError):
    """There is no operator of that name, or no such token of theirs."""


class OperatorNameRefused(OperatorError):
    """No name that an operator can have."""


class PasswordRefused(OperatorError):
    """The password is too short, too long, or not text."""


class LoginRefused(OperatorError):
    """Name or password is wrong."""


class LoginRequired(OperatorError):
    """Nobody is logged in."""


class RequestForeign(OperatorError):
    """A page of somebody else made the browser ask."""


class TooManyLogins(OperatorError):
    """Guesses come faster than they may, or faster than they can be looked at."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = max(1, math.ceil(wait_s))
        super().__init__("too many attempts to log in", f"Wait {self.wait_s} s, then try again.")
