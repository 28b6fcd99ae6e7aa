"""Bounded retries: how often, how long, and which error comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.backends.retry import RetryPolicy, TransientError, retry_call, retry_write
from migrator.errors import BackendUnreachableError, CredentialsRefusedError, UnknownOutcomeError


class Flaky:
    """Fails ``failures`` times, then answers."""

    def __init__(self, failures: int, wait: float | None = None) -> None:
        self.left, self.calls, self.wait = failures, 0, wait

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise TransientError(BackendUnreachableError(f"failure {self.calls}"), wait=self.wait)
        return "answer"


@given(failures=st.integers(0, 12), attempts=st.integers(1, 8), chance=st.floats(0, 1, exclude_max=True))
def test_attempts_and_waits_are_bounded(failures: int, attempts: int, chance: float) -> None:
    slept: list[float] = []
    policy = RetryPolicy(attempts=attempts, first_wait=0.5, longest_wait=2, sleep=slept.append, jitter=lambda: chance)
    call = Flaky(failures)
    if failures < attempts:
        assert retry_call(call, policy=policy) == "answer"
    else:
        with pytest.raises(BackendUnreachableError, match=f"failure {attempts}$"):
            retry_call(call, policy=policy)
    assert call.calls == min(failures + 1, attempts)
    assert len(slept) == call.calls - 1
    assert all(0.25 <= wait <= 2 for wait in slept)


def test_a_wait_that_the_server_asks_for_is_kept_and_one_too_long_ends_it() -> None:
    slept: list[float] = []
    policy = RetryPolicy(attempts=3, longest_server_wait=60, sleep=slept.append)
    assert retry_call(Flaky(2, wait=60), policy=policy) == "answer"
    assert slept == [60, 60]
    call = Flaky(2, wait=61)
    with pytest.raises(BackendUnreachableError):
        retry_call(call, policy=policy)
    assert call.calls == 1


@pytest.mark.parametrize("failures", [0, 1])
def test_refused_credentials_settle_nothing_after_a_write_without_an_answer(failures: int) -> None:
    flaky = Flaky(failures)

    def write() -> None:
        flaky()
        raise CredentialsRefusedError("revoked", hint="a new token")

    expected = UnknownOutcomeError if failures else CredentialsRefusedError
    with pytest.raises(expected, match="revoked") as refused:
        retry_write(write, policy=RetryPolicy(sleep=lambda _: None))
    assert type(refused.value) is expected
    assert refused.value.hint == "a new token"


def test_any_other_error_ends_it_at_once() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        retry_call(fail, policy=RetryPolicy(sleep=lambda _: pytest.fail("slept")))
