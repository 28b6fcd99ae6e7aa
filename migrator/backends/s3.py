"""An S3-compatible store as the target: ``S3Target``.

Invariants: a state object is only ever created (``If-None-Match: *``), never overwritten; it is deleted only after its
bytes were read and have the expected digest; every answer that is not a plain success is settled by reading back.
Deliberately not here: listing, versions, object lock; making the bucket.
"""

import hashlib

from migrator.backends.base import Head, Presence, Removed, WriteToken
from migrator.backends.retry import RetryPolicy, TransientError, retry_call
from migrator.backends.s3_bucket import Bucket, Outcome
from migrator.backends.s3_lock import S3Lock, build_doubt, build_unsafe_error, delete_exactly, read_back
from migrator.errors import ForeignObjectError, UnknownOutcomeError


class S3Target(S3Lock):
    """``StateTarget`` in one bucket. Keys are exact; the lock of a key is ``<key>.tflock``.

    ``access_key`` None: credentials of ``profile``, or of botocore's own search. ``workers`` threads may call at once.

    Raises: ConfigurationError when the settings cannot be used.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        bucket: str,
        region: str,
        path_style: bool,
        access_key: str | None,
        secret_key: str | None,
        session_token: str | None = None,
        ca_bundle: str | None = None,
        profile: str | None = None,
        workers: int = 16,
        retry: RetryPolicy | None = None,
    ) -> None:
        super().__init__(
            Bucket(
                endpoint=endpoint,
                bucket=bucket,
                region=region,
                path_style=path_style,
                access_key=access_key,
                secret_key=secret_key,
                session_token=session_token,
                ca_bundle=ca_bundle,
                profile=profile,
                workers=workers,
                retry=retry or RetryPolicy(),
            )
        )

    @property
    def bucket(self) -> Bucket:
        """The bucket itself, for the probe."""
        return self._bucket

    def read_state(self, key: str) -> Head:
        """Return the object at ``key`` (see ``StateTarget``)."""
        return self._bucket.read(key)

    def create_state(self, key: str, data: bytes) -> WriteToken:
        """Create the object if the key is free (see ``StateTarget``).

        A create that got no usable answer and is not there is sent again a bounded number of times: the condition makes
        that safe.

        Raises: also UnsafeTargetError when the store does not implement the condition or refuses it on a free key.
        """
        return retry_call(lambda: self._attempt_create(key, data), policy=self._bucket.retry)

    def remove_state(self, key: str, *, sha256: str) -> Removed:
        """Delete the object if its bytes have this digest (see ``StateTarget``), and see that it is gone."""
        return retry_call(lambda: self._attempt_remove(key, sha256), policy=self._bucket.retry)

    def _attempt_create(self, key: str, data: bytes) -> WriteToken:
        attempt = self._bucket.create(key, data)
        if attempt.outcome is Outcome.DONE:
            assert attempt.token is not None
            return attempt.token
        if attempt.outcome is Outcome.UNSUPPORTED:
            raise build_unsafe_error(attempt)
        head = read_back(self._bucket, key, attempt)
        if head.presence is Presence.ABSENT:
            raise TransientError(build_doubt(attempt, f"{key} is absent now; the lost request may still create it"))
        if head.data != data or head.token is None:
            raise self._build_foreign_error("PUT", key, head, "it was left as it is")
        return head.token

    def _attempt_remove(self, key: str, sha256: str) -> Removed:
        head = self._bucket.read(key)
        if head.presence is Presence.ABSENT:
            return Removed.ABSENT
        if hashlib.sha256(head.data).hexdigest() != sha256:
            raise self._build_foreign_error("DELETE", key, head, "it was left as it is")
        attempt = delete_exactly(self._bucket, key, head)
        if read_back(self._bucket, key, attempt).presence is Presence.ABSENT:
            return Removed.REMOVED
        if attempt.outcome is Outcome.DONE:
            raise UnknownOutcomeError(
                "the store confirms the deletion and still serves an object",
                where=self._bucket.where("DELETE", key),
                now="somebody wrote the key again, or the store is not consistent",
                hint="look at the object, then run the command again",
            )
        raise TransientError(build_doubt(attempt, f"{key} is still there"))

    def _build_foreign_error(self, method: str, key: str, head: Head, now: str) -> ForeignObjectError:
        what = f"{len(head.data)} bytes" if head.data else "no bytes at all"
        return ForeignObjectError(
            f"an object that we did not write stands at {key}: {what}, ETag {head.token.etag if head.token else '?'}",
            where=self._bucket.where(method, key),
            now=now,
            hint="find out whose it is; move it away by hand or choose another target.key",
        )
