"""Both servers as plain data: ``GitLabModel`` is a ``StateSource``, ``S3Model`` a ``StateTarget``, ``RunStoreModel`` a
``RunStore`` in the same bucket.

Answers and effects are those of the real backends on real servers; ``test_model`` compares them call by call, so that the
model cannot lie. What somebody else does there without our backends stands beside it: ``force_unlock``, ``write_past_lock``,
``put`` and ``remove``. ``look`` is the truth for the watcher. Deliberately not here: faults, which are put around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import md5, sha256

from migrator.backends.base import (
    SEALING,
    Created,
    Head,
    ListedState,
    Presence,
    Protection,
    ProtectionRule,
    Released,
    Removed,
    Unprotected,
    WriteToken,
)
from migrator.backends.lock_info import LockInfo, decode_lock_info, encode_lock_info
from migrator.errors import (
    BackendError,
    CredentialsRefusedError,
    ForeignLockError,
    ForeignObjectError,
    InvalidStateError,
)
from migrator.state.snapshot import read_snapshot
from tests.support.watcher import LOCK_SUFFIX, SourceTruth, TargetTruth

USER = "maint"


def read_serial(data: bytes) -> int | None:
    """Return the serial of a document, None for bytes that are none."""
    try:
        return read_snapshot(data).serial
    except InvalidStateError:
        return None


@dataclass
class Row:
    """One state of GitLab."""

    versions: dict[int, bytes] = field(default_factory=dict)
    lock: LockInfo | None = None
    rule: ProtectionRule | None = None

    @property
    def newest(self) -> bytes | None:
        """GitLab serves the highest serial, whatever was written last."""
        return self.versions[max(self.versions)] if self.versions else None

    @property
    def is_protected(self) -> bool:
        return self.rule is not None and self.rule.keeps_everybody_out

    def check_allowed(self, name: str) -> None:
        """Nobody here is an administrator."""
        if self.is_protected:
            raise CredentialsRefusedError("GitLab forbids it", where=f"the state {name}")


class GitLabModel:
    """The states of one project. ``documents`` by name; None for a name that was never written. ``rules``: whether this
    GitLab has protection rules.
    """

    def __init__(self, documents: dict[str, bytes | None], *, rules: bool) -> None:
        self.has_rules, self.rules, self.seconds = rules, 0, 0
        self.rows = {
            name: Row({} if data is None else {read_snapshot(data).serial: data}) for name, data in documents.items()
        }

    def look(self, name: str) -> SourceTruth | None:
        row = self.rows.get(name)
        if row is None:
            return None
        lock_id = row.lock.id if row.lock else None
        return SourceTruth(lock_id=lock_id, protected=row.is_protected, versions=dict(row.versions))

    # StateSource

    def list_states(self) -> Sequence[ListedState]:
        return tuple(
            ListedState(
                name=name,
                serial=max(row.versions, default=None),
                locked=row.lock is not None,
                locked_at=row.lock.created if row.lock else None,
                locked_by=USER if row.lock else None,
            )
            for name, row in sorted(self.rows.items())
        )

    def read_state(self, name: str) -> Head:
        row = self.rows.get(name)
        if row is None:
            return Head(presence=Presence.ABSENT)
        return Head(presence=Presence.EMPTY) if row.newest is None else Head(presence=Presence.PRESENT, data=row.newest)

    def read_version(self, name: str, serial: int) -> bytes | None:
        row = self.rows.get(name)
        return row.versions.get(serial) if row else None

    def write_state(self, name: str, data: bytes, *, serial: int, lock_id: str) -> None:
        row = self._row(name)
        if row.newest == data:
            return
        if row.newest is not None and (read_serial(row.newest) or 0) >= serial:
            raise ForeignObjectError(f"GitLab serves another document of {name}", now="nothing was written to GitLab")
        row.check_allowed(name)
        if row.lock is None or row.lock.id != lock_id:
            raise ForeignLockError(f"the lock of {name} is no longer ours", now="nothing was written to GitLab")
        row.versions[serial] = data

    def acquire_lock(self, unit: str, info: LockInfo) -> LockInfo:
        row = self._row(unit)
        row.check_allowed(unit)
        if row.lock is None:
            self.seconds += 1
            created = f"2026-01-02T03:{self.seconds // 60:02}:{self.seconds % 60:02}Z"
            row.lock = LockInfo(id=info.id, who=USER, created=created)  # all that GitLab keeps of it
        if row.lock.id != info.id:
            raise ForeignLockError(f"the state {unit} is locked by {row.lock.describe()}", now="nothing was changed")
        return row.lock

    def read_lock(self, unit: str, own_id: str) -> LockInfo | None:
        row = self.rows.get(unit)
        if row is None or row.lock is None:
            return None
        if own_id:
            row.check_allowed(unit)
        return LockInfo(id=row.lock.id if own_id else "", who=row.lock.who, created=row.lock.created)

    def release_lock(self, unit: str, lock_id: str) -> Released:
        row = self.rows.get(unit)
        if row is None or row.lock is None:
            return Released.NOT_HELD
        row.check_allowed(unit)
        if row.lock.id != lock_id:
            return Released.HELD_BY_OTHER
        row.lock = None
        return Released.RELEASED

    def read_protection(self, name: str) -> Protection:
        if not self.has_rules:
            return Protection(reason="this GitLab has no protection rules")
        row = self.rows.get(name)
        return Protection(rule=row.rule if row else None)

    def protect_state(self, name: str) -> Protection:
        if not self.has_rules:
            return Protection(reason="this GitLab cannot make protection rules")
        self.protect(name, *SEALING)
        return self.read_protection(name)

    def unprotect_state(self, name: str, rule_id: int) -> Unprotected:
        if not self.has_rules:
            return Unprotected.SWITCHED_OFF
        rule = self.read_protection(name).rule
        if rule is None or rule.id != rule_id:
            return Unprotected.ABSENT
        if not rule.is_as_made:
            return Unprotected.CHANGED
        self.rows[name].rule = None
        return Unprotected.REMOVED

    # Others

    def protect(self, name: str, level: str, allowed_from: str) -> bool:
        """Somebody makes a rule; return whether GitLab took it: a state has one at most."""
        row = self.rows[name]
        if row.rule is not None or not self.has_rules:
            return False
        self.rules += 1
        row.rule = ProtectionRule(id=self.rules, level=level, allowed_from=allowed_from)
        return True

    def change_rule(self, name: str, level: str) -> None:
        """Somebody changes the rule of a state, if there is one."""
        row = self.rows[name]
        row.rule = row.rule and replace(row.rule, level=level)

    def remove_rule(self, name: str) -> None:
        """Somebody removes the rule of a state, if there is one."""
        self.rows[name].rule = None

    def force_unlock(self, name: str) -> None:
        """A maintainer clicks "Unlock", which opens the lock whoever holds it, and passes rules by."""
        self.rows[name].lock = None

    def write_past_lock(self, name: str, data: bytes) -> bool:
        """A write that names no lock, as with ``-lock=false``; return whether GitLab took it: it does where nobody holds one."""
        row, serial = self.rows[name], read_snapshot(data).serial
        if row.is_protected or row.lock is not None or serial in row.versions:
            return False
        row.versions[serial] = data
        return True

    def _row(self, name: str) -> Row:
        if name not in self.rows:
            raise BackendError(f"GitLab has no state named {name!r}")
        return self.rows[name]


class S3Model:
    """The objects of one bucket."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}

    def look(self, key: str) -> TargetTruth:
        lock = self.objects.get(key + LOCK_SUFFIX)
        held = None if lock is None else decode_lock_info(lock)
        return TargetTruth(
            data=self.objects.get(key), lock_id=None if lock is None else held.id if held is not None else ""
        )

    # StateTarget

    def read_state(self, key: str) -> Head:
        data = self.objects.get(key)
        if data is None:
            return Head(presence=Presence.ABSENT)
        return Head(presence=Presence.PRESENT if data else Presence.EMPTY, data=data, token=self._token(key))

    def create_state(self, key: str, data: bytes) -> WriteToken:
        if self.objects.setdefault(key, data) != data:
            raise ForeignObjectError(f"an object that we did not write stands at {key}", now="it was left as it is")
        return self._token(key)

    def remove_state(self, key: str, *, sha256: str) -> Removed:
        if key not in self.objects:
            return Removed.ABSENT
        if _digest(self.objects[key]) != sha256:
            raise ForeignObjectError(f"an object that we did not write stands at {key}", now="it was left as it is")
        del self.objects[key]
        return Removed.REMOVED

    def acquire_lock(self, unit: str, info: LockInfo) -> LockInfo:
        mine = replace(info, path=info.path or f"{self.bucket}/{unit}")
        holder = decode_lock_info(self.objects.setdefault(unit + LOCK_SUFFIX, encode_lock_info(mine)))
        if holder is None or holder.id != info.id:
            raise ForeignLockError(f"the state {unit} is locked by somebody", now="nothing was changed")
        return holder

    def check_lock(self, unit: str, lock_id: str) -> None:
        """This store obeys conditions."""

    def read_lock(self, unit: str, own_id: str) -> LockInfo | None:
        data = self.objects.get(unit + LOCK_SUFFIX)
        return (
            None
            if data is None
            else decode_lock_info(data) or LockInfo(id="", who="the writer of an unreadable lock object")
        )

    def release_lock(self, unit: str, lock_id: str) -> Released:
        holder = self.read_lock(unit, lock_id)
        if holder is None:
            return Released.NOT_HELD
        if holder.id != lock_id:
            return Released.HELD_BY_OTHER
        del self.objects[unit + LOCK_SUFFIX]
        return Released.RELEASED

    # Others

    def put(self, key: str, data: bytes) -> None:
        """A write without any condition."""
        self.objects[key] = data

    def remove(self, key: str) -> None:
        """A removal without any condition."""
        self.objects.pop(key, None)

    def _token(self, key: str) -> WriteToken:
        return WriteToken(etag=f'"{md5(self.objects[key], usedforsecurity=False).hexdigest()}"')


class RunStoreModel:
    """The place in a bucket where runs are mirrored."""

    def __init__(self, s3: S3Model, prefix: str) -> None:
        self._s3, self._stem = s3, f"{prefix}/"

    def where(self, name: str) -> str:
        return f"s3://{self._s3.bucket}/{self._stem}{name}"

    def list_names(self, prefix: str = "") -> list[str]:
        stem = self._stem + prefix
        return sorted(key.removeprefix(self._stem) for key in self._s3.objects if key.startswith(stem))

    def read(self, name: str, *, most: int | None = None) -> bytes | None:
        data = self._s3.objects.get(self._stem + name)
        return data if data is None or most is None else data[: most + 1]

    def create(self, name: str, data: bytes) -> Created:
        before = self._s3.objects.get(self._stem + name)
        if before is None:
            self._s3.objects[self._stem + name] = data
            return Created.CREATED
        return Created.EXISTS_SAME if before == data else Created.EXISTS_OTHER

    def remove(self, name: str, *, sha256: str) -> Removed:
        return self._s3.remove_state(self._stem + name, sha256=sha256)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()
