"""``migrator verify``: compare both backends and the work tree with what the run left. Reads only."""

from typing import Annotated

import msgspec
import typer

from migrator.cli.checking import check_run
from migrator.cli.invocation import Invocation
from migrator.cli.working import open_existing
from migrator.errors import CheckFailedError
from migrator.report.run import build_checks_report


def verify(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Run id or directory; default: the latest.")] = None,
) -> None:
    """Check documents, seals and files. Exits 3 when something differs; changes nothing.

    Example: migrator verify
    """
    invocation: Invocation = context.obj
    working = open_existing(invocation, run, later=True)
    checks = check_run(working, working.read_newest_view(), working.read_secrets())
    invocation.output.show(*build_checks_report(checks, everything=invocation.output.verbosity > 0))
    failed = [check for check in checks if not check.ok]
    invocation.output.document(
        {
            "format": "migrator.verify/1",
            "run": working.run.run_id,
            "ok": not failed,
            "proof": working.plan.proof,
            "checks": msgspec.to_builtins(checks),
        }
    )
    if failed:
        raise CheckFailedError(
            f"{len(failed)} of {len(checks)} checks fail",
            where=f"{failed[0].subject}: {failed[0].name}, {failed[0].found}",
            now="nothing was changed by this command",
            hint="put right what fails above, then: migrator verify; or go back: migrator rollback",
        )
