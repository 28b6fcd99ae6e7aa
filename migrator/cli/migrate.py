"""``migrator migrate``: carry out a plan. Running it again resumes."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from migrator import __version__
from migrator.cli.invocation import Invocation, read_clock
from migrator.cli.tofu_program import check_program
from migrator.cli.working import Working, confirm, show_status
from migrator.engine.phases import FORWARD, Phase, StepKind
from migrator.engine.runner import migrate as carry_out
from migrator.engine.work_tree import LocalWorkTree
from migrator.errors import ConfigurationError, RefusedError
from migrator.inventory.tree import RepositoryTree, read_repository_identity
from migrator.journal.fold import StepState
from migrator.journal.record import FORMAT, RecordKind
from migrator.journal.run_directory import RunDirectory
from migrator.plan.codec import decode_plan, digest_of_plan
from migrator.plan.freshness import check_files, check_repository
from migrator.plan.model import Plan
from migrator.report.tables import build_count, build_table
from migrator.state.snapshot import digest_of

_OVER = (Phase.ROLLED_BACK, "refused")


def migrate(
    context: typer.Context,
    plan: Annotated[Path | None, typer.Argument(help="The plan; default: .migrator/plan.json.")] = None,
    yes: Annotated[bool, typer.Option("--yes", envvar="MIGRATOR_YES", help="Do not ask.")] = False,
    until: Annotated[
        Literal["checked", "proven", "cut-over"] | None,
        typer.Option("--until", envvar="MIGRATOR_UNTIL", help="Stop at this barrier."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="MIGRATOR_DRY_RUN", help="Show the steps and stop.")
    ] = False,
) -> None:
    """Move the states, prove the result, cut the files over. Running it again resumes where it stopped.

    Example: migrator migrate --until proven --yes
    """
    invocation: Invocation = context.obj
    path = plan or invocation.home.default_plan
    data, decoded = _read_plan(path)
    digest = digest_of_plan(decoded)
    tree = invocation.discover_tree()
    _check_blockers(decoded)
    check_repository(decoded, read_repository_identity(tree.root))
    if decoded.proof != "off":
        check_program(decoded.tofu, invocation.environment, tree.root, where=str(path))
    if dry_run:
        _show_steps(invocation, decoded)
        return
    if not decoded.states and not decoded.files:
        # No run: an empty one would be the latest, which rollback, verify and status take when none is named.
        invocation.output.say("nothing to migrate: no state moves and no file changes")
        invocation.output.document({"format": "migrator.status/1", "run": None, "plan": digest, "states": []})
        return
    existing = _find_unfinished(invocation, digest)
    if existing is not None:
        _check_goes_forward(existing)
    _check_fresh(decoded, tree, existing)
    if existing is not None and existing.read_view().outcome == Phase.MIGRATED:
        invocation.output.say("this plan was carried out already\nnext: migrator verify")
        working = Working(invocation=invocation, directory=existing, plan=decoded, digest=digest, tree=tree)
        show_status(working, working.read_status())
        return
    _read_credentials(invocation, decoded, tree, digest)
    if not yes:
        question = (
            f"Move {build_count(len(decoded.states), 'state')} to s3://{decoded.target.bucket} and change "
            f"{build_count(len(decoded.files), 'file')}?"
        )
        confirm(invocation, question, command=f"migrator migrate {plan or ''} --yes".replace("  ", " "))
    with invocation.home.locked():
        existing = _find_unfinished(invocation, digest)
        directory = existing or invocation.home.create_run(_build_run_id(invocation, digest), data)
        working = Working(invocation=invocation, directory=directory, plan=decoded, digest=digest, tree=tree)
        reached = _work(working, Phase(until) if until else Phase.MIGRATED)
    _show_end(working, reached)


def _read_plan(path: Path) -> tuple[bytes, Plan]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the plan cannot be read: {error.strerror}", where=str(path), hint="migrator plan"
        ) from None
    return data, decode_plan(data, where=str(path))


def _check_blockers(plan: Plan) -> None:
    if plan.blockers:
        first = plan.blockers[0]
        raise RefusedError(
            f"the plan has {build_count(len(plan.blockers), 'blocker')}",
            where=f"{first.code}: {first.where}",
            now="nothing was touched",
            hint="settle them, then: migrator plan",
        )


def _find_unfinished(invocation: Invocation, digest: str) -> RunDirectory | None:
    """Return the run of this plan that can go on, or that completed.

    Raises: RefusedError when another plan's run is part-way: two half-done migrations are nobody's intention.
    """
    same: RunDirectory | None = None
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


def _check_goes_forward(run: RunDirectory) -> None:
    if run.read_view().rolling_back:
        raise RefusedError(
            f"run {run.run_id} is being rolled back",
            where=str(run.path),
            now="this command did nothing",
            hint="migrator rollback",
        )


def _check_fresh(plan: Plan, tree: RepositoryTree, existing: RunDirectory | None) -> None:
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


def _read_credentials(invocation: Invocation, plan: Plan, tree: RepositoryTree, digest: str) -> None:
    """Fail on missing credentials before a person is asked and before a run exists."""
    Working(
        invocation=invocation, directory=RunDirectory(tree.root), plan=plan, digest=digest, tree=tree
    ).read_secrets()


def _build_run_id(invocation: Invocation, digest: str) -> str:
    """Return an id that sorts behind every other: the latest run is the last one by name, even if the clock went back."""
    stamp = read_clock().replace("-", "").replace(":", "").replace(".", "")
    last = max((run.run_id.partition("-")[0] for run in invocation.home.runs()), default="")
    return f"{stamp if stamp > last else f'{last}1'}-{digest[:8]}"


def _work(working: Working, until: Phase) -> Phase:
    output = working.invocation.output
    with working.open_run() as run:
        if not run.view.run_id:
            begin = {
                "format": FORMAT,
                "run": working.directory.run_id,
                "plan": working.digest,
                "version": __version__,
            }
            run.record(RecordKind.RUN, begin)
        resumed = " (resumed)" if run.view.steps else ""
        output.say(f"run {escape(working.directory.run_id)}{resumed}")
        # An earlier attempt may have stopped because of a file that has been corrected since.
        working.remove_proof_copies()
        try:
            return carry_out(working.plan, run, until=until)
        finally:
            if Phase.PROVEN in run.view.barriers:
                working.remove_proof_copies()


def _show_end(working: Working, reached: Phase) -> None:
    output = working.invocation.output
    status = working.read_status()
    states = build_count(len(working.plan.states), "state")
    files = build_count(status.files_cut_over, "file")
    left = build_count(len(working.plan.reports), "place")
    if reached is Phase.MIGRATED:
        output.show(
            f"\n[bold]migrated[/bold]: {states} at s3://{escape(working.plan.target.bucket)}, {files} cut over; "
            "the source is sealed",
            *(
                [f"{left} of the plan for a person to decide: migrator inventory lists what is left"]
                if working.plan.reports
                else []
            ),
            "next: migrator verify, then commit the changed files",
        )
    else:
        output.show(
            f"\nstopped at barrier [bold]{reached}[/bold] as asked: {states} safe at both sides, {files} cut over; "
            "both sides stay locked by this run",
            "next: migrator migrate to go on, or migrator rollback",
        )
    if working.plan.proof != "required":
        output.show(f"proof by plan: {working.plan.proof} (weaker than required; recorded in the plan)")
    show_status(working, status)


def _show_steps(invocation: Invocation, plan: Plan) -> None:
    rows = [
        (phase.value, ", ".join(kind.value for kind in kinds), _units(plan, kinds))
        for phase, kinds in FORWARD
        if not (phase is Phase.PROVEN and plan.proof == "off")
    ]
    invocation.output.show(build_table(("barrier", "steps", "for"), rows), "\nnothing was done (--dry-run)")
    invocation.output.document(
        {
            "format": "migrator.steps/1",
            "steps": [{"barrier": phase, "steps": steps.split(", "), "for": units} for phase, steps, units in rows],
        }
    )


def _units(plan: Plan, kinds: tuple[StepKind, ...]) -> str:
    if StepKind.CUT_OVER_FILE in kinds:
        return build_count(len(plan.files), "file")
    return build_count(len(plan.states), "state")
