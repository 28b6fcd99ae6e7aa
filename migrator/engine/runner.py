"""Forward: carry out a plan stage by stage. Running it again is resume; it discovers, asks and decides nothing."""

from migrator.engine.events import Event
from migrator.engine.guard import (
    check_before_first_effect,
    check_locks_held,
    check_still_ours,
    check_target_keeps_out,
)
from migrator.engine.parallel import run_for_states
from migrator.engine.phases import FORWARD, REVERSIBLE_STAGE, Phase, StepKind
from migrator.engine.run import Run
from migrator.engine.step import Step
from migrator.engine.steps import build_chains
from migrator.engine.taking_back import PASSED_ON, give_locks_back
from migrator.errors import (
    CheckFailedError,
    CredentialsRefusedError,
    MigratorError,
    RefusedError,
    StalePlanError,
    StoppedError,
)
from migrator.journal.fold import StepState
from migrator.journal.record import RecordKind
from migrator.plan.model import Plan, PlannedState

# Before these stages the world is looked at once more: people and pipelines see the files, and anybody may write then.
_GUARDED = (Phase.CUT_OVER, Phase.MIGRATED)


def migrate(plan: Plan, run: Run, *, until: Phase = Phase.MIGRATED) -> Phase:
    """Carry the plan out up to ``until`` and return the phase that the run is in then.

    Raises: RefusedError and CheckFailedError when a rule or a check says no: before anything was written, all locks are
    given back first. BackendError when nothing had been done yet, StoppedError for every other end part-way.
    """
    if run.view.outcome in (Phase.MIGRATED, Phase.FINALIZED):
        return Phase(run.view.outcome)
    if run.view.outcome in (Phase.ROLLED_BACK, "refused"):
        raise RefusedError(
            f"this run is over: it was {run.view.outcome}",
            where=run.view.run_id,
            now="this command did nothing",
            hint="migrator plan",
        )
    if run.view.rolling_back:
        raise RefusedError("this run is being rolled back", where=run.view.run_id, hint="migrator rollback")
    first_attempt = not run.view.steps
    try:
        check_before_first_effect(plan, run)
        for phase, kinds in FORWARD:
            if phase not in run.view.barriers:
                if phase is Phase.CHECKED and not first_attempt:
                    check_locks_held(plan, run)
                _run_stage(plan, run, phase, kinds)
            if phase is until and until is not Phase.MIGRATED:
                return Phase(run.view.barriers[-1])
    except PASSED_ON:
        raise
    except MigratorError as error:
        if first_attempt and _is_definite_refusal(run, error):
            run.record(RecordKind.OUTCOME, {"outcome": "refused"})
            error.now = "nothing was locked and nothing was written"
            raise
        explained = _explain(plan, run, error)
        if explained is error:
            raise
        raise explained from error
    run.record(RecordKind.OUTCOME, {"outcome": Phase.MIGRATED})
    return Phase.MIGRATED


def _is_definite_refusal(run: Run, error: MigratorError) -> bool:
    """Whether every effect that was tried was refused for the credentials, so that none took place (a Developer's token)."""
    tried = run.view.steps.values()
    return (
        isinstance(error, CredentialsRefusedError)
        and bool(tried)
        and all(view.state is StepState.IN_DOUBT for view in tried)
    )


def _explain(plan: Plan, run: Run, error: MigratorError) -> MigratorError:
    """Return the error that says what is true now, after giving back what a refusal before the first write had locked."""
    refused = isinstance(error, RefusedError | CheckFailedError)
    if not run.view.steps:
        return error
    if refused and REVERSIBLE_STAGE not in run.view.barriers:
        _unwind(plan, run, error)
        error.now = "nothing was written, and no lock is held by this run"
        return error
    if isinstance(error, CheckFailedError):
        error.now = error.now or _progress(plan, run)
        # A new plan is of no use while this run holds the locks.
        error.hint = "migrator rollback" if error.hint in (None, StalePlanError.default_hint) else error.hint
        return error
    return StoppedError(
        error.message, where=error.where, now=_progress(plan, run), hint=error.hint or "migrator migrate"
    )


def _run_stage(plan: Plan, run: Run, phase: Phase, kinds: tuple[StepKind, ...]) -> None:
    if phase in _GUARDED:
        check_still_ours(plan, run)
    chains = build_chains(kinds, plan)
    run.tell(Event(name="stage", step=phase, detail=str(sum(len(chain) for chain in chains))))
    run.begin(step for chain in chains for step in chain)
    if kinds == (StepKind.CUT_OVER_FILE,):
        # One file after the other, in the order of the plan: people can follow it, and there is nothing to gain.
        for chain in chains:
            run.do(chain[0])
    else:
        _run_chains(plan, run, chains, workers=2 if StepKind.PROVE in kinds else run.workers)
    run.record(RecordKind.BARRIER, {"barrier": phase})
    run.tell(Event(name="barrier", step=phase))


def _run_chains(plan: Plan, run: Run, chains: list[list[Step]], *, workers: int) -> None:
    by_unit = {chain[0].unit: chain for chain in chains}
    if chains and chains[0][0].kind is StepKind.LOCK_SOURCE:
        # Of two machines that begin at the same time, who has this lock has all, and the other one is in nobody's way.
        # And what the target's first lock shows holds for the rest.
        for step in chains[0][:2]:
            run.do(step)
        check_target_keeps_out(plan, run)

    def work(state: PlannedState) -> None:
        for step in by_unit.get(state.name, ()):
            run.do(step)

    run_for_states(plan.states, work, workers=workers)


def _unwind(plan: Plan, run: Run, error: MigratorError) -> None:
    """Give back what this run locked before it was refused.

    Raises: StoppedError when that did not succeed.
    """
    run.record(RecordKind.ROLLBACK, {"reason": error.message})
    try:
        give_locks_back(plan, run)
    except PASSED_ON:
        raise
    except MigratorError as failure:
        raise StoppedError(
            f"{error.message}; and the locks of this run could not all be given back: {failure.message}",
            where=failure.where,
            now="nothing was written, but this run still holds locks",
            hint="migrator rollback",
        ) from failure
    run.record(RecordKind.OUTCOME, {"outcome": "refused"})


def _progress(plan: Plan, run: Run) -> str:
    reached = run.view.barriers[-1] if run.view.barriers else Phase.PLANNED
    done = len(run.view.units(StepKind.CHECK_TARGET, StepState.DONE))
    files = len(run.view.units(StepKind.CUT_OVER_FILE, StepState.DONE))
    sources = len(run.view.units(StepKind.LOCK_SOURCE, StepState.DONE))
    targets = len(run.view.units(StepKind.LOCK_TARGET, StepState.DONE))
    targets -= len(run.view.units(StepKind.UNLOCK_TARGET, StepState.DONE))
    return (
        f"phase {reached}; {done} of {len(plan.states)} states checked at the target, "
        f"{files} of {len(plan.files)} files cut over; this run holds {sources} locks at the source and {targets} at "
        "the target; the journal is intact"
    )
