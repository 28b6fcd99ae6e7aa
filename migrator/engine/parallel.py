"""Work on many states at once: bounded in threads and in bytes, and the first error is the one that counts."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from migrator.errors import CredentialsRefusedError
from migrator.plan.model import PlannedState

WORKERS = 16
SMALLEST_BUDGET = 32 * 1024 * 1024

Item = TypeVar("Item")


class ByteBudget:
    """Bounds the documents held in memory at one time: many small ones in parallel, a huge one alone."""

    def __init__(self, largest: int) -> None:
        self._free = self._size = max(largest, SMALLEST_BUDGET)
        self._condition = threading.Condition()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Hold ``size`` bytes of the budget, waiting until they are free."""
        size = min(size, self._size)
        with self._condition:
            self._condition.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._condition:
                self._free += size
                self._condition.notify_all()


def run_for_states(states: Sequence[PlannedState], work: Callable[[PlannedState], None], *, workers: int) -> None:
    """Work on every state in parallel, within the memory that their documents may take together.

    Raises: the first error, in the order of the states.
    """
    run_within_memory([(state, state.size) for state in states], work, workers=workers)


def run_within_memory(
    sized: Sequence[tuple[Item, int]], work: Callable[[Item], None], *, workers: int = WORKERS
) -> None:
    """Work on every item in parallel; each comes with the bytes that it takes in memory meanwhile.

    Raises: the first error, in the order of the items.
    """
    budget = ByteBudget(max((size for _, size in sized), default=0))

    def within_budget(item: Item, size: int) -> None:
        with budget.take(size):
            work(item)

    run_in_parallel([partial(within_budget, item, size) for item, size in sized], workers=workers)


def run_in_parallel(jobs: Sequence[Callable[[], None]], *, workers: int = WORKERS) -> None:
    """Run every job; after the first error start no further one, let those that run end, and raise it.

    Raises: the first error, in the order of the jobs.
    """
    failed = threading.Event()

    def guarded(job: Callable[[], None]) -> None:
        if failed.is_set():
            return
        try:
            job()
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(jobs)))) as pool:
        futures = [pool.submit(guarded, job) for job in jobs]
    raise_first(future.exception() for future in futures)


def raise_first(errors: Iterable[BaseException | None]) -> None:
    """Raise the first error there is.

    A refusal of credentials comes last: alone it is definite, but beside a lost reply it would hide a doubt.
    """
    found = [error for error in errors if error is not None]
    if found:
        raise min(found, key=lambda error: isinstance(error, CredentialsRefusedError))
