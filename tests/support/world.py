"""A small world that is real at its edges: the GitLab stand-in, an S3 server, files on a disk, a journal with fsync.

``World`` makes a plan for what stands there, runs commands as the command line would (each opens the journal anew, as a
process does), and shows the truth of all sides. Only the proof by plan is a double: it is tested with a real program.

    with open_worlds(directory) as make_world:
        world = make_world({"attic-dev": document(7)})
        world.migrate()
        assert world.truth().target_locks == frozenset()
"""

import itertools
import json
import shutil
import stat
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from migrator.backends.gitlab_http import GitLabSource
from migrator.backends.lock_info import LockInfo
from migrator.backends.retry import RetryPolicy
from migrator.backends.s3 import S3Target
from migrator.backends.s3_run_store import S3RunStore
from migrator.engine.finalize import check_may_finalize, finalize
from migrator.engine.mirror import Mirror
from migrator.engine.mirrored_run import fetch_run, list_runs
from migrator.engine.phases import Phase
from migrator.engine.ports import Ports
from migrator.engine.rollback import rollback
from migrator.engine.run import Run
from migrator.engine.runner import migrate
from migrator.engine.status import RunStatus, build_status
from migrator.engine.verify import Check, Evidence, verify
from migrator.engine.work_tree import LocalWorkTree
from migrator.inventory.model import Place
from migrator.journal.fold import fold
from migrator.journal.home import Home
from migrator.journal.log import read_log
from migrator.journal.record import RecordKind
from migrator.journal.run_directory import RunDirectory
from migrator.plan.codec import digest_of_plan, encode_plan
from migrator.plan.model import (
    Plan,
    PlannedEdit,
    PlannedFile,
    PlannedRepository,
    PlannedSource,
    PlannedState,
    PlannedTarget,
    ProbeResult,
)
from migrator.standin import Standin, parse_configuration
from tests.support.s3_servers import S3Server, start_moto
from tests.support.watcher import ClientTarget, MotoTarget, StandinSource, TargetStore, Watcher

PROJECT = 84
BUCKET = "tofu-state"
RULES = f"/api/v4/projects/{PROJECT}/terraform/state_protection_rules"
TOKEN = "t-maint"
SECRET = "canary-7f3a"
FILES = {"Justfile": "init:\n    tofu init # gitlab\n", "stacks/attic/backend.tf": 'backend "http" {}\r\n'}
CREATED = "stacks/attic/attic-dev.s3.tfbackend"
QUICK = RetryPolicy(attempts=3, sleep=lambda _: None)
_worlds = itertools.count(1)


def document(serial: int, *, lineage: str = "l-1", **more: object) -> bytes:
    """A state with a spacing of its own, so that re-serialising is found out."""
    body = {"version": 4, "serial": serial, "lineage": lineage, "outputs": {"secret": {"value": SECRET}}}
    return json.dumps(body | more, indent=3).encode() + b"\n"


@dataclass(frozen=True)
class Agreeing:
    """A prover that agrees; ``proved`` names what it was asked."""

    proved: list[str] = field(default_factory=list)

    def prove(self, state: PlannedState) -> dict[str, Any]:
        self.proved.append(state.name)
        return {"mode": "plan", "source": 0, "target": 0, "changes": 0}


@dataclass(frozen=True)
class Truth:
    """Everything that can be seen of a state's two sides and of the work tree, without IDs and times."""

    versions: dict[str, dict[int, bytes | None]]
    locked: dict[str, bool]
    objects: dict[str, bytes]
    target_locks: frozenset[str]
    files: dict[str, tuple[bytes, int]]


@dataclass
class World:
    """One repository, one project, one prefix of the bucket, one plan."""

    root: Path
    standin: Standin
    s3: Any
    source: GitLabSource
    target: S3Target
    objects: TargetStore
    prefix: str
    plan: Plan
    prover: Agreeing = field(default_factory=Agreeing)
    runs: int = 0

    @property
    def home(self) -> Home:
        return Home(self.root)

    def ports(self, directory: RunDirectory) -> Ports:
        return Ports(
            source=self.source,
            target=self.target,
            blobs=directory.blobs,
            work_tree=LocalWorkTree(self.root),
            prover=self.prover,
            new_id=lambda: str(uuid.uuid4()),
            clock=lambda: "2026-01-02T03:04:05Z",
            who="me@here",
            version="0.1.0",
        )

    def directory(self) -> RunDirectory:
        if not self.home.runs():
            self.runs += 1
            self.home.create_run(f"run-{self.runs}", encode_plan(self.plan))
        return self.home.find_run(None)

    def mirror(self, directory: RunDirectory) -> Mirror | None:
        if not self.plan.target.run_prefix:
            return None
        info = LockInfo(
            id=directory.read_holder(lambda: str(uuid.uuid4())), who="me@here", created="2026-01-02T03:04:05Z"
        )
        return Mirror(self.run_store, directory, info)

    @property
    def run_store(self) -> S3RunStore:
        return S3RunStore(self.target.bucket, self.plan.target.run_prefix)

    def clone(self) -> "World":
        """Another machine: a fresh clone with the files as they are here now, and no run directory."""
        root = self.root.with_name(f"{self.root.name}-clone")
        shutil.copytree(self.root, root, ignore=shutil.ignore_patterns(".migrator"))
        return replace(self, root=root)

    def fetch(self) -> RunDirectory:
        """Bring the latest mirrored run here."""
        return fetch_run(self.run_store, list_runs(self.run_store)[-1], self.home)

    def open(
        self, prepare: Callable[[Run], None] = lambda run: None, *, workers: int = 4, take_over: bool = False
    ) -> Run:
        """Open the run as a process would: from what is on the disk. ``prepare`` may put something around its parts."""
        directory = self.directory()
        mirror = self.mirror(directory)
        if mirror and directory.read_view().run_id:
            mirror.hold(take_over=take_over)
            mirror.synchronise()
        log = directory.open_log(lambda: "2026-01-02T03:04:05Z")
        run = Run(log=log, view=fold(log.records), ports=self.ports(directory), mirror=mirror, workers=workers)
        prepare(run)
        if not run.view.run_id:
            run.record(RecordKind.RUN, {"run": directory.run_id, "plan": digest_of_plan(self.plan)})
        return run

    def migrate(self, until: Phase = Phase.MIGRATED, **opening: Any) -> Phase:
        run = self.open(**opening)
        try:
            return migrate(self.plan, run, until=until)
        finally:
            run.end_mirror()
            run.log.close()

    def rollback(self, **opening: Any) -> tuple[Any, ...]:
        run = self.open(**opening)
        try:
            return rollback(self.plan, run)
        finally:
            run.end_mirror()
            run.log.close()

    def finalize(self, confirm: str = BUCKET, **opening: Any) -> None:
        run = self.open(**opening)
        try:
            check_may_finalize(self.plan, run.view, confirm=confirm)
            finalize(self.plan, run, self.verify())
        finally:
            run.end_mirror()
            run.log.close()

    def verify(self) -> list[Check]:
        directory = self.directory()
        ports = self.ports(directory)
        return verify(
            self.plan,
            Evidence(
                source=ports.source,
                target=ports.target,
                work_tree=ports.work_tree,
                blobs=ports.blobs,
                run=directory.read_view(),
            ),
        )

    def failed_checks(self) -> dict[tuple[str, str], str]:
        return {(check.name, check.subject): check.found for check in self.verify() if not check.ok}

    def status(self) -> RunStatus:
        return build_status(self.plan, digest_of_plan(self.plan), self.directory().read_view())

    def state(self, name: str) -> PlannedState:
        return next(state for state in self.plan.states if state.name == name)

    def watcher(self) -> Watcher:
        """Watch the invariant from now on; see ``Watcher``."""
        return Watcher(
            states=self.plan.states,
            source=StandinSource(self.standin, PROJECT),
            target=self.objects,
            own_ids=self.own_ids,
        )

    def own_ids(self) -> set[str]:
        """The ID of every lock that a run of this repository ever meant to take, from the journals on the disk."""
        return {
            str(record.body["lock_id"])
            for run in self.home.runs()
            for record in read_log(run.path / "journal.jsonl")
            if "lock_id" in record.body
        }

    def truth(self) -> Truth:
        keys = self.objects.list_keys(self.prefix)
        rows = {name: row for (_, name), row in self.standin.truth().items()}
        return Truth(
            versions={name: row.versions for name, row in rows.items()},
            locked={name: row.lock is not None for name, row in rows.items()},
            objects={self._name(key): self.objects.read(key) or b"" for key in keys if not key.endswith(".tflock")},
            target_locks=frozenset(self._name(key) for key in keys if key.endswith(".tflock")),
            files={
                path.relative_to(self.root).as_posix(): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
                for path in sorted(self.root.rglob("*"))
                if path.is_file() and ".migrator" not in path.parts
            },
        )

    def _name(self, key: str) -> str:
        return key.removeprefix(self.prefix).split("/")[0]

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def put(self, name: str, data: bytes) -> None:
        """Somebody writes the target: `tofu apply` does so after it took the lock."""
        self.s3.put_object(Bucket=BUCKET, Key=self.state(name).key, Body=data)

    def put_lock(self, name: str, lock_id: str = "somebody") -> None:
        body = json.dumps({"ID": lock_id, "Operation": "OperationTypeApply", "Who": "rival@there"}).encode()
        self.s3.put_object(Bucket=BUCKET, Key=self.state(name).key + ".tflock", Body=body)

    def delete(self, name: str, suffix: str = "") -> None:
        self.s3.delete_object(Bucket=BUCKET, Key=self.state(name).key + suffix)

    def lock_id(self, name: str) -> str | None:
        lock = self.standin.truth_of(PROJECT, name).lock
        return lock.id if lock else None

    def apply_at_source(self, name: str, data: bytes) -> None:
        """Somebody writes the source with -lock=false, after a maintainer forced the lock open."""
        self.force_unlock_source(name)
        self._send("POST", f"/api/v4/projects/{PROJECT}/terraform/state/{name}", data)

    def force_unlock_source(self, name: str) -> None:
        """A maintainer clicks "Unlock" in GitLab's user interface, which asks for no ID and passes protection rules by."""
        row = self.standin.store.find(PROJECT, name)
        query = (
            f'mutation {{ terraformStateUnlock(input: {{id: "gid://gitlab/Terraform::State/{row.id}"}}) {{ errors }} }}'
        )
        self._send("POST", "/api/graphql", json.dumps({"query": query}).encode())

    def protect(self, name: str, level: str = "admin", allowed_from: str = "anywhere") -> int:
        """Somebody makes a protection rule; the id it has."""
        rule = {"state_name": name, "minimum_access_level_for_write": level, "allowed_from": allowed_from}
        return int(json.loads(self._send("POST", RULES, json.dumps(rule).encode()))["id"])

    def change_rule(self, name: str, **changes: str) -> None:
        """Somebody changes the rule of a state."""
        self._send("PATCH", f"{RULES}/{self.rules()[name]}", json.dumps(changes).encode())

    def remove_rule(self, name: str) -> None:
        """Somebody removes the rule of a state."""
        self._send("DELETE", f"{RULES}/{self.rules()[name]}")

    def rules(self) -> dict[str, int]:
        """The protection rules: their ids by state name."""
        return {rule.state_name: rule.id for rule in self.standin.rules(PROJECT)}

    def _send(self, method: str, path: str, data: bytes | None = None) -> bytes:
        headers = {"PRIVATE-TOKEN": TOKEN, "Content-Type": "application/json"}
        request = urllib.request.Request(self.standin.base_url + path, data, headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            body: bytes = answer.read()
        return body

    def lock_source(self, name: str, lock_id: str = "somebody") -> None:
        info = LockInfo(id=lock_id, operation="apply", who="rival@there", created="2026-01-02T03:04:05Z")
        self.source.acquire_lock(name, info)


class WorldMaker:
    """Makes worlds that share one S3 server; each has a stand-in, a prefix and a directory of its own."""

    def __init__(self, directory: Path, server: S3Server) -> None:
        self._directory = directory
        self._server = server
        self._client = server.client()
        self._objects = MotoTarget(BUCKET) if server.name == "moto" else ClientTarget(self._client, BUCKET)
        self._target = build_target(server)
        self._running: list[Standin] = []

    def __call__(
        self,
        documents: dict[str, bytes | None] | None = None,
        *,
        create_file: bool = True,
        protection: bool = False,
        **changes: Any,
    ) -> World:
        """Make a world; ``documents`` by state name (None: a name that was never written), ``changes`` of its plan.

        With ``protection`` its GitLab has protection rules.
        """
        documents = (
            {"attic-dev": document(7), "attic-prod": document(3, lineage="l-2")} if documents is None else documents
        )
        number = next(_worlds)
        root = self._directory / f"repository-{number}"
        for path, text in FILES.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(text.encode())
        (root / "Justfile").chmod(0o755)
        standin = Standin(parse_configuration(_configuration(documents, protection=protection)))
        standin.start()
        self._running.append(standin)
        prefix = f"w{number}/"
        plan = build_plan(documents, prefix, standin.base_url, self._server.endpoint, create_file=create_file)
        return World(
            root=root,
            standin=standin,
            s3=self._client,
            source=GitLabSource(url=standin.base_url, project=PROJECT, token=TOKEN, retry=QUICK),
            target=self._target,
            objects=self._objects,
            prefix=prefix,
            plan=replace(plan, **changes),
        )

    def close(self) -> None:
        while self._running:
            self._running.pop().stop()


@contextmanager
def open_worlds(directory: Path, server: S3Server | None = None) -> Iterator[WorldMaker]:
    """Make worlds below ``directory`` until the block ends. ``server`` holds ``BUCKET``; without one, moto is started."""
    own = None if server else start_bucket()
    maker = WorldMaker(directory, server or own)
    try:
        yield maker
    finally:
        maker.close()
        if own:
            own.stop()


def start_bucket() -> S3Server:
    """Start moto with the bucket in it."""
    server = start_moto()
    server.create_bucket(BUCKET)
    return server


def build_target(server: S3Server) -> S3Target:
    return S3Target(
        endpoint=server.endpoint,
        bucket=BUCKET,
        region=server.region,
        path_style=True,
        access_key=server.access_key,
        secret_key=server.secret_key,
        retry=QUICK,
    )


def _configuration(documents: dict[str, bytes | None], *, protection: bool) -> dict[str, Any]:
    return {
        **({"protection_rules": []} if protection else {}),
        "format": "gitlab-standin/1",
        "projects": [{"id": PROJECT, "path": "acme/infra"}],
        "tokens": [{"value": TOKEN, "user": "maint", "roles": {str(PROJECT): "maintainer"}}],
        "states": [
            {"project": PROJECT, "name": name, "versions": [] if data is None else [{"text": data.decode()}]}
            for name, data in documents.items()
        ],
    }


def build_plan(
    documents: dict[str, bytes | None], prefix: str, url: str, endpoint: str, *, create_file: bool = True
) -> Plan:
    files = [
        _plan_file("Justfile", FILES["Justfile"], "gitlab", "s3 é"),
        _plan_file("stacks/attic/backend.tf", FILES["stacks/attic/backend.tf"], '"http"', '"s3"'),
    ]
    if create_file:
        files.append(_plan_file(CREATED, None, "", 'bucket = "tofu-state"\n'))
    return Plan(
        created="2026-01-02T03:04:05Z",
        tool_version="0.1.0",
        repository=PlannedRepository(identity="c0ffee", revision="c0ffee"),
        source=PlannedSource(url=url, project_id=PROJECT, project_path="acme/infra", token_env="GITLAB_TOKEN"),
        target=PlannedTarget(
            endpoint=endpoint,
            bucket=BUCKET,
            region="us-east-1",
            key=prefix + "{state}",
            path_style=True,
            style="inline",
            access_key_env="A",
            secret_key_env="B",
            run_prefix="mirror-" + prefix.strip("/"),
        ),
        tofu="tofu",
        proof="required",
        probe=ProbeResult(verdict="safe", reasons=(), probed_at="2026-01-02T03:04:05Z"),
        states=tuple(_plan_state(name, data, prefix) for name, data in documents.items()),
        files=tuple(files),
        groups=(),
        left_alone=(),
        reports=(),
        hazards=(),
        blockers=(),
        overrides=(),
    )


def _plan_state(name: str, data: bytes | None, prefix: str) -> PlannedState:
    body = json.loads(data) if data else {}
    return PlannedState(
        name=name,
        stack="attic",
        directory="stacks/attic",
        environment=name.rsplit("-", 1)[-1],
        key=f"{prefix}{name}/terraform.tfstate",
        serial=body.get("serial"),
        lineage=body.get("lineage"),
        sha256=sha256(data).hexdigest() if data else None,
        size=len(data or b""),
        encrypted=False,
        resource_count=0 if data else None,
    )


def _plan_file(path: str, before: str | None, old: str, new: str) -> PlannedFile:
    start = (before or "").index(old)
    after = (before or "").replace(old, new) if before else new
    place = Place(path=path, start_line=1, end_line=1)
    edit = PlannedEdit(start=start, end=start + len(old), text=new, kind="backend-block", place=place)
    return PlannedFile(
        path=path,
        pre_sha256=None if before is None else sha256(before.encode()).hexdigest(),
        post_sha256=sha256(after.encode()).hexdigest(),
        edits=(edit,),
        stacks=("attic",),
    )
