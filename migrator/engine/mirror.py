"""The mirror of a run in the target's bucket, so that another machine can take the run back.

Below ``runs/<run id>/``: ``plan.json``; ``journal/<number of its first record>.jsonl``, the journal in pieces;
``blobs/<sha256>``; ``lock``, which names who works on the run.

Invariants: ``Run.begin`` mirrors the intents of a stage before the first of its effects, so the mirror knows of every
effect that may have taken place; blobs are there before the piece that needs them; nothing is overwritten, and pieces
are numbered by records, so that of two machines that go on from one record only one can. What stands in the bucket was
perhaps written by somebody else: ``mirrored_run`` checks it before anything is believed.
Not here: which run to take (``cli``), and encryption at rest (the bucket's own business).
"""

from functools import partial
from hashlib import sha256

from migrator.backends.base import Created, RunStore
from migrator.backends.lock_info import LockInfo, decode_lock_info, encode_lock_info
from migrator.engine.mirrored_run import (
    RUNS,
    build_held_refusal,
    check_fits,
    fetch_blobs,
    list_blobs,
    read_journal,
    read_lock,
)
from migrator.engine.parallel import run_in_parallel, run_within_memory
from migrator.errors import StoppedError
from migrator.journal.run_directory import RunDirectory

_ATTEMPTS = 3


class Mirror:
    """The mirror of one run. ``info`` names us in the run's lock; its ID is that of the run directory.

    One thread uses it at a time. Hold the run directory meanwhile.
    """

    def __init__(self, store: RunStore, directory: RunDirectory, info: LockInfo) -> None:
        self._store = store
        self._directory = directory
        self._info = info
        self._stem = f"{RUNS}{directory.run_id}/"
        self._lock: bytes | None = None
        self._length = 0  # bytes of the journal that are mirrored
        self._records = 0
        self._blobs: set[str] | None = None

    def hold(self, *, take_over: bool = False, command: str = "migrator rollback") -> None:
        """Hold the run against other machines. A lock that this run directory left when it was killed is ours.

        ``take_over`` replaces the lock of another machine, whose process is dead: only a person can know that. ``command``
        is what that person types.

        Raises: ForeignLockError that names the holder, BackendError.
        """
        data = encode_lock_info(self._info)
        found: bytes | None = None
        for _ in range(_ATTEMPTS):
            if self._store.create(self._stem + "lock", data) is not Created.EXISTS_OTHER:
                self._lock = data
                return
            found = read_lock(self._store, self._directory.run_id)
            holder = decode_lock_info(found or b"")
            if found is not None and holder is not None and holder.id == self._info.id:
                self._lock = found
                return
            if found is not None and not take_over:
                break
            if found is not None:
                self._store.remove(self._stem + "lock", sha256=sha256(found).hexdigest())
        raise build_held_refusal(self._store, self._directory.run_id, found or b"", command=command)

    def synchronise(self) -> bool:
        """Bring what another machine did since, and blobs that were lost here, into the run directory; return whether another
        machine did anything.

        Whatever this machine wrote after the last mirrored record is set aside then: every effect was mirrored as an
        intent before, and who went on has settled it by looking. Call it before the journal is opened, under ``hold``.

        Raises: BackendError, JournalError.
        """
        remote = read_journal(self._store, self._directory.run_id)
        local = self._directory.read_journal()
        adopted = not local.startswith(remote)
        where = self._store.where(f"{self._stem}journal/")
        records, view = check_fits(self._directory.read_plan_bytes(), remote, self._directory.run_id, where=where)
        if adopted and not remote.startswith(local):
            self._directory.set_journal_aside()
        if view.outcome != "finalized":  # whose blobs may have been shredded here, and not yet there
            fetch_blobs(self._store, self._directory, records)
        if adopted:
            self._directory.write_journal(remote)
        self._length = len(remote)
        self._records = remote.count(b"\n")
        return adopted

    def write(self) -> None:
        """Mirror what the run directory has and the bucket has not, and return when it is there.

        Raises: BackendError; StoppedError when another machine went on with this run.
        """
        if self._lock is None:
            self.hold()
        piece = self._read_unmirrored()
        if piece and not self._records:
            # Whoever takes the run back must list it: a policy that forbids that is found now, not in the incident.
            self._store.list_names(self._stem)
            self._create("plan.json", self._directory.read_plan_bytes())
        while piece:
            self._write_blobs()
            written = self._write_piece(piece)
            self._length += len(written)
            self._records += written.count(b"\n")
            piece = self._read_unmirrored()

    def _read_unmirrored(self) -> bytes:
        """Return the records that are not mirrored; a torn end, as a full disk leaves it, is none."""
        piece = self._directory.read_journal(self._length)
        return piece[: piece.rfind(b"\n") + 1]

    def _write_piece(self, piece: bytes) -> bytes:
        """Mirror the next piece and return what stands there: an earlier attempt, whose reply was lost, may have been shorter."""
        name = f"journal/{self._records + 1:08}.jsonl"
        if self._store.create(self._stem + name, piece) is not Created.EXISTS_OTHER:
            return piece
        found = self._store.read(self._stem + name, most=len(piece))
        if found and piece.startswith(found):
            return found
        raise self._build_refusal(name)

    def release(self) -> None:
        """Give the run's lock back. A lock that cannot be given back stays ours: it names this run directory.

        Raises: BackendError, ForeignObjectError when somebody took the run over.
        """
        lock, self._lock = self._lock, None
        if lock is not None:
            self._store.remove(self._stem + "lock", sha256=sha256(lock).hexdigest())

    def shred(self) -> int:
        """Remove every mirrored blob and return how many. Versions of a versioned bucket stay.

        Raises: BackendError, ForeignObjectError.
        """
        digests = list_blobs(self._store, self._directory.run_id)
        run_in_parallel([partial(self._remove_blob, digest) for digest in digests])
        return len(digests)

    def _remove_blob(self, digest: str) -> None:
        self._store.remove(f"{self._stem}blobs/{digest}", sha256=digest)

    def _write_blobs(self) -> None:
        if self._blobs is None:
            self._blobs = set(list_blobs(self._store, self._directory.run_id)) if self._records else set()
        missing = [(name, size) for name, size in self._directory.blobs.sizes().items() if name not in self._blobs]
        run_within_memory(missing, self._write_blob)
        self._blobs.update(name for name, _ in missing)

    def _write_blob(self, digest: str) -> None:
        self._create(f"blobs/{digest}", self._directory.blobs.read(digest))

    def _create(self, name: str, data: bytes) -> None:
        if self._store.create(self._stem + name, data) is Created.EXISTS_OTHER:
            raise self._build_refusal(name)

    def _build_refusal(self, name: str) -> StoppedError:
        return StoppedError(
            "another machine went on with this run, or somebody wrote where it is mirrored",
            where=self._store.where(self._stem + name),
            now="nothing was attempted that is not mirrored; this command stopped",
            hint="migrator rollback, which first brings here what was done there",
        )
