"""The whole truth of a world at one moment: taken, put back, and named, so that equal points can be recognised."""

import json
import re
import shutil
import stat
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Any

from migrator.standin.model import StateRow
from tests.support.fault_proxy import FaultProxy
from tests.support.world import BUCKET, PROJECT, World

_TIMES = re.compile(r'"(at|created)": *"[^"]*"')


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Both servers, every file with its mode, and what stale answers are made of."""

    rows: dict[Any, StateRow]
    contents: dict[int, bytes]
    rules: dict[int, Any]
    objects: dict[str, bytes]
    files: dict[str, tuple[bytes, int]]
    stale: Any


class Rewind:
    """Takes and puts back snapshots of one world; ``store`` is the proxy before its target."""

    def __init__(self, world: World, store: FaultProxy) -> None:
        self._world, self._store = world, store

    def take(self) -> Snapshot:
        standin, root = self._world.standin, self._world.root
        return Snapshot(
            rows=dict(standin.store._rows),
            contents=dict(standin.store._storage._contents),
            rules=dict(standin._service.rules._rows),
            objects={key: self._world.objects.read(key) or b"" for key in self._list_keys()},
            files={
                path.relative_to(root).as_posix(): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
                for path in sorted(root.rglob("*"))
                if path.is_file()
            },
            stale=self._store.remember(),
        )

    def put_back(self, snapshot: Snapshot) -> None:
        self._store.recall(snapshot.stale)
        standin = self._world.standin
        standin.store._rows = dict(snapshot.rows)
        standin.store._storage._contents = dict(snapshot.contents)
        rules = standin._service.rules
        rules._rows, rules._ids = dict(snapshot.rules), count(1 + max(snapshot.rules, default=0))
        for key in self._list_keys():
            if self._world.objects.read(key) != snapshot.objects.get(key):
                _moto().delete_object(BUCKET, key)
        for key, data in snapshot.objects.items():
            if self._world.objects.read(key) is None:
                put_object(key, data)
        self._put_files_back(snapshot.files)
        self._world.runs = len(self._world.home.runs())

    def name(self) -> str:
        """Everything that a run goes on from, in one text: equal texts are equal points."""
        snapshot = self.take()
        rows = [
            (row.name, row.lock and row.lock.id, row.deleted_at is not None, [one.serial for one in row.versions])
            for row in snapshot.rows.values()
        ]
        files = {
            name: _name_journal(data) if name.endswith("journal.jsonl") else data.hex()
            for name, (data, _) in snapshot.files.items()
        }
        objects = {key: _TIMES.sub("", data.decode(errors="replace")) for key, data in snapshot.objects.items()}
        return json.dumps([rows, repr(self._world.standin.rules(PROJECT)), files, objects])

    def _list_keys(self) -> list[str]:
        """The keys of the state, and those of the mirrored run."""
        prefixes = [self._world.prefix, *(f"{one}/" for one in [self._world.plan.target.run_prefix] if one)]
        return [key for prefix in prefixes for key in self._world.objects.list_keys(prefix)]

    def _put_files_back(self, files: dict[str, tuple[bytes, int]]) -> None:
        root = self._world.root
        shutil.rmtree(root)
        for name, (data, mode) in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if name.startswith(".migrator") else 0o755)
            path.write_bytes(data)
            path.chmod(mode)


def put_object(key: str, data: bytes) -> None:
    """Put an object into moto as OpenTofu and this program write: with a checksum that the store keeps."""
    put = _moto().put_object(BUCKET, key, data, checksum_value=build_checksum(data))
    put.checksum_algorithm = "SHA256"


def build_checksum(data: bytes) -> str:
    return b64encode(sha256(data).digest()).decode()


def _moto() -> Any:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


def _name_journal(data: bytes) -> list[Any]:
    """The facts of a journal, and whether a torn line follows.

    What stopped an attempt is recorded for people, and no command acts on it; nor on when something was.
    """
    *lines, torn = data.split(b"\n")
    records = [json.loads(line) for line in lines]
    facts = [
        [one["kind"], one["step"], one["unit"], {name: said for name, said in one["body"].items() if name != "created"}]
        for one in records
        if one["kind"] != "stopped"
    ]
    return [facts, bool(torn)]
