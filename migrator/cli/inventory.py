"""``migrator inventory``: what the files say, offline."""

import sys
from typing import Annotated, Literal

import typer

from migrator import __version__
from migrator.cli.invocation import Invocation
from migrator.errors import CheckFailedError
from migrator.inventory.codec import build_document
from migrator.inventory.discover import discover_inventory
from migrator.inventory.formats import format_codequality, format_markdown, format_sarif
from migrator.inventory.model import Inventory
from migrator.report.visible import make_visible, make_visible_json


def inventory(
    context: typer.Context,
    check: Annotated[
        bool,
        typer.Option("--check", envvar="MIGRATOR_CHECK", help="Exit 3 when a line that would be rewritten is left."),
    ] = False,
    format: Annotated[
        Literal["table", "json", "markdown", "sarif", "codequality"],
        typer.Option("--format", envvar="MIGRATOR_FORMAT", help="How to show the result."),
    ] = "table",
) -> None:
    """List stacks, their states and every line that says where state lives. Reads files only.

    Example: migrator inventory --check
    """
    invocation: Invocation = context.obj
    found = discover_inventory(invocation.discover_tree())
    show(found, invocation, "json" if invocation.output.json else format)
    left = [one for one in found.references if one.leads_to_source]
    if check and left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise CheckFailedError(
            f"{len(left)} references to GitLab's state backend are left",
            where=f"{left[0].place}{more}",
            hint="migrator plan",
        )


def show(found: Inventory, invocation: Invocation, format: str) -> None:
    """Print the inventory in one format."""
    match format:
        case "json":
            invocation.output.document(build_document(found)) if invocation.output.json else _write_json(found)
        case "markdown":
            sys.stdout.write(make_visible(format_markdown(found)))
        case "sarif":
            sys.stdout.write(make_visible_json(format_sarif(found, version=__version__)))
        case "codequality":
            sys.stdout.write(make_visible_json(format_codequality(found)))
        case _:
            from migrator.report.inventory import build_inventory_report

            everything = invocation.output.verbosity > 0
            invocation.output.show(*build_inventory_report(found, everything=everything))


def _write_json(found: Inventory) -> None:
    from migrator.inventory.codec import encode_inventory

    sys.stdout.write(make_visible_json(encode_inventory(found).decode()))
