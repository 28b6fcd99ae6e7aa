"""The copies of the repository that a proof works on: private, whatever the modes of the originals are.

Values files hold secrets, and what OpenTofu writes beside them does, too. Nothing here is durable: a copy that was not
finished is made again.
"""

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from migrator.errors import ConfigurationError
from migrator.journal.durable import PRIVATE_DIRECTORY, PRIVATE_FILE
from migrator.plan.model import PlannedState


def copy_repository(root: Path, paths: Sequence[str], destination: Path) -> None:
    """Copy the files of the repository; of their modes only the owner's part is kept, links are not followed.

    Raises: OSError.
    """
    for path in paths:
        _copy(root / path, destination / path, os.O_NOFOLLOW)


def copy_variable_files(root: Path, state: PlannedState, destination: Path) -> None:
    """Copy values that git may ignore but OpenTofu reads: ``*.tfvars`` of the stack, and the files that are bound.

    Raises: ConfigurationError when such a file, or what a link of this name leads to, lies outside of the repository;
    OSError.
    """
    stack = root / state.directory
    found = [*stack.glob("*.tfvars"), *stack.glob("*.tfvars.json"), *(stack / name for name in state.var_files)]
    for file in found:
        if file.is_file():
            copy = Path(os.path.normpath(destination / state.directory / os.path.relpath(file, stack)))
            if not copy.is_relative_to(destination) or not file.resolve().is_relative_to(root.resolve()):
                raise ConfigurationError(
                    f"the variable file of {state.name} lies outside of the repository",
                    where=str(file),
                    hint="name a file of the repository in var_files",
                )
            _copy(file, copy, 0)


def write_copy(path: Path, data: bytes) -> None:
    """Put ``data`` there instead of what the copy had.

    Raises: OSError.
    """
    with os.fdopen(_create(path, PRIVATE_FILE), "wb") as stream:
        stream.write(data)


def _copy(source: Path, destination: Path, flags: int) -> None:
    with os.fdopen(os.open(source, os.O_RDONLY | flags), "rb") as original:
        mode = stat.S_IMODE(os.fstat(original.fileno()).st_mode) & stat.S_IRWXU | PRIVATE_FILE
        with os.fdopen(_create(destination, mode), "wb") as copy:
            shutil.copyfileobj(original, copy)


def _create(path: Path, mode: int) -> int:
    missing = [directory for directory in path.parents if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=PRIVATE_DIRECTORY)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
