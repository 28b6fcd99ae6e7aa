"""``migrator rollback``: return the authority to GitLab, with what changed at the target since."""

from typing import Annotated

import typer
from rich.markup import escape

from migrator.cli.dialogue import confirm, describe_run, show_status
from migrator.cli.files_here import bring_files_along
from migrator.cli.invocation import Invocation
from migrator.cli.working import Working, open_existing
from migrator.engine.phases import Phase, StepKind
from migrator.engine.rollback import rollback as take_back
from migrator.engine.steps.finalize import build_final_refusal
from migrator.engine.taking_back import Carried
from migrator.engine.without_target import list_losses, rollback_without_target
from migrator.errors import UsageError
from migrator.journal.fold import RunView, StepState
from migrator.report.run import build_carried_report, build_files_report
from migrator.report.tables import build_count


def rollback(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Run id or directory; default: the latest.")] = None,
    yes: Annotated[bool, typer.Option("--yes", envvar="MIGRATOR_YES", help="Do not ask.")] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            envvar="MIGRATOR_TAKE_OVER",
            help="Go on with a run that another machine holds: its process is dead for certain.",
        ),
    ] = False,
    without_target: Annotated[
        bool,
        typer.Option(
            "--without-target",
            envvar="MIGRATOR_WITHOUT_TARGET",
            help="The target is dead: bring back what this run captured, and say what may be missing.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="MIGRATOR_DRY_RUN", help="Say what would be done and stop.")
    ] = False,
) -> None:
    """Return the authority to GitLab. A state that moved on at the target is carried back first.

    Example: migrator rollback --dry-run
    """
    invocation: Invocation = context.obj
    working = open_existing(invocation, run, later=not without_target)
    view = working.run.read_view() if without_target else working.read_newest_view()
    if not view.run_id:
        raise UsageError(
            "this run never began: its journal is empty", where=working.run.run_id, hint="migrator migrate"
        )
    if view.outcome == Phase.FINALIZED:
        raise build_final_refusal(working.run.run_id)
    what = _describe(view)
    if without_target:
        for loss in list_losses(working.plan, view):
            invocation.output.say(f"  {loss.describe()}")
    if dry_run:
        first = "nothing would be asked of the target" if without_target else "newer states would be carried back first"
        ended = _find_end(view, without_target=without_target)
        said = f"run {escape(working.run.run_id)} is {ended} already" if ended else f"would bring {what}; {first}"
        invocation.output.show(f"{said} (--dry-run)")
        show_status(working, working.read_status(view), carried=[])
        return
    if _find_end(view, without_target=without_target) is None:
        working.read_secrets()
        if not yes:
            named = f"{run} " if run else ""
            again = f"migrator rollback {named}{'--without-target ' if without_target else ''}--yes"
            confirm(invocation, f"Roll back {describe_run(working, view)}: {what}?", command=again)
    with invocation.home.locked():
        working = working.fetch(command="migrator rollback", take_over=take_over)
        _roll_back(working, take_over=take_over, without_target=without_target)


def _find_end(view: RunView, *, without_target: bool) -> str | None:
    """Return how the run ended, if there is nothing left for this command to take back."""
    over = view.outcome in (Phase.ROLLED_BACK, "refused") and (without_target or not view.target_left)
    return view.outcome if over else None


def _describe(view: RunView) -> str:
    if view.target_left:
        return "what it left at the target removed, and anything newer there carried back"
    states = len(view.units(StepKind.LOCK_SOURCE, StepState.DONE, StepState.IN_DOUBT))
    files = len(view.units(StepKind.CUT_OVER_FILE, StepState.DONE, StepState.IN_DOUBT))
    return f"{build_count(states, 'state')} back to GitLab, {build_count(files, 'file')} restored"


def _roll_back(working: Working, *, take_over: bool, without_target: bool) -> None:
    output = working.invocation.output
    run_id = escape(working.run.run_id)
    carried: tuple[Carried, ...] = ()
    ended = _find_end(working.directory.read_view(), without_target=without_target)
    if ended is None:
        with working.open_run(take_over=take_over, mirrored=not without_target) as opened:
            # Another machine may have been here before.
            ended = _find_end(opened.view, without_target=without_target)
            if ended is None:
                output.say(f"rolling back run {run_id}")
                carried = (rollback_without_target if without_target else take_back)(working.plan, opened)
            working.remove_proof_copies()
    files = bring_files_along(working)
    if ended:
        said = "no backend was touched" if files.changed else "nothing to do"
        output.show(f"run {run_id} is {ended} already; {said}", *build_files_report(files))
    else:
        output.show(
            "",
            *build_carried_report(carried),
            *build_files_report(files),
            "[bold]rolled back[/bold]: GitLab is the authority again for "
            f"{build_count(len(working.plan.states), 'state')}; no lock of this run is held",
            "next: keep the target's clients away from it; as soon as it answers again: migrator rollback, which closes it"
            if without_target
            else "next: review the restored files with git status",
        )
    show_status(working, working.read_status(), carried=carried)
