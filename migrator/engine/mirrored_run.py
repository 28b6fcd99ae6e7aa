"""A run as it stands in the target's bucket (``mirror`` says how), read without a local effect, or fetched.

What stands there was perhaps written by somebody else, so nothing of it is believed before it was looked at: names, sizes,
digests, the chain of the journal, and that journal and plan fit each other. Whether the run is one of this repository,
``cli.naming`` asks.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256

from migrator.backends.base import RunStore
from migrator.backends.lock_info import decode_lock_info
from migrator.engine.foreign_journal import check_journal_fits
from migrator.engine.parallel import run_in_parallel
from migrator.engine.phases import StepKind
from migrator.errors import ForeignLockError, JournalError, MigratorError
from migrator.journal.fold import RunView
from migrator.journal.home import Home
from migrator.journal.log import read_journal_bytes
from migrator.journal.record import Record, RecordKind
from migrator.journal.run_directory import RunDirectory
from migrator.plan.bounds import is_digest
from migrator.plan.codec import decode_plan, digest_of_plan
from migrator.plan.model import Plan

RUNS = "runs/"

_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,127}")
_MIB = 1024 * 1024
_MOST_PLAN = 64 * _MIB
_MOST_JOURNAL = 256 * _MIB  # ten thousand states that went there and back take less than half of it
_MOST_BLOB = 512 * _MIB
_MOST_LOCK = _MIB
_FETCHERS = 4
_KEPT: Mapping[tuple[str, str], str] = {  # the records of what was kept, and where they name it
    (RecordKind.DONE, StepKind.CAPTURE): "sha256",
    (RecordKind.DONE, StepKind.CAPTURE_TARGET): "sha256",
    (RecordKind.INTENT, StepKind.CUT_OVER_FILE): "pre_sha256",
}
_ELSEWHERE = "restore the object from a version of the bucket, or work from the machine that holds the run"


def list_runs(store: RunStore) -> list[str]:
    """Return the ids of every mirrored run, oldest first. What has no name that a run can have is none.

    Raises: BackendError.
    """
    parts = (name.split("/") for name in store.list_names(RUNS))
    return sorted(part[1] for part in parts if len(part) == 3 and part[2] == "plan.json" and _RUN_ID.fullmatch(part[1]))


def read_mirrored_plan(store: RunStore, run_id: str) -> bytes:
    """Return the plan of a mirrored run.

    Raises: BackendError, JournalError when it is gone, or is larger than plans are.
    """
    return _read(store, f"{RUNS}{run_id}/plan.json", "the plan of the mirrored run", most=_MOST_PLAN)


def read_lock(store: RunStore, run_id: str) -> bytes | None:
    """Return the lock of a mirrored run, None when nobody holds it.

    Raises: BackendError.
    """
    return store.read(f"{RUNS}{run_id}/lock", most=_MOST_LOCK)


def build_held_refusal(store: RunStore, run_id: str, lock: bytes, *, command: str) -> ForeignLockError:
    """Return the refusal to work on a run that another machine holds by ``lock``."""
    holder = decode_lock_info(lock)
    return ForeignLockError(
        "this run is worked on from another place by "
        f"{holder.describe() if holder else 'somebody whose lock nobody can read'}",
        where=store.where(f"{RUNS}{run_id}/lock"),
        now="this command did nothing",
        hint=f"wait until it ends; only if that process is dead for certain: {command} --take-over",
    )


def decode_mirrored_plan(data: bytes, *, where: str) -> Plan:
    """Return the plan in ``data``.

    Raises: JournalError: whatever is wrong with it, making a new plan here would not help.
    """
    try:
        return decode_plan(data, where=where)
    except MigratorError as error:
        raise JournalError(
            f"this is no plan of a run: {error.message}", where=where, now="nothing was touched", hint=_ELSEWHERE
        ) from None


@dataclass(frozen=True)
class MirroredRun:
    """One run in the bucket: what ``RunDirectory`` shows of one that is here."""

    store: RunStore
    run_id: str
    plan: bytes
    journal: bytes

    @property
    def where(self) -> str:
        """Where it stands, for people."""
        return self.store.where(f"{RUNS}{self.run_id}")

    @cached_property
    def blobs(self) -> "MirroredBlobs":
        """The documents that the run captured."""
        return MirroredBlobs(frozenset(list_blobs(self.store, self.run_id)))

    @cached_property
    def _checked(self) -> tuple[Sequence[Record], RunView]:
        return check_fits(self.plan, self.journal, self.run_id, where=self.where)

    def read_plan_bytes(self) -> bytes:
        """Return the plan that the run executes."""
        return self.plan

    def read_view(self) -> RunView:
        """Return what the journal says.

        Raises: JournalError.
        """
        return self._checked[1]

    def check_not_held(self, *, command: str) -> None:
        """Look whether another machine works on the run; ``command`` is what somebody types who knows that it is dead.

        Raises: ForeignLockError that names the holder, BackendError.
        """
        if (lock := read_lock(self.store, self.run_id)) is not None:
            raise build_held_refusal(self.store, self.run_id, lock, command=command)

    def fetch(self, home: Home) -> RunDirectory:
        """Make the run directory of this run, and return it. Hold ``home.locked()``.

        Raises: BackendError, JournalError.
        """
        records, _ = self._checked
        with home.receive_run(self.run_id, self.plan) as incoming:
            fetch_blobs(self.store, incoming, records, run_id=self.run_id)
            incoming.write_journal(self.journal)
        return home.find_run(self.run_id)


@dataclass(frozen=True)
class MirroredBlobs:
    """What is known of the blobs of a mirrored run without reading them."""

    names: Collection[str]

    def has(self, digest: str) -> bool:
        """Return whether a blob of this name stands there."""
        return digest in self.names


def read_mirrored_run(store: RunStore, run_id: str) -> MirroredRun:
    """Return a mirrored run.

    Raises: BackendError; JournalError when what stands in the bucket is damaged.
    """
    plan = read_mirrored_plan(store, run_id)
    return MirroredRun(store, run_id, plan, read_journal(store, run_id))


def fetch_run(store: RunStore, run_id: str, home: Home) -> RunDirectory:
    """Make the run directory of a run that another machine began, and return it. Hold ``home.locked()``.

    Raises: BackendError, JournalError when what stands in the bucket is damaged.
    """
    return read_mirrored_run(store, run_id).fetch(home)


def read_journal(store: RunStore, run_id: str) -> bytes:
    """Return the journal of a run, put together from its pieces; an absent one is empty.

    Raises: BackendError, JournalError.
    """
    stem = f"{RUNS}{run_id}/journal/"
    journal, records = bytearray(), 0
    for name in store.list_names(stem):
        expected = f"{stem}{records + 1:08}.jsonl"
        if name != expected:
            raise JournalError(
                "a piece of the mirrored journal is missing, or does not belong to it",
                where=store.where(expected),
                now="nothing was touched",
                hint=_ELSEWHERE,
            )
        piece = _read(store, name, "a piece of the mirrored journal", most=_MOST_JOURNAL - len(journal))
        journal += piece
        records += piece.count(b"\n")
    # Damage is told before what follows from it.
    data = bytes(journal)
    read_journal_bytes(data, where=store.where(stem))
    return data


def check_fits(plan: bytes, journal: bytes, run_id: str, *, where: str) -> tuple[Sequence[Record], RunView]:
    """Return the records of a journal and what they say, once they fit the plan.

    Raises: JournalError.
    """
    decoded = decode_mirrored_plan(plan, where=where)
    records = read_journal_bytes(journal, where=where)
    return records, check_journal_fits(decoded, digest_of_plan(decoded), run_id, records, where=where)


def list_blobs(store: RunStore, run_id: str) -> list[str]:
    """Return the digests of every mirrored blob of a run.

    Raises: BackendError.
    """
    stem = f"{RUNS}{run_id}/blobs/"
    names = [name.removeprefix(stem) for name in store.list_names(stem)]
    return [name for name in names if is_digest(name)]


def fetch_blobs(
    store: RunStore, directory: RunDirectory, records: Sequence[Record], *, run_id: str | None = None
) -> None:
    """Bring the blobs here that the run is about and that are not here whole; others that stand there are nobody's.

    Raises: BackendError, JournalError, JournalWriteError.
    """
    run_id = run_id or directory.run_id
    wanted = {digest for digest in _list_kept(records) if not directory.blobs.has(digest)}
    missing = [digest for digest in list_blobs(store, run_id) if digest in wanted] if wanted else []

    def fetch(digest: str) -> None:
        name = f"{RUNS}{run_id}/blobs/{digest}"
        data = _read(store, name, f"the mirrored blob {digest[:12]}", most=_MOST_BLOB)
        if sha256(data).hexdigest() != digest:
            raise JournalError(
                f"the mirrored blob {digest[:12]} is damaged",
                where=store.where(name),
                now="nothing was touched",
                hint=_ELSEWHERE,
            )
        directory.blobs.write(data)

    run_in_parallel([partial(fetch, digest) for digest in missing], workers=_FETCHERS)


def _list_kept(records: Sequence[Record]) -> set[str]:
    """Return the digests of everything that a run kept by then."""
    found = (record.body.get(_KEPT.get((record.kind, record.step), "")) for record in records)
    return {str(digest) for digest in found if digest}


def _read(store: RunStore, name: str, what: str, *, most: int) -> bytes:
    data = store.read(name, most=most)
    if data is not None and len(data) <= most:
        return data
    problem = "is gone" if data is None else f"is larger than any that this program writes ({most} bytes)"
    raise JournalError(f"{what} {problem}", where=store.where(name), now="nothing was touched", hint=_ELSEWHERE)
