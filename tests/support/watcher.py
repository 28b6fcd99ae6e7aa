"""The watcher of the invariant: sees the truth of both servers, and fails the moment that a run breaks one of its rules.

It looks into the servers' own stores (the stand-in's rows, moto's keys, or a plain boto3 client for a real server), never
through our backends, remembers what it saw, and judges each change:

1. open: no state ever has two sides that can be written, a source without lock or protection and a target with an object
   and no lock. An object that was adopted is nobody's authority while its bytes are those of the plan.
2. newest: of every lineage the document with the highest serial that either side ever held is still held by one of them.
3. source: a state is never deleted, a version never removed or changed; a new one has a higher serial, the same lineage,
   and bytes that the target held.
4. foreign: a lock that no journal of ours names is never removed, an object that is not ours never overwritten or deleted;
   a lock that appears was named by a journal before.

    watcher = world.watcher()
    watcher.check("after this effect")      # raises ViolationError
    with watcher.rival():
        ...                                 # somebody else changes things here: taken as given

A pure model is watched by giving it the two ``look`` methods of ``SourceStore`` and ``TargetStore``.
"""

import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from migrator.errors import InvalidStateError
from migrator.plan.model import PlannedState
from migrator.standin import Standin
from migrator.state.snapshot import Snapshot, read_snapshot

LOCK_SUFFIX = ".tflock"
_NOBODYS = ("admin", "owner")  # who writes with OpenTofu is a maintainer


class ViolationError(AssertionError):
    """A rule of the invariant was broken; the text begins with the rule's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTruth:
    """One state at the source: the ID of its lock (None: free), every version, None for one whose file is missing."""

    lock_id: str | None = None
    protected: bool = False
    deleted: bool = False
    versions: Mapping[int, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTruth:
    """One key at the target: its object (None: absent), the ID of its lock (None: free, "": unreadable)."""

    data: bytes | None = None
    lock_id: str | None = None


class SourceStore(Protocol):
    """The truth of the source."""

    def look(self, name: str) -> SourceTruth | None:
        """One state, None where the name is unknown."""


class TargetStore(Protocol):
    """The truth of the target."""

    def look(self, key: str) -> TargetTruth:
        """One key with its lock."""

    def read(self, key: str) -> bytes | None:
        """The bytes of any object, None where there is none."""

    def list_keys(self, prefix: str) -> list[str]:
        """Every key with this prefix, sorted."""


class KeyStore(Protocol):
    """What the watcher needs of a target; a model has no more."""

    def look(self, key: str) -> TargetTruth:
        """One key with its lock."""


@dataclass(frozen=True, slots=True)
class StandinSource:
    """The rows of a stand-in, in this process."""

    standin: Standin
    project: int

    def look(self, name: str) -> SourceTruth | None:
        row = self.standin.truth_of(self.project, name)
        if row is None:
            return None
        return SourceTruth(
            lock_id=row.lock.id if row.lock else None,
            protected=row.rule is not None and row.rule.minimum_access_level_for_write in _NOBODYS,
            deleted=row.deleted,
            versions=row.versions,
        )


class _Objects:
    """A target whose objects can be read."""

    def look(self, key: str) -> TargetTruth:
        lock = self.read(key + LOCK_SUFFIX)
        return TargetTruth(data=self.read(key), lock_id=None if lock is None else read_lock_id(lock))

    def read(self, key: str) -> bytes | None:
        raise NotImplementedError


class MotoTarget(_Objects):
    """The keys of moto's bucket, in this process."""

    def __init__(self, bucket: str) -> None:
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        self._bucket = bucket
        self._backend: Any = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._keys: Any = self._backend.buckets[bucket].keys

    def read(self, key: str) -> bytes | None:
        found = self._keys.get(key)
        return found.value if found is not None and hasattr(found, "value") else None  # a delete marker has no value

    def list_keys(self, prefix: str) -> list[str]:
        return sorted(key for key in list(self._keys) if key.startswith(prefix) and self.read(key) is not None)

    def become(self, objects: Mapping[str, bytes]) -> None:
        """Hold these objects and no others."""
        for key in self.list_keys(""):
            if objects.get(key) != self.read(key):
                self._backend.delete_object(self._bucket, key)
        for key in objects.keys() - set(self.list_keys("")):
            self._backend.put_object(self._bucket, key, objects[key])


class ClientTarget(_Objects):
    """A bucket of a real server, through a plain boto3 client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def read(self, key: str) -> bytes | None:
        from botocore.exceptions import ClientError

        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None

    def list_keys(self, prefix: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))


def read_lock_id(data: bytes) -> str:
    try:
        return str(json.loads(data)["ID"])
    except (ValueError, KeyError, TypeError):
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One state, both sides, at one moment."""

    source: SourceTruth | None
    target: TargetTruth

    def is_open(self, state: PlannedState) -> bool:
        """Whether both sides can be written."""
        here = self.source is not None and self.source.lock_id is None and not self.source.protected
        there = self.target.data is not None and self.target.lock_id is None
        nobodys = state.adopted and digest(self.target.data) == state.sha256
        return here and there and not nobodys

    def documents(self) -> Iterator[bytes]:
        yield from (data for data in (self.source.versions if self.source else {}).values() if data is not None)
        if self.target.data is not None:
            yield self.target.data


class Watcher:
    """Judges what happened since it last looked; see the module. Safe for several threads."""

    def __init__(
        self,
        *,
        states: Sequence[PlannedState],
        source: SourceStore,
        target: KeyStore,
        own_ids: Callable[[], Collection[str]],
    ) -> None:
        self._states = tuple(states)
        self._source, self._target, self._own_ids = source, target, own_ids
        self._guard = threading.RLock()
        self._lent = False
        self._snapshots: dict[bytes, Snapshot | None] = {}
        self._seen: dict[str, _Seen] = {}
        self._newest: dict[str, dict[str, tuple[int, set[bytes]]]] = {}
        self._held: dict[str, set[bytes]] = {state.name: set() for state in self._states}
        self.checks = 0
        self._take_as_given()

    def check(self, moment: str = "") -> None:
        """Look at both servers and judge what changed. Within ``rival()`` nothing is judged.

        Raises: ViolationError.
        """
        with self._guard:
            if self._lent:
                return
            self.checks += 1
            for state in self._states:
                before, now = self._seen[state.name], self._look(state)
                if now == before:
                    continue
                judged = _Judged(state=state, before=before, now=now, moment=moment)
                self._judge(judged)
                self._remember(state, now)

    @contextmanager
    def rival(self) -> Iterator[None]:
        """Somebody else makes the changes in this block: what is true after it is taken as given."""
        self.check("before a rival's change")
        with self._guard:
            self._lent = True
        try:
            yield
        finally:
            with self._guard:
                self._lent = False
                self._take_as_given()

    def _take_as_given(self) -> None:
        for state in self._states:
            self._newest[state.name] = {}
            self._remember(state, self._look(state))

    def _look(self, state: PlannedState) -> _Seen:
        return _Seen(source=self._source.look(state.name), target=self._target.look(state.key))

    def _remember(self, state: PlannedState, now: _Seen) -> None:
        self._seen[state.name] = now
        if now.target.data is not None:
            self._held[state.name].add(now.target.data)
        for data in now.documents():
            if snapshot := self._read(data):
                serial, held = self._newest[state.name].get(snapshot.lineage, (-1, set()))
                if snapshot.serial > serial:
                    serial, held = snapshot.serial, set()
                if snapshot.serial == serial:
                    held.add(data)
                self._newest[state.name][snapshot.lineage] = (serial, held)

    def _judge(self, change: "_Judged") -> None:
        self._judge_open(change)
        self._judge_newest(change)
        self._judge_source(change)
        self._judge_locks(change)
        self._judge_object(change)

    def _judge_open(self, change: "_Judged") -> None:
        if change.now.is_open(change.state) and not change.before.is_open(change.state):
            raise change.violation("open", "both sides can be written")

    def _judge_newest(self, change: "_Judged") -> None:
        held = set(change.now.documents())
        for lineage, (serial, documents) in self._newest[change.state.name].items():
            newest = max((found.serial for data in held if (found := self._read(data, lineage))), default=-1)
            if newest <= serial and not documents <= held:
                raise change.violation("newest", f"nobody holds serial {serial} of lineage {lineage} any more")

    def _judge_source(self, change: "_Judged") -> None:
        before, now = change.before.source, change.now.source
        if before is None:
            if now is not None:
                raise change.violation("source", "a state was created")
            return
        if now is None or (now.deleted and not before.deleted):
            raise change.violation("source", "the state was deleted")
        for serial, data in before.versions.items():
            if serial not in now.versions or now.versions[serial] != data:
                raise change.violation("source", f"version {serial} was removed or changed")
        for serial in now.versions.keys() - before.versions.keys():
            self._judge_version(change, before, serial, now.versions[serial])

    def _judge_version(self, change: "_Judged", before: SourceTruth, serial: int, data: bytes | None) -> None:
        if data not in self._held[change.state.name]:
            raise change.violation("source", f"version {serial} was written, and the target never held its bytes")
        written = self._read(data)
        if written is None or written.serial != serial:
            raise change.violation("source", f"version {serial} is no document of that serial")
        if not before.versions:
            return
        newest = max(before.versions)
        if serial <= newest:
            raise change.violation("source", f"version {serial} was written below version {newest}")
        predecessor = self._read(before.versions[newest])
        if predecessor is None or predecessor.lineage != written.lineage:
            raise change.violation("source", f"version {serial} is of another lineage than version {newest}")

    def _judge_locks(self, change: "_Judged") -> None:
        for side, before, now in (
            ("source", _lock_of(change.before.source), _lock_of(change.now.source)),
            ("target", change.before.target.lock_id, change.now.target.lock_id),
        ):
            if before == now:
                continue
            own_ids = self._own_ids()
            if before is not None and before not in own_ids:
                raise change.violation("foreign", f"the lock {before!r} at the {side} is not ours and was removed")
            if now is not None and now not in own_ids:
                raise change.violation("foreign", f"the lock {now!r} at the {side} was taken and no journal names it")

    def _judge_object(self, change: "_Judged") -> None:
        state, before, now = change.state, change.before.target.data, change.now.target.data
        if before == now:
            return
        if before is None:
            if digest(now) != state.sha256:
                raise change.violation("foreign", "an object was written that the plan does not know")
        elif now is not None:
            raise change.violation("foreign", "an object was overwritten")
        elif state.adopted or digest(before) != state.sha256:
            # What moved on at the target may go once the source holds it as a version of its own.
            versions = change.now.source.versions if change.now.source else {}
            if before not in versions.values() or digest(before) == state.sha256:
                raise change.violation("foreign", "an object that is not ours was deleted")

    def _read(self, data: bytes | None, lineage: str | None = None) -> Snapshot | None:
        """The document, None for one that is none or of another lineage."""
        if data is None:
            return None
        if data not in self._snapshots:
            try:
                self._snapshots[data] = read_snapshot(data)
            except InvalidStateError:
                self._snapshots[data] = None
        found = self._snapshots[data]
        return found if found and lineage in (None, found.lineage) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """One change of one state."""

    state: PlannedState
    before: _Seen
    now: _Seen
    moment: str

    def violation(self, rule: str, what: str) -> ViolationError:
        moment = f", {self.moment}" if self.moment else ""
        return ViolationError(f"{rule}: {self.state.name}{moment}: {what}")


def digest(data: bytes | None) -> str | None:
    return None if data is None else sha256(data).hexdigest()


def _lock_of(source: SourceTruth | None) -> str | None:
    return source.lock_id if source else None
