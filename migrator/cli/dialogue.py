"""What is said to a person about a run that is worked on, and asked."""

import msgspec

from migrator.cli.invocation import Invocation
from migrator.cli.working import Working
from migrator.engine.status import RunStatus
from migrator.errors import UsageError
from migrator.journal.fold import RunView
from migrator.journal.run_directory import RunDirectory
from migrator.report.visible import make_line


def confirm(invocation: Invocation, question: str, *, command: str) -> None:
    """Ask a person; without a terminal, require --yes.

    Raises: UsageError.
    """
    if not invocation.output.interactive or invocation.output.json:
        raise UsageError("not confirmed: there is no terminal to ask on", where="terminal", hint=command)
    import typer

    try:
        confirmed = typer.confirm(make_line(question), err=True)
    except typer.Abort:
        confirmed = False
    if not confirmed:
        raise UsageError("not confirmed", where="terminal", hint=f"the command again, or: {command}")


def describe_run(working: Working, view: RunView) -> str:
    """Return which run it is, for a person who is asked: when it was begun, by whom, and where it comes from."""
    by = f" by {view.begun_by}" if view.begun_by else ""
    source = "" if isinstance(working.run, RunDirectory) else f", read from {working.run.where}"
    return f"run {working.run.run_id} (begun {view.started_at}{by}{source})"


def show_status(working: Working, status: RunStatus, **more: object) -> None:
    """Print the JSON document of a run."""
    working.invocation.output.document(
        {"format": "migrator.status/1", **msgspec.to_builtins(status), **msgspec.to_builtins(more)}
    )
