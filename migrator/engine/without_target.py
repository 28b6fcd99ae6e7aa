"""Backward when the target is dead: the source gets the newest document that this run captured, and that is all there is.

Nothing is asked of the target, so what was written there after this run opened it may be missing; ``list_losses`` says
what, before anything is done. What the run left at the target stays recorded as left: should the target come back,
``rollback`` closes it, and until then nobody may reach it.
"""

from dataclasses import dataclass

from migrator.engine.events import Event
from migrator.engine.left_files import check_files
from migrator.engine.parallel import run_for_states
from migrator.engine.phases import Phase, StepKind
from migrator.engine.run import Run
from migrator.engine.steps.finalize import Finalize
from migrator.engine.steps.protect_source import check_may_unprotect
from migrator.engine.taking_back import (
    Carried,
    carry_back,
    check_source_closed,
    check_source_unchanged,
    close_source,
    go_back,
    list_carried,
    restore_files,
    undo_for_states,
    was_given_back,
    was_open,
)
from migrator.errors import BackendError, CredentialsRefusedError, RefusedError
from migrator.journal.fold import RunView, StepState
from migrator.plan.model import Plan, PlannedState


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a state may lose: the source gets ``serial``, and the target was open from ``since`` (RFC 3339 UTC) on.

    ``since`` None: nobody could write there after what is at hand. ``serial`` None: nothing was ever written before.
    """

    name: str
    serial: int | None
    since: str | None

    def describe(self) -> str:
        """Return one line for people."""
        if self.since is None:
            return f"{self.name}: nothing is missing, nobody could write there after what this run holds"
        if self.serial is None:
            return f"{self.name}: open at the target since {self.since}; whatever was first written there is missing"
        return (
            f"{self.name}: GitLab gets serial {self.serial}; the target was open since {self.since}, "
            f"so serials from {self.serial + 1} on, if any were written, are missing"
        )


def list_losses(plan: Plan, view: RunView) -> tuple[Loss, ...]:
    """Return what each state may lose, in the order of the plan."""
    return tuple(_find_loss(state, view) for state in plan.states)


def _find_loss(state: PlannedState, view: RunView) -> Loss:
    captured = view.step(StepKind.CAPTURE_TARGET, state.name).evidence
    serial = int(captured["serial"]) if captured else state.serial
    unlock = view.step(StepKind.UNLOCK_TARGET, state.name)
    published = view.step(StepKind.PUBLISH, state.name).state
    closed = unlock.state is StepState.UNTOUCHED or published is StepState.UNDONE
    # Captured under the lock that the way back took: whoever obeys locks has written nothing after it.
    safe = captured is not None and unlock.state is StepState.UNDONE
    return Loss(name=state.name, serial=serial, since=None if closed or safe else unlock.begun_at)


def check_target_is_dead(plan: Plan, run: Run) -> None:
    """Check that the target does not answer: while it does, the way back with it loses nothing.

    Raises: RefusedError; CredentialsRefusedError, for a store that refuses somebody lives.
    """
    if not plan.states:
        return
    try:
        run.ports.target.read_lock(plan.states[0].key, "")
    except CredentialsRefusedError as error:
        raise CredentialsRefusedError(
            f"the target answers, and refuses: {error.message}",
            where=error.where,
            now="nothing was touched",
            hint=error.hint,
        ) from None
    except BackendError:
        return
    raise RefusedError(
        "the target answers, so nothing needs to be lost",
        where=f"s3://{plan.target.bucket} at {plan.target.endpoint}",
        now="nothing was touched",
        hint="migrator rollback",
    )


def rollback_without_target(plan: Plan, run: Run) -> tuple[Carried, ...]:
    """Return the authority to the source with what this run captured; return the states that got a newer document.

    Raises: as ``rollback``.
    """
    if run.view.outcome == Phase.FINALIZED:
        Finalize(run_id=run.view.run_id, bucket=plan.target.bucket).undo(run.ports, {}, {})
    if run.view.outcome not in (Phase.ROLLED_BACK, "refused"):
        go_back(plan, run, check=_check, take_back=_take_back, without_target=True)
    return list_carried(plan, run)


def _check(plan: Plan, run: Run) -> None:
    check_files(plan, run)
    check_target_is_dead(plan, run)
    run_for_states(_list_sealed(plan, run), lambda state: _check_state(state, run), workers=run.workers)


def _check_state(state: PlannedState, run: Run) -> None:
    check_may_unprotect(run.ports, run.view, state.name)
    check_source_closed(state, run)
    check_source_unchanged(state, run)


def _list_sealed(plan: Plan, run: Run) -> list[PlannedState]:
    """The states whose target may have been open and whose source is ours to close."""
    return [state for state in plan.states if was_open(state, run) and not was_given_back(state, run)]


def _take_back(plan: Plan, run: Run) -> None:
    run.tell(Event(name="stage", step="carry"))
    undo_for_states(plan.states, (StepKind.PROTECT_SOURCE,), run)
    run_for_states(_list_sealed(plan, run), lambda state: close_source(state, run), workers=run.workers)
    carry_back([state for state in plan.states if _has_newer_blob(state, run)], run)
    run.tell(Event(name="stage", step="files"))
    restore_files(plan, run)
    run.tell(Event(name="stage", step="release"))
    undo_for_states(plan.states, (StepKind.LOCK_SOURCE,), run)


def _has_newer_blob(state: PlannedState, run: Run) -> bool:
    """Whether an earlier attempt at the way back captured a newer document under the target's lock."""
    return run.view.step(StepKind.CAPTURE_TARGET, state.name).state is StepState.DONE
