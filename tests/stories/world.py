"""A world for stories: both servers are models, journals, blobs and the work tree are real files.

``StoryWorld`` carries out one command or act after the other, each command as a process would (the journal is opened anew),
tells the story in short lines, and after each effect lets the watcher look. After each command it holds what was said
against what is true: ``status`` never lies, an error has an exit code of ``interface.md``, "nothing was touched" means it.

There are two machines, with a run directory each and one work tree: what one cuts over the other pulls. Where runs are
mirrored, the second one fetches them from the bucket. The latest run is the one that every command is about.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from migrator.backends.lock_info import LockInfo
from migrator.engine.finalize import check_may_finalize, finalize
from migrator.engine.mirror import Mirror
from migrator.engine.mirrored_run import fetch_run, list_runs
from migrator.engine.phases import Phase, StepKind
from migrator.engine.ports import Ports
from migrator.engine.rollback import rollback
from migrator.engine.run import Run
from migrator.engine.runner import migrate
from migrator.engine.status import RunStatus, build_status
from migrator.engine.stop import complete_stop, record_stop
from migrator.engine.verify import Check, Evidence, verify
from migrator.engine.without_target import rollback_without_target
from migrator.engine.work_tree import LocalWorkTree
from migrator.errors import MigratorError, UsageError
from migrator.journal.fold import RunView, StepState, fold
from migrator.journal.home import Home
from migrator.journal.record import RecordKind
from migrator.journal.run_directory import RunDirectory
from migrator.plan.codec import digest_of_plan, encode_plan
from migrator.plan.freshness import check_files
from migrator.plan.model import Plan, PlannedState
from migrator.state.snapshot import digest_of
from tests.stories.effects import Act, At, Effects, Killed, Turns
from tests.stories.model import GitLabModel, RunStoreModel, S3Model
from tests.support.watcher import Watcher, _Judged
from tests.support.world import BUCKET, FILES, Agreeing, build_plan, document

CODES = {2, 3, 4, 5, 6, 130}
OVER = (Phase.ROLLED_BACK, "refused")
PREFIX = "mirror"
THEIRS = "theirs"  # the ID of every lock that is not ours
NOW = "2026-01-02T03:04:05Z"
POOL = "migrator.engine.parallel.ThreadPoolExecutor"


class LieError(AssertionError):
    """Something was said that is not true, or a command ended as none may."""


def check(holds: object, *found: object) -> None:
    if not holds:
        raise LieError(*found)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What stands there in the beginning: states by name with their first serial (None: never written), which of them have a
    copy at the target already, and whether GitLab has protection rules and runs are mirrored.
    """

    states: dict[str, int | None]
    adopted: frozenset[str] = frozenset()
    rules: bool = False
    mirrored: bool = False


@dataclass(frozen=True)
class Truth:
    """What can be seen of the servers and of the work tree."""

    sides: tuple[Any, ...]
    files: dict[str, bytes | None]


class OwnIds:
    """The ID of every lock that a journal below ``homes`` names; what was read is read again only when it has grown."""

    def __init__(self, homes: Sequence[Home]) -> None:
        self._runs = [home.path / "runs" for home in homes]
        self._sizes: dict[str, int] = {}
        self._ids: set[str] = set()

    def __contains__(self, lock_id: object) -> bool:
        if lock_id not in self._ids:
            self._read()
        return lock_id in self._ids

    def _read(self) -> None:
        runs = [run for runs in self._runs if runs.is_dir() for run in os.scandir(runs)]
        for entry in (entry for run in runs for entry in os.scandir(run) if entry.name.startswith("journal")):
            size = entry.stat().st_size
            if self._sizes.get(entry.path) != size:
                self._sizes[entry.path] = size
                named = re.findall(rb'"lock_id":"([^"]+)"', Path(entry.path).read_bytes())
                self._ids.update(one.decode() for one in named)


class StoryWatcher(Watcher):
    """Leaves out what others did and no reading can see in time; see ``StoryWorld.is_excused``."""

    world: "StoryWorld"

    def _judge_open(self, change: _Judged) -> None:
        if not self.world.is_excused(change.state):
            super()._judge_open(change)


@dataclass
class StoryWorld:
    root: Path
    shape: Shape
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path, text in FILES.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(text.encode())
        documents = {
            name: None if serial is None else document(serial, lineage=f"l-{name}")
            for name, serial in self.shape.states.items()
        }
        self.gitlab, self.s3 = GitLabModel(documents, rules=self.shape.rules), S3Model(BUCKET)
        self.store = RunStoreModel(self.s3, PREFIX)
        self.homes = (Home(self.root), Home(self.root / "elsewhere"))
        self.own_ids = OwnIds(self.homes)
        self.tree = LocalWorkTree(self.root)
        self.run_id = ""  # the latest run
        self.directory: RunDirectory | None = None  # where it was worked on last
        self._view: tuple[RunDirectory, int, RunView] | None = None
        self.ids, self.notes = count(1), 0
        self.dead = False  # whether the target answers nobody
        self.edits: dict[str, bytes | None] = {}  # what stood there before somebody edited it
        self.excused: set[str] = set()  # states whose source was forced open while a command was at work
        self.lifted: set[tuple[str, str]] = set()  # our locks that somebody forced open, by side and state
        self.moved: set[str] = set()  # states with a document that nobody should have written or removed
        self.lost: dict[str, bytes] = {}  # what stood at the target before somebody deleted or overwrote it
        self.given_up: RunDirectory | None = (
            None  # where the target was given up for dead: no other machine hears of it
        )
        self.split = False  # whether such a machine acted all the same: then two journals tell different stories
        self.meddled = False  # whether somebody acted since the command began
        self.effects = Effects(self, (), Turns(()))
        for state in self._make_plan().states:
            if state.name in self.shape.adopted:
                self.s3.put(state.key, documents[state.name] or b"")
        check(self.replan(), "a plan")

    # The plan and its run

    def replan(self) -> bool:
        """Make a plan of what stands there; return whether it has no blocker."""
        plan = self._make_plan()
        there = {state.name: self.s3.objects.get(state.key) for state in plan.states}
        states = tuple(replace(state, adopted=there[state.name] is not None) for state in plan.states)
        foreign = any(s.adopted and digest_of(there[s.name] or b"") != s.sha256 for s in states)
        edited = any(self.digest_at(file.path) != file.pre_sha256 for file in plan.files)
        if foreign or edited or self.dead or self.view.target_left:
            return False
        self.plan = replace(plan, states=states)
        self.watcher = StoryWatcher(
            states=self.plan.states,
            source=self.gitlab,
            target=self.s3,
            own_ids=lambda: self.own_ids,  # type: ignore[arg-type, return-value]
        )
        self.watcher.world = self
        self.lifted.clear()
        self.given_up, self.split = None, False
        self.moved.clear()
        self.lost.clear()
        return True

    def _make_plan(self) -> Plan:
        documents = {name: row.newest for name, row in self.gitlab.rows.items()}
        plan = build_plan(documents, "p/", "https://gitlab.example", "https://s3.example")
        return replace(plan, target=replace(plan.target, run_prefix=PREFIX if self.shape.mirrored else ""))

    @property
    def view(self) -> RunView:
        """What the journal of the latest run says where it was worked on last."""
        if self.directory is None:
            return RunView()
        size = self.journal_size()
        if self._view is None or self._view[:2] != (self.directory, size):
            self._view = self.directory, size, self.directory.read_view()
        return self._view[2]

    def state(self, name: str) -> PlannedState:
        return next(state for state in self.plan.states if state.name == name)

    def read(self, path: str) -> bytes | None:
        file = self.root / path
        return file.read_bytes() if file.exists() else None

    def digest_at(self, path: str) -> str | None:
        data = self.read(path)
        return None if data is None else digest_of(data)

    def own(self, name: str) -> str | None:
        """The ID with which the latest run locks the source."""
        intent = self.view.step(StepKind.LOCK_SOURCE, name).intent
        return str(intent["lock_id"]) if intent else None

    def is_ours(self, lock_id: str | None) -> bool:
        return lock_id not in {None, THEIRS} and lock_id in self.own_ids

    def is_excused(self, state: PlannedState) -> bool:
        """Whether two open sides are somebody else's doing, or the operator's: the source was forced open just now; somebody
        put what stands at the target where nothing of ours stood; or the target was given up for dead.
        """
        published = self.view.step(StepKind.PUBLISH, state.name)
        foreign = state.name in self.moved and (published.evidence is None or published.state is StepState.UNDONE)
        given_up = self.view.without_target or self.view.target_left
        return state.name in self.excused or foreign or given_up

    # Commands

    def prepare(self) -> bool:
        """Have a run that ``migrate`` can go on with, of a new plan where the last one is over; False: a blocker."""
        if self.directory is not None and self.view.outcome not in OVER:
            return True
        if not self.replan():
            self.told.append("plan: a blocker")
            return False
        self.run_id = f"run-{int(self.run_id[4:] or '0') + 1:03}"
        self.directory = self.homes[0].create_run(self.run_id, encode_plan(self.plan))
        return True

    def migrate(
        self, until: Phase, happenings: Sequence[At] = (), switches: Sequence[int] = ()
    ) -> MigratorError | None:
        """Go on with the run that ``prepare`` found."""

        def work(run: Run) -> None:
            if run.view.outcome is None and not run.view.rolling_back:
                touched = run.view.units(StepKind.CUT_OVER_FILE, StepState.IN_DOUBT, StepState.DONE)
                check_files(self.plan, self.digest_at, allowed_post=touched)
            migrate(self.plan, run, until=until)

        name = "migrate" if until is Phase.MIGRATED else f"migrate --until {until}"
        with (
            self._command(name, happenings, switches) as ended,
            self._open(self.homes[0].find_run(self.run_id), begins=True) as run,
        ):
            work(run)
        return ended.error

    def rollback(
        self,
        happenings: Sequence[At] = (),
        switches: Sequence[int] = (),
        *,
        elsewhere: bool = False,
        without_target: bool = False,
    ) -> MigratorError | None:
        """Take the latest run back, here or on the other machine; nothing where no run began."""
        if not self.view.run_id:
            return None
        name = f"rollback{' elsewhere' if elsewhere else ''}{' --without-target' if without_target else ''}"
        take_back = rollback_without_target if without_target else rollback
        with self._command(name, happenings, switches) as ended:
            # A target that is dead tells no machine what another one did: only the last one may go on without it.
            if directory := self.directory if without_target else self._find_run(elsewhere=elsewhere):
                with self._open(directory, mirrored=not without_target, take_over=True) as run:
                    self.given_up = directory if without_target else self.given_up
                    take_back(self.plan, run)
        return ended.error

    def _find_run(self, *, elsewhere: bool) -> RunDirectory | None:
        """Find the latest run on a machine, or fetch it from the bucket; None where neither is possible."""
        home = self.homes[1 if elsewhere else 0]
        try:
            directory = home.find_run(self.run_id)
        except UsageError:
            store = self.effects.wrap("mirror", self.store)
            if self.run_id not in list_runs(store):
                self.effects.seen.append("there is no such run in the bucket")
                return None
            directory = fetch_run(store, self.run_id, home)
        if not directory.read_view().run_id:
            check(not self.store.list_names(f"runs/{self.run_id}/journal/"), "the run in the bucket is not seen")
            self.effects.seen.append("this run never began: its journal is empty")
            return None
        return directory

    def finalize(self, happenings: Sequence[At] = ()) -> MigratorError | None:
        if not self.view.run_id:
            return None
        with self._command("finalize", happenings) as ended, self._open(self.homes[0].find_run(self.run_id)) as run:
            if run.view.outcome != Phase.FINALIZED:
                check_may_finalize(self.plan, run.view, confirm=BUCKET)
                finalize(self.plan, run, self._verify(run.ports, run.view))
        return ended.error

    def verify(self, happenings: Sequence[At] = ()) -> MigratorError | None:
        return self._look(happenings, [])

    def failed_checks(self) -> set[tuple[str, str]]:
        """What ``verify`` finds, without any trouble."""
        found: list[Check] = []
        if error := self._look((), found):
            raise error
        return {(one.name, one.subject) for one in found if not one.ok}

    def _look(self, happenings: Sequence[At], found: list[Check]) -> MigratorError | None:
        if not self.view.run_id or self.directory is None:
            return None
        before = self.truth()
        with self._command("verify", happenings) as ended:
            found += self._verify(self.effects.wrap_ports(self._ports(self.directory)), self.view)
        check(self.meddled or self.truth() == before, "verify changed something")
        return ended.error

    def _verify(self, ports: Ports, view: RunView) -> list[Check]:
        evidence = Evidence(
            source=ports.source, target=ports.target, work_tree=ports.work_tree, blobs=ports.blobs, run=view
        )
        return verify(self.plan, evidence)

    @contextmanager
    def _command(self, name: str, happenings: Sequence[At], switches: Sequence[int] = ()) -> Iterator["Ended"]:
        """A command with what happens to it; whatever it ends with is held against the truth."""
        turns, ended = Turns(switches), Ended()
        self.effects = Effects(self, happenings, turns)
        self.excused.clear()
        self.meddled = False
        before, end = self.truth(), "done"
        with mock.patch(POOL, turns.open_pool):
            try:
                yield ended
            except MigratorError as error:
                ended.error = error
                end = f"exit {error.exit_code}: {error.message}"
            except Killed:
                end = "killed"
            except BaseException as error:
                end = repr(error)
                raise
            finally:
                self.told += [f"{name}: {end}", *(f"    {one}" for one in self.effects.seen)]
        self._check_end(ended.error, before)

    @contextmanager
    def _open(
        self, directory: RunDirectory, *, begins: bool = False, mirrored: bool = True, take_over: bool = False
    ) -> Iterator[Run]:
        """Open the run as the command line does: hold the mirror, bring what another machine did, open the journal."""
        mirror = self._build_mirror(directory) if mirrored and self.shape.mirrored else None
        if mirror and directory.read_view().run_id:
            mirror.hold(take_over=take_over)
            mirror.synchronise()
        self.directory = directory
        self.split = self.split or (self.given_up is not None and self.given_up.path != directory.path)
        log = directory.open_log(lambda: NOW)
        run = Run(log=log, view=fold(log.records), ports=self._ports(directory), mirror=mirror)
        self.effects.install(run)
        try:
            if begins and not run.view.run_id:
                run.record(RecordKind.RUN, {"run": directory.run_id, "plan": digest_of_plan(self.plan)})
            yield run
        except MigratorError as error:
            complete_stop(error, build_status(self.plan, digest_of_plan(self.plan), run.view))
            record_stop(run, error)
            raise
        finally:
            try:
                run.end_mirror()
            finally:
                log.close()

    def _build_mirror(self, directory: RunDirectory) -> Mirror:
        holder = directory.read_holder(lambda: f"machine-{next(self.ids)}")
        return Mirror(self.effects.wrap("mirror", self.store), directory, LockInfo(id=holder, who="me", created=NOW))

    def _ports(self, directory: RunDirectory) -> Ports:
        return Ports(
            source=self.gitlab,
            target=self.s3,
            blobs=directory.blobs,
            work_tree=self.tree,
            prover=Agreeing(),
            new_id=lambda: f"ours-{next(self.ids)}",
            clock=lambda: NOW,
            who="me@here",
            version="0.1.0",
        )

    # What others do

    def let(self, act: Act) -> str | None:
        """Let somebody act; tell what was done."""
        with self.watcher.rival():
            done = act.do(self)
        self.meddled = self.meddled or done is not None
        return done

    def tell(self, act: Act) -> None:
        if done := self.let(act):
            self.told.append(done)

    # The truth

    def watch(self, moment: str) -> None:
        self.watcher.check(moment)
        for path in self.edits:
            check((self.read(path) or b"").endswith(EDIT), "somebody's edit is lost", path, moment)

    def truth(self) -> Truth:
        return Truth(
            sides=tuple((self.gitlab.look(state.name), self.s3.look(state.key)) for state in self.plan.states),
            files={file.path: self.read(file.path) for file in self.plan.files},
        )

    def journal_size(self) -> int:
        assert self.directory is not None
        try:
            return os.stat(f"{self.directory.path}/journal.jsonl").st_size  # noqa: PTH116 - asked for at every turn
        except FileNotFoundError:
            return 0

    def tear(self, append: Callable[[], object]) -> None:
        """Write to the journal, and let the last bytes never arrive."""
        assert self.directory is not None
        before = self.journal_size()
        append()
        written = self.journal_size() - before
        with (self.directory.path / "journal.jsonl").open("r+b") as stream:
            stream.truncate(before + written * (1 + written % 7) // 8)

    def _check_end(self, error: MigratorError | None, before: Truth) -> None:
        check(error is None or error.exit_code in CODES, "exit code", error)
        after = self.truth()
        if error is not None:
            check(error.message and (error.hint or error.now or error.where), "an error says what to do", error)
            promised = error.exit_code in {2, 6} or "nothing was touched" in (error.now or "")
            check(self.meddled or not promised or after == before, "this attempt changed something", error)
            if error.exit_code in {2, 4, 6} or "no lock is held" in (error.now or ""):
                self._check_no_lock_is_new(before, after, error)
        self.check_status()

    def _check_no_lock_is_new(self, before: Truth, after: Truth, error: MigratorError) -> None:
        for was, here in zip(before.sides, after.sides, strict=True):
            for old, new in zip(was, here, strict=True):
                check(new.lock_id == old.lock_id or not self.is_ours(new.lock_id), "a lock is held", new, error)

    def status(self) -> RunStatus:
        return build_status(self.plan, digest_of_plan(self.plan), self.view)

    def check_status(self) -> None:
        """Whatever the status says without doubt is so, but for what somebody else did since."""
        if self.directory is None or self.split:
            return
        status = self.status()
        doubted = {one.split(" ", 1)[1] for one in status.in_doubt}
        for one in status.states:
            here, there = self.gitlab.rows[one.name], self.s3.look(one.key)
            for side, said, lock_id in (
                ("source", one.source_lock, here.lock.id if here.lock else None),
                ("target", one.target_lock, there.lock_id),
            ):
                ours, lifted = self.is_ours(lock_id), (side, one.name) in self.lifted
                check(said != "free" or not ours, side, one, lock_id)
                check(said != "held" or ours or lifted, side, one, lock_id)
            excused = doubted | self.moved | {name for side, name in self.lifted if side == "target"}
            if one.name not in excused and not self.view.target_left and not self.view.without_target:
                newer_there = there.data is not None and there.data not in here.versions.values()
                check(not newer_there or one.authority == "target", "authority", one)
        self._check_files(status, doubted)
        check(status.next_command, status)

    def _check_files(self, status: RunStatus, doubted: set[str]) -> None:
        found = {file.path: self.digest_at(file.path) for file in self.plan.files}
        named = {file.path for file in self.plan.files if found[file.path] == file.post_sha256}
        least, most = len(named - doubted), len(named | set(self.edits))
        check(least <= status.files_cut_over <= most, "files", status, named, self.edits)


EDIT = b"# edited\n"


@dataclass
class Ended:
    """How a command ended."""

    error: MigratorError | None = None
