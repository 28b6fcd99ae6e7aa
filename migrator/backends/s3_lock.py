"""OpenTofu's lock of one object in an S3 store: a ``<key>.tflock`` beside it, created with ``If-None-Match: *``.

Invariants: a refused or unanswered create is settled by reading the lock back and comparing IDs, never by believing the
refusal (a lost reply makes it our own lock that refuses us); a lock is deleted only after its ID was read and is the
one asked for. Protocol: OpenTofu ``internal/backend/remote-state/s3/client.go`` (``Path`` is bucket and key of the
state; unlock is GET, compare, DELETE).
"""

from dataclasses import replace

from migrator.backends.base import Head, Presence, Released
from migrator.backends.lock_info import LockInfo, decode_lock_info, encode_lock_info
from migrator.backends.retry import TransientError, retry_call, retry_write
from migrator.backends.s3_bucket import Bucket, Outcome
from migrator.backends.s3_settle import settle_create, settle_delete
from migrator.errors import ForeignLockError, UnsafeTargetError

_SUFFIX = ".tflock"


class S3Lock:
    """``StateLock`` in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def acquire_lock(self, unit: str, info: LockInfo) -> LockInfo:
        """Hold the lock with ``info.id`` (see ``StateLock``). An empty ``info.path`` is filled in as OpenTofu does."""
        mine = replace(info, path=info.path or f"{self._bucket.name}/{unit}")
        holder = retry_write(lambda: self._attempt_lock(unit, mine), policy=self._bucket.retry)
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
        head = self._bucket.read(unit + _SUFFIX)
        return None if head.presence is Presence.ABSENT else _build_holder(head)

    def release_lock(self, unit: str, lock_id: str) -> Released:
        """Give back the lock if ``lock_id`` still holds it (see ``StateLock``)."""
        sent = False

        def attempt() -> Released:
            nonlocal sent
            key = unit + _SUFFIX
            head = self._bucket.read(key)
            if head.presence is Presence.ABSENT:
                return Released.RELEASED if sent else Released.NOT_HELD  # a lost reply: it was we who deleted it
            if _build_holder(head).id != lock_id:
                return Released.HELD_BY_OTHER
            sent = True
            settle_delete(self._bucket, key, head)
            return Released.RELEASED

        return retry_write(attempt, policy=self._bucket.retry)

    def check_lock(self, unit: str, lock_id: str) -> None:
        """Check that the store refuses whoever comes second (see ``StateTarget``)."""
        key = unit + _SUFFIX
        head = self._bucket.read(key)
        if head.presence is Presence.ABSENT or _build_holder(head).id != lock_id:
            return
        retry_call(lambda: self._check_refused(key, head.data), policy=self._bucket.retry)

    def _check_refused(self, key: str, data: bytes) -> None:
        """See the store refuse to create what stands there; whatever it does instead, it is the same bytes."""
        attempt = self._bucket.create(key, data)
        if attempt.outcome is Outcome.IN_DOUBT and attempt.error is not None:
            raise TransientError(attempt.error)
        if attempt.outcome is not Outcome.REFUSED:
            raise UnsafeTargetError(
                "the store created a lock where one stood, although it was asked not to: no lock in it protects anything",
                where=self._bucket.where("PUT", key),
                hint="migrator probe; once it finds the bucket safe: migrator plan",
            )

    def _attempt_lock(self, unit: str, info: LockInfo) -> LockInfo:
        creation = settle_create(self._bucket, unit + _SUFFIX, encode_lock_info(info))
        return info if creation.confirmed else _build_holder(creation.head)


def _build_holder(head: Head) -> LockInfo:
    return decode_lock_info(head.data) or LockInfo(id="", who="the writer of an unreadable lock object")
