"""docs/commands.md from the commands themselves, so that the document cannot say what the program does not.

Deliberately not done: nothing is added to what --help says. What is missing in the document is missing in --help.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from migrator.cli.overview import COMMANDS
from scripts.lib import coverage

TOP = Path(__file__).resolve().parents[2]
DOCUMENT = TOP / "docs" / "commands.md"
WIDTH = "100"  # columns
_HEAD = """<!-- Written by scripts/docs from the --help of each command. Do not edit. -->

# Commands

Exit codes: [exit-codes.md](exit-codes.md). Settings: [configuration.md](configuration.md). In which order to type them:
[quick-start.md](quick-start.md), [runbook.md](runbook.md).
"""


def read_help(*command: str) -> str:
    """Return what `migrator COMMAND --help` prints, in a fixed width and without the caller's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIGRATOR_")}
    environment = {**kept, "COLUMNS": WIDTH, "NO_COLOR": "1", "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        [sys.executable, "-m", "migrator", *command, "--help"],
        env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def build_document() -> str:
    """Return the text of docs/commands.md."""
    parts = [_HEAD, build_section("migrator", read_help())]
    parts += [build_section(f"migrator {name}", read_help(name)) for name in COMMANDS]
    return "\n".join(parts)


def build_section(title: str, text: str) -> str:
    """Return one section: the help as it is printed."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return "\n".join([f"## {title}", "", "```text", *lines, "```", ""])


def main(arguments: list[str]) -> int:
    """Write or check the document; 1 when a check fails, 2 on wrong usage."""
    if arguments not in ([], ["--check"]):
        print("usage: scripts/docs [--check]", file=sys.stderr)
        return 2
    stale = []
    for document, text in ((DOCUMENT, build_document()), (coverage.DOCUMENT, coverage.build_document())):
        if not arguments:
            document.write_text(text)
        elif document.read_text() != text:
            stale.append(document.name)
    if stale:
        print(f"docs/{', docs/'.join(stale)}: not what the program says: run scripts/docs", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
