"""``migrator status``: what is true of a run, from its journal alone; the bucket is asked only where there is none here."""

from typing import Annotated

import typer

from migrator.cli.dialogue import show_status
from migrator.cli.invocation import Invocation
from migrator.cli.working import open_existing
from migrator.report.run import build_status_report


def status(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Run id or directory; default: the latest.")] = None,
) -> None:
    """Say which side is the authority for each state, what is locked, and what to type next. Works offline.

    Example: migrator status --json
    """
    invocation: Invocation = context.obj
    working = open_existing(invocation, run, later=False)
    found = working.read_status()
    invocation.output.show(*build_status_report(found))
    show_status(working, found)
