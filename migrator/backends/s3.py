"""An S3-compatible store as the target: ``S3Target``.

Invariants: a state object is only ever created (``If-None-Match: *``), never overwritten; it is deleted only after its
bytes were read and have the expected digest; every answer that is not a plain success is settled by reading back.
Deliberately not here: listing, versions, object lock; making the bucket.
"""

from migrator.backends.base import Head, Removed, WriteToken
from migrator.backends.retry import RetryPolicy, retry_write
from migrator.backends.s3_bucket import Bucket
from migrator.backends.s3_lock import S3Lock
from migrator.backends.s3_settle import build_foreign_error, settle_create, settle_remove

_MOVE_IT = "find out whose it is; move it away by hand or choose another target.key"


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
        """The bucket itself, for the probe and for the mirror of runs."""
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
        return retry_write(lambda: self._attempt_create(key, data), policy=self._bucket.retry)

    def remove_state(self, key: str, *, sha256: str) -> Removed:
        """Delete the object if its bytes have this digest (see ``StateTarget``), and see that it is gone."""
        return retry_write(
            lambda: settle_remove(self._bucket, key, sha256=sha256, hint=_MOVE_IT), policy=self._bucket.retry
        )

    def _attempt_create(self, key: str, data: bytes) -> WriteToken:
        head = settle_create(self._bucket, key, data).head
        if head.data != data or head.token is None:
            raise build_foreign_error(self._bucket.where("PUT", key), key, head, hint=_MOVE_IT)
        return head.token
