"""Read-only checks before effects: is the world still as the plan, and later this run, left it?"""

from collections.abc import Mapping

from migrator.backends.base import ListedState, StateSource
from migrator.backends.lock_info import LockInfo
from migrator.engine.parallel import run_for_states
from migrator.engine.phases import StepKind
from migrator.engine.run import Run
from migrator.engine.steps.unlock_target import held_target_lock
from migrator.errors import CredentialsRefusedError, ForeignLockError, RefusedError, StalePlanError
from migrator.journal.fold import RunView, StepState
from migrator.journal.record import Body
from migrator.plan.model import Plan, PlannedState


def check_before_first_effect(plan: Plan, run: Run) -> None:
    """Check what can be seen without an effect: reachable, nobody holds a lock, no newer version, files writable.

    Raises: BackendError, ForeignLockError, StalePlanError, RefusedError.
    """
    if plan.blockers:
        raise RefusedError(
            f"a plan with a blocker is never carried out: {plan.blockers[0].message}",
            where=f"{plan.blockers[0].code}: {plan.blockers[0].where}",
            now="nothing was touched",
            hint="settle it, then: migrator plan",
        )
    listed = {state.name: state for state in run.ports.source.list_states()}
    for state in plan.states:
        if run.view.step(StepKind.LOCK_SOURCE, state.name).state is StepState.UNTOUCHED:
            _check_listed(state, listed)
    for file in plan.files:
        run.ports.work_tree.check_writable(file.path)
    if plan.states:
        _check_first_target_lock(plan.states[0], run)


def _check_first_target_lock(state: PlannedState, run: Run) -> None:
    """One request settles whether the target answers and knows us. The lock of every other state is settled by its own
    conditional write, once this one has shown that the store obeys the condition.
    """
    holder = run.ports.target.read_lock(state.key, "")
    if holder is not None and run.view.step(StepKind.LOCK_TARGET, state.name).state is StepState.UNTOUCHED:
        raise ForeignLockError(
            f"{state.key} is locked at the target by {holder.describe()}",
            where=state.name,
            now="nothing was touched",
            hint="wait until that operation ends, then: migrator migrate",
        )


def check_target_keeps_out(plan: Plan, run: Run) -> None:
    """Check, at the lock of this run on the first state, that the target refuses whoever comes second: since the plan's probe
    something may have come between that drops conditions. A target that the probe found unsafe, and the operator took
    upon himself, is not asked again.

    Raises: UnsafeTargetError, BackendError.
    """
    if plan.probe.verdict != "safe":
        return
    state = plan.states[0]
    run.ports.target.check_lock(state.key, held_target_lock(run.view, state.name))


def _check_listed(state: PlannedState, listed: Mapping[str, ListedState]) -> None:
    found = listed.get(state.name)
    if found is None or found.deleted:
        raise StalePlanError(f"the source no longer lists {state.name}", where=state.name, now="nothing was touched")
    if found.locked:
        raise ForeignLockError(
            f"{state.name} is locked at the source by {found.locked_by or 'somebody'} since {found.locked_at}",
            where=state.name,
            now="nothing was touched",
            hint="wait until that operation ends, then: migrator migrate",
        )
    if found.serial != state.serial:
        raise StalePlanError(
            f"{state.name} is at serial {found.serial}, the plan saw serial {state.serial}",
            where=state.name,
            now="nothing was touched",
        )


def check_still_ours(plan: Plan, run: Run) -> None:
    """Check that both locks are ours and both documents are the captured one: before files change, and once more before
    the target's lock is given back.

    A maintainer may have forced the source's lock open since; then nothing goes on.

    Raises: RefusedError, BackendError.
    """
    run_for_states(plan.states, lambda state: _check_state(state, run), workers=run.workers)


def check_locks_held(plan: Plan, run: Run) -> None:
    """Check that both locks are still ours: before a run that is gone on with publishes, since nobody knows how long ago it
    took them.

    Raises: RefusedError, BackendError.
    """
    states = [state for state in plan.states if _is_to_publish(state, run)]
    run_for_states(states, lambda state: _check_locks(state, run), workers=run.workers)


def _is_to_publish(state: PlannedState, run: Run) -> bool:
    return run.view.step(StepKind.PUBLISH, state.name).state is not StepState.DONE


def _check_state(state: PlannedState, run: Run) -> None:
    unlock = run.view.step(StepKind.UNLOCK_TARGET, state.name).state
    if unlock not in (StepState.UNTOUCHED, StepState.IN_DOUBT):
        return  # the target may be written already
    if unlock is StepState.IN_DOUBT and not _find_target_holder(state, run)[1]:
        return  # its lock was given back before the run stopped
    _check_locks(state, run)
    sides = (
        ("source", run.ports.source.read_state(state.name).sha256),
        ("target", run.ports.target.read_state(state.key).sha256),
    )
    for side, found in sides:
        if found != state.sha256:
            raise RefusedError(
                f"the document at the {side} changed although this run holds its lock",
                where=state.name,
                hint="migrator rollback, then make a new plan",
            )


def _check_locks(state: PlannedState, run: Run) -> None:
    for side, (holder, ours) in (
        ("target", _find_target_holder(state, run)),
        ("source", read_source_lock(run.ports.source, state.name, run.view)),
    ):
        if not ours:
            raise _lost(state, side, holder.describe() if holder else "nobody")


def _find_target_holder(state: PlannedState, run: Run) -> tuple[LockInfo | None, bool]:
    """Return who holds the target's lock, and whether it is this run."""
    target_lock = held_target_lock(run.view, state.name)
    holder = run.ports.target.read_lock(state.key, target_lock)
    return holder, holder is not None and holder.id == target_lock


def read_source_lock(source: StateSource, name: str, run: RunView) -> tuple[LockInfo | None, bool]:
    """Return who holds the source's lock, and whether it is this run.

    GitLab tells the ID of a lock only to those whom no protection rule keeps out: to others its user and its time must be
    those of our own.

    Raises: BackendError.
    """
    view = run.step(StepKind.LOCK_SOURCE, name)
    lock = {**(view.intent or {}), **(view.evidence or {})}
    rule = source.read_protection(name).rule
    try:
        kept_out = rule is not None and rule.keeps_everybody_out
        holder = source.read_lock(name, "" if kept_out else str(lock.get("lock_id", "")))
    except CredentialsRefusedError:
        if rule is None:
            raise
        holder = source.read_lock(name, "")
    return holder, holder is not None and _is_ours(holder, lock)


def _is_ours(holder: LockInfo, lock: Body) -> bool:
    if holder.id:
        return holder.id == lock.get("lock_id")
    return (holder.who, _second(holder.created)) == (lock.get("who"), _second(str(lock.get("created", ""))))


def _second(time: str) -> str:
    """The second of an RFC 3339 time in UTC: GitLab gives milliseconds in one place and none in another."""
    return time[:19]


def _lost(state: PlannedState, side: str, holder: str) -> RefusedError:
    return RefusedError(
        f"the lock of this run at the {side} is gone; it is held by {holder}",
        where=state.name,
        hint="find out who opened it; then: migrator rollback",
    )
