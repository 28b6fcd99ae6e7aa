"""The files of the repository, written so that a reader never sees half of one.

A path must stay inside the repository and name a regular file through real directories: a hostile repository must not
make this program write through a link. Looked at before every effect; somebody who swaps directories between that look and
the write could write to the repository himself.
"""

import glob
import hashlib
import os
import re
import stat
from pathlib import Path

from migrator.errors import RefusedError
from migrator.inventory.git import run_git
from migrator.journal.durable import TEMPORARY_ENDING, sync_directory, write_durably
from migrator.plan.bounds import find_path_problem

_NEW_FILE_MODE = 0o644
_REVISION = re.compile(r"[0-9a-f]{40,64}")


class LocalWorkTree:
    """The work tree below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, None when there is none.

        Raises: RefusedError.
        """
        file = self._locate(path)
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RefusedError(f"{path} cannot be read: {error.strerror}", where=path) from None

    def replace(self, path: str, data: bytes) -> None:
        """Put ``data`` there durably and in one move, keeping mode and, where allowed, owner of what stands there.

        Raises: RefusedError.
        """
        file = self._locate(path)
        try:
            before = file.stat()
        except FileNotFoundError:
            before = None
        mode = stat.S_IMODE(before.st_mode) if before else _NEW_FILE_MODE
        try:
            _sweep(file)
            write_durably(file, data, mode=mode)
        except OSError as error:
            raise RefusedError(f"{path} cannot be written: {error.strerror}", where=path) from None
        if before and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            try:
                os.chown(file, before.st_uid, before.st_gid)
            except OSError:
                # Only root may give files away; whoever may replace the file may own it.
                pass

    def remove(self, path: str) -> None:
        """Remove a file durably; a missing one is fine.

        Raises: RefusedError.
        """
        file = self._locate(path)
        try:
            _sweep(file)
            file.unlink(missing_ok=True)
            sync_directory(file.parent)
        except OSError as error:
            raise RefusedError(f"{path} cannot be removed: {error.strerror}", where=path) from None

    def sweep(self, path: str) -> None:
        """Remove what a ``replace`` that was killed may have left beside the file.

        Raises: RefusedError.
        """
        try:
            _sweep(self._locate(path))
        except OSError as error:
            raise RefusedError(f"{path} cannot be swept: {error.strerror}", where=path) from None

    def was_committed(self, path: str, sha256: str, revision: str) -> bool:
        """Return whether a revision of the repository that is at hand here holds the file with this digest."""
        if find_path_problem(path) or not _REVISION.fullmatch(revision):
            return False
        done = run_git(self._root, "cat-file", "blob", f"{revision}:{path}")
        return done is not None and done.returncode == 0 and hashlib.sha256(done.stdout).hexdigest() == sha256

    def check_writable(self, path: str) -> None:
        """Check that a file can be replaced here.

        Raises: RefusedError.
        """
        directory = self._locate(path).parent
        if not os.access(directory, os.W_OK | os.X_OK):
            raise RefusedError(
                f"the directory of {path} is read-only",
                where=path,
                now="nothing was touched",
                hint="make the work tree writable, then run the command again",
            )

    def _locate(self, path: str) -> Path:
        if problem := find_path_problem(path):
            raise RefusedError(f"the path {problem}: {path}", where=path)
        file = self._root / path
        if file.parent.resolve() != file.parent or file.is_symlink():
            raise RefusedError(
                f"{path} lies behind a symbolic link; refusing to follow it",
                where=path,
                hint="put the file back where the link is (git status), then run the command again",
            )
        if file.exists() and not file.is_file():
            raise RefusedError(f"{path} is not a regular file", where=path)
        return file


def _sweep(file: Path) -> None:
    for left in file.parent.glob(glob.escape(f".{file.name}.") + TEMPORARY_ENDING):
        left.unlink(missing_ok=True)
