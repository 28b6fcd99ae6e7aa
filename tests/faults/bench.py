"""One world behind proxies that is put back to where a cell of the fault matrix begins, as often as there are cells.

Both clients of the program speak through a ``FaultProxy``, GitLab's and the store's, over real sockets. The watcher looks at the
truth of both servers after every request. ``Bench.trace`` runs a command without a fault and names every request that it makes:
these are the steps at which a fault can strike.

Ways forward are checked once for each different point at which a command stops: from the same journal, the same files and the same
stores (but for times and the recorded reason) a healthy world lets the program go on in the same way.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from migrator.backends.gitlab_http import GitLabSource
from migrator.backends.s3 import S3Target
from migrator.engine.events import Event
from migrator.engine.phases import FORWARD
from migrator.engine.run import Run
from migrator.engine.stop import complete_stop, record_stop
from migrator.errors import JournalError, MigratorError
from migrator.journal.fold import fold
from migrator.plan.codec import encode_plan
from migrator.standin import Fault as StandinFault
from tests.faults.disk import Disk
from tests.faults.model import Step, name_resource, name_steps
from tests.faults.rewind import Rewind, Snapshot, build_checksum, put_object
from tests.support.certificates import write_certificate
from tests.support.fault_proxy import Effect, Fault, FaultProxy
from tests.support.told import check_status
from tests.support.world import BUCKET, PROJECT, QUICK, TOKEN, Truth, document, open_worlds, start_bucket

STATE = "attic-dev"
FIRST, NEWER = document(7), document(9)
MODES = "abcdefghijklmn"
MEMORY = Path("/dev/shm")  # what a slow disk does is tested elsewhere
_NEVER = 10**9


@dataclass(frozen=True, slots=True)
class Setting:
    """What a bench is like."""

    tls: bool = False
    mirrored: bool = False
    protection: bool = False
    versioned: bool = False
    project: int | str = PROJECT


SETTINGS = {
    "plain": Setting(),
    "tls": Setting(tls=True),
    "mirrored": Setting(mirrored=True),
    "protected": Setting(protection=True),
    "by path": Setting(project="acme/infra"),
    "versioned": Setting(versioned=True),
}


@dataclass
class Outcome:
    """How a command ended: 0, or the code of its error; its requests; what the watcher saw."""

    code: int = 0
    error: MigratorError | None = None
    requests: list[Step] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


class Bench:
    """See the module. Its world has one state; migrate begins at the beginning, and rollback where the target has moved on
    after a migration.
    """

    def __init__(self, setting: Setting = SETTINGS["plain"]) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._setting = setting
        self._stage = ""
        self._run: Run | None = None
        self._watcher: Any = None
        self._points: set[tuple[str, str]] = set()
        self.repairs: list[Callable[[], None]] = []
        self._deleted: bytes | None = None
        self._looks: dict[str, int] = {}
        self.clock: Callable[[], str] | None = None
        with ExitStack() as stack:
            self._build(stack)
            self.bases = self._build_bases()
            self._stack = stack.pop_all()

    def _build(self, stack: ExitStack) -> None:
        memory = MEMORY if MEMORY.is_dir() else None
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="migrator-faults-", dir=memory)))
        self.server = start_bucket()
        stack.callback(self.server.stop)
        if self._setting.versioned:
            switch = partial(self._switch_versioning, self.server.client())
            switch("Enabled")
            stack.callback(switch, "Suspended")
        make = stack.enter_context(open_worlds(directory, self.server))
        self.plain = make({STATE: FIRST}, protection=self._setting.protection)
        self.standin = self.plain.standin
        if not self._setting.mirrored:
            self.plain.plan = replace(self.plain.plan, target=replace(self.plain.plan.target, run_prefix=""))
        tls: dict[str, Any] = {}
        if self._setting.tls:
            tls = {name: write_certificate(directory / f"{name}.pem") for name in ("certificate", "strange")}
        self.store = stack.enter_context(FaultProxy(self.server.endpoint, **tls))
        self.gitlab = stack.enter_context(FaultProxy(self.standin.base_url))
        self.disk = Disk(self.plain.root)
        self.rewind = Rewind(self.plain, self.store)
        self._connect(ca_bundle=str(tls["certificate"]) if tls else None)

    @staticmethod
    def _switch_versioning(client: Any, status: str) -> None:
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def proxy(self, side: str) -> FaultProxy:
        return self.gitlab if side == "gitlab" else self.store

    def _connect(self, *, ca_bundle: str | None) -> None:
        through = replace(self.server, endpoint=self.store.url)
        self._target = S3Target(
            endpoint=through.endpoint,
            bucket=BUCKET,
            region=through.region,
            path_style=True,
            access_key=through.access_key,
            secret_key=through.secret_key,
            retry=QUICK,
            ca_bundle=ca_bundle,
        )
        self._users = None if ca_bundle else through.client()

    # -- the beginning of cells --------------------------------------------------------------------------------------

    def _build_bases(self) -> dict[str, Snapshot]:
        if self._setting.versioned:
            # Somebody had a state here once, and deleted it.
            for suffix in ("", ".tflock"):
                self.plain.s3.put_object(Bucket=BUCKET, Key=self.plain.state(STATE).key + suffix, Body=b"{}")
                self.plain.delete(STATE, suffix)
        if self._setting.mirrored:
            self.plain.mirror(self.plain.directory())  # names the run directory, once, by an ID of its own
        bases = {"migrate": self.rewind.take()}
        self.beginning = self.plain.truth()
        # A migration that stopped when all was captured and nothing was published.
        self.store.inject(Fault(Effect.DROP, method="PUT", path="tfstate$", times=None))
        assert self.run("migrate").code == 5
        bases["stopped"] = self.rewind.take()
        self.restore(bases["migrate"])
        assert self.run("migrate").code == 0
        self.migrated = self.plain.truth()
        self.put_newer()
        bases["rollback"] = self.rewind.take()
        assert self.run("rollback").code == 0
        self.carried_back = self.plain.truth()
        assert self.carried_back.versions[STATE] == {7: FIRST, 9: NEWER}
        return bases

    def put_newer(self) -> None:
        """Somebody applies at the target; through the proxy, so that it knows what a stale answer would be."""
        key = self.plain.state(STATE).key
        if self._users:
            self._users.put_object(
                Bucket=BUCKET, Key=key, Body=NEWER, ChecksumAlgorithm="SHA256", ChecksumSHA256=build_checksum(NEWER)
            )
        else:
            self.plain.put(STATE, NEWER)

    def restore(self, snapshot: Snapshot) -> None:
        """Put the world back to where it was, and take every fault away."""
        self.heal()
        self.repairs.clear()
        self.rewind.put_back(snapshot)

    def heal(self) -> None:
        """Take every fault away."""
        self.gitlab.clear()
        self.store.clear()
        self.standin.faults.disarm()
        self.disk.heal()
        self.clock = None

    def delete_object(self) -> None:
        """Somebody deletes the object at the target."""
        self._deleted = self.plain.objects.read(self.plain.state(STATE).key)
        self.plain.delete(STATE)

    def put_object_back(self) -> None:
        """Whoever deleted the object restores it."""
        if self._deleted is not None:
            put_object(self.plain.state(STATE).key, self._deleted)
            self._deleted = None

    @property
    def is_damaged(self) -> bool:
        """Whether the journal cannot be read."""
        try:
            self.plain.status()
        except JournalError:
            return True
        return False

    def put_back(self) -> None:
        """Put back from a backup what was damaged."""
        while self.repairs:
            self.repairs.pop()()

    def interrupt(self) -> None:
        """What the handler of a signal does."""
        assert self._run is not None
        self._run.interrupt.set()

    def count_strikes(self, mode: str) -> int:
        armed = self.standin.faults._armed[mode]
        return sum(max(0, min(one._seen - one.fault.after, one.fault.times or _NEVER)) for one in armed)

    def somebody(self, deed: Callable[["Bench"], None]) -> None:
        """Somebody else changes the world."""
        with self._watcher.rival():
            deed(self)

    # -- commands ----------------------------------------------------------------------------------------------------

    def run(self, command: str) -> Outcome:
        """Run a command as a process would, and see how it ends. Only a MigratorError may end it."""
        source = GitLabSource(url=self.gitlab.url, project=self._setting.project, token=TOKEN, retry=QUICK)
        world = replace(self.plain, source=source, target=self._target)
        outcome = Outcome()
        self._run = None
        # What was put back is the same machine, although its files are copies.
        same = patch("migrator.journal.run_directory.tell_apart", lambda path: "1")
        with same, self._watched(command, outcome):
            try:
                with self.disk.installed():
                    getattr(world, command)(prepare=self._follow, workers=1)
            except MigratorError as error:
                outcome.code, outcome.error = error.exit_code, error
                self._end(error)
        return outcome

    def _end(self, error: MigratorError) -> None:
        """What the command line does when a command stops."""
        try:
            status = self.plain.status()
        except MigratorError:
            return  # the journal cannot be read: the error says what there is to say
        complete_stop(error, status)
        if self._run is None or isinstance(error, JournalError):
            return  # the journal was not opened, or takes no record any more
        directory = self.plain.directory()
        log = directory.open_log(lambda: "2026-01-02T03:04:05Z")
        try:
            record_stop(Run(log=log, view=fold(log.records), ports=self.plain.ports(directory)), error)
        finally:
            log.close()

    def begin_again(self) -> None:
        """As the command line does when the run before was refused and has given everything back: a new run of the plan."""
        number = len(self.plain.home.runs()) + 1
        self.plain.home.create_run(f"run-{number}", encode_plan(self.plain.plan))

    def _follow(self, run: Run) -> None:
        """Name the stages, and number the IDs, so that equal points can be recognised."""
        following = {phase: after for (phase, _), (after, _) in pairwise(FORWARD)}

        def listen(event: Event) -> None:
            if event.name == "stage":
                self._stage = str(event.step)
            elif event.name == "barrier" and event.step in following:
                self._stage = str(following[event.step])

        numbers = count()
        began = len(run.log.records)
        run.listen = listen
        run.ports = replace(run.ports, new_id=lambda: f"{run.view.run_id}-{began}-{next(numbers)}")
        if self.clock:
            run.log._clock = self.clock
            run.ports = replace(run.ports, clock=self.clock)
        self._run = run

    @contextmanager
    def _watched(self, command: str, outcome: Outcome) -> Iterator[None]:
        self._watcher = self.plain.watcher()
        self._stage = "look"

        def build_listener(side: str) -> Callable[[str, str, int], None]:
            def listen(method: str, path: str, status: int) -> None:
                outcome.requests.append(self._describe(command, side, outcome, (method, path, status)))
                self._judge(outcome)

            return listen

        self.gitlab.listen, self.store.listen = build_listener("gitlab"), build_listener("store")
        self.disk.listen = lambda name: outcome.requests.append(self._describe_write(command, outcome, name))
        yield
        self._judge(outcome)

    def _judge(self, outcome: Outcome) -> None:
        try:
            self._watcher.check(self._stage)
        except AssertionError as error:
            outcome.violations.append(str(error))

    def _describe(self, command: str, side: str, outcome: Outcome, seen: tuple[str, str, int]) -> Step:
        method, path, status = seen
        return replace(
            self._describe_write(command, outcome, f"{method} {name_resource(path)}", side=side),
            path=path,
            status=status,
            stale=side == "store" and method == "GET" and self.store.is_stale(path),
            looked_at=self._take_looks() if side == "gitlab" else frozenset(),
        )

    def _describe_write(self, command: str, outcome: Outcome, name: str, *, side: str = "disk") -> Step:
        # While it looks, the outcome is that of the command before: rollback begins with a migrated run.
        over = self._run is not None and self._run.view.outcome is not None and self._stage != "look"
        return Step(
            command=command,
            side=side,
            number=sum(one.side == side for one in outcome.requests),
            stage="end" if over else self._stage,
            request=name,
            path=name,
            status=0,
        )

    # -- what happens without a fault --------------------------------------------------------------------------------

    def trace(self, command: str, base: str) -> list[Step]:
        """Every request of a command when nothing goes wrong."""
        self.restore(self.bases[base])
        for mode in MODES:
            self.standin.arm(StandinFault(mode=mode, after=_NEVER))
        self._looks = dict.fromkeys(MODES, 0)
        outcome = self.run(command)
        self.heal()
        assert (outcome.code, outcome.violations) == (0, []), outcome
        return name_steps(outcome.requests)

    def _take_looks(self) -> frozenset[str]:
        """The modes of the stand-in that looked at the last request."""
        armed = self.standin.faults._armed
        seen = {mode: sum(one._seen for one in list(faults)) for mode, faults in list(armed.items())}
        looked = frozenset(mode for mode, number in seen.items() if number > self._looks.get(mode, 0))
        self._looks = seen
        return looked

    # -- the ways forward --------------------------------------------------------------------------------------------

    def check_told(self) -> None:
        """What status says, offline, is so."""
        check_status(self.plain)

    def check_ways_forward(self, command: str) -> None:
        """With the fault gone the command completes, and from the same point so does the way back."""
        key = (command, self.rewind.name())
        if key in self._points:
            return
        point = self.rewind.take()
        if command == "migrate":
            if self.plain.status().phase == "refused":
                self.begin_again()
            self.check_ending("migrate", self.migrated)
            self.restore(point)
            self.check_ending("rollback", self.beginning)
        else:
            migrated = self.plain.status().phase == "migrated"
            before = self.plain.truth()
            refused = self.run("migrate")
            assert refused.code == (0 if migrated else 4), f"migrate ends with {refused.code}: {refused.error}"
            assert self.plain.truth() == before, "a migrate that may do nothing changed something"
            self.restore(point)
            self.check_ending("rollback", self.carried_back)
        self._points.add(key)

    def check_ending(self, command: str, end: Truth) -> None:
        """The command completes, and the end is the right one."""
        outcome = self.run(command)
        assert not outcome.violations, "; ".join(outcome.violations)
        assert outcome.error is None, f"{command} ends with {outcome.code}: {outcome.error}"
        self.check_end(end)

    def check_end(self, end: Truth) -> None:
        """Both servers and every file are as they must be, and ``verify`` agrees."""
        found = self.plain.truth()
        differing = [name for name in Truth.__dataclass_fields__ if getattr(found, name) != getattr(end, name)]
        assert not differing, f"the end differs in {', '.join(differing)}"
        failed = self.plain.failed_checks()
        assert not failed, f"verify says no: {failed}"
        doubted = self.plain.status().in_doubt
        assert not doubted, f"in doubt at the end: {doubted}"
