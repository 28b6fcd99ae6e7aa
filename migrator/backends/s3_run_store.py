"""The place in the target's bucket where runs are mirrored: ``S3RunStore``.

Invariants: an object is only ever created, never overwritten; it is removed only with the bytes that the caller
expects; every answer that is not a plain success is settled by reading back. Knows names and bytes, not what a run is.
"""

from migrator.backends.base import Created, Presence, Removed
from migrator.backends.retry import retry_write
from migrator.backends.s3_bucket import Bucket
from migrator.backends.s3_settle import settle_create, settle_remove

_LOOK = "find out who wrote it; move it away by hand or choose another target.run_prefix"


class S3RunStore:
    """``RunStore`` below ``prefix`` ("" for the top of the bucket) of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._stem = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def where(self, name: str) -> str:
        """Return the address of an object for messages."""
        return f"s3://{self._bucket.name}/{self._stem}{name}"

    def list_names(self, prefix: str = "") -> list[str]:
        """Return every name that begins with ``prefix``, sorted (see ``RunStore``)."""
        return [key.removeprefix(self._stem) for key in self._bucket.list_keys(self._stem + prefix)]

    def read(self, name: str, *, most: int | None = None) -> bytes | None:
        """Return the bytes under ``name`` (see ``RunStore``)."""
        head = self._bucket.read(self._stem + name, most=most)
        return None if head.presence is Presence.ABSENT else head.data

    def create(self, name: str, data: bytes) -> Created:
        """Create the object if the name is free (see ``RunStore``)."""
        creation = retry_write(lambda: settle_create(self._bucket, self._stem + name, data), policy=self._bucket.retry)
        if creation.confirmed:
            return Created.CREATED
        return Created.EXISTS_SAME if creation.head.data == data else Created.EXISTS_OTHER

    def remove(self, name: str, *, sha256: str) -> Removed:
        """Delete the object if its bytes have this digest (see ``RunStore``)."""
        return retry_write(
            lambda: settle_remove(self._bucket, self._stem + name, sha256=sha256, hint=_LOOK),
            policy=self._bucket.retry,
        )
