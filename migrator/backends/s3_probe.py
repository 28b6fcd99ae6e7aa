"""Does this bucket, as it is now, keep the promises that a lock needs? Asks the bucket itself, never its vendor's name.

Stores exist that ignore ``If-None-Match`` and answer 200, that ignore it on versioned buckets only, or that refuse it
over a delete marker; each makes OpenTofu's lock worthless or usable once. Works on scratch keys only,
``<prefix>/.migrator-probe-<id>``, and removes them whatever happens (on a versioned bucket their delete markers stay).
A race that nobody loses in a few rounds proves nothing for ever; a race with two winners proves the store unsafe.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial

from migrator.backends.base import Presence
from migrator.backends.retry import TransientError, retry_call
from migrator.backends.s3 import S3Target
from migrator.backends.s3_bucket import Attempt, Bucket, Outcome
from migrator.errors import MigratorError

_WRITERS = 8
_ROUNDS = 3
_FOREIGN_ETAG = f'"{"0" * 32}"'


class Verdict(StrEnum):
    """Whether a lock in this bucket protects anything."""

    SAFE = "safe"
    UNSAFE = "unsafe"


class ConditionalDelete(StrEnum):
    """What the store makes of ``If-Match`` on a DELETE. None of the three is unsafe."""

    OBEYED = "obeyed"
    IGNORED = "ignored"  # deleted although the ETag is another one
    REFUSED = "refused"  # not even with the right ETag


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetProbe:
    """What was found. ``probed_at`` is ISO 8601; ``versioning`` is enabled, suspended, off or unknown.

    ``reasons`` says in sentences why the verdict is UNSAFE; it is empty when it is SAFE. ``race_winners`` has the number
    of winners of each raced create.
    """

    endpoint: str
    bucket: str
    probed_at: str
    verdict: Verdict
    reasons: tuple[str, ...]
    conditional_delete: ConditionalDelete
    versioning: str
    race_winners: tuple[int, ...]


def probe_target(
    target: S3Target, *, prefix: str, new_id: Callable[[], str], clock: Callable[[], datetime]
) -> TargetProbe:
    """Return what the bucket promises, tried on scratch keys below ``prefix`` ("" for the top of the bucket).

    Raises: BackendUnreachableError, CredentialsRefusedError, BackendError when the bucket cannot be used at all.
    """
    bucket = target.bucket
    stem = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    with _scratch_keys(bucket, f"{stem}.migrator-probe-{new_id()}") as scratch:
        key = scratch("sequence")
        reasons = [*_probe_create(bucket, key)]
        conditional_delete = _probe_delete(bucket, key)
        reasons += _probe_create_after_delete(bucket, key)
        winners = tuple(_race(bucket, scratch(f"race-{number}")) for number in range(_ROUNDS))
    reasons += [f"{count} of {_WRITERS} writers that raced for one key won" for count in winners if count != 1]
    return TargetProbe(
        endpoint=bucket.endpoint,
        bucket=bucket.name,
        probed_at=clock().isoformat(),
        verdict=Verdict.UNSAFE if reasons else Verdict.SAFE,
        reasons=tuple(reasons),
        conditional_delete=conditional_delete,
        versioning=bucket.read_versioning(),
        race_winners=winners,
    )


@contextmanager
def _scratch_keys(bucket: Bucket, stem: str) -> Iterator[Callable[[str], str]]:
    """Hand out keys and delete them all at the end, each even if another cannot be deleted."""
    keys: list[str] = []

    def scratch(name: str) -> str:
        keys.append(f"{stem}-{name}")
        return keys[-1]

    try:
        yield scratch
    except BaseException:
        _clean(bucket, keys)  # what broke the probe off is the error to show
        raise
    left = _clean(bucket, keys)
    if left:
        raise left[0]


def _clean(bucket: Bucket, keys: list[str]) -> list[MigratorError]:
    """Delete every key; return what went wrong."""
    left: list[MigratorError] = []
    for key in keys:
        try:
            retry_call(partial(_delete, bucket, key), policy=bucket.retry)
        except MigratorError as error:
            left.append(error)
    return left


def _delete(bucket: Bucket, key: str) -> None:
    attempt = bucket.delete(key)
    if attempt.outcome is Outcome.IN_DOUBT and attempt.error:
        raise TransientError(attempt.error)


def _probe_create(bucket: Bucket, key: str) -> Iterator[str]:
    """Yield what is wrong with creating: on a free key, read back, and on a taken key."""
    first = bucket.create(key, b'{"probe":1}')
    if first.outcome is Outcome.UNSUPPORTED:
        yield "the store does not implement conditional writes"
    elif first.outcome is not Outcome.DONE:
        yield f"a conditional create on a free key is refused ({_describe(first)})"
    if first.outcome is not Outcome.DONE:
        return
    if bucket.read(key).data != b'{"probe":1}':
        yield "an object is not read back as it was written"
    second = bucket.create(key, b'{"probe":2}')
    if second.outcome is Outcome.DONE:
        yield "a conditional create on a taken key is granted: the condition is ignored"
    elif bucket.read(key).data != b'{"probe":1}':
        yield "a refused conditional create replaces the object"


def _probe_delete(bucket: Bucket, key: str) -> ConditionalDelete:
    """Delete the object, foreign ETag first."""
    head = bucket.read(key)
    if head.token is None:
        return ConditionalDelete.REFUSED
    bucket.delete(key, etag=_FOREIGN_ETAG)
    if bucket.read(key).presence is Presence.ABSENT:
        return ConditionalDelete.IGNORED
    bucket.delete(key, etag=head.token.etag)
    if bucket.read(key).presence is Presence.ABSENT:
        return ConditionalDelete.OBEYED
    bucket.delete(key)
    return ConditionalDelete.REFUSED


def _probe_create_after_delete(bucket: Bucket, key: str) -> Iterator[str]:
    if bucket.read(key).presence is not Presence.ABSENT:
        yield "a deleted object is still served"
        return
    again = bucket.create(key, b'{"probe":3}')
    if again.outcome is not Outcome.DONE:
        yield f"a conditional create after a delete is refused ({_describe(again)}): a lock works once"


def _race(bucket: Bucket, key: str) -> int:
    """Return how many of the writers that create one key at one moment win; one without an answer wins if it is read."""
    start = threading.Barrier(_WRITERS)

    def write(number: int) -> Attempt:
        start.wait()
        return bucket.create(key, f'{{"writer":{number}}}'.encode())

    with ThreadPoolExecutor(_WRITERS) as pool:
        attempts = list(pool.map(write, range(_WRITERS)))
    stands = bucket.read(key).data
    winners = {number for number, attempt in enumerate(attempts) if attempt.outcome is Outcome.DONE}
    winners |= {number for number in range(_WRITERS) if stands == f'{{"writer":{number}}}'.encode()}
    return len(winners)


def _describe(attempt: Attempt) -> str:
    return attempt.error.message if attempt.error else attempt.outcome.value
