"""The states: what GitLab's `RemoteStateHandler` and its models do, without HTTP.

Invariants: one lock orders all changes; a change is in the storage before it can be seen; readers see whole rows.
Deliberately not here: who may do what, and how an outcome reads on the wire. Sources: `remote_state_handler.rb`,
`app/models/terraform/state.rb`, `trigger_destroy_service.rb`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from migrator.standin.configuration import SeededState
from migrator.standin.document import bump_serial
from migrator.standin.model import Lock, StateRow, StateTruth, Version, timestamp
from migrator.standin.storage import Storage

MAX_SERIAL = 2**31 - 1


class StateNotFoundError(Exception):
    """No state has this name."""


class VersionNotFoundError(Exception):
    """The state has no version with this serial."""


class StateDeletedError(Exception):
    """The state waits for its removal."""


class StateLockedError(Exception):
    """The lock and the ID that was sent do not agree; `row` shows the holder, if there is one."""

    def __init__(self, row: StateRow) -> None:
        super().__init__(row.name)
        self.row = row


class SerialTakenError(Exception):
    """The state has a version with this serial already."""

    def __init__(self, row: StateRow) -> None:
        super().__init__(row.name)
        self.row = row


class SerialOutOfRangeError(Exception):
    """The serial does not fit the column."""


class Store:
    """All states of all projects, over a storage that may hold some from before."""

    def __init__(self, storage: Storage, seeds: Iterable[SeededState] = ()) -> None:
        self._storage = storage
        self._mutex = threading.RLock()
        if not storage.is_seeded():
            # Nothing was ever served from a seeding that was cut short: it begins again.
            for row in storage.read_rows():
                storage.remove_row(row)
        self._rows = {(row.project, row.name): row for row in storage.read_rows()}
        versions = [version.id for row in self._rows.values() for version in row.versions]
        self._row_ids = count(1 + max((row.id for row in self._rows.values()), default=0))
        self._version_ids = count(1 + max(versions, default=0))
        if not storage.is_seeded():
            for seed in seeds:
                self._seed(seed)
            storage.mark_seeded()

    # Reading: rows are frozen and replaced whole, so no mutex is taken.

    def find(self, project: int, name: str) -> StateRow | None:
        """The row of a name, soft-deleted or not."""
        return self._rows.get((project, name))

    def find_by_id(self, row_id: int) -> StateRow | None:
        """The row with this id."""
        return next((row for row in self._all() if row.id == row_id), None)

    def rows(self, project: int) -> list[StateRow]:
        """The rows of a project by name, soft-deleted ones included (`ordered_by_name`)."""
        return sorted((row for row in self._all() if row.project == project), key=lambda row: row.name)

    def read_latest(self, project: int, name: str) -> bytes | None:
        """The bytes of the highest serial; None without a version or where its file is missing.

        Raises: StateNotFoundError, StateDeletedError.
        """
        latest = self._find_live(project, name).latest
        return None if latest is None else self._storage.read_content(latest.id)

    def read_version(self, project: int, name: str, serial: int) -> bytes | None:
        """The bytes of one version; None where its file is missing.

        Raises: StateNotFoundError, StateDeletedError, VersionNotFoundError.
        """
        version = self._find_live(project, name).find_version(serial)
        if version is None:
            raise VersionNotFoundError
        return self._storage.read_content(version.id)

    def truth(self) -> dict[tuple[int, str], StateTruth]:
        """Everything, for tests: by (project id, name), bytes included."""
        with self._mutex:
            return {key: self._truth(row) for key, row in self._rows.items()}

    def truth_of(self, project: int, name: str) -> StateTruth | None:
        """One state, for tests; None where no row has the name."""
        with self._mutex:
            row = self.find(project, name)
            return None if row is None else self._truth(row)

    # Writing

    def write_version(
        self, project: int, name: str, *, serial: int, content: bytes, lock_id: str | None = None, by_job: bool = False
    ) -> None:
        """Add a version. The row is made first, so that even a refused write leaves one behind.

        Raises: StateDeletedError, StateLockedError, SerialTakenError, SerialOutOfRangeError.
        """
        with self._mutex:
            row = self._find_or_create(project, name)
            if (lock_id or "") != _lock_id(row):
                raise StateLockedError(row)
            if serial > MAX_SERIAL or serial < -MAX_SERIAL - 1:
                raise SerialOutOfRangeError
            if row.find_version(serial):
                raise SerialTakenError(row)
            author = row.lock.user if row.lock else None
            self._add_version(row, serial=serial, content=content, author=author, by_job=by_job)

    def remove_version(self, project: int, name: str, serial: int) -> None:
        """Remove one version for good; the lock is not consulted.

        Raises: StateNotFoundError, StateDeletedError, VersionNotFoundError.
        """
        with self._mutex:
            row = self._find_live(project, name)
            version = row.find_version(serial)
            if version is None:
                raise VersionNotFoundError
            self._put(replace(row, versions=row.without_version(serial), updated_at=timestamp()))
            self._storage.remove_content(version.id)

    def lock(self, project: int, name: str, *, lock_id: str, user: str) -> Lock:
        """Take the lock; a name that is unknown gets a row.

        Raises: StateDeletedError, StateLockedError (held, by the same ID too).
        """
        with self._mutex:
            row = self._find_or_create(project, name)
            if row.lock:
                raise StateLockedError(row)
            lock = Lock(lock_id, user, timestamp())
            self._put(replace(row, lock=lock, updated_at=lock.created))
            return lock

    def unlock(self, project: int, name: str, *, lock_id: str | None) -> None:
        """Release the lock; without an ID whoever holds it, and also where nobody does.

        Raises: StateDeletedError, StateLockedError (the ID is not the holder's).
        """
        with self._mutex:
            row = self._find_or_create(project, name)
            if lock_id is not None and lock_id != _lock_id(row):
                raise StateLockedError(row)
            if row.lock:
                self._put(replace(row, lock=None, updated_at=timestamp()))

    def schedule_removal(self, project: int, name: str) -> None:
        """Soft-delete a state.

        Raises: StateNotFoundError, StateDeletedError, StateLockedError.
        """
        with self._mutex:
            row = self._find_live(project, name)
            if row.lock:
                raise StateLockedError(row)
            self._put(replace(row, deleted_at=timestamp()))

    def remove_scheduled(self, project: int, name: str) -> None:
        """What GitLab's background job does: remove a soft-deleted state, its versions and their bytes."""
        with self._mutex:
            row = self.find(project, name)
            if row is None or row.deleted_at is None:
                return
            self._storage.remove_row(row)
            del self._rows[project, name]
            for version in row.versions:
                self._storage.remove_content(version.id)

    def write_as_stranger(self, project: int, name: str) -> bool:
        """Another writer adds the next serial, unless a lock keeps it out; False where nothing was written."""
        with self._mutex:
            row = self.find(project, name)
            content = self._storage.read_content(row.latest.id) if row and row.latest else None
            if row is None or row.latest is None or row.lock or row.deleted_at or content is None:
                return False
            serial = row.latest.serial + 1
            self._add_version(row, serial=serial, content=bump_serial(content, serial), author=None, by_job=False)
            return True

    # Inside

    def _all(self) -> list[StateRow]:
        return list(self._rows.values())

    def _put(self, row: StateRow) -> None:
        self._storage.write_row(row)
        self._rows[row.project, row.name] = row

    def _find_live(self, project: int, name: str) -> StateRow:
        row = self.find(project, name)
        if row is None:
            raise StateNotFoundError
        if row.deleted_at:
            raise StateDeletedError
        return row

    def _find_or_create(self, project: int, name: str) -> StateRow:
        try:
            return self._find_live(project, name)
        except StateNotFoundError:
            now = timestamp()
            row = StateRow(id=next(self._row_ids), project=project, name=name, created_at=now, updated_at=now)
            self._put(row)
            return row

    def _add_version(self, row: StateRow, *, serial: int, content: bytes, author: str | None, by_job: bool) -> None:
        now = timestamp()
        version = Version(id=next(self._version_ids), serial=serial, created_at=now, created_by=author, by_job=by_job)
        self._storage.write_content(version.id, content)
        self._put(replace(row, versions=row.with_version(version), updated_at=now))

    def _seed(self, seed: SeededState) -> None:
        now = timestamp()
        versions = []
        for version in sorted(seed.versions, key=lambda version: version.serial):
            versions.append(Version(id=next(self._version_ids), serial=version.serial, created_at=now))
            self._storage.write_content(versions[-1].id, version.content)
        if seed.missing_file and versions:
            self._storage.remove_content(versions[-1].id)
        held = seed.locked_by
        self._put(
            StateRow(
                id=next(self._row_ids),
                project=seed.project,
                name=seed.name,
                versions=tuple(versions),
                lock=Lock(held.id or str(uuid.uuid4()), held.user, now) if held else None,
                deleted_at=now if seed.deleted else None,
                created_at=now,
                updated_at=now,
            )
        )

    def _truth(self, row: StateRow) -> StateTruth:
        return StateTruth(
            project=row.project,
            name=row.name,
            versions={version.serial: self._storage.read_content(version.id) for version in row.versions},
            lock=row.lock,
            deleted=row.deleted_at is not None,
        )


def _lock_id(row: StateRow) -> str:
    # An absent ID and an empty one are the same to GitLab's comparison.
    return row.lock.id if row.lock else ""
