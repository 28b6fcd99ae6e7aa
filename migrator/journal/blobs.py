"""Content-addressed documents of a run: ``blobs/<sha256>``, mode 0600. The only place where state documents are kept."""

import hashlib
import os
import stat
from pathlib import Path

from migrator.errors import JournalError, JournalWriteError, RefusedError
from migrator.journal.durable import make_private_directory, sync_directory, write_all, write_durably


class BlobStore:
    """Blobs below one directory. Safe for several threads: equal content gives equal names."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def where(self, digest: str) -> Path:
        """Return where the blob with this digest is kept, or would be."""
        return self._directory / digest

    def write(self, data: bytes) -> str:
        """Keep ``data`` durably and return its sha256 (lower-case hex).

        Raises: JournalWriteError when it cannot be kept.
        """
        digest = hashlib.sha256(data).hexdigest()
        try:
            make_private_directory(self._directory)
            if not self.has(digest):
                write_durably(self._directory / digest, data)
        except OSError as error:
            raise JournalWriteError(f"a blob cannot be kept: {error.strerror}", where=str(self._directory)) from None
        return digest

    def read(self, digest: str) -> bytes:
        """Return the bytes with this digest.

        Raises: JournalError when they are missing or no longer have this digest.
        """
        path = self._directory / digest
        try:
            data = path.read_bytes()
        except OSError as error:
            raise JournalError(f"blob {digest[:12]} cannot be read: {error.strerror}", where=str(path)) from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise JournalError(f"blob {digest[:12]} is damaged: its bytes have another digest", where=str(path))
        return data

    def has(self, digest: str) -> bool:
        """Return whether a whole blob with this digest is kept."""
        try:
            with (self._directory / digest).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == digest
        except OSError:
            return False

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of every blob, by its name."""
        if not self._directory.is_dir():
            return {}
        return {path.name: path.stat().st_size for path in sorted(self._directory.iterdir()) if "." not in path.name}

    def shred(self) -> int:
        """Overwrite and remove every blob; return how many. Copy-on-write disks may keep old blocks.

        What is not a file of this directory alone (a link, or a second name of a file elsewhere) is removed and never
        overwritten: it may be anybody's.

        Raises: RefusedError when the directory is a link, JournalWriteError when something cannot be removed.
        """
        if self._directory.is_symlink():
            raise RefusedError(
                "the blobs lie behind a symbolic link; refusing to overwrite what it leads to",
                where=str(self._directory),
                now="no blob was removed",
                hint="remove the link",
            )
        paths = sorted(self._directory.iterdir()) if self._directory.is_dir() else []
        try:
            for path in paths:
                _shred_file(path)
            if paths:
                sync_directory(self._directory)
        except OSError as error:
            raise JournalWriteError(f"a blob cannot be removed: {error.strerror}", where=str(self._directory)) from None
        return len(paths)


def _shred_file(path: Path) -> None:
    found = path.lstat()
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            write_all(descriptor, b"\0" * found.st_size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    path.unlink()
