"""A lab whose commands can be ended at any effect, and whose whole world can be kept and brought back.

The commands are those of the command line, whole, in this process. What differs from run to run is made the same: the clock
ticks, IDs and tokens count. So two worlds can be compared byte for byte. Only the proof by plan is a double that agrees.

    lab = CrashLab(directory, server)
    planned = lab.keep()
    lab.run("migrate", "--yes")
    lab.bring_back(planned)
"""

import json
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

from migrator.backends.retry import RetryPolicy
from migrator.backends.s3_probe import ConditionalDelete, TargetProbe, Verdict
from migrator.engine.status import build_status
from migrator.inventory.git import ask_git
from migrator.journal.home import Home
from migrator.journal.log import read_log
from migrator.plan.codec import decode_plan, encode_plan
from migrator.plan.model import Plan
from tests.cli.lab import BACKEND, JUSTFILE, MAIN, Finished, Lab, document, make_repository
from tests.crash.transport import call_moto, call_standin
from tests.support.s3_servers import S3Server
from tests.support.watcher import (
    LOCK_SUFFIX,
    MotoTarget,
    StandinSource,
    TargetStore,
    TargetTruth,
    Watcher,
    read_lock_id,
)
from tests.support.world import Agreeing

PROJECT = 84
MIRROR = ".migrator/"  # where a run is mirrored in the bucket; no part of any state
ONE = {"alpha-dev": (document(7),)}
_NEVER = {".git"}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Everything outside of ``.migrator`` that a run may touch; locks without their IDs."""

    versions: dict[str, dict[int, bytes | None]]
    source_locks: frozenset[str]
    protected: frozenset[str]
    objects: dict[str, bytes]
    target_locks: frozenset[str]
    files: dict[str, tuple[int, bytes]]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A whole world at one moment: the disk with ``.migrator``, and both servers.

    Equal worlds are the same point: whatever a process finds that starts there, it finds the same. How far clock and
    counters are is kept beside.
    """

    disk: dict[str, tuple[int, bytes | None]]
    source: dict[tuple[int, str], Any]
    objects: dict[str, bytes]
    target_is_dead: bool
    tables: tuple[dict[Any, Any], ...] = field(compare=False)
    counters: tuple[Any, ...] = field(compare=False)
    ticks: int = field(compare=False)

    @property
    def digest(self) -> str:
        """What stands for the whole: equal for equal worlds."""
        return sha256(repr((self.disk, sorted(self.source.items()), sorted(self.objects.items()))).encode()).hexdigest()


class CrashLab(Lab):
    """See the module. ``states`` maps names to their versions; ``rules``: GitLab has protection rules, which seal for good.

    ``parallel``: commands use their threads, and their effects come in no order that is known before.
    """

    def __init__(
        self,
        directory: Path,
        server: S3Server,
        states: Mapping[str, Any] | None = None,
        *,
        rules: bool = True,
        parallel: bool = False,
        **more: Any,
    ) -> None:
        self._has_rules = rules
        self.parallel = parallel
        self.target_is_dead = False
        self.other_journals: list[Path] = []
        self.planned: Plan
        states = ONE if states is None else states
        names = [*states, *(row["name"] for row in more.get("rows", ()))]
        bindings = "".join(
            f'\n[[state]]\nname = "{name}"\nstack = "{name.split("-")[0]}"\nenvironment = "dev"\n' for name in names
        )
        self.stacks = sorted({name.split("-")[0] for name in names})
        self._ticks = 0
        self._ticking = threading.Lock()
        self._client: Any = None
        self._git_said: dict[Any, str | None] = {}
        super().__init__(directory, server, states=states, bindings=bindings, **more)
        self.write_settings((f'bucket = "{self.bucket}"\n', f'bucket = "{self.bucket}"\nstyle = "partial"\n'))
        self._moto = MotoTarget(self.bucket)
        self.sends = {"source": call_standin(self.gitlab), "target": call_moto(server.endpoint)}

    def _gitlab(self) -> dict[str, object]:
        return super()._gitlab() | ({"protection_rules": []} if self._has_rules else {})

    def _write_repository(self) -> None:
        for name in self.stacks:
            stack = self.repo / "stacks" / name
            stack.mkdir(parents=True)
            (stack / "backend.tf").write_text(BACKEND)
            (stack / "main.tf").write_text(MAIN.replace("NAME", name))
        (self.repo / "Justfile").write_text(JUSTFILE)
        (self.repo / "Justfile").chmod(0o755)
        make_repository(self.repo)

    # -- running -----------------------------------------------------------------------------------------------------

    def plan(self) -> Finished:
        """Make the default plan, with a proof that the double gives.

        The store is taken to be safe: on a busy machine moto lets two of those win that create an object at once.
        """
        found = TargetProbe(
            endpoint=self.server.endpoint,
            bucket=self.bucket,
            probed_at="2026-01-02T00:00:00Z",
            verdict=Verdict.SAFE,
            reasons=(),
            conditional_delete=ConditionalDelete.OBEYED,
            versioning="off",
            race_winners=(1,),
        )
        with patch("migrator.cli.wiring.probe", lambda *_: found):
            done = super().plan()
        path = self.repo / ".migrator" / "plan.json"
        plan = decode_plan(path.read_bytes(), where=str(path))
        tofu = self.directory / "tofu"  # never called: the double proves
        tofu.touch(mode=0o755)
        self.planned = replace(plan, proof="required", tofu=str(tofu))
        path.write_bytes(encode_plan(self.planned))
        return done

    def run(self, *arguments: str, cwd: Path | None = None, **environment: str) -> Finished:
        with self.steady():
            return super().run(*arguments, cwd=cwd, **environment)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Make the same of what differs from run to run."""
        with ExitStack() as stack:
            for module in ("cli.working", "cli.migrate", "cli.wiring"):
                stack.enter_context(patch(f"migrator.{module}.read_clock", self._read_clock))
            stack.enter_context(patch("migrator.cli.wiring.new_id", self._new_id))
            # A world that was brought back is the same machine, although its files are copies.
            stack.enter_context(patch("migrator.journal.run_directory.tell_apart", lambda path: "1"))
            stack.enter_context(patch("migrator.inventory.tree.ask_git", self._ask_git))
            if not self.parallel:
                stack.enter_context(patch("migrator.engine.parallel.ThreadPoolExecutor", _InOrder))
            stack.enter_context(patch("migrator.standin.store.timestamp", lambda: "2026-01-02T00:00:00.000Z"))
            stack.enter_context(patch.object(RetryPolicy, "wait_after", lambda *_: 0.0))
            stack.enter_context(patch("secrets.token_hex", lambda length: f"{self._tick():0{length * 2}x}"))
            stack.enter_context(patch("migrator.cli.wiring.build_prover", lambda *_: Agreeing()))
            stack.enter_context(patch("migrator.cli.wiring.build_target", self._build_target()))
            yield

    def _ask_git(self, directory: Path, *arguments: str) -> str | None:
        """git is asked once about each list of files; a child process takes longer than everything else in a command."""
        files = frozenset(self.files()) if "--others" in arguments else frozenset()
        if (arguments, files) not in self._git_said:
            self._git_said[arguments, files] = ask_git(directory, *arguments)
        return self._git_said[arguments, files]

    def _build_target(self) -> Any:
        from migrator.cli.wiring import build_target

        def build(*arguments: Any) -> Any:
            # A client of botocore takes longer to make than a run takes, and remembers nothing but connections.
            self._client = self._client or build_target(*arguments)
            return self._client

        return build

    def _tick(self) -> int:
        with self._ticking:
            self._ticks += 1
            return self._ticks

    def _read_clock(self) -> str:
        number = self._tick()
        return f"2026-01-02T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000000Z"

    def _new_id(self) -> str:
        return f"00000000-0000-4000-8000-{self._tick():012d}"

    # -- the same point, many times ----------------------------------------------------------------------------------

    def keep(self) -> Kept:
        disk: dict[str, tuple[int, bytes | None]] = {}
        for path in sorted(self.repo.rglob("*")):
            relative = path.relative_to(self.repo)
            if relative.parts[0] not in _NEVER:
                disk[relative.as_posix()] = (path.stat().st_mode, path.read_bytes() if path.is_file() else None)
        return Kept(
            disk=disk,
            source={
                key: (row.lock and row.lock.id, row.deleted, row.versions, row.rule)
                for key, row in self.gitlab.truth().items()
            },
            objects={key: self._moto.read(key) or b"" for key in self._moto.list_keys("")},
            target_is_dead=self.target_is_dead,
            tables=tuple(dict(table) for table in self._tables()),
            counters=tuple(copy(getattr(owner, name)) for owner, name in self._counters()),
            ticks=self._ticks,
        )

    def bring_back(self, kept: Kept) -> None:
        for path in self.repo.iterdir():
            if path.name not in _NEVER:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, (mode, data) in kept.disk.items():
            path = self.repo / name
            path.mkdir() if data is None else path.write_bytes(data)
            path.chmod(stat.S_IMODE(mode))
        for table, before in zip(self._tables(), kept.tables, strict=True):
            table.clear()
            table.update(before)
        for (owner, name), counter in zip(self._counters(), kept.counters, strict=True):
            setattr(owner, name, copy(counter))
        self._moto.become(kept.objects)
        self.target_is_dead = kept.target_is_dead
        self._ticks = kept.ticks

    def _tables(self) -> list[dict[Any, Any]]:
        """Where the stand-in keeps everything that it remembers; its rows are frozen."""
        rules = self.gitlab._service.rules
        return [self.gitlab.store._rows, self.gitlab.store._storage._contents, rules._rows]

    def _counters(self) -> list[tuple[Any, str]]:
        store, rules = self.gitlab.store, self.gitlab._service.rules
        return [(store, "_row_ids"), (store, "_version_ids"), (rules, "_ids")]

    # -- the truth ---------------------------------------------------------------------------------------------------

    @property
    def store(self) -> TargetStore:
        """What there is at the target: nothing while it is dead."""
        return _Nothing() if self.target_is_dead else self._moto

    def watcher(self) -> Watcher:
        """Watch the invariant from now on."""
        return Watcher(
            states=self.planned.states,
            source=StandinSource(self.gitlab, PROJECT),
            target=self.store,
            own_ids=self.own_ids,
        )

    def own_ids(self) -> set[str]:
        """The ID of every lock that a run of ours ever meant to take, from the journals on the disk."""
        journals = [run / "journal.jsonl" for run in self.runs()] + self.other_journals
        return {str(one.body["lock_id"]) for path in journals for one in read_log(path) if "lock_id" in one.body}

    def runs(self) -> list[Path]:
        """Every run that is one: what is still being fetched has a name that hides it."""
        return [run for run in super().runs() if not run.name.startswith(".")]

    def see(self) -> Truth:
        source = StandinSource(self.gitlab, PROJECT)
        rows = {state.name: source.look(state.name) for state in self.planned.states}
        seen = {name: row for name, row in rows.items() if row is not None}
        keys = [key for key in self.store.list_keys("") if not key.startswith(MIRROR)]
        return Truth(
            versions={name: dict(row.versions) for name, row in seen.items()},
            source_locks=frozenset(name for name, row in seen.items() if row.lock_id is not None),
            protected=frozenset(name for name, row in seen.items() if row.protected),
            objects={key: self.store.read(key) or b"" for key in keys if not key.endswith(LOCK_SUFFIX)},
            target_locks=frozenset(key for key in keys if key.endswith(LOCK_SUFFIX)),
            files=self.files(),
        )

    def phase(self) -> str | None:
        """The phase of the latest run, as ``status`` tells it; None where there is no run."""
        runs = Home(self.repo).runs()
        return build_status(self.planned, "", runs[-1].read_view()).phase if runs else None

    def has_begun(self) -> bool:
        """Whether any run has a record: before the first, nothing can have been done."""
        return any(read_log(run / "journal.jsonl") for run in self.runs())

    def key(self, name: str = "alpha-dev") -> str:
        return next(state.key for state in self.planned.states if state.name == name)

    def lock_as_rival(self, name: str = "alpha-dev") -> None:
        body = json.dumps({"ID": "somebody", "Operation": "OperationTypeApply", "Who": "rival@there"}).encode()
        self.put(self.key(name) + LOCK_SUFFIX, body)

    def lock_ids(self, name: str) -> tuple[str | None, str | None]:
        """The ID of a state's lock at the source and at the target, None for a free one."""
        held = self.lock_at_source(name)
        lock = self.store.read(self.key(name) + LOCK_SUFFIX)
        return held.id if held else None, None if lock is None else read_lock_id(lock)


class _Nothing:
    """A target that does not answer."""

    def look(self, key: str) -> TargetTruth:
        return TargetTruth()

    def read(self, key: str) -> bytes | None:
        return None

    def list_keys(self, prefix: str) -> list[str]:
        return []


class _InOrder(Executor):
    """Does each job when it is given, in the caller's thread."""

    def __init__(self, max_workers: int) -> None:
        """However many are wanted."""

    def submit(self, job: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(job(*arguments, **more))
        except BaseException as error:  # noqa: BLE001 - as a pool does; whoever asks for the result gets it
            future.set_exception(error)
        return future
