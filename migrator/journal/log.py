"""The append-only log of one run: a record is durable when ``append`` returns.

Threads share one log. Each writes its line under a lock and then waits until a sync covers it; one sync serves every line
written before it (group commit), so durability costs the same however many states move at once.

A torn last line (no newline) belongs to a write that never returned: its effect was never attempted, so it is dropped.
Any other damage stops everything: ``JournalError``.
"""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from migrator.errors import JournalError
from migrator.journal.durable import PRIVATE_FILE, sync_directory
from migrator.journal.record import GENESIS, Body, Record, RecordKind, decode_record, encode_record


def read_log(path: Path) -> tuple[Record, ...]:
    """Return every whole record of the log, oldest first; an absent file is an empty log.

    Raises: JournalError.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[tuple[Record, ...], str, int]:
    """Return the records, the last hash, and the length in bytes of what is whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return (), GENESIS, 0
    except OSError as error:
        raise JournalError(f"the journal cannot be read: {error.strerror}", where=str(path)) from None
    whole = data.rfind(b"\n") + 1
    records: list[Record] = []
    previous = GENESIS
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            record, previous = decode_record(line, previous, number)
        except JournalError as error:
            raise JournalError(
                error.message,
                where=f"{path}:{number}",
                now="nothing was touched; what the backends hold is unchanged",
                hint="restore the file from a backup; the blobs beside it still hold every captured document",
            ) from None
        records.append(record)
    return tuple(records), previous, whole


class Log:
    """An open log. ``records`` are all that are durable, in order."""

    def __init__(self, path: Path, clock: Callable[[], str]) -> None:
        """Open or create the log at ``path``; ``clock`` gives RFC 3339 UTC text.

        Raises: JournalError, OSError.
        """
        records, self._previous, whole = _read(path)
        self._records = list(records)
        self._clock = clock
        created = not path.exists()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, PRIVATE_FILE)
        os.ftruncate(self._descriptor, whole)
        if created:
            sync_directory(path.parent)
        self._write_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._written = len(self._records)
        self._synced = self._written
        self._broken = False

    @property
    def records(self) -> Sequence[Record]:
        """Every record so far, oldest first."""
        return self._records

    def append(self, kind: RecordKind, body: Body, *, step: str = "", unit: str = "") -> Record:
        """Write one record and return when it is durable.

        Raises: JournalError when it could not be made durable; the log then refuses every further record.
        """
        with self._write_lock:
            if self._broken:
                raise JournalError("the journal could not be written before; nothing more is attempted")
            record = Record(
                number=self._written + 1, at=self._clock(), kind=kind, step=step, unit=unit, body=dict(body)
            )
            line, digest = encode_record(record, self._previous)
            self._guarded(lambda: _write_all(self._descriptor, line))
            self._previous = digest
            self._records.append(record)
            self._written += 1
        with self._sync_lock:
            if self._synced < record.number:
                covered = self._written
                self._guarded(lambda: os.fdatasync(self._descriptor))
                self._synced = covered
        return record

    def close(self) -> None:
        """Close the file. Everything appended is durable already."""
        os.close(self._descriptor)

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            # After a failed write or sync nobody knows what the disk holds: go no further.
            self._broken = True
            raise JournalError(f"the journal cannot be written: {error.strerror}") from None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
