"""Bounded retries with jittered, growing waits.

A call says itself that it may be repeated, by raising ``TransientError``: only the caller knows whether its request had
an effect, so nothing here looks at status codes. The last error is raised as it is. (A library for this would be a
dependency for forty lines.)
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from migrator.errors import CredentialsRefusedError, MigratorError, UnknownOutcomeError

T = TypeVar("T")


class TransientError(Exception):
    """The call failed with ``cause`` and may safely be repeated; ``wait`` is what the server asked for, in seconds.

    Never leaves ``retry_call``.
    """

    def __init__(self, cause: MigratorError, *, wait: float | None = None) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.wait = wait


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently to repeat. ``attempts`` counts the first one; waits are in seconds.

    ``longest_server_wait`` bounds what a ``Retry-After`` may ask for: a longer one ends the attempts at once.
    """

    attempts: int = 4
    first_wait: float = 0.2
    longest_wait: float = 5.0
    longest_server_wait: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def wait_after(self, attempt: int) -> float:
        """Return the wait after the failed attempt number ``attempt`` (from 1): between half and all of the backoff."""
        backoff = min(self.first_wait * 2.0 ** (attempt - 1), self.longest_wait)
        return backoff * (0.5 + self.jitter() / 2)


def retry_call(call: Callable[[], T], *, policy: RetryPolicy) -> T:
    """Return ``call()``, repeated while it raises ``TransientError`` and the policy allows.

    Raises: the cause of the last ``TransientError``; everything else at once.
    """
    attempt = 1
    while True:
        try:
            return call()
        except TransientError as failure:
            wait = policy.wait_after(attempt) if failure.wait is None else failure.wait
            too_long = failure.wait is not None and failure.wait > policy.longest_server_wait
            if attempt >= policy.attempts or too_long:
                raise failure.cause from failure.__cause__
        policy.sleep(wait)
        attempt += 1


def retry_write(call: Callable[[], T], *, policy: RetryPolicy) -> T:
    """As ``retry_call``, for a call that has an effect.

    A token that is refused after an attempt without a clear answer (it was revoked just then) does not settle what that
    attempt did: refused credentials alone mean that nothing was done.

    Raises: also UnknownOutcomeError.
    """
    doubts: list[MigratorError] = []

    def attempt() -> T:
        try:
            return call()
        except TransientError as failure:
            doubts.append(failure.cause)
            raise
        except CredentialsRefusedError as refusal:
            if not doubts:
                raise
            raise build_refused_doubt(doubts[-1], refusal) from refusal

    return retry_call(attempt, policy=policy)


def build_refused_doubt(doubt: MigratorError, refusal: CredentialsRefusedError) -> UnknownOutcomeError:
    """Return the error of a write without a clear answer that refused credentials keep from being settled."""
    return UnknownOutcomeError(
        f"{doubt.message}; and then: {refusal.message}",
        where=refusal.where,
        now=doubt.now or "the request before may have had its effect",
        hint=refusal.hint,
    )
