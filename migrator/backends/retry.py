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

from migrator.errors import MigratorError

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
