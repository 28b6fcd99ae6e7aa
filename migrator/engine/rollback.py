"""Backward: return the authority to the source, also when the target has moved on.

The order keeps the invariant: lock the target, remove our rule at the source, read the target's head under its lock,
carry a newer document back, restore the files, remove our object, give back the target's lock, and last the source's.
Everything that could block is looked at before the first effect; what blocks is explained, and nothing is touched.

After a way back ``without_target`` it closes the target that answers again: what was written there meanwhile is carried
back too, as long as nobody wrote to the source.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from migrator.backends.base import Head, Presence
from migrator.engine.events import Event
from migrator.engine.left_files import check_files
from migrator.engine.parallel import run_for_states
from migrator.engine.phases import Phase, StepKind
from migrator.engine.run import Run
from migrator.engine.step import Step
from migrator.engine.steps import CaptureTarget, build_state_step
from migrator.engine.steps.finalize import Finalize
from migrator.engine.steps.protect_source import check_may_unprotect
from migrator.engine.steps.unlock_target import held_target_lock
from migrator.engine.taking_back import (
    Carried,
    carry_back,
    check_may_remove,
    check_source_closed,
    check_source_unchanged,
    close_source,
    do_for_states,
    go_back,
    list_carried,
    restore_files,
    undo_for_states,
    was_given_back,
    was_open,
    was_surely_closed,
)
from migrator.errors import BackendUnreachableError, ForeignLockError, InvalidStateError, RefusedError
from migrator.journal.fold import StepState
from migrator.plan.model import Plan, PlannedState
from migrator.state.relation import Relation, compare_other_bytes
from migrator.state.snapshot import digest_of, read_snapshot

Found = TypeVar("Found")

_NO_TARGET = "when it answers again: migrator rollback; if it is lost: migrator rollback --without-target"


def rollback(plan: Plan, run: Run) -> tuple[Carried, ...]:
    """Undo the run and return the states that were carried back.

    Raises: RefusedError or CheckFailedError when something blocks it, BackendError when nothing was touched yet;
    StoppedError when it stopped part-way.
    """
    if run.view.outcome == Phase.FINALIZED:
        Finalize(run_id=run.view.run_id, bucket=plan.target.bucket).undo(run.ports, {}, {})
    over = run.view.outcome in (Phase.ROLLED_BACK, "refused")
    if not over or run.view.target_left:
        go_back(plan, run, check=check_before_rollback, take_back=_take_back)
    return list_carried(plan, run)


def _take_back(plan: Plan, run: Run) -> None:
    run.tell(Event(name="stage", step="lock"))
    _close_both_sides(plan, run)
    run.tell(Event(name="stage", step="carry"))
    carried = _carry_newer(plan, run)
    run_for_states(plan.states, lambda state: check_may_remove(state, run), workers=run.workers)
    run.tell(Event(name="stage", step="files"))
    restore_files(plan, run)
    run.tell(Event(name="stage", step="release"))
    # Where a newer document came home since, it is that one that may be removed, whatever an earlier attempt meant to.
    run.begin_undo([build_state_step(StepKind.PUBLISH, state) for state in carried], again=True)
    undo_for_states(plan.states, (StepKind.PUBLISH, StepKind.LOCK_TARGET, StepKind.LOCK_SOURCE), run)


def check_before_rollback(plan: Plan, run: Run) -> None:
    """Look at everything that could block, without an effect.

    Raises: RefusedError, ForeignLockError, BackendError.
    """
    check_files(plan, run)
    _check_target_answers(plan, run)
    run_for_states(plan.states, lambda state: _check_state(state, run), workers=run.workers)


def _check_target_answers(plan: Plan, run: Run) -> None:
    if not plan.states:
        return
    try:
        run.ports.target.read_lock(plan.states[0].key, "")
    except BackendUnreachableError as error:
        raise name_way_without_target(error) from None


def name_way_without_target(error: BackendUnreachableError) -> BackendUnreachableError:
    """Return the error of a target that does not answer, with the way back that needs none."""
    return BackendUnreachableError(
        error.message, where=error.where, now=error.now or "nothing was touched", hint=_NO_TARGET
    )


def _check_state(state: PlannedState, run: Run) -> None:
    publish = run.view.step(StepKind.PUBLISH, state.name).state
    if publish in (StepState.UNTOUCHED, StepState.UNDONE):
        return  # nothing of ours is at the target but perhaps a lock, which undo gives back by its ID only
    check_may_unprotect(run.ports, run.view, state.name)
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
    newer = read_newer(state, run)
    sealed = not was_given_back(state, run) and not was_surely_closed(state, run)
    if newer is not None or sealed:
        check_source_closed(state, run)
        check_source_unchanged(state, run)
    check_may_remove(state, run)


def _close_both_sides(plan: Plan, run: Run) -> None:
    """Hold both locks and nothing more, as before cut-over. A seal whose lock was opened by hand and not used is closed
    again, once the rule that would forbid it is gone.
    """
    # Whose target lock is being given back was closed before; that its lock is gone says nothing of the way forward.
    opened = [state for state in plan.states if was_open(state, run) and not _is_being_unlocked(state, run)]
    locked = _for_each(opened, _is_still_locked, run)
    opened = [state for state in opened if not locked[state.name]]
    undo_for_states(opened, (StepKind.UNLOCK_TARGET,), run)
    undo_for_states(plan.states, (StepKind.PROTECT_SOURCE,), run)
    run_for_states(plan.states, lambda state: _close_target(state, run), workers=run.workers)
    sealed = [state for state in opened if not was_given_back(state, run)]
    run_for_states(sealed, lambda state: close_source(state, run), workers=run.workers)


def _close_target(state: PlannedState, run: Run) -> None:
    """Take the target's lock that this run holds by its journal again, with its ID, where somebody forced it open.

    Raises: ForeignLockError.
    """
    publish = run.view.step(StepKind.PUBLISH, state.name)
    lock_id = held_target_lock(run.view, state.name)
    if not lock_id or publish.evidence is None or publish.state is StepState.UNDONE:
        return  # nothing of ours stands there, or its lock may be given back already
    holder = run.ports.target.read_lock(state.key, lock_id)
    if holder is None:
        info = run.ports.build_lock("migrator: state moves back to GitLab", lock_id=lock_id)
        run.ports.target.acquire_lock(state.key, info)


def _is_being_unlocked(state: PlannedState, run: Run) -> bool:
    return run.view.step(StepKind.LOCK_TARGET, state.name).undo_intent is not None


def _is_still_locked(state: PlannedState, run: Run) -> bool:
    """Whether the target's lock of the way forward turns out to be in place: giving it back was in doubt."""
    unlock = run.view.step(StepKind.UNLOCK_TARGET, state.name)
    if unlock.state is not StepState.IN_DOUBT or unlock.intent is None:
        return False
    return not run.settle(build_state_step(StepKind.UNLOCK_TARGET, state), unlock.intent)


def _carry_newer(plan: Plan, run: Run) -> list[PlannedState]:
    """Bring home what is newer at the target, and return whose it was."""
    found = _for_each(plan.states, read_newer, run)
    states = [state for state in plan.states if found[state.name] is not None]
    _lock_sources(states, run)
    stale = [state for state in states if _captured(state, run) != found[state.name]]
    do_for_states(stale, lambda state: CaptureTarget(state, found[state.name] or ""), run, again=True)
    carry_back(states, run)
    return states


def _lock_sources(states: Sequence[PlannedState], run: Run) -> None:
    """Hold the source's lock of every state that is written there: taken anew where it was given back, or forced open."""
    anew = [state for state in states if was_given_back(state, run)]

    def build(state: PlannedState) -> Step:
        return build_state_step(StepKind.LOCK_SOURCE, state)

    undo_for_states(anew, (StepKind.LOCK_SOURCE,), run)  # one that is in doubt must not stand in our own way
    do_for_states(anew, build, run, again=True)
    run_for_states(states, lambda state: close_source(state, run), workers=run.workers)


def _captured(state: PlannedState, run: Run) -> str | None:
    return (run.view.step(StepKind.CAPTURE_TARGET, state.name).evidence or {}).get("sha256")


def _for_each(
    states: Sequence[PlannedState], look: Callable[[PlannedState, Run], Found], run: Run
) -> Mapping[str, Found]:
    """Return what ``look`` says of each state, by name."""
    found: dict[str, Found] = {}

    def work(state: PlannedState) -> None:
        found[state.name] = look(state, run)

    run_for_states(states, work, workers=run.workers)
    return found


def read_newer(state: PlannedState, run: Run) -> str | None:
    """Return the digest of a document at the target that must be carried back, None when the source has it already.

    Raises: RefusedError when what stands there is neither ours nor a successor of what the source has.
    """
    publish = run.view.step(StepKind.PUBLISH, state.name)
    if publish.evidence is None or publish.state is StepState.UNDONE:
        return None  # in doubt: nobody was ever sent to what stands there; taken back: nothing of ours stands there
    home = run.view.step(StepKind.CARRY_BACK, state.name).evidence or {
        "sha256": state.sha256,
        "serial": state.serial,
        "lineage": state.lineage,
    }
    head = run.ports.target.read_state(state.key)
    if head.presence is not Presence.PRESENT:
        # A target that was given up for dead may come back without what it held: there is nothing to close then.
        if state.sha256 is None or publish.state is StepState.UNDO_IN_DOUBT or run.view.target_left:
            return None
        raise _blocked(state, "the target no longer holds the state that this run published")
    digest = digest_of(head.data)
    if digest in (home["sha256"], state.sha256):
        return None
    _check_successor(state, head, serial=home["serial"])
    return digest


def _check_successor(state: PlannedState, head: Head, *, serial: int | None) -> None:
    try:
        snapshot = read_snapshot(head.data)
    except InvalidStateError as error:
        raise _blocked(state, f"what stands at the target cannot be carried back: {error.message}") from None
    if state.sha256 is None:
        return
    relation = compare_other_bytes(lineage=state.lineage or "", serial=serial or 0, other=snapshot)
    if relation is not Relation.NEWER:
        raise _blocked(state, f"the document at the target is {relation} to the one that this run left at the source")


def _blocked(state: PlannedState, what: str) -> RefusedError:
    return RefusedError(
        what,
        where=f"{state.name}, key {state.key}",
        now="nothing was taken back for this state",
        hint="the runbook, section 'rollback is blocked', says how to decide by hand",
    )
