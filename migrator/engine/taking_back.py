"""What both ways back share, with the target and without it: closing the source, restoring files, undoing for many states.

``rollback`` and ``without_target`` say in which order; nothing here decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from migrator.backends.base import Head, Presence
from migrator.engine.guard import read_source_lock
from migrator.engine.parallel import run_for_states
from migrator.engine.phases import Phase, StepKind
from migrator.engine.run import Run
from migrator.engine.step import Step
from migrator.engine.steps import CarryBack, build_chains, build_state_step
from migrator.engine.steps.carry_back import list_left_at_source
from migrator.errors import (
    ForeignLockError,
    InternalError,
    InvalidStateError,
    JournalWriteError,
    MigratorError,
    RefusedError,
    StoppedError,
)
from migrator.journal.fold import StepState
from migrator.journal.record import RecordKind
from migrator.plan.model import Plan, PlannedState
from migrator.state.relation import Relation, compare_other_bytes
from migrator.state.snapshot import read_snapshot

# These say themselves what is true now, and leave nothing to undo.
PASSED_ON = (StoppedError, JournalWriteError, InternalError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A state whose newer document was brought home: its serial before and after."""

    name: str
    serial_before: int | None
    serial_after: int


def go_back(
    plan: Plan,
    run: Run,
    *,
    check: Callable[[Plan, Run], None],
    take_back: Callable[[Plan, Run], None],
    without_target: bool = False,
) -> None:
    """Look, record that the run goes backward from here on, take back, record the outcome.

    Raises: what ``check`` raises when nothing was touched yet, else StoppedError.
    """
    goes_on = run.view.rolling_back and run.view.outcome is None and run.view.without_target is without_target
    began = run.view.rolling_back and run.view.outcome is None
    try:
        check(plan, run)
        if not goes_on:
            run.record(RecordKind.ROLLBACK, {"reason": "migrator rollback", "without_target": without_target})
            began = True
        take_back(plan, run)
    except PASSED_ON:
        raise
    except MigratorError as error:
        if not began:
            raise
        raise StoppedError(
            error.message,
            where=error.where,
            now="the rollback is part-way; the journal is intact",
            hint=error.hint or "migrator rollback",
        ) from error
    run.record(RecordKind.OUTCOME, {"outcome": Phase.ROLLED_BACK, "target_left": without_target})


def undo_for_states(states: Sequence[PlannedState], kinds: Sequence[StepKind], run: Run) -> None:
    """Undo steps of each state in this order, all intents first."""
    steps = {state.name: [build_state_step(kind, state) for kind in kinds] for state in states}
    run.begin_undo(step for of_state in steps.values() for step in of_state)

    def undo(state: PlannedState) -> None:
        for step in steps[state.name]:
            run.undo(step)

    run_for_states(states, undo, workers=run.workers)


def do_for_states(
    states: Sequence[PlannedState], build: Callable[[PlannedState], Step], run: Run, *, again: bool = False
) -> None:
    """Begin one step for each state, all intents first, and take them in parallel; ``again`` starts a finished one afresh."""
    steps = {state.name: build(state) for state in states}
    run.begin(steps.values(), again=again)
    run_for_states(states, lambda state: run.do(steps[state.name]), workers=run.workers)


def give_locks_back(plan: Plan, run: Run) -> None:
    """Undo the locks of a run that wrote nothing else."""
    undo_for_states(plan.states, (StepKind.LOCK_TARGET, StepKind.LOCK_SOURCE), run)


def was_given_back(state: PlannedState, run: Run) -> bool:
    """Whether the source's lock was, or may have been, given back already (or never was asked for)."""
    lock = run.view.step(StepKind.LOCK_SOURCE, state.name)
    return lock.intent is None or lock.state in (StepState.UNDONE, StepState.UNDO_IN_DOUBT)


def restore_files(plan: Plan, run: Run) -> None:
    """Put every file back, in the reverse order of the plan.

    Raises: RefusedError when a file is no longer what the cut-over left.
    """
    files = [chain[0] for chain in reversed(build_chains((StepKind.CUT_OVER_FILE,), plan))]
    run.begin_undo(files)
    for file in files:
        run.undo(file)


def was_open(state: PlannedState, run: Run) -> bool:
    """Whether the target may have been written: until this run gave its lock back, only the source can have moved on."""
    return run.view.step(StepKind.UNLOCK_TARGET, state.name).state is not StepState.UNTOUCHED


def was_surely_closed(state: PlannedState, run: Run) -> bool:
    """Whether nobody can have written the target: its lock was never given back, although perhaps that was begun."""
    unlock = run.view.step(StepKind.UNLOCK_TARGET, state.name)
    if unlock.state is not StepState.IN_DOUBT or unlock.intent is None:
        return not was_open(state, run)
    holder = run.ports.target.read_lock(state.key, unlock.intent["lock_id"])
    return holder is not None and holder.id == unlock.intent["lock_id"]


def check_source_closed(state: PlannedState, run: Run) -> None:
    """Check that nobody else holds the source: a seal that was opened by hand is closed again, but never against somebody.

    After this run gave its lock back, whoever holds the source may be a later run, and what stands at the target be its own.

    Raises: ForeignLockError.
    """
    holder, ours = read_source_lock(run.ports.source, state.name, run.view)
    if holder is not None and not ours:
        was = "given back" if was_given_back(state, run) else "opened"
        raise ForeignLockError(
            f"the seal of {state.name} was {was}, and now it is locked by {holder.describe()}",
            where=state.name,
            now="nothing was touched",
            hint="wait until that operation ends, or roll the later run back first; then: migrator rollback",
        )


def check_source_unchanged(state: PlannedState, run: Run) -> None:
    """Check that the source serves what this run left there.

    Raises: RefusedError.
    """
    if run.ports.source.read_state(state.name).sha256 not in list_left_at_source(state, run.view):
        raise RefusedError(
            "the source serves a document that this run did not leave there: somebody wrote past the seal",
            where=state.name,
            now="nothing was touched",
            hint="compare both documents by hand; the runbook, section 'both sides moved', says how",
        )


def check_may_remove(state: PlannedState, run: Run) -> None:
    """Check that removing what stands at the target loses nothing: nobody else holds the source since the target was open, and
    the source serves what this run left there, or a successor where others may have written.

    Raises: ForeignLockError, RefusedError.
    """
    if not _would_be_removed(state, run):
        return
    closed = was_surely_closed(state, run)
    if not closed:
        check_source_closed(state, run)
    head = run.ports.source.read_state(state.name)
    if head.sha256 in list_left_at_source(state, run.view) - {None}:
        return
    if closed and head.presence is Presence.PRESENT:
        return  # nobody was ever sent to the target: what the source serves is what there is
    if was_given_back(state, run) and _is_successor(state, head, run):
        return
    raise RefusedError(
        f"the source does not serve the document of {state.name} that stands at the target",
        where=state.name,
        now="the target's document was left as it is",
        hint="compare both documents by hand; the runbook, section 'both sides moved', says how",
    )


def _would_be_removed(state: PlannedState, run: Run) -> bool:
    publish = run.view.step(StepKind.PUBLISH, state.name)
    if publish.state in (StepState.UNTOUCHED, StepState.UNDONE):
        return False
    carried = run.view.step(StepKind.CARRY_BACK, state.name).evidence is not None
    ours = state.sha256 is not None and not state.adopted
    return (ours or carried) and run.ports.target.read_state(state.key).presence is Presence.PRESENT


def _is_successor(state: PlannedState, head: Head, run: Run) -> bool:
    left = run.view.step(StepKind.CARRY_BACK, state.name).evidence or {"serial": state.serial}
    lineage = (run.view.step(StepKind.CAPTURE_TARGET, state.name).evidence or {}).get("lineage", state.lineage)
    if head.presence is not Presence.PRESENT:
        return False
    try:
        found = read_snapshot(head.data)
    except InvalidStateError:
        return False
    return compare_other_bytes(lineage=lineage or "", serial=left["serial"] or 0, other=found) is Relation.NEWER


def close_source(state: PlannedState, run: Run) -> None:
    """Hold the source's lock: the one that this run took, or the same again where somebody forced it open.

    Raises: ForeignLockError, RefusedError when somebody wrote meanwhile.
    """
    lock = run.view.step(StepKind.LOCK_SOURCE, state.name)
    info = run.ports.build_lock("migrator: state moves back", lock_id=str((lock.intent or {})["lock_id"]))
    run.ports.source.acquire_lock(state.name, info)
    check_source_unchanged(state, run)


def carry_back(states: Sequence[PlannedState], run: Run) -> None:
    """Write what was captured last of each state to the source; what was begun with exactly that is settled by looking."""
    captured = {state.name: run.view.step(StepKind.CAPTURE_TARGET, state.name).evidence for state in states}
    carries = {state.name: run.view.step(StepKind.CARRY_BACK, state.name) for state in states}

    def is_begun(state: PlannedState) -> bool:
        intent = carries[state.name].intent or {}
        return intent.get("sha256") == (captured[state.name] or {}).get("sha256")

    do_for_states([state for state in states if not is_begun(state)], CarryBack, run, again=True)
    do_for_states([state for state in states if is_begun(state)], CarryBack, run)


def list_carried(plan: Plan, run: Run) -> tuple[Carried, ...]:
    """Return the states whose newer document this run brought home."""
    found = ((state, run.view.step(StepKind.CARRY_BACK, state.name).evidence) for state in plan.states)
    return tuple(
        Carried(name=state.name, serial_before=state.serial, serial_after=int(evidence["serial"]))
        for state, evidence in found
        if evidence is not None
    )
