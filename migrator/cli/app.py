"""The command group. Commands are imported when they are called, so that none pays for another's imports."""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from migrator import __version__
from migrator.cli.invocation import Invocation
from migrator.cli.overview import COMMANDS, OVERVIEW
from migrator.errors import InternalError, MigratorError, UsageError
from migrator.report.output import Output

_FLAGS = {"--json", "--quiet", "-q", "--verbose", "-v", "-vv", "-vvv", "--no-color"}
_VALUES = {"--config", "--repo"}


class LazyGroup(TyperGroup):
    """Finds a command in the module of its name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(cmd_name)(getattr(import_module(f"migrator.cli.{cmd_name}"), cmd_name))
        return get_command(single)

    def get_help(self, ctx: Any) -> str:
        """Return the overview."""
        return OVERVIEW.rstrip("\n")


app = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def _globals(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(envvar="MIGRATOR_CONFIG")] = None,
    repo: Annotated[Path | None, typer.Option(envvar="MIGRATOR_REPO")] = None,
    json: Annotated[bool, typer.Option("--json", envvar="MIGRATOR_JSON")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", envvar="MIGRATOR_QUIET")] = False,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, envvar="MIGRATOR_VERBOSE")] = 0,
    no_color: Annotated[bool, typer.Option("--no-color", envvar="MIGRATOR_NO_COLOR")] = False,
    version: Annotated[bool, typer.Option("--version")] = False,
) -> None:
    if version:
        typer.echo(f"migrator {__version__}")
        raise typer.Exit
    context.obj = Invocation(
        config=config, repo=repo, output=Output(json=json, quiet=quiet, verbosity=verbose, plain=no_color)
    )


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Every error is printed here, and only here."""
    hoisted = hoist_global_options(arguments)
    output = Output(json="--json" in hoisted, quiet=False, verbosity=sum(hoisted.count(v) for v in _FLAGS if "v" in v))
    try:
        result = get_command(app).main(args=hoisted, prog_name="migrator", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except MigratorError as error:
        return output.error(error)
    except typer.Abort:
        return output.error(UsageError("not confirmed", now="nothing was touched"))
    except typer.TyperException as error:
        command = next((name for name in arguments if name in COMMANDS), "")
        return output.error(UsageError(_describe_usage(error), hint=f"migrator {command} --help".replace("  ", " ")))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:
        # The reader (head, less) went away: not an error of ours, and nothing more can be shown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback without -v
        if output.verbosity:
            traceback.print_exc()
        return output.error(InternalError(f"internal error: {type(error).__name__}"))


def hoist_global_options(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with global options moved before the command, where click expects them."""
    front: list[str] = []
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        if item == "--":
            rest += [item, *items]
        elif item in _FLAGS or item.split("=", 1)[0] in _VALUES and "=" in item:
            front.append(item)
        elif item in _VALUES:
            front += [item, *(value for _, value in zip(range(1), items, strict=False))]
        else:
            rest.append(item)
    return front + rest


def _describe_usage(error: typer.TyperException) -> str:
    """Return the message of a usage error, which typer keeps in a method of its subclasses."""
    describe = getattr(error, "format_message", None)
    return str(describe() if callable(describe) else error).rstrip(".")
