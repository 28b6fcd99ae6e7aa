"""Entry point of ``migrator`` and ``python -m migrator``.

``--version`` and the overview of ``--help`` are answered before anything heavy is imported: completions, prompts and CI
jobs ask for them often.
"""

import os
import sys

from migrator import __version__


def main() -> None:
    """Run the command line and exit with the code of interface.md section 2."""
    _open_closed_streams()
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        _show(f"migrator {__version__}\n")
        sys.exit(0)
    if not arguments or arguments in (["--help"], ["-h"]):
        from migrator.cli.overview import OVERVIEW

        _show(OVERVIEW)
        sys.exit(0 if arguments else 2)
    import gc

    from migrator.cli.app import run
    from migrator.cli.memory_dumps import forbid_core_dumps

    forbid_core_dumps()
    # Commands are short and keep nearly all that they build: fewer collections save a tenth of an inventory.
    gc.set_threshold(50_000)
    sys.exit(run(arguments))


def _open_closed_streams() -> None:
    """Give a caller that closed stdout or stderr (``>&-``) a stream that leads nowhere: a run must not end over it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lives with the process


def _show(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) went away; without this the interpreter would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
