"""A lab in which every request passes a gate, and a watcher looks at both servers after each one that may write.

    lab = WatchedLab(directory, server=server, client=tofu)
    lab.migrator("plan")
    planned = lab.keep()
    ...
    lab.rewind(planned)     # files, runs, both servers: all as they were

The stand-in runs in this process, so that the watcher sees its rows. Who is not a child of ours (``tofu``, ``s3``,
``gitlab``) goes to the servers directly, past the gate.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from migrator.journal.log import read_log
from migrator.plan.codec import decode_plan
from migrator.plan.model import Plan
from migrator.standin import Standin, StateTruth, parse_configuration
from tests.support.estate_lab import GitLab, Lab, build_gitlab
from tests.support.gate import Gate
from tests.support.s3_servers import S3Server
from tests.support.small_estate import bind_states, build_repository, build_states
from tests.support.watcher import ClientTarget, StandinSource, Watcher, read_lock_id

PROJECT = 84
_OPENER = build_opener(ProxyHandler({}))
# Where a run is mirrored in the bucket; it is no part of any state.
MIRROR = ".migrator/"


class EmbeddedGitLab(GitLab):
    """The stand-in in this process. ``people`` have tokens beside the maintainer's: user by token."""

    def __init__(
        self,
        directory: Path,
        states: Mapping[str, Sequence[bytes]],
        *,
        token: str,
        people: Mapping[str, str] | None = None,
    ) -> None:
        self.token = token
        self.storage = directory / "gitlab"
        document = build_gitlab(states, token)
        (maintainer,) = document["tokens"]
        document["tokens"] += [{**maintainer, "value": value, "user": user} for value, user in (people or {}).items()]
        self._configuration = parse_configuration(document)
        self.start()

    def start(self) -> None:
        self.standin = Standin(self._configuration, self.storage)
        self.url = self.standin.start()

    def stop(self) -> None:
        self.standin.stop()

    def truth(self, name: str) -> StateTruth:
        found = self.standin.truth_of(PROJECT, name)
        assert found is not None
        return found

    def force_unlock(self, name: str) -> None:
        """A maintainer opens the lock of a state, whoever holds it."""
        self._send("DELETE", f"/api/v4/projects/{PROJECT}/terraform/state/{name}/lock")

    def write(self, name: str, data: bytes) -> None:
        """Somebody writes a state without a lock, as ``-lock=false`` does."""
        self._send("POST", f"/api/v4/projects/{PROJECT}/terraform/state/{name}", data)

    def _send(self, method: str, path: str, body: bytes | None = None) -> None:
        headers = {"PRIVATE-TOKEN": self.token, "Content-Type": "application/json"}
        with _OPENER.open(Request(self.url + path, body, headers, method=method), timeout=30):
            pass


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Everything that can be seen of both servers and of the work tree; locks without their IDs, which are new each time."""

    versions: dict[str, dict[int, bytes | None]]
    source_locks: frozenset[str]
    objects: dict[str, bytes]
    target_locks: frozenset[str]
    files: dict[str, tuple[bytes, int]]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Everything at one moment, in a directory of its own."""

    directory: Path
    objects: dict[str, bytes]


class WatchedLab(Lab):
    """See the module. The estate is the small one, without a proof unless ``proof`` says so."""

    def __init__(self, directory: Path, *, server: S3Server, proof: str = "off", **more: Any) -> None:
        self.gate = Gate()
        self.checkouts = [directory / "infra"]
        self._target_road = self.gate.open_road(server.endpoint)
        self._source_road = self.gate.open_road("")
        self._keeps = 0

        def settings(text: str) -> str:
            self._source_road.upstream = self.gitlab.url
            text = text.replace(self.gitlab.url, self._source_road.url)
            return bind_states(text).replace("[target]", f'[proof]\nplan = "{proof}"\n\n[target]', 1)

        super().__init__(
            directory,
            server=replace(server, endpoint=self._target_road.url),
            settings=settings,
            **{"build": build_repository, "states": build_states(), "gitlab": EmbeddedGitLab} | more,
        )
        self.s3 = server.client()

    def stop(self) -> None:
        self.gate.close()
        self.gitlab.stop()

    def clone(self, name: str) -> Path:
        """Another checkout; it is kept and rewound too."""
        self.checkouts.append(super().clone(name))
        return self.checkouts[-1]

    # --- the same beginning, many times -------------------------------------------------------------------------------

    def keep(self) -> Kept:
        """Keep everything as it is now."""
        self.gate.clear()
        self._keeps += 1
        directory = self.directory / f"kept-{self._keeps}"
        for path in (*self.checkouts, self.gitlab.storage):
            shutil.copytree(path, directory / path.name, symlinks=True)
        return Kept(directory=directory, objects=self._stored())

    def rewind(self, kept: Kept) -> None:
        """Make everything what it was."""
        self.gate.clear()
        self.gate.failure = None
        self.gitlab.stop()
        for path in (*self.checkouts, self.gitlab.storage):
            shutil.rmtree(path)
            shutil.copytree(kept.directory / path.name, path, symlinks=True)
        self.gitlab.start()
        self._source_road.upstream = self.gitlab.url
        for key in self._stored().keys() - kept.objects.keys():
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        for key, data in kept.objects.items():
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    def _stored(self) -> dict[str, bytes]:
        """Everything in the bucket, the mirror of runs included."""
        target = ClientTarget(self.s3, self.bucket)
        return {key: target.read(key) or b"" for key in target.list_keys("")}

    # --- what is true -------------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """The default plan of the first checkout."""
        path = self.repository / ".migrator" / "plan.json"
        return decode_plan(path.read_bytes(), where=str(path))

    def own_ids(self, *directories: Path) -> set[str]:
        """The ID of every lock that a run ever meant to take, from the journals of these checkouts, or of all."""
        return {
            str(record.body["lock_id"])
            for directory in directories or self.checkouts
            for journal in directory.glob(".migrator/runs/*/journal.jsonl")
            for record in read_log(journal)
            if "lock_id" in record.body
        }

    def watch(self) -> Watcher:
        """Watch the invariant from now on; the runs of every checkout may do something."""
        watcher = Watcher(
            states=self.plan().states,
            source=StandinSource(self.gitlab.standin, PROJECT),
            target=ClientTarget(self.s3, self.bucket),
            own_ids=self.own_ids,
        )
        self.gate.judge = watcher.check
        return watcher

    def truth(self) -> Truth:
        rows = {name: self.gitlab.truth(name) for name in self.states}
        objects = {key: data for key, data in self._stored().items() if not key.startswith(MIRROR)}
        return Truth(
            versions={name: row.versions for name, row in rows.items()},
            source_locks=frozenset(name for name, row in rows.items() if row.lock),
            objects={key: data for key, data in objects.items() if not key.endswith(".tflock")},
            target_locks=frozenset(key for key in objects if key.endswith(".tflock")),
            files=self.snapshot(),
        )

    def lock_ids(self, name: str) -> tuple[str | None, str | None]:
        """The ID of a state's lock at the source and at the target, None for a free one."""
        source = self.gitlab.truth(name).lock
        target = self.objects().get(self.key(name) + ".tflock")
        return source.id if source else None, None if target is None else read_lock_id(target)
