"""The folder outside the checkout where the scripts keep what they made: environments, programs, locks.

Invariant: whatever stands under its final name is complete. Builders work under a temporary name and rename, or mark
completeness last, and hold `exclusive` meanwhile, so two runs at the same time neither collide nor build twice.
Standard library only: this runs before anything is installed. It never removes what another version made.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


class SetUpError(Exception):
    """Something is missing or broken; the message says what, where, and how to get it."""


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Return $MIGRATOR_CACHE, else tofu-state-migrator under $XDG_CACHE_HOME, else under ~/.cache."""
    if named := environment.get("MIGRATOR_CACHE"):
        return Path(named).absolute()
    base = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home()) / ".cache"
    return Path(base).absolute() / "tofu-state-migrator"


@contextmanager
def exclusive(cache: Path, name: str) -> Iterator[None]:
    """Hold the lock of one artifact. The kernel releases it when the process ends, so no stale lock is possible."""
    path = cache / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that is preparing {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(arguments: Sequence[str | Path], *, directory: Path, environment: Mapping[str, str], purpose: str) -> None:
    """Run a program to its end, its output on our stderr.

    Raises: SetUpError when it cannot be started or fails.
    """
    try:
        done = subprocess.run(arguments, cwd=directory, env=dict(environment), stdout=sys.stderr.fileno(), check=False)
    except OSError as error:
        raise SetUpError(f"{purpose}: cannot start {arguments[0]}: {error.strerror}") from error
    if done.returncode != 0:
        command = " ".join(str(argument) for argument in arguments)
        raise SetUpError(
            f"{purpose} failed (exit {done.returncode}), its messages stand above. The command was: {command}"
        )


def say(message: str) -> None:
    """Tell the operator what takes time; stdout stays for results."""
    print(message, file=sys.stderr, flush=True)


def process_environment() -> dict[str, str]:
    """Return a copy of this process's environment."""
    return dict(os.environ)
