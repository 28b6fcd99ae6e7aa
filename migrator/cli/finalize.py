"""``migrator finalize``: give up the way back. The only command without one."""

from typing import Annotated

import typer
from rich.markup import escape

from migrator.cli.checking import check_run
from migrator.cli.dialogue import show_status
from migrator.cli.files_here import find_behind
from migrator.cli.invocation import Invocation
from migrator.cli.working import open_existing
from migrator.engine.finalize import check_confirmation, check_may_finalize
from migrator.engine.finalize import finalize as give_up_the_way_back
from migrator.engine.phases import Phase
from migrator.journal.fold import RunView
from migrator.plan.model import Plan
from migrator.report.tables import build_count


def finalize(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Run id or directory; default: the latest.")] = None,
    confirm: Annotated[
        str, typer.Option("--confirm", envvar="MIGRATOR_CONFIRM", help="The bucket's name, typed out.")
    ] = "",
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            envvar="MIGRATOR_TAKE_OVER",
            help="Go on with a run that another machine holds: its process is dead for certain.",
        ),
    ] = False,
    shred_blobs: Annotated[
        bool, typer.Option("--shred-blobs", envvar="MIGRATOR_SHRED_BLOBS", help="Remove the captured documents.")
    ] = False,
) -> None:
    """End a migration for good: rollback is refused from then on. The source keeps its states and its seal.

    Example: migrator finalize --confirm tofu-state --shred-blobs
    """
    invocation: Invocation = context.obj
    working = open_existing(invocation, run, later=True)
    secrets = working.read_secrets()
    _check(working.plan, working.read_newest_view(), confirm)
    command = f"migrator finalize --confirm {working.plan.target.bucket}"
    with invocation.home.locked():
        working = working.fetch(command=command, take_over=take_over)
        with working.open_run(command=command, take_over=take_over) as opened:
            _check(working.plan, opened.view, confirm)
            if opened.view.outcome != Phase.FINALIZED:
                give_up_the_way_back(working.plan, opened, check_run(working, opened.view, secrets))
            # Blobs that were kept at first may be removed later.
            shredded = working.directory.blobs.shred() if shred_blobs else 0
            if shred_blobs and opened.mirror is not None:
                opened.mirror.shred()
    behind = find_behind(working)
    invocation.output.show(
        "[bold]finalized[/bold]: the target is the authority for good; GitLab keeps its states, sealed",
        f"{build_count(shredded, 'blob')} removed"
        if shred_blobs
        else f"captured documents are kept in {escape(str(working.directory.path / 'blobs'))} (--shred-blobs removes them)",
        *(
            [f"still as before the cut-over in this work tree, and left so: {escape(', '.join(behind))}"]
            if behind
            else []
        ),
    )
    show_status(working, working.read_status(), shredded=shredded)


def _check(plan: Plan, view: RunView, confirm: str) -> None:
    if view.outcome == Phase.FINALIZED:
        check_confirmation(plan, confirm)
    else:
        check_may_finalize(plan, view, confirm=confirm)
