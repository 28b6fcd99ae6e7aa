"""One run while it is being worked on: the open journal, what it says, and the doing of one step under its protection."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from migrator.engine.events import Event, Listener, ignore_events
from migrator.engine.ports import Ports
from migrator.engine.step import Done, Foreign, Step
from migrator.errors import CredentialsRefusedError, ForeignObjectError, InterruptedRunError
from migrator.journal.fold import RunView, StepState
from migrator.journal.log import Log
from migrator.journal.record import Body, Record, RecordKind
from migrator.plan.model import PlannedState

WORKERS = 16
SMALLEST_BUDGET = 32 * 1024 * 1024


@dataclass(slots=True)
class Run:
    """The journal and view of one run, shared by the threads that work on it.

    ``interrupt`` is set by a signal: no new step begins after it.
    """

    log: Log
    view: RunView
    ports: Ports
    listen: Listener = ignore_events
    interrupt: threading.Event = field(default_factory=threading.Event)
    workers: int = WORKERS
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, kind: RecordKind, body: Body, *, step: str = "", unit: str = "") -> Record:
        """Append one record durably and take it into account."""
        record = self.log.append(kind, body, step=step, unit=unit)
        with self._lock:
            self.view.add(record)
        return record

    def tell(self, event: Event) -> None:
        """Let whoever watches know. A terminal or pipe that is gone must not leave states half-way."""
        try:
            self.listen(event)
        except OSError:
            self.listen = ignore_events

    def do(self, step: Step) -> None:
        """Bring one step to ``DONE``: skip it, settle it, or take it.

        Raises: InterruptedRunError before the step begins; whatever the step raises.
        """
        self.check_interrupt()
        view = self.view.step(step.kind, step.unit)
        if view.state is StepState.DONE:
            return
        intent = view.intent if view.state is StepState.IN_DOUBT else None
        if intent is None:
            intent = step.build_intent(self.ports, self.view)
            self.record(RecordKind.INTENT, intent, step=step.kind, unit=step.unit)
        elif self.settle(step, intent):
            return
        evidence = step.apply(self.ports, intent)
        self.record(RecordKind.DONE, evidence, step=step.kind, unit=step.unit)
        self.tell(Event(name="step", step=step.kind, unit=step.unit))

    def settle(self, step: Step, intent: Body) -> bool:
        """Find out whether an intent without outcome took effect; record it if so and return whether.

        Raises: ForeignObjectError when something that is not ours stands there.
        """
        found = step.probe(self.ports, intent)
        if isinstance(found, Foreign):
            raise ForeignObjectError(
                found.found, where=step.unit, hint="find out whose it is; then migrator migrate, or: migrator rollback"
            )
        if isinstance(found, Done):
            self.record(RecordKind.DONE, found.evidence, step=step.kind, unit=step.unit)
            self.tell(Event(name="step", step=step.kind, unit=step.unit, detail="had taken effect before"))
            return True
        return False

    def undo(self, step: Step) -> None:
        """Bring one step to ``UNDONE``; a step that was never begun is left alone.

        Raises: InterruptedRunError before the undo begins; whatever the step raises.
        """
        self.check_interrupt()
        view = self.view.step(step.kind, step.unit)
        if view.intent is None or view.state is StepState.UNDONE:
            return
        undo_intent = view.undo_intent
        if undo_intent is None:
            undo_intent = step.build_undo_intent(self.ports, self.view)
            self.record(RecordKind.UNDO_INTENT, undo_intent, step=step.kind, unit=step.unit)
        evidence = step.undo(self.ports, {**view.intent, **(view.evidence or {})}, undo_intent)
        self.record(RecordKind.UNDONE, evidence, step=step.kind, unit=step.unit)
        self.tell(Event(name="undo", step=step.kind, unit=step.unit))

    def check_interrupt(self) -> None:
        """Stop here if the operator asked for it.

        Raises: InterruptedRunError.
        """
        if self.interrupt.is_set():
            raise InterruptedRunError("interrupted", now="the journal is durable", hint="migrator status")


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
    budget = ByteBudget(max((state.size for state in states), default=0))

    def within_budget(state: PlannedState) -> None:
        with budget.take(state.size):
            work(state)

    run_in_parallel([partial(within_budget, state) for state in states], workers=workers)


def run_in_parallel(jobs: Sequence[Callable[[], None]], *, workers: int) -> None:
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
