"""OpenTofu's lock of one object in an S3 store: a ``<key>.tflock`` beside it, created with ``If-None-Match: *``.

Invariants: a refused or unanswered create is settled by reading the lock back and comparing IDs, never by believing the
refusal (a lost reply makes it our own lock that refuses us); a lock is deleted only after its ID was read and is the
one asked for. Protocol: OpenTofu ``internal/backend/remote-state/s3/client.go`` (``Path`` is bucket and key of the
state; unlock is GET, compare, DELETE).
"""

from dataclasses import replace

from migrator.backends.base import Head, Presence, Released
from migrator.backends.lock_info import LockInfo, decode_lock_info, encode_lock_info
from migrator.backends.retry import TransientError, retry_call
from migrator.backends.s3_bucket import Attempt, Bucket, Outcome
from migrator.errors import (
    BackendUnreachableError,
    ForeignLockError,
    MigratorError,
    UnknownOutcomeError,
    UnsafeTargetError,
)

_SUFFIX = ".tflock"


class S3Lock:
    """``StateLock`` in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def acquire_lock(self, unit: str, info: LockInfo) -> LockInfo:
        """Hold the lock with ``info.id`` (see ``StateLock``). An empty ``info.path`` is filled in as OpenTofu does."""
        mine = replace(info, path=info.path or f"{self._bucket.name}/{unit}")
        holder = retry_call(lambda: self._attempt_lock(unit, mine), policy=self._bucket.retry)
        if holder.id != info.id:
            raise ForeignLockError(
                f"the state {unit} is locked by {holder.describe()}",
                where=self._bucket.where("PUT", unit + _SUFFIX),
                now="nothing was changed",
                hint="wait until it is released, or release it (`tofu force-unlock`) if its run is dead",
            )
        return holder

    def read_lock(self, unit: str, own_id: str) -> LockInfo | None:
        """Return who holds the lock (see ``StateLock``). A lock object that nobody can read has the ID ""."""
        return _build_holder(self._bucket.read(unit + _SUFFIX))

    def release_lock(self, unit: str, lock_id: str) -> Released:
        """Give back the lock if ``lock_id`` still holds it (see ``StateLock``)."""
        return retry_call(lambda: self._attempt_release(unit, lock_id), policy=self._bucket.retry)

    def _attempt_lock(self, unit: str, info: LockInfo) -> LockInfo:
        key = unit + _SUFFIX
        attempt = self._bucket.create(key, encode_lock_info(info))
        if attempt.outcome is Outcome.DONE:
            return info
        if attempt.outcome is Outcome.UNSUPPORTED:
            raise build_unsafe_error(attempt)
        holder = _build_holder(read_back(self._bucket, key, attempt))
        if holder is None:
            raise TransientError(build_doubt(attempt, f"{key} is absent now; the lost request may still create it"))
        return holder

    def _attempt_release(self, unit: str, lock_id: str) -> Released:
        key = unit + _SUFFIX
        head = self._bucket.read(key)
        holder = _build_holder(head)
        if holder is None:
            return Released.NOT_HELD
        if holder.id != lock_id:
            return Released.HELD_BY_OTHER
        attempt = delete_exactly(self._bucket, key, head)
        if attempt.outcome is not Outcome.DONE:
            raise TransientError(build_doubt(attempt, f"{key} may still be there"))
        return Released.RELEASED


def delete_exactly(bucket: Bucket, key: str, head: Head) -> Attempt:
    """Delete the object that ``head`` was read from, conditionally where the store obeys the condition.

    Stores exist that refuse a right ETag, or the header (older Ceph, for one). An object that is unchanged after such a
    refusal is deleted without condition, as OpenTofu's own unlock does.
    """
    assert head.token is not None
    attempt = bucket.delete(key, etag=head.token.etag)
    if attempt.outcome in {Outcome.REFUSED, Outcome.UNSUPPORTED} and read_back(bucket, key, attempt) == head:
        return bucket.delete(key)
    return attempt


def read_back(bucket: Bucket, key: str, attempt: Attempt) -> Head:
    """Return what stands at ``key`` after a write without a clear answer.

    Raises: UnknownOutcomeError when that cannot be read either.
    """
    try:
        return bucket.read(key)
    except BackendUnreachableError as error:
        raise build_doubt(attempt, f"{key} could not be read back ({error.message})") from error


def build_unsafe_error(attempt: Attempt) -> MigratorError:
    """Return the error of a store that does not know conditional writes."""
    where = attempt.error.where if attempt.error else None
    return UnsafeTargetError(
        "the store does not implement conditional writes, so no lock in it protects anything",
        where=where,
        now="nothing was written",
        hint="migrator probe",
    )


def build_doubt(attempt: Attempt, now: str) -> MigratorError:
    """Return the error of a write that no reading back could settle."""
    error = attempt.error
    if error is None:
        return UnknownOutcomeError("the write is confirmed", now=now, hint="run the command again")
    if attempt.outcome is Outcome.REFUSED:
        return UnsafeTargetError(
            f"the store refuses a condition that holds ({error.message})",
            where=error.where,
            now=now,
            hint="migrator probe",
        )
    return UnknownOutcomeError(error.message, where=error.where, now=now, hint="run the command again")


def _build_holder(head: Head) -> LockInfo | None:
    if head.presence is Presence.ABSENT:
        return None
    return decode_lock_info(head.data) or LockInfo(id="", who="the writer of an unreadable lock object")
