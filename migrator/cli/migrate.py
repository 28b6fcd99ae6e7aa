"""``migrator migrate``: carry out a plan. Running it again resumes."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from migrator import __version__
from migrator.cli.chosen_plan import (
    ChosenPlan,
    check_blockers,
    check_fresh,
    check_goes_forward,
    choose_plan,
    choose_program,
    find_same_plan,
    find_unfinished,
)
from migrator.cli.dialogue import confirm, describe_run, show_status
from migrator.cli.files_here import bring_files_along, find_behind
from migrator.cli.invocation import Invocation, read_clock
from migrator.cli.naming import AnyRun
from migrator.cli.working import Working
from migrator.engine.left_files import BroughtAlong
from migrator.engine.phases import FORWARD, Phase, StepKind
from migrator.engine.runner import migrate as carry_out
from migrator.inventory.tree import RepositoryTree, is_shallow, read_repository_identity
from migrator.journal.record import FORMAT, RecordKind
from migrator.plan.freshness import check_repository
from migrator.plan.model import Plan
from migrator.report.run import build_files_report
from migrator.report.tables import build_count, build_table


def migrate(
    context: typer.Context,
    plan: Annotated[Path | None, typer.Argument(help="The plan; default: .migrator/plan.json.")] = None,
    yes: Annotated[bool, typer.Option("--yes", envvar="MIGRATOR_YES", help="Do not ask.")] = False,
    until: Annotated[
        Literal["checked", "proven", "cut-over"] | None,
        typer.Option("--until", envvar="MIGRATOR_UNTIL", help="Stop at this barrier."),
    ] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            envvar="MIGRATOR_TAKE_OVER",
            help="Go on with a run that another machine holds: its process is dead for certain.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="MIGRATOR_DRY_RUN", help="Show the steps and stop.")
    ] = False,
) -> None:
    """Move the states, prove the result, cut the files over. Running it again resumes where it stopped.

    Example: migrator migrate --until proven --yes
    """
    invocation: Invocation = context.obj
    tree = invocation.discover_tree()
    chosen = choose_plan(invocation, plan)
    check_blockers(chosen.plan)
    if not is_shallow(tree.root):
        check_repository(chosen.plan, read_repository_identity(tree.root))
    chosen = choose_program(chosen, invocation, tree)
    if dry_run:
        _show_steps(invocation, chosen.plan)
        return
    if not chosen.plan.states and not chosen.plan.files:
        # No run: an empty one would be the latest, which rollback, verify and status take when none is named.
        invocation.output.say("nothing to migrate: no state moves and no file changes")
        invocation.output.document({"format": "migrator.status/1", "run": None, "plan": chosen.digest, "states": []})
        return
    from migrator.cli.wiring import read_secrets

    run = find_unfinished(invocation, chosen.digest) or chosen.run
    if run is None or run.read_view().outcome != Phase.MIGRATED:
        # Missing credentials are told before a person is asked and before a run exists.
        secrets = read_secrets(chosen.plan.source, chosen.plan.target, invocation.environment)
        run = run or find_same_plan(invocation, chosen, secrets)
    if run is not None:
        check_goes_forward(run)
    check_fresh(chosen.plan, tree, run)
    if run is not None and run.read_view().outcome == Phase.MIGRATED:
        _show_over(Working(invocation=invocation, run=run, plan=chosen.plan, digest=chosen.digest, tree=tree))
        return
    command = f"migrator migrate {plan}" if plan else "migrator migrate"
    if not yes:
        confirm(invocation, _build_question(invocation, chosen, run, tree), command=f"{command} --yes")
    with invocation.home.locked():
        run = find_unfinished(invocation, chosen.digest) or run
        run = run or invocation.home.create_run(_build_run_id(invocation, chosen.digest), chosen.data)
        working = Working(invocation=invocation, run=run, plan=chosen.plan, digest=chosen.digest, tree=tree)
        working = working.fetch(command=command, take_over=take_over)
        reached, files = _work(working, Phase(until) if until else Phase.MIGRATED, command=command, take_over=take_over)
    _show_end(working, reached, files)


def _build_question(invocation: Invocation, chosen: ChosenPlan, run: AnyRun | None, tree: RepositoryTree) -> str:
    plan = chosen.plan
    what = (
        f"move {build_count(len(plan.states), 'state')} to s3://{plan.target.bucket} and change "
        f"{build_count(len(plan.files), 'file')}"
    )
    if run is None or not run.read_view().run_id:
        return f"{what[0].upper()}{what[1:]}?"
    working = Working(invocation=invocation, run=run, plan=plan, digest=chosen.digest, tree=tree)
    return f"Go on with {describe_run(working, run.read_view())} to {what}?"


def _show_over(working: Working) -> None:
    output = working.invocation.output
    output.say("this plan was carried out already\nnext: migrator verify")
    if behind := find_behind(working):
        output.say(
            f"still as before the cut-over in this work tree, and left so: {escape(', '.join(behind))}; check out the "
            "commit with the cut-over"
        )
    show_status(working, working.read_status())


def _build_run_id(invocation: Invocation, digest: str) -> str:
    """Return an id that sorts behind every other: the latest run is the last one by name, even if the clock went back."""
    stamp = read_clock().replace("-", "").replace(":", "").replace(".", "")
    last = max((run.run_id.partition("-")[0] for run in invocation.home.runs()), default="")
    return f"{stamp if stamp > last else f'{last}1'}-{digest[:8]}"


def _work(working: Working, until: Phase, *, command: str, take_over: bool) -> tuple[Phase, BroughtAlong]:
    from migrator.cli.wiring import who_am_i

    output = working.invocation.output
    with working.open_run(command=command, take_over=take_over) as run:
        if not run.view.run_id:
            begin = {
                "format": FORMAT,
                "run": working.directory.run_id,
                "plan": working.digest,
                "version": __version__,
                "who": who_am_i(),
            }
            run.record(RecordKind.RUN, begin)
        resumed = " (resumed)" if run.view.steps else ""
        output.say(f"run {escape(working.directory.run_id)}{resumed}")
        # An earlier attempt may have stopped because of a file that has been corrected since.
        working.remove_proof_copies()
        try:
            reached = carry_out(working.plan, run, until=until)
        finally:
            if Phase.PROVEN in run.view.barriers:
                working.remove_proof_copies()
        return reached, bring_files_along(working)


def _show_end(working: Working, reached: Phase, brought: BroughtAlong) -> None:
    output = working.invocation.output
    status = working.read_status()
    states = build_count(len(working.plan.states), "state")
    files = build_count(status.files_cut_over, "file")
    left = build_count(len(working.plan.reports), "place")
    output.show(*build_files_report(brought))
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
