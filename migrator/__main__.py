"""Entry point of ``migrator`` and ``python -m migrator``.

``--version`` and the overview of ``--help`` are answered before anything heavy is imported: completions, prompts and CI
jobs ask for them often.
"""

import sys

from migrator import __version__


def main() -> None:
    """Run the command line and exit with the code of interface.md section 2."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        sys.stdout.write(f"migrator {__version__}\n")
        sys.exit(0)
    if not arguments or arguments == ["--help"] or arguments == ["-h"]:
        from migrator.cli.overview import OVERVIEW

        sys.stdout.write(OVERVIEW)
        sys.exit(0 if arguments else 2)
    from migrator.cli.app import run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
