"""``migrator rollback``: return the authority to GitLab, with what changed at the target since."""

from typing import Annotated

import typer

from migrator.cli.invocation import Invocation
from migrator.cli.working import confirm, open_existing, show_status
from migrator.engine.phases import StepKind
from migrator.engine.rollback import rollback as take_back
from migrator.errors import UsageError
from migrator.journal.fold import StepState
from migrator.report.run import build_carried_report
from migrator.report.tables import build_count


def rollback(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Run id or directory; default: the latest.")] = None,
    yes: Annotated[bool, typer.Option("--yes", envvar="MIGRATOR_YES", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="MIGRATOR_DRY_RUN", help="Say what would be done and stop.")
    ] = False,
) -> None:
    """Return the authority to GitLab. A state that moved on at the target is carried back first.

    Example: migrator rollback --dry-run
    """
    invocation: Invocation = context.obj
    working = open_existing(invocation, run)
    view = working.directory.read_view()
    if not view.run_id:
        raise UsageError(
            "this run never began: its journal is empty", where=working.directory.run_id, hint="migrator migrate"
        )
    if view.outcome in ("rolled-back", "refused"):
        invocation.output.say(f"run {working.directory.run_id} is {view.outcome} already; nothing to do")
        show_status(working, working.read_status(view), carried=[])
        return
    states = len(view.units(StepKind.LOCK_SOURCE, StepState.DONE, StepState.IN_DOUBT))
    files = len(view.units(StepKind.CUT_OVER_FILE, StepState.DONE, StepState.IN_DOUBT))
    what = f"{build_count(states, 'state')} back to GitLab, {build_count(files, 'file')} restored"
    if dry_run:
        invocation.output.show(f"would bring {what}; newer states would be carried back first (--dry-run)")
        show_status(working, working.read_status(view), carried=[])
        return
    working.read_secrets()
    if not yes:
        confirm(invocation, f"Roll back run {working.directory.run_id}: {what}?", command="migrator rollback --yes")
    with invocation.home.locked(), working.open_run() as opened:
        invocation.output.say(f"rolling back run {working.directory.run_id}")
        carried = take_back(working.plan, opened)
        working.remove_proof_copies()
    invocation.output.show(
        "",
        *build_carried_report(carried),
        f"[bold]rolled back[/bold]: GitLab is the authority again for {build_count(len(working.plan.states), 'state')}; "
        "no lock of this run is held",
        "next: review the restored files with git status",
    )
    show_status(working, working.read_status(), carried=carried)
