"""``migrator audit``: who is the authority, by what the files prove. Offline."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from migrator.audit.codec import build_document, format_markdown
from migrator.audit.discover import discover_audit
from migrator.audit.model import Audit
from migrator.audit.rules import read_rules
from migrator.cli.invocation import Invocation
from migrator.errors import CheckFailedError
from migrator.inventory.codec import dump_document
from migrator.report.visible import make_visible, make_visible_json


def audit(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", envvar="MIGRATOR_CHECK", help="Exit 3 when the files contradict each other.")
    ] = False,
    format: Annotated[
        Literal["table", "json", "markdown"],
        typer.Option("--format", envvar="MIGRATOR_FORMAT", help="How to show the result."),
    ] = "table",
    rules: Annotated[
        Path | None,
        typer.Option(
            "--rules", envvar="MIGRATOR_RULES", help="Rules of your own, which extend or replace those built in."
        ),
    ] = None,
) -> None:
    """Say who is the authority for state, storage, caches and deployment, and where the files contradict. Reads files only.

    Example: migrator audit --check
    """
    invocation: Invocation = context.obj
    found = discover_audit(invocation.discover_tree(), read_rules(rules))
    _show(found, invocation, "json" if invocation.output.json else format)
    if check and found.contradictions:
        first, more = found.contradictions[0], len(found.contradictions) - 1
        raise CheckFailedError(
            f"{len(found.contradictions)} contradictions stand" if more else "one contradiction stands",
            where=f"{first.place}{f' and {more} more' if more else ''}",
            hint="make the files say what the backends show (docs/audit.md), then: migrator audit --check",
        )


def _show(found: Audit, invocation: Invocation, format: str) -> None:
    match format:
        case "json" if invocation.output.json:
            invocation.output.document(build_document(found))
        case "json":
            sys.stdout.write(make_visible_json(dump_document(build_document(found))))
        case "markdown":
            sys.stdout.write(make_visible(format_markdown(found)))
        case _:
            from migrator.report.audit import build_audit_report

            invocation.output.show(*build_audit_report(found, everything=invocation.output.verbosity > 0))
