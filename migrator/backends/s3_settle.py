"""Conditional writes whose outcome is settled: what an answer that is no plain success really left in the bucket.

Invariants: a refused or unanswered write is settled by reading the object back, never by believing the refusal (a lost
reply makes it our own object that refuses us); an object is deleted only after its bytes were read and are the expected
ones. Each function is one attempt and raises ``TransientError`` where it may be made again: callers bound that with
``retry_write``. Knows buckets and bytes, knows nothing of what these mean.
"""

import hashlib
from dataclasses import dataclass

from migrator.backends.base import Head, Presence, Removed
from migrator.backends.retry import TransientError, build_refused_doubt
from migrator.backends.s3_bucket import Attempt, Bucket, Outcome
from migrator.errors import (
    BackendUnreachableError,
    CredentialsRefusedError,
    ForeignObjectError,
    MigratorError,
    UnknownOutcomeError,
    UnsafeTargetError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """What stands at a key after a conditional create, and whether the store confirmed that it is what was sent."""

    head: Head
    confirmed: bool


def settle_create(bucket: Bucket, key: str, data: bytes) -> Creation:
    """Create the object if the key is free, one attempt; return what stands there then (never ABSENT).

    Raises: TransientError when nothing stands there; UnsafeTargetError when the store does not know the condition.
    """
    attempt = bucket.create(key, data)
    if attempt.outcome is Outcome.DONE:
        presence = Presence.PRESENT if data else Presence.EMPTY
        return Creation(head=Head(presence=presence, data=data, token=attempt.token), confirmed=True)
    if attempt.outcome is Outcome.UNSUPPORTED:
        raise _build_unsafe_error(attempt)
    head = _read_back(bucket, key, attempt)
    if head.presence is Presence.ABSENT:
        raise TransientError(_build_doubt(attempt, f"{key} is absent now; the lost request may still create it"))
    return Creation(head=head, confirmed=False)


def settle_remove(bucket: Bucket, key: str, *, sha256: str, hint: str) -> Removed:
    """Delete the object if its bytes have this digest, one attempt, and see that it is gone.

    Raises: ForeignObjectError with ``hint`` when other bytes stand there; TransientError when it is still there.
    """
    head = bucket.read(key)
    if head.presence is Presence.ABSENT:
        return Removed.ABSENT
    if hashlib.sha256(head.data).hexdigest() != sha256:
        raise build_foreign_error(bucket.where("DELETE", key), key, head, hint=hint)
    attempt = _delete_exactly(bucket, key, head)
    if _read_back(bucket, key, attempt).presence is Presence.ABSENT:
        return Removed.REMOVED
    if attempt.outcome is Outcome.DONE:
        raise UnknownOutcomeError(
            "the store confirms the deletion and still serves an object",
            where=bucket.where("DELETE", key),
            now="somebody wrote the key again, or the store is not consistent",
            hint="look at the object, then run the command again",
        )
    raise TransientError(_build_doubt(attempt, f"{key} is still there"))


def settle_delete(bucket: Bucket, key: str, head: Head) -> None:
    """Delete the object that ``head`` was read from, one attempt, on the store's word.

    Raises: TransientError when the store does not confirm it.
    """
    attempt = _delete_exactly(bucket, key, head)
    if attempt.outcome is not Outcome.DONE:
        raise TransientError(_build_doubt(attempt, f"{key} may still be there"))


def build_foreign_error(where: str, key: str, head: Head, *, hint: str) -> ForeignObjectError:
    """Return the error of an object that is not the expected one."""
    what = f"{len(head.data)} bytes" if head.data else "no bytes at all"
    return ForeignObjectError(
        f"an object that we did not write stands at {key}: {what}, ETag {head.token.etag if head.token else '?'}",
        where=where,
        now="it was left as it is",
        hint=hint,
    )


def _delete_exactly(bucket: Bucket, key: str, head: Head) -> Attempt:
    """Delete the object that ``head`` was read from, conditionally where the store obeys the condition.

    Stores exist that refuse a right ETag, or the header (older Ceph, for one). An object that is unchanged after such a
    refusal is deleted without condition, as OpenTofu's own unlock does; but a reading alone is not believed then: a cache
    that serves what stood there before would have us delete what nobody has seen.

    Raises: UnsafeTargetError when the listing shows another object than is read.
    """
    assert head.token is not None
    attempt = bucket.delete(key, etag=head.token.etag)
    if attempt.outcome not in {Outcome.REFUSED, Outcome.UNSUPPORTED} or _read_back(bucket, key, attempt) != head:
        return attempt
    if bucket.read_listed_etag(key) != head.token.etag.strip('"'):
        raise UnsafeTargetError(
            "the store lists another object than it serves: something answers with what stood there before",
            where=bucket.where("DELETE", key),
            now="it was left as it is",
            hint="find the cache in front of the store and take it away; then run the command again",
        )
    return bucket.delete(key)


def _read_back(bucket: Bucket, key: str, attempt: Attempt) -> Head:
    """Return what stands at ``key`` after a write without a clear answer.

    Raises: UnknownOutcomeError when that cannot be read either.
    """
    try:
        return bucket.read(key)
    except BackendUnreachableError as error:
        raise _build_doubt(attempt, f"{key} could not be read back ({error.message})") from error
    except CredentialsRefusedError as error:
        if attempt.outcome is Outcome.REFUSED or attempt.error is None:
            raise
        raise build_refused_doubt(attempt.error, error) from error


def _build_unsafe_error(attempt: Attempt) -> MigratorError:
    """Return the error of a store that does not know conditional writes."""
    return UnsafeTargetError(
        "the store does not implement conditional writes, so no lock in it protects anything",
        where=attempt.error.where if attempt.error else None,
        now="nothing was written",
        hint="migrator probe",
    )


def _build_doubt(attempt: Attempt, now: str) -> MigratorError:
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
