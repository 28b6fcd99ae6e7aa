"""``migrator finalize``: give up the way back. The only command without one."""

from typing import Annotated

import typer
from rich.markup import escape

from migrator.cli.fetching import find_or_fetch_run
from migrator.cli.invocation import Invocation
from migrator.cli.working import open_existing, show_status
from migrator.engine.finalize import check_confirmation, check_may_finalize
from migrator.engine.finalize import finalize as give_up_the_way_back
from migrator.engine.phases import Phase
from migrator.report.tables import build_count


def finalize(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Run id or directory; default: the latest.")] = None,
    confirm: Annotated[
        str, typer.Option("--confirm", envvar="MIGRATOR_CONFIRM", help="The bucket's name, typed out.")
    ] = "",
    shred_blobs: Annotated[
        bool, typer.Option("--shred-blobs", envvar="MIGRATOR_SHRED_BLOBS", help="Remove the captured documents.")
    ] = False,
) -> None:
    """End a migration for good: rollback is refused from then on. The source keeps its states and its seal.

    Example: migrator finalize --confirm tofu-state --shred-blobs
    """
    invocation: Invocation = context.obj
    working = open_existing(invocation, run, find=find_or_fetch_run)
    secrets = working.read_secrets()
    with invocation.home.locked(), working.open_run() as opened:
        if opened.view.outcome == Phase.FINALIZED:
            # Blobs that were kept at first may be removed later.
            check_confirmation(working.plan, confirm)
        else:
            check_may_finalize(working.plan, opened, confirm=confirm)
            give_up_the_way_back(working.plan, opened, working.verify(opened.view, secrets))
        shredded = working.directory.blobs.shred() if shred_blobs else 0
        if shred_blobs and opened.mirror is not None:
            opened.mirror.shred()
    invocation.output.show(
        "[bold]finalized[/bold]: the target is the authority for good; GitLab keeps its states, sealed",
        f"{build_count(shredded, 'blob')} removed"
        if shred_blobs
        else f"captured documents are kept in {escape(str(working.directory.path / 'blobs'))} (--shred-blobs removes them)",
    )
    show_status(working, working.read_status(), shredded=shredded)
