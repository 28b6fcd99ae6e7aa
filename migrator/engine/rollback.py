"""Backward: return the authority to the source, also when the target has moved on.

The order keeps the invariant: lock the target, read its head under that lock, carry a newer document back, restore the
files, remove our object, give back the target's lock, and last the source's. Everything that could block is looked at
before the first effect; what blocks is explained, and nothing is touched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from migrator.backends.base import Head, Presence
from migrator.engine.events import Event
from migrator.engine.phases import Phase, StepKind
from migrator.engine.run import Run, run_in_parallel
from migrator.engine.steps import CaptureTarget, CarryBack, build_chains, build_state_step
from migrator.engine.steps.unlock_target import held_target_lock
from migrator.errors import BackendError, ForeignLockError, RefusedError, StoppedError
from migrator.journal.fold import StepState
from migrator.journal.record import RecordKind
from migrator.plan.model import Plan, PlannedState
from migrator.state.relation import Relation, compare_snapshots
from migrator.state.snapshot import digest_of, read_snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A state whose newer document was brought home: its serial before and after."""

    name: str
    serial_before: int | None
    serial_after: int


def rollback(plan: Plan, run: Run) -> tuple[Carried, ...]:
    """Undo the run and return the states that were carried back.

    Raises: RefusedError when something blocks it; StoppedError when it stopped part-way.
    """
    if run.view.outcome == Phase.FINALIZED:
        raise RefusedError("this run was finalized: the way back was given up", hint="migrator status")
    if run.view.outcome in (Phase.ROLLED_BACK, "refused"):
        return _carried(plan, run)
    started = run.view.rolling_back
    try:
        check_before_rollback(plan, run)
        if not started:
            run.record(RecordKind.ROLLBACK, {"reason": "migrator rollback"})
            started = True
        _each_state(plan, run, "lock", lambda state: _close_both_sides(state, run))
        _each_state(plan, run, "carry", lambda state: _carry_newer(state, run))
        run.listen(Event(name="stage", step="files"))
        for chain in reversed(build_chains((StepKind.CUT_OVER_FILE,), plan)):
            run.undo(chain[0])
        _each_state(plan, run, "release", lambda state: _give_up_target(state, run))
    except BackendError as error:
        if not started:
            raise
        raise StoppedError(
            error.message,
            where=error.where,
            now="the rollback is part-way; the journal is intact",
            hint="migrator rollback",
        ) from error
    run.record(RecordKind.OUTCOME, {"outcome": Phase.ROLLED_BACK})
    return _carried(plan, run)


def give_locks_back(plan: Plan, run: Run) -> None:
    """Undo the locks of a run that wrote nothing else."""
    for state in plan.states:
        run.undo(build_state_step(StepKind.LOCK_TARGET, state))
        run.undo(build_state_step(StepKind.LOCK_SOURCE, state))


def check_before_rollback(plan: Plan, run: Run) -> None:
    """Look at everything that could block, without an effect.

    Raises: RefusedError, ForeignLockError, BackendError.
    """
    for file in plan.files:
        if run.view.step(StepKind.CUT_OVER_FILE, file.path).state is not StepState.UNTOUCHED:
            found = run.ports.work_tree.read(file.path)
            if (None if found is None else digest_of(found)) not in (file.pre_sha256, file.post_sha256):
                raise RefusedError(
                    f"{file.path} was edited after the cut-over; restoring it would lose the edit",
                    where=file.path,
                    now="nothing was touched",
                    hint=f"undo the edit (git diff {file.path}), then: migrator rollback",
                )
            run.ports.work_tree.check_writable(file.path)
    run_in_parallel([partial(_check_state, state, run) for state in plan.states], workers=run.workers)


def _check_state(state: PlannedState, run: Run) -> None:
    if run.view.step(StepKind.LOCK_SOURCE, state.name).state in (StepState.UNTOUCHED, StepState.UNDONE):
        return
    _check_source_unchanged(state, run)
    ours = held_target_lock(run.view, state.name)
    holder = run.ports.target.read_lock(state.key, ours)
    known = {ours, str((run.view.step(StepKind.LOCK_TARGET, state.name).intent or {}).get("lock_id", ""))}
    if holder is not None and holder.id not in known:
        raise ForeignLockError(
            f"{state.key} is locked at the target by {holder.describe()}",
            where=state.name,
            now="nothing was touched",
            hint="wait until that operation ends, then: migrator rollback",
        )
    read_newer(state, run)


def _check_source_unchanged(state: PlannedState, run: Run) -> None:
    carried = run.view.step(StepKind.CARRY_BACK, state.name).intent
    allowed = {state.sha256, carried["sha256"] if carried else state.sha256}
    head = run.ports.source.read_state(state.name)
    found = digest_of(head.data) if head.presence is Presence.PRESENT else None
    captured = run.view.step(StepKind.CAPTURE, state.name).evidence is not None
    if captured and found not in allowed:
        raise RefusedError(
            "the source serves a document that this run did not leave there: somebody wrote past the seal",
            where=state.name,
            now="nothing was touched",
            hint="compare both documents by hand; the runbook, section 'both sides moved', says how",
        )


def _close_both_sides(state: PlannedState, run: Run) -> None:
    """Hold both locks, as before cut-over. A seal that was opened by hand and not used is closed again."""
    lock = run.view.step(StepKind.LOCK_SOURCE, state.name)
    if lock.intent is None or lock.state in (StepState.UNDONE, StepState.UNDO_IN_DOUBT):
        return
    info = run.ports.build_lock("migrator: state moves back", lock_id=str(lock.intent["lock_id"]))
    run.ports.source.acquire_lock(state.name, info)
    unlock = build_state_step(StepKind.UNLOCK_TARGET, state)
    view = run.view.step(StepKind.UNLOCK_TARGET, state.name)
    if view.state is StepState.IN_DOUBT and view.intent is not None and not run.settle(unlock, view.intent):
        return  # the lock of the way forward is still in place
    run.undo(unlock)


def _carry_newer(state: PlannedState, run: Run) -> None:
    if run.view.step(StepKind.CARRY_BACK, state.name).state is StepState.DONE:
        return
    if read_newer(state, run):
        run.do(CaptureTarget(state))
        run.do(CarryBack(state))


def read_newer(state: PlannedState, run: Run) -> bool:
    """Return whether the target holds a newer document of this state that must be carried back.

    Raises: RefusedError when what stands there is neither ours nor a successor of it.
    """
    publish = run.view.step(StepKind.PUBLISH, state.name)
    if publish.state in (StepState.UNTOUCHED, StepState.UNDONE, StepState.UNDO_IN_DOUBT):
        return False
    head = run.ports.target.read_state(state.key)
    if head.presence is not Presence.PRESENT:
        if state.sha256 is None or publish.state is StepState.IN_DOUBT:
            return False
        raise _blocked(state, "the target no longer holds the state that this run published")
    if digest_of(head.data) == state.sha256:
        return False
    _check_successor(state, head, run)
    return True


def _check_successor(state: PlannedState, head: Head, run: Run) -> None:
    if state.sha256 is None:
        read_snapshot(head.data)
        return
    relation = compare_snapshots(read_snapshot(run.ports.blobs.read(state.sha256)), read_snapshot(head.data))
    if relation is not Relation.NEWER:
        raise _blocked(state, f"the document at the target is {relation} to the one that this run published")


def _give_up_target(state: PlannedState, run: Run) -> None:
    for kind in (StepKind.PUBLISH, StepKind.LOCK_TARGET, StepKind.LOCK_SOURCE):
        run.undo(build_state_step(kind, state))


def _blocked(state: PlannedState, what: str) -> RefusedError:
    return RefusedError(
        what,
        where=f"{state.name}, key {state.key}",
        now="nothing was taken back for this state",
        hint="the runbook, section 'rollback is blocked', says how to decide by hand",
    )


def _each_state(plan: Plan, run: Run, stage: str, work: Callable[[PlannedState], None]) -> None:
    run.listen(Event(name="stage", step=stage))
    run_in_parallel([partial(work, state) for state in plan.states], workers=run.workers)


def _carried(plan: Plan, run: Run) -> tuple[Carried, ...]:
    found = ((state, run.view.step(StepKind.CARRY_BACK, state.name).evidence) for state in plan.states)
    return tuple(
        Carried(name=state.name, serial_before=state.serial, serial_after=int(evidence["serial"]))
        for state, evidence in found
        if evidence is not None
    )
