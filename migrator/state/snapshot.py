"""A snapshot: the exact bytes of a state document plus what was read from them.

Reads only the top level (``version``, ``serial``, ``lineage``) and counts resource instances; never re-serialises.
Works on OpenTofu's encrypted envelope too, which keeps serial and lineage in clear and has no version (OpenTofu
``internal/encryption/state.go``). Unknown members are legal: other tools write them. msgspec validates the whole text
but builds nothing for members that are not asked for, so a document of 50 MB costs no more memory than its bytes.
"""

import hashlib
from dataclasses import dataclass

import msgspec

from migrator.errors import InvalidStateError

NEWEST_VERSION = 4
HIGHEST_SERIAL = 2**64 - 1


# Go reads null as the zero value, so OpenTofu accepts it wherever another tool wrote it.
class _Resource(msgspec.Struct):
    instances: list[msgspec.Raw] | None = None


class _Document(msgspec.Struct):
    serial: int
    lineage: str | None = None
    version: int | None = None
    resources: list[_Resource] | None = None
    encryption_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One state document. ``data`` are its exact bytes; ``sha256`` and ``md5`` are lower-case hex of them.

    ``version`` and ``resource_count`` are None for an encrypted document, whose inside nobody can see without its key.
    """

    data: bytes
    version: int | None
    serial: int
    lineage: str
    sha256: str
    md5: str
    resource_count: int | None
    encrypted: bool

    @property
    def size(self) -> int:
        """Length of the document in bytes."""
        return len(self.data)

    def __repr__(self) -> str:
        """Return a description without the document, which holds secrets."""
        return f"Snapshot(serial={self.serial}, lineage={self.lineage!r}, sha256={self.sha256[:12]}, size={self.size})"


def read_snapshot(data: bytes) -> Snapshot:
    """Return the snapshot of ``data``.

    Raises: InvalidStateError when the bytes are not a state document that OpenTofu would accept.
    """
    try:
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The decoder's message may quote the document: it is dropped on purpose.
        raise InvalidStateError("the document is not OpenTofu state: no JSON object with a numeric serial") from None
    encrypted = bool(document.encryption_version)
    check_version(document.version, encrypted=encrypted)
    if not 0 <= document.serial <= HIGHEST_SERIAL:
        raise InvalidStateError(f"the document's serial is negative or beyond 64 bits: {document.serial}")
    return Snapshot(
        data=data,
        version=document.version,
        serial=document.serial,
        lineage=document.lineage or "",
        sha256=digest_of(data),
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        resource_count=None
        if encrypted
        else sum(len(resource.instances or ()) for resource in document.resources or ()),
        encrypted=encrypted,
    )


def check_version(version: int | None, *, encrypted: bool) -> None:
    """Check the format version as OpenTofu does (``internal/states/statefile/read.go``).

    Raises: InvalidStateError.
    """
    if encrypted and version is None:
        return
    if version is None or version < 1:
        raise InvalidStateError("the document has no state format version")
    if version > NEWEST_VERSION:
        raise InvalidStateError(f"state format version {version} is newer than {NEWEST_VERSION}, the newest known")


def digest_of(data: bytes) -> str:
    """Return the sha256 of ``data`` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()
