"""Where text goes: results to stdout, everything else to stderr; with ``--json`` exactly one document on stdout."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from migrator.errors import MigratorError
from migrator.report.visible import make_line, make_visible_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH_WITHOUT_TERMINAL = 120
_ADVICE = "run the command again; if the answer stays the same, ask those who run that server"
_PROMISES = {
    1: "unknown; migrator status says how far a run is",
    2: "nothing was touched",
    3: "nothing was changed by this command",
    4: "nothing was touched",
    6: "nothing was changed by this command",
}


@dataclass(slots=True, kw_only=True)
class Output:
    """How to speak to this caller. ``documented`` says that the one document has been printed."""

    json: bool = False
    quiet: bool = False
    verbosity: int = 0
    plain: bool = False
    documented: bool = False

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def colourless(self) -> bool:
        """Whether no escape sequence may be written: asked for here, or by the convention of NO_COLOR."""
        return self.plain or bool(os.environ.get("NO_COLOR"))

    def show(self, *renderables: "RenderableType") -> None:
        """Print part of the result for people. With ``--json`` it goes nowhere: the document says it."""
        if not self.json:
            console = self.console(sys.stdout)
            for renderable in renderables:
                console.print(renderable)

    def say(self, *renderables: "RenderableType") -> None:
        """Print progress or a remark, on stderr when stdout holds a document."""
        if not self.quiet:
            console = self.console(sys.stderr if self.json else sys.stdout)
            for renderable in renderables:
                console.print(renderable)

    def document(self, document: Any) -> None:
        """Print the one JSON document, when it was asked for."""
        if self.json:
            self.documented = True
            data = msgspec.json.format(msgspec.json.encode(document), indent=2)
            sys.stdout.write(make_visible_json(data.decode()) + "\n")
            sys.stdout.flush()

    def error(self, error: MigratorError) -> int:
        """Print an error and return its exit code. A result that was printed before stays the one document."""
        lines = build_error_lines(error)
        if sys.stderr.isatty() and not self.colourless:
            lines[0] = f"\x1b[1;31m{lines[0]}\x1b[0m"
        sys.stdout.flush()
        sys.stderr.write("\n".join(lines) + "\n")
        if self.json and not self.documented:
            self.document(
                {
                    "format": "migrator.error/1",
                    "exit_code": error.exit_code,
                    "error": type(error).__name__,
                    "message": make_line(error.message),
                    "where": error.where and make_line(error.where),
                    "now": describe_now(error),
                    "next": describe_next(error),
                }
            )
        return error.exit_code

    def console(self, stream: Any) -> "Console":
        """Return a console on ``stream``; without a terminal the width is $COLUMNS or fixed: output can be compared."""
        from migrator.report.safe_console import SafeConsole

        terminal = stream.isatty()
        columns = os.environ.get("COLUMNS", "")
        return SafeConsole(
            file=stream,
            color_system=None if self.colourless else "auto",
            width=None if terminal else int(columns) if columns.isdecimal() else WIDTH_WITHOUT_TERMINAL,
            soft_wrap=not terminal,
            highlight=False,
            markup=True,
        )


def describe_next(error: MigratorError) -> str | None:
    """Return what to type or do next."""
    return error.hint or (_ADVICE if error.exit_code == 6 else None)


def describe_now(error: MigratorError) -> str | None:
    """Return what is true after an error; what the exit code promises, unless the error knows better."""
    return error.now or _PROMISES.get(error.exit_code)


def build_error_lines(error: MigratorError) -> list[str]:
    """Return what happened, where, what is true now, and what to type next."""
    labelled: Sequence[tuple[str, str | None]] = (
        ("where", error.where),
        ("now", describe_now(error)),
        ("next", describe_next(error)),
    )
    return [
        make_line(f"error: {error.message}"),
        *(make_line(f"  {label + ':':<7}{text}") for label, text in labelled if text),
    ]
