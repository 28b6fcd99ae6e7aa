"""``migrator rollback``: return the authority to GitLab, with what changed at the target since."""

from typing import Annotated

import typer
from rich.markup import escape

from migrator.cli.fetching import find_or_fetch_run
from migrator.cli.invocation import Invocation
from migrator.cli.working import confirm, open_existing, show_status
from migrator.engine.phases import StepKind
from migrator.engine.rollback import rollback as take_back
from migrator.engine.without_target import list_losses, rollback_without_target
from migrator.errors import UsageError
from migrator.journal.fold import StepState
from migrator.report.run import build_carried_report
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
    working = open_existing(invocation, run, find=find_or_fetch_run)
    view = working.directory.read_view()
    if not view.run_id:
        raise UsageError(
            "this run never began: its journal is empty", where=working.directory.run_id, hint="migrator migrate"
        )
    if view.outcome in ("rolled-back", "refused") and (without_target or not view.target_left):
        invocation.output.say(f"run {escape(working.directory.run_id)} is {view.outcome} already; nothing to do")
        show_status(working, working.read_status(view), carried=[])
        return
    states = len(view.units(StepKind.LOCK_SOURCE, StepState.DONE, StepState.IN_DOUBT))
    files = len(view.units(StepKind.CUT_OVER_FILE, StepState.DONE, StepState.IN_DOUBT))
    what = f"{build_count(states, 'state')} back to GitLab, {build_count(files, 'file')} restored"
    if view.target_left:
        what = "what it left at the target removed, and anything newer there carried back"
    if without_target:
        for loss in list_losses(working.plan, view):
            invocation.output.say(f"  {loss.describe()}")
    if dry_run:
        first = "nothing would be asked of the target" if without_target else "newer states would be carried back first"
        invocation.output.show(f"would bring {what}; {first} (--dry-run)")
        show_status(working, working.read_status(view), carried=[])
        return
    working.read_secrets()
    if not yes:
        confirm(invocation, f"Roll back run {working.directory.run_id}: {what}?", command=_again(without_target))
    opening = working.open_run(take_over=take_over, mirrored=not without_target)
    with invocation.home.locked(), opening as opened:
        invocation.output.say(f"rolling back run {escape(working.directory.run_id)}")
        carried = (rollback_without_target if without_target else take_back)(working.plan, opened)
        working.remove_proof_copies()
    invocation.output.show(
        "",
        *build_carried_report(carried),
        f"[bold]rolled back[/bold]: GitLab is the authority again for {build_count(len(working.plan.states), 'state')}; "
        "no lock of this run is held",
        "next: keep the target's clients away from it; as soon as it answers again: migrator rollback, which closes it"
        if without_target
        else "next: review the restored files with git status",
    )
    show_status(working, working.read_status(), carried=carried)


def _again(without_target: bool) -> str:  # noqa: FBT001 - the flag as it was typed
    return f"migrator rollback {'--without-target ' if without_target else ''}--yes"
