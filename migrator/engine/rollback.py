"""Backward: return the authority to the source, also when the target has moved on.

The order keeps the invariant: lock the target, remove our rule at the source, read the target's head under its lock, carry
a newer document back, restore the files, remove our object, give back the target's lock, and last the source's. Everything that could block is looked at
before the first effect; what blocks is explained, and nothing is touched.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from migrator.backends.base import Head, Presence
from migrator.engine.events import Event
from migrator.engine.guard import digest_of_head, read_source_lock
from migrator.engine.parallel import run_for_states
from migrator.engine.phases import Phase, StepKind
from migrator.engine.run import Run
from migrator.engine.step import Step
from migrator.engine.steps import CaptureTarget, CarryBack, build_chains, build_state_step
from migrator.engine.steps.finalize import Finalize
from migrator.engine.steps.protect_source import check_may_unprotect
from migrator.engine.steps.unlock_target import held_target_lock
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
from migrator.plan.model import Plan, PlannedFile, PlannedState
from migrator.state.relation import Relation, compare_other_bytes
from migrator.state.snapshot import digest_of, read_snapshot

# These say themselves what is true now, and leave nothing to undo.
PASSED_ON = (StoppedError, JournalWriteError, InternalError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A state whose newer document was brought home: its serial before and after."""

    name: str
    serial_before: int | None
    serial_after: int


def rollback(plan: Plan, run: Run) -> tuple[Carried, ...]:
    """Undo the run and return the states that were carried back.

    Raises: RefusedError or CheckFailedError when something blocks it, BackendError when nothing was touched yet;
    StoppedError when it stopped part-way.
    """
    if run.view.outcome == Phase.FINALIZED:
        Finalize(run_id=run.view.run_id, bucket=plan.target.bucket).undo(run.ports, {}, {})
    if run.view.outcome in (Phase.ROLLED_BACK, "refused"):
        return _carried(plan, run)
    began = run.view.rolling_back
    try:
        check_before_rollback(plan, run)
        if not began:
            run.record(RecordKind.ROLLBACK, {"reason": "migrator rollback"})
            began = True
        _take_back(plan, run)
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
    run.record(RecordKind.OUTCOME, {"outcome": Phase.ROLLED_BACK})
    return _carried(plan, run)


def _take_back(plan: Plan, run: Run) -> None:
    run.tell(Event(name="stage", step="lock"))
    _close_both_sides(plan, run)
    run.tell(Event(name="stage", step="carry"))
    _carry_newer(plan, run)
    run.tell(Event(name="stage", step="files"))
    files = [chain[0] for chain in reversed(build_chains((StepKind.CUT_OVER_FILE,), plan))]
    run.begin_undo(files)
    for file in files:
        run.undo(file)
    run.tell(Event(name="stage", step="release"))
    _undo_for_states(plan.states, (StepKind.PUBLISH, StepKind.LOCK_TARGET, StepKind.LOCK_SOURCE), run)


def give_locks_back(plan: Plan, run: Run) -> None:
    """Undo the locks of a run that wrote nothing else."""
    _undo_for_states(plan.states, (StepKind.LOCK_TARGET, StepKind.LOCK_SOURCE), run)


def _undo_for_states(states: Sequence[PlannedState], kinds: Sequence[StepKind], run: Run) -> None:
    """Undo steps of each state in this order, all intents first."""
    steps = {state.name: [build_state_step(kind, state) for kind in kinds] for state in states}
    run.begin_undo(step for of_state in steps.values() for step in of_state)

    def undo(state: PlannedState) -> None:
        for step in steps[state.name]:
            run.undo(step)

    run_for_states(states, undo, workers=run.workers)


def check_before_rollback(plan: Plan, run: Run) -> None:
    """Look at everything that could block, without an effect.

    Raises: RefusedError, ForeignLockError, BackendError.
    """
    for file in plan.files:
        if run.view.step(StepKind.CUT_OVER_FILE, file.path).state not in (StepState.UNTOUCHED, StepState.UNDONE):
            _check_file(file, run)
    run_for_states(plan.states, lambda state: _check_state(state, run), workers=run.workers)


def _check_file(file: PlannedFile, run: Run) -> None:
    found = run.ports.work_tree.read(file.path)
    digest = None if found is None else digest_of(found)
    if digest not in (file.pre_sha256, file.post_sha256):
        raise RefusedError(
            f"{file.path} was edited after the cut-over; restoring it would lose the edit",
            where=file.path,
            now="nothing was touched",
            hint=f"take the edit back (git diff, git log -- {file.path}), then: migrator rollback",
        )
    if digest != file.pre_sha256 and file.pre_sha256 is not None and not run.ports.blobs.has(file.pre_sha256):
        raise RefusedError(
            f"the copy of {file.path} that this run kept is missing or damaged",
            where=file.path,
            now="nothing was touched",
            hint=f"put the file back by hand (git checkout -- {file.path}), then: migrator rollback",
        )
    run.ports.work_tree.check_writable(file.path)


def _check_state(state: PlannedState, run: Run) -> None:
    publish = run.view.step(StepKind.PUBLISH, state.name).state
    if publish in (StepState.UNTOUCHED, StepState.UNDONE):
        return  # nothing of ours is at the target but perhaps a lock, which undo gives back by its ID only
    check_may_unprotect(run.ports, run.view, state.name)
    if _was_open(state, run):
        _check_source_closed(state, run)
        _check_source_unchanged(state, run)
    held = run.view.step(StepKind.LOCK_TARGET, state.name).intent or {}
    ours = held_target_lock(run.view, state.name)
    known = {ours, str(held.get("lock_id", ""))} - {""}
    holder = run.ports.target.read_lock(state.key, ours)
    if holder is not None and holder.id not in known:
        raise ForeignLockError(
            f"{state.key} is locked at the target by {holder.describe()}",
            where=state.name,
            now="nothing was touched",
            hint="wait until that operation ends, then: migrator rollback",
        )
    read_newer(state, run)


def _was_open(state: PlannedState, run: Run) -> bool:
    """Whether the target may have been written: until this run gave its lock back, only the source can have moved on."""
    return run.view.step(StepKind.UNLOCK_TARGET, state.name).state is not StepState.UNTOUCHED


def _check_source_closed(state: PlannedState, run: Run) -> None:
    """Nobody else may hold the source: a seal that was opened by hand is closed again, but never against somebody."""
    lock = run.view.step(StepKind.LOCK_SOURCE, state.name)
    if lock.intent is None or lock.state in (StepState.UNDONE, StepState.UNDO_IN_DOUBT):
        return
    holder, ours = read_source_lock(run.ports.source, state.name, run.view)
    if holder is not None and not ours:
        raise ForeignLockError(
            f"the seal of {state.name} was opened, and now it is locked by {holder.describe()}",
            where=state.name,
            now="nothing was touched",
            hint="wait until that operation ends, then: migrator rollback",
        )


def _check_source_unchanged(state: PlannedState, run: Run) -> None:
    carried = run.view.step(StepKind.CARRY_BACK, state.name).intent
    allowed = {state.sha256, carried["sha256"] if carried else state.sha256}
    if digest_of_head(run.ports.source.read_state(state.name)) not in allowed:
        raise RefusedError(
            "the source serves a document that this run did not leave there: somebody wrote past the seal",
            where=state.name,
            now="nothing was touched",
            hint="compare both documents by hand; the runbook, section 'both sides moved', says how",
        )


def _close_both_sides(plan: Plan, run: Run) -> None:
    """Hold both locks and nothing more, as before cut-over. A seal whose lock was opened by hand and not used is closed
    again, once the rule that would forbid it is gone.
    """
    opened = [state for state in plan.states if _may_be_open(state, run)]
    closed = {name for name, is_open in _for_each(opened, _is_still_locked, run).items() if is_open}
    opened = [state for state in opened if state.name not in closed]
    _undo_for_states(opened, (StepKind.UNLOCK_TARGET,), run)
    _undo_for_states(plan.states, (StepKind.PROTECT_SOURCE,), run)
    run_for_states(opened, lambda state: _close_source(state, run), workers=run.workers)


def _may_be_open(state: PlannedState, run: Run) -> bool:
    lock = run.view.step(StepKind.LOCK_SOURCE, state.name)
    given_back = lock.state in (StepState.UNDONE, StepState.UNDO_IN_DOUBT)
    return lock.intent is not None and not given_back and _was_open(state, run)


def _is_still_locked(state: PlannedState, run: Run) -> bool:
    """Whether the target's lock of the way forward turns out to be in place: giving it back was in doubt."""
    unlock = run.view.step(StepKind.UNLOCK_TARGET, state.name)
    if unlock.state is not StepState.IN_DOUBT or unlock.intent is None:
        return False
    return not run.settle(build_state_step(StepKind.UNLOCK_TARGET, state), unlock.intent)


def _close_source(state: PlannedState, run: Run) -> None:
    lock = run.view.step(StepKind.LOCK_SOURCE, state.name)
    info = run.ports.build_lock("migrator: state moves back", lock_id=str((lock.intent or {})["lock_id"]))
    run.ports.source.acquire_lock(state.name, info)
    _check_source_unchanged(state, run)


def _carry_newer(plan: Plan, run: Run) -> None:
    left = [s for s in plan.states if run.view.step(StepKind.CARRY_BACK, s.name).state is not StepState.DONE]
    newer = _for_each(left, read_newer, run)
    states = [state for state in left if newer[state.name]]
    for build in (CaptureTarget, CarryBack):
        _do_for_states(states, build, run)


def _do_for_states(states: Sequence[PlannedState], build: Callable[[PlannedState], Step], run: Run) -> None:
    steps = {state.name: build(state) for state in states}
    run.begin(steps.values())
    run_for_states(states, lambda state: run.do(steps[state.name]), workers=run.workers)


def _for_each(
    states: Sequence[PlannedState], look: Callable[[PlannedState, Run], bool], run: Run
) -> Mapping[str, bool]:
    """Return what ``look`` says of each state, by name."""
    found: dict[str, bool] = {}

    def work(state: PlannedState) -> None:
        found[state.name] = look(state, run)

    run_for_states(states, work, workers=run.workers)
    return found


def read_newer(state: PlannedState, run: Run) -> bool:
    """Return whether the target holds a newer document of this state that must be carried back.

    Raises: RefusedError when what stands there is neither ours nor a successor of it.
    """
    if run.view.step(StepKind.PUBLISH, state.name).state is not StepState.DONE:
        return False  # in doubt: whatever stands there, nobody was ever sent to it
    head = run.ports.target.read_state(state.key)
    if head.presence is not Presence.PRESENT:
        if state.sha256 is None:
            return False
        raise _blocked(state, "the target no longer holds the state that this run published")
    if digest_of(head.data) == state.sha256:
        return False
    _check_successor(state, head)
    return True


def _check_successor(state: PlannedState, head: Head) -> None:
    try:
        snapshot = read_snapshot(head.data)
    except InvalidStateError as error:
        raise _blocked(state, f"what stands at the target cannot be carried back: {error.message}") from None
    if state.sha256 is None:
        return
    relation = compare_other_bytes(lineage=state.lineage or "", serial=state.serial or 0, other=snapshot)
    if relation is not Relation.NEWER:
        raise _blocked(state, f"the document at the target is {relation} to the one that this run published")


def _blocked(state: PlannedState, what: str) -> RefusedError:
    return RefusedError(
        what,
        where=f"{state.name}, key {state.key}",
        now="nothing was taken back for this state",
        hint="the runbook, section 'rollback is blocked', says how to decide by hand",
    )


def _carried(plan: Plan, run: Run) -> tuple[Carried, ...]:
    found = ((state, run.view.step(StepKind.CARRY_BACK, state.name).evidence) for state in plan.states)
    return tuple(
        Carried(name=state.name, serial_before=state.serial, serial_after=int(evidence["serial"]))
        for state, evidence in found
        if evidence is not None
    )
