"""One run while it is being worked on: the open journal, what it says, and the doing of one step under its protection."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from migrator.engine.events import Event, Listener, ignore_events
from migrator.engine.mirror import Mirror
from migrator.engine.parallel import WORKERS, run_in_parallel
from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import Done, Foreign, Step
from migrator.errors import (
    BackendError,
    ForeignLockError,
    ForeignObjectError,
    InternalError,
    InterruptedRunError,
    JournalError,
    MigratorError,
)
from migrator.journal.fold import RunView, StepState
from migrator.journal.log import Log
from migrator.journal.record import Body, Fact, RecordKind


@dataclass(slots=True)
class Run:
    """The journal and view of one run, shared by the threads that work on it.

    ``interrupt`` is set by a signal: no new step begins after it. ``_begun`` are the steps whose intent this process wrote
    and did not take yet: they are not in doubt.
    """

    log: Log
    view: RunView
    ports: Ports
    mirror: Mirror | None = None
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

    def begin(self, steps: Iterable[Step], *, again: bool = False) -> None:
        """Make the intents of a stage durable in one write, before the first of its effects.

        Steps that have an intent already are left as they are, unless they are to be taken ``again``.
        """
        self.check_interrupt()
        fresh = [step for step in steps if again or self.view.step(step.kind, step.unit).intent is None]
        self._record_all(self._build_facts(RecordKind.INTENT, fresh))
        self._begun.update((step.kind, step.unit) for step in fresh)
        self.write_mirror()

    def begin_undo(self, steps: Iterable[Step], *, again: bool = False) -> None:
        """As ``begin``, for steps that are to be taken back; those that were never begun are left alone."""
        self.check_interrupt()
        views = [(step, self.view.step(step.kind, step.unit)) for step in steps]
        begun = [step for step, view in views if view.intent is not None and (view.undo_intent is None or again)]
        self._record_all(self._build_facts(RecordKind.UNDO_INTENT, begun))
        self.write_mirror()

    def _build_facts(self, kind: RecordKind, steps: Sequence[Step]) -> list[Fact]:
        """Build what the intents say, many at a time: some look at a backend for it."""
        bodies: dict[int, Body] = {}

        def build(number: int, step: Step) -> None:
            make = step.build_intent if kind is RecordKind.INTENT else step.build_undo_intent
            bodies[number] = make(self.ports, self.view)

        run_in_parallel([partial(build, *numbered) for numbered in enumerate(steps)], workers=self.workers)
        return [
            Fact(kind=kind, body=bodies[number], step=step.kind, unit=step.unit) for number, step in enumerate(steps)
        ]

    def write_mirror(self) -> None:
        """Mirror the run as far as it is. The way back is not held up by a mirror that cannot be written: it is tried again
        at the next stage and at the end. A run that has not begun is known here alone.

        Raises: StoppedError when another machine went on with this run; on the way forward also BackendError, JournalError.
        """
        if self.mirror is None or not self.view.steps:
            return
        try:
            self.mirror.write()
        except (BackendError, JournalError) as error:  # a blob that is damaged here cannot be mirrored any more
            if not self.view.rolling_back:
                raise
            self.tell(Event(name="note", detail=f"the mirror is behind: {error.message}"))

    def end_mirror(self) -> None:
        """Mirror how an attempt ended and let other machines at the run; they are kept out as long as the mirror is behind."""
        if self.mirror is None:
            return
        try:
            if self.view.steps:
                self.mirror.write()
        except (MigratorError, OSError) as error:
            self.tell(
                Event(
                    name="note",
                    detail=f"the mirror does not know how this command ended: {error}; it keeps other machines out "
                    "until the next command here mirrors the rest",
                )
            )
            return
        try:
            self.mirror.release()
        except MigratorError as error:
            self.tell(Event(name="note", detail=f"another machine will find this run held by this one: {error}"))

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

        Raises: ForeignObjectError or ForeignLockError when something that is not ours stands there.
        """
        found = step.probe(self.ports, intent)
        if isinstance(found, Foreign):
            error = (
                ForeignLockError if step.kind in (StepKind.LOCK_SOURCE, StepKind.LOCK_TARGET) else ForeignObjectError
            )
            raise error(
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
