"""The contracts that the engine sees: a source, a target, and the lock that both have.

A *unit* is a state name at the source and an object key at the target. Every method talks to one unit, is safe to call
from several threads, and raises only errors of ``migrator.errors``: ``BackendUnreachableError``,
``CredentialsRefusedError``, ``UnknownOutcomeError`` besides those that it names. Nothing here retries a write that is not
idempotent; a lost reply is settled by reading back. ``CredentialsRefusedError`` from a write means that it had no effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from migrator.backends.lock_info import LockInfo
from migrator.state.snapshot import digest_of


class Presence(StrEnum):
    """Whether a backend holds a document for a unit."""

    ABSENT = "absent"  # nothing is known under this name
    EMPTY = "empty"  # the name exists and serves no document (GitLab: 204; S3: an object of zero bytes)
    PRESENT = "present"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteToken:
    """What identifies one written object: ``etag`` as the store sent it, quotes included, and its version, if any."""

    etag: str
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a backend serves for a unit now: exact bytes, and the token of the object where the backend has one."""

    presence: Presence
    data: bytes = b""
    token: WriteToken | None = None

    @property
    def sha256(self) -> str | None:
        """The digest of the document (lower-case hex), None where there is none."""
        return digest_of(self.data) if self.presence is Presence.PRESENT else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedState:
    """One state as the source lists it. ``serial`` is None when it has no version; ``locked_at`` is ISO 8601 UTC."""

    name: str
    serial: int | None
    locked: bool
    locked_at: str | None = None
    locked_by: str | None = None
    deleted: bool = False


class Released(StrEnum):
    """The outcome of giving a lock back."""

    RELEASED = "released"
    NOT_HELD = "not-held"  # nobody holds it: already given back, or taken away by somebody
    HELD_BY_OTHER = "held-by-other"  # somebody else holds it now; left alone


class Removed(StrEnum):
    """The outcome of removing an object."""

    REMOVED = "removed"
    ABSENT = "absent"


class Created(StrEnum):
    """The outcome of creating an object of a run store."""

    CREATED = "created"  # the store confirms it
    EXISTS_SAME = (
        "exists-same"  # these bytes stand there: an earlier attempt's, a lost reply's, or equal ones of a rival
    )
    EXISTS_OTHER = "exists-other"  # other bytes stand there; left alone


# What ``protect_state`` asks for: the level that nobody below an administrator has, from wherever a request comes.
SEALING = ("admin", "anywhere")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionRule:
    """A rule of the source about one state: which ``level`` may write, lock and unlock it, and from where."""

    id: int
    level: str
    allowed_from: str

    @property
    def keeps_everybody_out(self) -> bool:
        """Whether nobody below an administrator gets past it."""
        return self.level == SEALING[0]

    @property
    def is_as_made(self) -> bool:
        """Whether it is exactly what ``protect_state`` makes."""
        return (self.level, self.allowed_from) == SEALING

    def describe(self) -> str:
        """Say whom it lets in, for people."""
        return f"level {self.level}, from {self.allowed_from}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Whether a rule stands for a state. ``reason`` is "" or says why rules are of no use here, for people.

    ``known`` False: the token may not look, so a rule may stand all the same.
    """

    rule: ProtectionRule | None = None
    reason: str = ""
    known: bool = True


class Unprotected(StrEnum):
    """The outcome of removing a rule."""

    REMOVED = "removed"
    ABSENT = "absent"  # somebody removed it before
    CHANGED = "changed"  # it stands and is no longer what was made; left alone
    SWITCHED_OFF = "switched-off"  # the feature is off: no rule binds anybody, and none can be removed


class StateLock(Protocol):
    """The lock of one unit, in OpenTofu's own protocol of that backend."""

    def acquire_lock(self, unit: str, info: LockInfo) -> LockInfo:
        """Hold the lock with ``info.id``; return the holder's info as the backend gives it (its ``id`` is ours).

        A refusal that names our own ID means that we hold it (a lost reply), and is success.

        Raises: ForeignLockError (names holder and time).
        """

    def read_lock(self, unit: str, own_id: str) -> LockInfo | None:
        """Return who holds the lock, None when it is free. ``own_id`` is only compared, never used to take the lock.

        Where the protocol cannot say whose a held lock is without an effect, ``id`` is "" and the rest is what is known.
        """

    def release_lock(self, unit: str, lock_id: str) -> Released:
        """Give back the lock if ``lock_id`` still holds it. Never forces."""


class StateSource(StateLock, Protocol):
    """The backend that state is moved away from."""

    def list_states(self) -> Sequence[ListedState]:
        """Return every state of the project, sorted by name, deleted ones included.

        Raises: CredentialsRefusedError when the list cannot be trusted to be whole.
        """

    def read_state(self, name: str) -> Head:
        """Return the newest document, exact bytes. Never takes or checks the lock."""

    def read_version(self, name: str, serial: int) -> bytes | None:
        """Return the exact bytes stored under ``serial``, None when there is no such version."""

    def write_state(self, name: str, data: bytes, *, serial: int, lock_id: str) -> None:
        """Store ``data`` as version ``serial`` under a lock that ``lock_id`` holds; return only when it is served.

        Idempotent: the same bytes under the same serial are success. After a lost reply or a 5xx it reads the version
        back instead of sending again.

        Raises: ForeignObjectError when other bytes stand under ``serial`` or a higher serial exists,
        ForeignLockError when the lock is not ours.
        """

    def read_protection(self, name: str) -> Protection:
        """Return the rule that stands for ``name``; a source without rules and a token that may not look are answers."""

    def protect_state(self, name: str) -> Protection:
        """Make a rule that refuses every write, lock and unlock of ``name`` below an administrator; return what stands.

        A rule that stands already is left as it is and returned. After a lost reply the rules are read back: a rule that
        ``is_as_made`` and was not there before is ours. No rule and a ``reason``: none can be made.
        """

    def unprotect_state(self, name: str, rule_id: int) -> Unprotected:
        """Remove the rule if it still stands for ``name`` exactly as ``protect_state`` made it.

        Raises: CredentialsRefusedError when the token may not look or may not remove it.
        """


class StateTarget(StateLock, Protocol):
    """The store that state is moved to."""

    def check_lock(self, unit: str, lock_id: str) -> None:
        """Check that the store refuses whoever comes second, while ``lock_id`` holds the lock: it is created once more, with
        the bytes that stand there. A lock that is not ours is left alone.

        Raises: UnsafeTargetError.
        """

    def read_state(self, key: str) -> Head:
        """Return the object at ``key``, exact bytes and token."""

    def create_state(self, key: str, data: bytes) -> WriteToken:
        """Create the object if the key is free (``If-None-Match: *``). Never blind: a reply that is of no use is settled by
        reading back, and only an absent object is created again.

        An object with exactly ``data`` is success (a lost reply).

        Raises: ForeignObjectError when other bytes stand there.
        """

    def remove_state(self, key: str, *, sha256: str) -> Removed:
        """Delete the object if its bytes have this digest (lower-case hex); conditional where the store obeys it.

        Raises: ForeignObjectError when other bytes stand there.
        """


class RunStore(Protocol):
    """Where runs are mirrored: small objects under names, written once and never changed.

    A name is relative to the store and uses "/" between its parts. Names that are read back are somebody's input, not
    only ours: whoever makes a path of one checks it first.
    """

    def where(self, name: str) -> str:
        """Return the address of an object, for messages."""

    def list_names(self, prefix: str = "") -> Sequence[str]:
        """Return every name that begins with ``prefix``, sorted and whole, however many there are.

        Raises: BackendError when the store does not give the list to its end.
        """

    def read(self, name: str, *, most: int | None = None) -> bytes | None:
        """Return the exact bytes under ``name``, None when there is no such object.

        Of one that is longer than ``most`` bytes, its first ``most`` + 1: what a stranger put there must not fill our memory.
        """

    def create(self, name: str, data: bytes) -> Created:
        """Create the object if the name is free (``If-None-Match: *``); never overwrite.

        A reply that is of no use is settled by reading back, and only an absent object is created again, a bounded
        number of times. A caller that must know whether the bytes are *its own* makes them unlike any rival's.

        Raises: UnsafeTargetError when the store does not implement the condition or refuses it on a free name.
        """

    def remove(self, name: str, *, sha256: str) -> Removed:
        """Delete the object if its bytes have this digest (lower-case hex), and see that it is gone.

        Conditional where the store obeys it. On a versioned bucket the versions stay.

        Raises: ForeignObjectError when other bytes stand there.
        """
