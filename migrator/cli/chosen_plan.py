"""Which plan ``migrate`` carries out, and which run of it goes on: here, or from where another machine left it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.cli.invocation import Invocation
from migrator.cli.naming import AnyRun, find_run
from migrator.cli.tofu_program import check_program, find_proving_program
from migrator.engine.mirrored_run import MirroredRun, list_runs, read_mirrored_plan, read_mirrored_run
from migrator.engine.phases import Phase, StepKind
from migrator.engine.work_tree import LocalWorkTree
from migrator.errors import BackendError, ConfigurationError, MigratorError, RefusedError
from migrator.inventory.tree import RepositoryTree
from migrator.journal.fold import StepState
from migrator.plan.codec import decode_plan, digest_of_plan
from migrator.plan.freshness import check_files
from migrator.plan.model import Plan
from migrator.report.tables import build_count
from migrator.state.snapshot import digest_of

if TYPE_CHECKING:
    from migrator.cli.wiring import Secrets

_OVER = (Phase.ROLLED_BACK, "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPlan:
    """A plan with the bytes that it was read as, and the run of it that was found with it, or None."""

    data: bytes
    plan: Plan
    digest: str
    where: str
    run: AnyRun | None = None


def choose_plan(invocation: Invocation, path: Path | None) -> ChosenPlan:
    """Return the plan at ``path``, or the default one; where there is none, that of the latest run, wherever it is.

    Raises: ConfigurationError, and whatever ``decode_plan`` raises.
    """
    file = path or invocation.home.default_plan
    run: AnyRun | None = None
    try:
        data, where = file.read_bytes(), str(file)
    except OSError as error:
        run = None if path else _find_begun(invocation)
        if run is None:
            raise ConfigurationError(
                f"the plan cannot be read: {error.strerror}", where=str(file), hint="migrator plan"
            ) from None
        data, where = run.read_plan_bytes(), run.where
    plan = decode_plan(data, where=where)
    return ChosenPlan(data=data, plan=plan, digest=digest_of_plan(plan), where=where, run=run)


def _find_begun(invocation: Invocation) -> AnyRun | None:
    """Return the latest run that was left part-way, or complete; None where there is none, or nobody can tell."""
    try:
        found = find_run(invocation, None, later=True)
        view = found.read_view()
    except MigratorError:
        return None
    return found if view.run_id and view.outcome not in _OVER else None


def choose_program(chosen: ChosenPlan, invocation: Invocation, tree: RepositoryTree) -> ChosenPlan:
    """Return the plan with a program that proves on this machine: another one names its own.

    Raises: RefusedError, ConfigurationError.
    """
    if chosen.plan.proof == "off":
        return chosen
    if isinstance(chosen.run, MirroredRun) or not Path(chosen.plan.tofu).exists():
        program = find_proving_program(invocation.read_settings(), invocation.environment, tree.root)
        return replace(chosen, plan=replace(chosen.plan, tofu=program))
    check_program(chosen.plan.tofu, invocation.environment, tree.root, where=chosen.where)
    return chosen


def check_blockers(plan: Plan) -> None:
    """Check that nothing stands in the way of a plan.

    Raises: RefusedError.
    """
    if plan.blockers:
        first = plan.blockers[0]
        raise RefusedError(
            f"the plan has {build_count(len(plan.blockers), 'blocker')}",
            where=f"{first.code}: {first.where}",
            now="nothing was touched",
            hint="settle them, then: migrator plan",
        )


def find_unfinished(invocation: Invocation, digest: str) -> AnyRun | None:
    """Return the run of this plan here that can go on, or that completed.

    Raises: RefusedError when another plan's run is part-way: two half-done migrations are nobody's intention.
    """
    same: AnyRun | None = None
    for run in invocation.home.runs():
        view = run.read_view()
        if view.plan_digest == digest and view.outcome not in _OVER:
            same = run
        elif view.outcome is None and view.steps:
            raise RefusedError(
                f"run {run.run_id}, of another plan, is part-way",
                where=str(run.path),
                now="this command did nothing",
                hint=f"migrator status {run.run_id}",
            )
    return same


def find_same_plan(invocation: Invocation, chosen: ChosenPlan, secrets: "Secrets") -> MirroredRun | None:
    """Return the run of this plan that another machine left in the bucket and that can go on, or that completed. One that is
    here, too, is over here, whatever the bucket knows of it by now.

    A bucket that does not answer hides none: what that run holds cannot be taken.

    Raises: JournalError.
    """
    from migrator.cli.wiring import build_run_store

    if not chosen.plan.target.run_prefix:
        return None
    store = build_run_store(chosen.plan.target, secrets)
    here = {run.run_id for run in invocation.home.runs()}
    try:
        for run_id in reversed(list_runs(store)):
            if (
                run_id not in here
                and run_id.endswith(f"-{chosen.digest[:8]}")
                and read_mirrored_plan(store, run_id) == chosen.data
            ):
                found = read_mirrored_run(store, run_id)
                if found.journal and found.read_view().outcome not in _OVER:
                    return found
    except BackendError:
        pass
    return None


def check_goes_forward(run: AnyRun) -> None:
    """Check that a run is not on its way back.

    Raises: RefusedError.
    """
    if run.read_view().rolling_back:
        raise RefusedError(
            f"run {run.run_id} is being rolled back",
            where=run.where,
            now="this command did nothing",
            hint="migrator rollback",
        )


def check_fresh(plan: Plan, tree: RepositoryTree, existing: AnyRun | None) -> None:
    """Check that the files are those that the plan read; of a run that goes on also those that it left.

    Raises: StalePlanError, RefusedError.
    """
    work_tree = LocalWorkTree(tree.root)

    def digest_at(path: str) -> str | None:
        # Not what the tree read: a directory on the way may be a link since the plan was made.
        data = work_tree.read(path)
        return None if data is None else digest_of(data)

    if existing is None:
        check_files(plan, digest_at)
        return
    view = existing.read_view()
    if view.outcome is None:
        touched = view.units(StepKind.CUT_OVER_FILE, StepState.IN_DOUBT, StepState.DONE)
        # A new plan is of no use while this run holds locks.
        check_files(
            plan,
            digest_at,
            allowed_post=touched,
            hint="undo the edit, then: migrator migrate; or: migrator rollback",
        )
