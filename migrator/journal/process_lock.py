"""A lock among the processes of this machine: the kernel gives it back when its holder dies."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrator.errors import ConfigurationError, RefusedError
from migrator.journal.durable import PRIVATE_FILE


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock on the file at ``path``, which names our process meanwhile.

    Raises: RefusedError when another process holds it, ConfigurationError when the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE)
    except OSError as error:
        raise ConfigurationError(
            f"the lock file cannot be opened: {error.strerror}",
            where=str(path),
            now="nothing was touched",
            hint="make it writable, then run the command again",
        ) from None
    try:
        _check_alone(descriptor, path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise RefusedError(
                f"another migrator works on {what} (process {holder or 'unknown'})",
                where=str(path),
                now="this command did nothing",
                hint="wait for it to end, then: migrator status",
            ) from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # a full disk: the lock holds all the same, only its holder cannot be named
        yield
    finally:
        os.close(descriptor)


def _check_alone(descriptor: int, path: Path) -> None:
    """The lock file is emptied: it must not be a second name of a file elsewhere."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise ConfigurationError(
            "the lock file is another file's second name, or no file",
            where=str(path),
            now="nothing was touched",
            hint="remove it",
        )
