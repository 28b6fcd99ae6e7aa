"""Forward: carry out a plan stage by stage. Running it again is resume; it discovers, asks and decides nothing."""

from functools import partial

from migrator.engine.events import Event
from migrator.engine.guard import check_before_first_effect, check_still_ours
from migrator.engine.phases import FORWARD, REVERSIBLE_STAGE, Phase, StepKind
from migrator.engine.rollback import give_locks_back
from migrator.engine.run import ByteBudget, Run, run_in_parallel
from migrator.engine.step import Step
from migrator.engine.steps import build_chains
from migrator.errors import BackendError, CheckFailedError, MigratorError, RefusedError, StoppedError
from migrator.journal.fold import StepState
from migrator.journal.record import RecordKind
from migrator.plan.model import Plan

# Before these stages the world is looked at once more: from here on people and pipelines see the change.
_GUARDED = {Phase.CUT_OVER}


def migrate(plan: Plan, run: Run, *, until: Phase = Phase.MIGRATED) -> Phase:
    """Carry the plan out up to ``until`` and return the phase that was reached.

    Raises: RefusedError and CheckFailedError (nothing left behind when it happens before the first write),
    BackendError when nothing had been done yet, StoppedError otherwise.
    """
    if run.view.rolling_back:
        raise RefusedError("this run is being rolled back", hint="migrator rollback")
    begun = any(view.state is StepState.DONE for view in run.view.steps.values())
    try:
        check_before_first_effect(plan, run)
        for phase, kinds in FORWARD:
            if phase not in run.view.barriers:
                _run_stage(plan, run, phase, kinds)
            if phase is until and until is not Phase.MIGRATED:
                return phase
    except (RefusedError, CheckFailedError) as error:
        # Before anything was written a refusal leaves no trace: the locks taken so far are given back.
        if not begun and REVERSIBLE_STAGE not in run.view.barriers:
            _unwind(plan, run, error)
        raise
    except BackendError as error:
        if not any(view.state is not StepState.UNTOUCHED for view in run.view.steps.values()):
            raise
        raise StoppedError(
            error.message, where=error.where, now=_progress(plan, run), hint=error.hint or "migrator migrate"
        ) from error
    run.record(RecordKind.OUTCOME, {"outcome": Phase.MIGRATED})
    return Phase.MIGRATED


def _run_stage(plan: Plan, run: Run, phase: Phase, kinds: tuple[StepKind, ...]) -> None:
    if phase in _GUARDED:
        check_still_ours(plan, run)
    chains = build_chains(kinds, plan)
    run.listen(Event(name="stage", step=phase, detail=str(sum(len(chain) for chain in chains))))
    if kinds == (StepKind.CUT_OVER_FILE,):
        # One file after the other, in the order of the plan: people can follow it, and there is nothing to gain.
        for chain in chains:
            run.do(chain[0])
    else:
        _run_chains(plan, run, chains, workers=2 if StepKind.PROVE in kinds else run.workers)
    run.record(RecordKind.BARRIER, {"barrier": phase})
    run.listen(Event(name="barrier", step=phase))


def _run_chains(plan: Plan, run: Run, chains: list[list[Step]], *, workers: int) -> None:
    sizes = {state.name: state.size for state in plan.states}
    budget = ByteBudget(max(sizes.values(), default=0))

    def work(chain: list[Step]) -> None:
        with budget.take(sizes[chain[0].unit]):
            for step in chain:
                run.do(step)

    run_in_parallel([partial(work, chain) for chain in chains], workers=workers)


def _unwind(plan: Plan, run: Run, error: MigratorError) -> None:
    """Give back what an attempt locked before it was refused, so that the message may say that nothing is held."""
    run.record(RecordKind.ROLLBACK, {"reason": error.message})
    give_locks_back(plan, run)
    run.record(RecordKind.OUTCOME, {"outcome": "refused"})
    error.now = error.now or "nothing was written, and no lock is held by this run"


def _progress(plan: Plan, run: Run) -> str:
    reached = run.view.barriers[-1] if run.view.barriers else Phase.PLANNED
    done = len(run.view.units(StepKind.CHECK_TARGET, StepState.DONE))
    files = len(run.view.units(StepKind.CUT_OVER_FILE, StepState.DONE))
    return (
        f"phase {reached}; {done} of {len(plan.states)} states checked at the target, "
        f"{files} of {len(plan.files)} files cut over; the journal is intact"
    )
