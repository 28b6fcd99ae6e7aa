"""The append-only log of one run: a record is durable when ``append`` returns.

Threads share one log. Each writes its line under a lock and then waits until a sync covers it; one sync serves every line
written before it (group commit), so durability costs the same however many states move at once.

A torn last line (no newline) belongs to a write that never returned: its effect was never attempted, so it is dropped.
Any other damage stops everything: ``JournalError``. After one failed write or sync the log takes no further record: the
kernel reports a lost page once, so a later sync that succeeds proves nothing about what was written before.
"""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from migrator.errors import JournalError, JournalWriteError
from migrator.journal.durable import PRIVATE_FILE, sync_directory, write_all
from migrator.journal.record import GENESIS, Body, Fact, Record, RecordKind, decode_record, encode_record


def read_log(path: Path) -> tuple[Record, ...]:
    """Return every whole record of the log, oldest first; an absent file is an empty log.

    Raises: JournalError.
    """
    return _read(path)[0]


def read_journal_bytes(data: bytes, *, where: str) -> tuple[Record, ...]:
    """Return the records of a journal of whole records, as another machine left it.

    Raises: JournalError.
    """
    records, _, whole = _parse(data, where)
    if whole != len(data):
        raise _damaged("the journal's last line is cut off", where, data.count(b"\n") + 1)
    return records


def _read(path: Path) -> tuple[tuple[Record, ...], str, int]:
    """Return the records, the last hash, and the length in bytes of what is whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return (), GENESIS, 0
    except OSError as error:
        raise JournalError(f"the journal cannot be read: {error.strerror}", where=str(path)) from None
    return _parse(data, str(path))


def _parse(data: bytes, where: str) -> tuple[tuple[Record, ...], str, int]:
    records: list[Record] = []
    previous = GENESIS
    start = 0
    while (end := data.find(b"\n", start)) >= 0:  # line by line: what is none stops at its first one
        try:
            record, previous = decode_record(data[start:end], previous, len(records) + 1)
        except JournalError as error:
            raise _damaged(error.message, where, len(records) + 1) from None
        records.append(record)
        start = end + 1
    if _is_whole(data[start:-1], previous, len(records) + 1):
        # Dropping it would forget an effect: a write that was cut short cannot leave a byte behind its record.
        raise _damaged("the end of the journal's last line is damaged", where, len(records) + 1)
    return tuple(records), previous, start


def _is_whole(line: bytes, previous: str, number: int) -> bool:
    try:
        decode_record(line, previous, number)
    except JournalError:
        return False
    return True


def _damaged(message: str, where: str, number: int) -> JournalError:
    return JournalError(
        message,
        where=f"{where}:{number}",
        now="nothing was touched; what the backends hold is unchanged",
        hint="restore the file from a backup; the blobs beside it still hold every captured document",
    )


class Log:
    """An open log."""

    def __init__(self, path: Path, clock: Callable[[], str]) -> None:
        """Open or create the log at ``path``; ``clock`` gives RFC 3339 UTC text.

        Raises: JournalError.
        """
        records, self._previous, whole = _read(path)
        self._records = list(records)
        self._clock = clock
        try:
            self._descriptor = _open(path, whole)
        except OSError as error:
            raise JournalWriteError(f"the journal cannot be opened: {error.strerror}", where=str(path)) from None
        self._write_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._written = len(self._records)
        self._synced = self._written
        self._broken: str | None = None

    @property
    def records(self) -> Sequence[Record]:
        """Every record so far, oldest first."""
        with self._write_lock:
            return tuple(self._records)

    def append(self, kind: RecordKind, body: Body, *, step: str = "", unit: str = "") -> Record:
        """Write one record and return when it is durable.

        Raises: JournalWriteError when it could not be made durable; the log then refuses every further record.
        """
        return self.append_all([Fact(kind=kind, body=body, step=step, unit=unit)])[0]

    def append_all(self, facts: Sequence[Fact]) -> Sequence[Record]:
        """Write records in order, in one write, and return when all are durable.

        Raises: JournalWriteError when they could not be made durable; the log then refuses every further record.
        """
        if not facts:
            return ()
        with self._write_lock:
            self._check_intact()
            lines: list[bytes] = []
            records: list[Record] = []
            previous = self._previous
            for number, fact in enumerate(facts, self._written + 1):
                record = Record(
                    number=number,
                    at=self._clock(),
                    kind=fact.kind,
                    step=fact.step,
                    unit=fact.unit,
                    body=dict(fact.body),
                )
                line, previous = encode_record(record, previous)
                lines.append(line)
                records.append(record)
            self._guarded(lambda: write_all(self._descriptor, b"".join(lines)))
            self._previous = previous
            self._records += records
            self._written += len(records)
        self._make_durable(records[-1].number)
        return tuple(records)

    def _make_durable(self, number: int) -> None:
        """Return when record ``number`` is on the disk; one sync serves every record written before it."""
        with self._sync_lock:
            if self._synced < number:
                self._check_intact()
                covered = self._written
                self._guarded(lambda: os.fdatasync(self._descriptor))
                self._synced = covered

    def close(self) -> None:
        """Close the file. Everything appended is durable already, and nothing is appended after it."""
        with self._write_lock, self._sync_lock:
            self._broken = "it is closed"
            os.close(self._descriptor)

    def _check_intact(self) -> None:
        if self._broken is not None:
            raise JournalWriteError(
                f"the journal could not be written before: {self._broken}; nothing more is attempted"
            )

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            # After a failed write or sync nobody knows what the disk holds: go no further.
            self._broken = error.strerror or "unknown error"
            raise JournalWriteError(f"the journal cannot be written: {error.strerror}") from None


def _open(path: Path, length: int) -> int:
    created = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        os.ftruncate(descriptor, length)
        if created:
            sync_directory(path.parent)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
