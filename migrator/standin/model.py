"""The rows of GitLab's tables `terraform_states`, `terraform_state_versions` and `terraform_state_protection_rules`.

Invariants: rows are frozen, so that a reader needs no lock; `versions` ascends by serial. The client's lock info is not
part of a row: GitLab keeps the lock's ID, the user and the time, and forgets the rest.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Lock:
    """A held lock: who has it, under which ID, since when (RFC 3339)."""

    id: str
    user: str
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version; its bytes are in the storage under `id`. `created_by` None: written without a lock."""

    id: int
    serial: int
    created_at: str
    created_by: str | None = None
    by_job: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """One state; a row without versions is what a lock on an unknown name leaves behind."""

    id: int
    project: int
    name: str
    versions: tuple[Version, ...] = ()
    lock: Lock | None = None
    deleted_at: str | None = None
    created_at: str
    updated_at: str

    @property
    def latest(self) -> Version | None:
        """The version with the highest serial: what GET serves."""
        return self.versions[-1] if self.versions else None

    def find_version(self, serial: int) -> Version | None:
        """The version with exactly this serial."""
        index = bisect_left(self.versions, serial, key=_serial)
        found = self.versions[index : index + 1]
        return found[0] if found and found[0].serial == serial else None

    def with_version(self, version: Version) -> tuple[Version, ...]:
        """The versions with one more, still in order."""
        return tuple(sorted((*self.versions, version), key=_serial))

    def without_version(self, serial: int) -> tuple[Version, ...]:
        """The versions with one less."""
        return tuple(version for version in self.versions if version.serial != serial)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One protection rule: who may write a state, and from where."""

    id: int
    project: int
    state_name: str
    minimum_access_level_for_write: str
    allowed_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTruth:
    """What the store holds for one state, bytes included; None for a version whose file is missing.

    `rule` is the protection rule in force.
    """

    project: int
    name: str
    versions: dict[int, bytes | None]
    lock: Lock | None
    deleted: bool
    rule: RuleRow | None = None

    @property
    def serial(self) -> int | None:
        """The highest serial."""
        return max(self.versions, default=None)

    @property
    def protected(self) -> bool:
        """True where a rule keeps everybody below an administrator from writing, with a lock or without."""
        return self.rule is not None and self.rule.minimum_access_level_for_write == "admin"

    @property
    def content(self) -> bytes | None:
        """The bytes that GET serves; None where it answers 204."""
        return None if self.serial is None else self.versions[self.serial]


def timestamp() -> str:
    """The time now as GitLab writes it: RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _serial(version: Version) -> int:
    return version.serial
