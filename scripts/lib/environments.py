"""Virtual environments in the cache, filled from a requirements file in which every line has its hash.

Usage: python3 -m scripts.lib.environments DIRECTORY REQUIREMENTS

Makes the environment in DIRECTORY unless it is complete. An environment cannot be renamed (its scripts hold its path),
so completeness is a mark that is written last; one without the mark is made again from nothing.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from scripts.lib.cache import SetUpError, cache_directory, exclusive, process_environment, run, say

COMPLETE = ".complete"


def is_complete(directory: Path) -> bool:
    """Whether the environment was finished and its interpreter is still there."""
    return (directory / COMPLETE).exists() and (directory / "bin" / "python").exists()


def write_environment(directory: Path, requirements: Path) -> None:
    """Make the environment in `directory` complete; does nothing when it is.

    Raises: SetUpError when the interpreter lacks venv, or an installation fails.
    """
    variables = process_environment()
    with exclusive(cache_directory(variables), directory.name):
        if is_complete(directory):
            return
        say(f"installing {requirements.name} into {directory} (once)")
        shutil.rmtree(directory, ignore_errors=True)
        directory.parent.mkdir(parents=True, exist_ok=True)
        run(
            [sys.executable, "-m", "venv", directory],
            directory=directory.parent,
            environment=variables,
            purpose="making a virtual environment (on Debian this needs the package python3-venv)",
        )
        # Wheels only: nothing is compiled or run while installing, whatever the machine has.
        install = ["pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]
        run(
            [directory / "bin" / "python", "-m", *install, "--only-binary", ":all:", "-r", requirements],
            directory=directory.parent,
            environment=variables,
            purpose=f"installing {requirements.name}",
        )
        (directory / COMPLETE).touch()


def main(arguments: list[str]) -> int:
    """Make one environment; exit 2 on wrong usage, 1 when it could not be made."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        write_environment(Path(arguments[0]), Path(arguments[1]))
    except SetUpError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
