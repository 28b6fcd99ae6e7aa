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
from migrator.errors import CredentialsRefusedError, ForeignObjectError, InternalError, InterruptedRunError
from migrator.journal.fold import RunView, StepState
from migrator.journal.log import Log
from migrator.journal.record import Body, Fact, RecordKind
from migrator.plan.model import PlannedState

WORKERS = 16
SMALLEST_BUDGET = 32 * 1024 * 1024


@dataclass(slots=True)
class Run:
    """The journal and view of one run, shared by the threads that work on it.

    ``interrupt`` is set by a signal: no new step begins after it. ``_begun`` are the steps whose intent this process wrote
    and did not take yet: they are not in doubt.
    """

    log: Log
    view: RunView
    ports: Ports
    listen: Listener = ignore_events
    interrupt: threading.Event = field(default_factory=threading.Event)
    workers: int = WORKERS
    _begun: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, kind: RecordKind, body: Body, *, step: str = "", unit: str = "") -> None:
        """Append one record durably and take it into account."""
        self._record_all([Fact(kind=kind, body=body, step=step, unit=unit)])

    def _record_all(self, facts: Sequence[Fact]) -> None:
        records = self.log.append_all(facts)
        with self._lock:
            for record in records:
                self.view.add(record)

    def tell(self, event: Event) -> None:
        """Let whoever watches know. A terminal or pipe that is gone must not leave states half-way."""
        try:
            self.listen(event)
        except OSError:
            self.listen = ignore_events

    def begin(self, steps: Iterable[Step]) -> None:
        """Make the intents of a stage durable in one write, before the first of its effects.

        Steps that have an intent already are left as they are.
        """
        self.check_interrupt()
        fresh = [step for step in steps if self.view.step(step.kind, step.unit).state is StepState.UNTOUCHED]
        self._record_all(
            [
                Fact(
                    kind=RecordKind.INTENT,
                    body=step.build_intent(self.ports, self.view),
                    step=step.kind,
                    unit=step.unit,
                )
                for step in fresh
            ]
        )
        self._begun.update((step.kind, step.unit) for step in fresh)

    def begin_undo(self, steps: Iterable[Step]) -> None:
        """As ``begin``, for steps that are to be taken back; those that were never begun are left alone."""
        self.check_interrupt()
        views = [(step, self.view.step(step.kind, step.unit)) for step in steps]
        self._record_all(
            [
                Fact(
                    kind=RecordKind.UNDO_INTENT,
                    body=step.build_undo_intent(self.ports, self.view),
                    step=step.kind,
                    unit=step.unit,
                )
                for step, view in views
                if view.intent is not None and view.undo_intent is None
            ]
        )

    def do(self, step: Step) -> None:
        """Bring one step that was begun to ``DONE``: skip it, settle it, or take it.

        Raises: InterruptedRunError before its effect; whatever the step raises.
        """
        self.check_interrupt()
        view = self.view.step(step.kind, step.unit)
        if view.state is StepState.DONE:
            return
        if view.intent is None:
            raise InternalError(f"{step.kind} of {step.unit} was not begun")
        if (step.kind, step.unit) in self._begun:
            self._begun.discard((step.kind, step.unit))
        elif self.settle(step, view.intent):
            return
        evidence = step.apply(self.ports, view.intent)
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
        """Bring one step to ``UNDONE``; a step that was never begun is left alone. Call ``begin_undo`` before.

        Raises: InterruptedRunError before its effect; whatever the step raises.
        """
        self.check_interrupt()
        view = self.view.step(step.kind, step.unit)
        if view.intent is None or view.state is StepState.UNDONE:
            return
        if view.undo_intent is None:
            raise InternalError(f"the undo of {step.kind} of {step.unit} was not begun")
        evidence = step.undo(self.ports, {**view.intent, **(view.evidence or {})}, view.undo_intent)
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
