"""Everything outside of the engine that a step may touch, in one place, so that a test can put anything behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from migrator.backends.base import StateSource, StateTarget
from migrator.backends.lock_info import LockInfo
from migrator.journal.blobs import BlobStore
from migrator.journal.record import Body
from migrator.plan.model import PlannedState


class WorkTree(Protocol):
    """The files of the repository, by path relative to its top."""

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, None when there is none.

        Raises: RefusedError when the path leads out of the repository or to something that is not a regular file.
        """

    def replace(self, path: str, data: bytes) -> None:
        """Put ``data`` there durably and in one move, keeping the mode of the file that stands there."""

    def remove(self, path: str) -> None:
        """Remove a file durably; a missing one is fine."""

    def sweep(self, path: str) -> None:
        """Remove what a ``replace`` that was killed may have left beside the file."""

    def was_committed(self, path: str, sha256: str, revision: str) -> bool:
        """Return whether a revision of the repository that is at hand here holds the file with this digest."""

    def check_writable(self, path: str) -> None:
        """Check that ``replace`` would be allowed.

        Raises: RefusedError.
        """


class Prover(Protocol):
    """Runs OpenTofu on temporary copies of the repository, before and after the cut-over."""

    def prove(self, state: PlannedState) -> Body:
        """Compare the plan against the target with the plan against the source; return exit codes and counts.

        Raises: CheckFailedError when they differ or one of them cannot be made.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world of a run. ``who`` and ``version`` stand in lock infos; ``new_id`` gives a fresh UUID."""

    source: StateSource
    target: StateTarget
    blobs: BlobStore
    work_tree: WorkTree
    prover: Prover
    new_id: Callable[[], str]
    clock: Callable[[], str]
    who: str
    version: str

    def build_lock(self, operation: str, *, lock_id: str, path: str = "") -> LockInfo:
        """Return the info of a lock that this run takes."""
        return LockInfo(
            id=lock_id, operation=operation, who=self.who, version=self.version, created=self.clock(), path=path
        )
