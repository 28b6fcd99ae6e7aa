"""Local writes that survive power loss: temporary file, fsync, rename, fsync of the directory.

Files of the run directory are 0600 from creation, directories 0700: they can hold state documents.
"""

import errno
import os
import secrets
import stat
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
TEMPORARY_ENDING = "?" * 12 + ".migrator-tmp"  # a pattern: what a killed write leaves beside the file, after its name


def write_durably(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Put ``data`` at ``path`` so that a reader, even after a crash, sees the file before or after, never between.

    Raises: OSError.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.migrator-tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        try:
            write_all(descriptor, data)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, however often the kernel takes only a part.

    Raises: OSError.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def make_private_directory(path: Path) -> None:
    """Create ``path`` (and missing parents) with mode 0700, durably. An existing directory is left as it is.

    Raises: OSError, also when something else stands there: a link to a directory is none.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        sync_directory(directory.parent)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "it is a symbolic link or no directory", str(path))


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
