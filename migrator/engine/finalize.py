"""What must hold before a run is made final. Giving up the way back is ``steps/finalize``."""

from collections.abc import Sequence

from migrator.engine.phases import Phase
from migrator.engine.run import Run
from migrator.engine.steps.finalize import Finalize
from migrator.engine.verify import Check
from migrator.errors import RefusedError
from migrator.journal.fold import RunView
from migrator.journal.record import RecordKind
from migrator.plan.model import Plan


def check_may_finalize(plan: Plan, view: RunView, *, confirm: str) -> None:
    """Check that there is something to finalize and that the operator typed the bucket's name.

    Raises: RefusedError.
    """
    if view.outcome != Phase.MIGRATED:
        raise RefusedError(
            f"only a migrated run can be finalized; this one is {view.outcome or 'not complete'}",
            where=view.run_id,
            now="nothing was touched",
            hint="migrator status",
        )
    check_confirmation(plan, confirm)


def check_confirmation(plan: Plan, confirm: str) -> None:
    """Check that the operator typed the bucket's name.

    Raises: RefusedError.
    """
    if confirm != plan.target.bucket:
        raise RefusedError(
            "the confirmation does not name the target's bucket",
            where="--confirm",
            now="nothing was touched",
            hint=f"migrator finalize --confirm {plan.target.bucket}",
        )


def finalize(plan: Plan, run: Run, checks: Sequence[Check]) -> None:
    """Make the run final.

    Raises: RefusedError when a check of ``verify`` failed.
    """
    failed = [check for check in checks if not check.ok and check.name != "file"]
    if failed:
        raise RefusedError(
            f"{len(failed)} checks of verify fail, so the target is not known to be good",
            where=f"{failed[0].subject}: {failed[0].name}, {failed[0].found}",
            now="nothing was touched; the way back is still open",
            hint="migrator verify",
        )
    step = Finalize(run_id=run.view.run_id, bucket=plan.target.bucket)
    run.begin([step])
    run.do(step)
    run.record(RecordKind.OUTCOME, {"outcome": Phase.FINALIZED})
