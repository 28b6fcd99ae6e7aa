"""The command group. Commands are imported when they are called, so that none pays for another's imports."""

import os
import re
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from migrator import __version__
from migrator.cli.invocation import Invocation
from migrator.cli.overview import COMMANDS, OVERVIEW
from migrator.errors import InternalError, InterruptedRunError, MigratorError, UsageError
from migrator.redact import Redactor
from migrator.report.output import Output
from migrator.report.visible import make_visible

_FLAGS = {"--json", "--quiet", "--verbose", "--no-color", "--version"}
_SHORT_FLAGS = re.compile(r"-[qv]+")
_VALUES = {"--config", "--repo"}
_EXAMPLE = "Example:"
_SECRET_NAME = re.compile("TOKEN|SECRET|KEY|PASS", re.IGNORECASE)


class LazyGroup(TyperGroup):
    """Finds a command in the module of its name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command."""
        if cmd_name not in COMMANDS:
            near = get_close_matches(cmd_name, COMMANDS, 1)
            suggestion = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(
                f"there is no command {cmd_name}{suggestion}",
                where="command line",
                hint=f"migrator {near[0]} --help" if near else "migrator --help",
            )
        return build_command(cmd_name)

    def get_help(self, ctx: Any) -> str:
        """Return the overview."""
        return OVERVIEW.rstrip("\n")


app = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def build_command(name: str) -> Any:
    """Import one command; its help ends with the example of its docstring."""
    function = getattr(import_module(f"migrator.cli.{name}"), name)
    text, _, example = (function.__doc__ or "").partition(_EXAMPLE)
    epilog = f"Global options stand before or after the command: migrator --help\n\n\b\n{_EXAMPLE} {example.strip()}"
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, help=text.strip(), epilog=epilog)(function)
    return get_command(single)


@app.callback()
def _globals(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(envvar="MIGRATOR_CONFIG")] = None,
    repo: Annotated[Path | None, typer.Option(envvar="MIGRATOR_REPO")] = None,
    json: Annotated[bool, typer.Option("--json", envvar="MIGRATOR_JSON")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", envvar="MIGRATOR_QUIET")] = False,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, envvar="MIGRATOR_VERBOSE")] = 0,
    no_color: Annotated[bool, typer.Option("--no-color", envvar="MIGRATOR_NO_COLOR")] = False,
) -> None:
    output: Output = context.obj
    output.json, output.quiet, output.verbosity, output.plain = json, quiet, verbose, no_color
    context.obj = Invocation(config=config, repo=repo, output=output)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Every error is printed here, and only here."""
    hoisted = hoist_global_options(arguments)
    # What is known before the options are parsed: a usage error must be told in the right form, too.
    output = Output(json="--json" in hoisted, plain="--no-color" in hoisted)
    try:
        if "--version" in hoisted:
            sys.stdout.write(f"migrator {__version__}\n")
            return 0
        result = get_command(app).main(args=hoisted, prog_name="migrator", standalone_mode=False, obj=output)
        sys.stdout.flush()
        if result == InterruptedRunError.exit_code:
            return output.error(_interrupted())
        return result if isinstance(result, int) else 0
    except MigratorError as error:
        return output.error(error)
    except typer.Abort:
        return output.error(UsageError("not confirmed", where="terminal"))
    except typer.TyperException as error:
        command = next((f"{name} " for name in arguments if name in COMMANDS), "")
        hint = f"migrator {command}--help"
        return output.error(UsageError(_describe_usage(error), where="command line", hint=hint))
    except KeyboardInterrupt:
        return output.error(_interrupted())
    except BrokenPipeError:
        return _end_without_reader()
    except SystemExit:
        # typer ends the process so when a write met a closed pipe; nothing else in a command does.
        return _end_without_reader()
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback without -v
        if output.verbosity:
            sys.stderr.write(make_visible(_build_redactor()(traceback.format_exc())))
        return output.error(InternalError(f"this is a bug: {type(error).__name__}", where=_locate(error)))


def hoist_global_options(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with global options moved before the command, where click expects them."""
    front: list[str] = []
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        if item == "--":
            rest += [item, *items]
        elif item in _FLAGS or _SHORT_FLAGS.fullmatch(item) or (item.partition("=")[0] in _VALUES and "=" in item):
            front.append(item)
        elif item in _VALUES:
            front += [item, *(value for _, value in zip(range(1), items, strict=False))]
        else:
            rest.append(item)
    return front + rest


def _end_without_reader() -> int:
    """The reader (head, less) went away: not an error of ours, and nothing more can be shown."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _locate(error: Exception) -> str:
    """Return where an unexpected error was raised; its text may hold anything, and is not shown."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _build_redactor() -> Redactor:
    """The text of an unexpected error may hold anything; which variables are secrets, nobody knows any more by then."""
    return Redactor(value for name, value in os.environ.items() if _SECRET_NAME.search(name))


def _interrupted() -> InterruptedRunError:
    """An interrupt outside of a run's steps: before the first, or after the last, when all is done."""
    return InterruptedRunError(
        "interrupted",
        where="terminal",
        now="no step of a run was cut short",
        hint="migrator status, or the command again",
    )


def _describe_usage(error: typer.TyperException) -> str:
    """Return the message of a usage error, which typer keeps in a method of its subclasses."""
    describe = getattr(error, "format_message", None)
    text = str(describe() if callable(describe) else error).rstrip(".").replace("Value error, ", "")
    return text[:1].lower() + text[1:]
