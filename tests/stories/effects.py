"""What can happen to a command from outside: at one of its effects it is killed, fails, or somebody else acts.

An *effect* is a call of a backend (a reading too: the world may change before it), a write of the journal, of a blob or of a
file, or a proof. They are numbered from 1 in the order in which the command has them. The engine's parallel jobs run one at
a time (``Turns``) and change places where the story says, so that a story always runs the same way.
"""

import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, Self

from migrator.engine.ports import Ports
from migrator.engine.run import Run
from migrator.errors import (
    BackendUnreachableError,
    CheckFailedError,
    CredentialsRefusedError,
    UnknownOutcomeError,
)

SERVERS = {"source": "source", "target": "target", "mirror": "target"}  # the mirror stands in the target's bucket
LOCKS = ("acquire_lock", "release_lock")
WRITES = (*LOCKS, "write_state", "protect_state", "unprotect_state", "create_state", "remove_state", "create", "remove")
METHODS = {
    "source": ("list_states", "read_state", "read_version", "read_lock", "read_protection", *WRITES),
    "target": ("read_state", "read_lock", "check_lock", *LOCKS, "create_state", "remove_state"),
    "mirror": ("list_names", "read", "create", "remove"),
    "work_tree": ("replace", "remove"),
    "blobs": ("write",),
    "prover": ("prove",),
}


class Killed(BaseException):
    """The process ended here. No error of ours: nothing handles it, as nothing handles SIGKILL."""


class Trouble(StrEnum):
    """What befalls an effect. Where it makes no sense (a reply of the disk is lost), something that does happens."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    TORN = "killed while writing"
    LOST = "request lost"
    REPLY_LOST = "reply lost"
    OUTAGE = "no answer from here on"
    DENIED = "credentials refused from here on"
    REVOKED = "reply lost, and credentials refused from there on"
    FULL = "disk full"
    INTERRUPTED = "interrupted"
    DISAGREES = "proof fails"

    def __repr__(self) -> str:
        return f"Trouble.{self.name}"


class Act(Protocol):
    """Something that somebody else does."""

    def do(self, world: Any) -> str | None:
        """Do it and say what was done; None where nothing was to be done."""


@dataclass(frozen=True)
class At:
    """``what`` happens at the command's effect number ``effect``."""

    effect: int
    what: Trouble | Act


class Effects:
    """Stands around everything of a run that has effects. ``world`` is told of acts and looks at the truth after each effect."""

    def __init__(self, world: Any, happenings: Sequence[At], turns: "Turns") -> None:
        self._world, self._turns = world, turns
        self._due = {one.effect: one.what for one in happenings}
        self._silent: dict[str, type[Exception]] = {}
        self._run: Run | None = None
        self.count = 0
        self.now = ""
        self.killed = False
        self.seen: list[str] = []

    def wrap(self, place: str, inner: Any) -> Any:
        """Stand around one part of a run."""
        return _Around(inner, METHODS[place], place, self)

    def wrap_ports(self, ports: Ports) -> Ports:
        return replace(ports, **{name: self.wrap(name, getattr(ports, name)) for name in METHODS if name != "mirror"})

    def install(self, run: Run) -> None:
        run.ports = self.wrap_ports(run.ports)
        run.log = _Around(run.log, ("append_all",), "journal", self)
        self._run = run

    def around(self, place: str, what: str, call: Callable[[], Any]) -> Any:
        self._check_alive()
        self._turns.pause()
        self._check_alive()
        self.count += 1
        self.now = name = f"{place}.{what}"
        trouble = self._happen(place, name)
        server = SERVERS.get(place)
        try:
            if server in self._silent and not trouble:
                raise self._silent[server]("the story says so", where=name)
            if server == "target" and self._world.dead and trouble is not Trouble.KILLED_BEFORE:
                raise BackendUnreachableError("the target is dead", where=name)
            return self._have(place, what, call, trouble)
        finally:
            self._world.watch(name)
            self.now = ""

    def _happen(self, place: str, name: str) -> Trouble | None:
        """Let happen what is due before this effect, and return the trouble that is to befall it."""
        happening = self._due.pop(self.count, None)
        if happening is None:
            return None
        trouble = _fit(happening, place) if isinstance(happening, Trouble) else None
        done = trouble if isinstance(happening, Trouble) else self._world.let(happening)
        if done:
            self.seen.append(f"{done} at effect {self.count}, {name}")
        return trouble

    def _have(self, place: str, what: str, call: Callable[[], Any], trouble: Trouble | None) -> Any:
        match trouble:
            case None:
                return call()
            case Trouble.INTERRUPTED:
                if self._run:
                    self._run.interrupt.set()
                return call()
            case Trouble.KILLED_BEFORE:
                self._die()
            case Trouble.KILLED_AFTER:
                call()
                self._die()
            case Trouble.TORN:
                self._world.tear(call)
                self._die()
            case Trouble.DISAGREES:
                raise CheckFailedError("OpenTofu plans differently", where=what)
            case Trouble.FULL:
                with disk_is_full(self._world.journal_size() + 7 if place == "journal" else 3):
                    return call()
        return self._fail(place, what, call, trouble)

    def _fail(self, place: str, what: str, call: Callable[[], Any], trouble: Trouble) -> Any:
        server = SERVERS[place]
        if trouble is Trouble.OUTAGE:
            self._silent[server] = BackendUnreachableError
        elif trouble in {Trouble.DENIED, Trouble.REVOKED}:
            self._silent[server] = CredentialsRefusedError
        if trouble in {Trouble.REPLY_LOST, Trouble.REVOKED}:
            call()
        elif server in self._silent:
            raise self._silent[server]("the story says so", where=what)
        kind = UnknownOutcomeError if what.split(maxsplit=1)[0] in WRITES else BackendUnreachableError
        raise kind("the connection broke", where=what)

    def _check_alive(self) -> None:
        if self.killed:
            raise Killed

    def _die(self) -> None:
        self.killed = True
        raise Killed


class _Around:
    def __init__(self, inner: Any, methods: tuple[str, ...], place: str, effects: Effects) -> None:
        self._inner, self._methods, self._place, self._effects = inner, methods, place, effects

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in self._methods:
            return value

        def call(*arguments: Any, **more: Any) -> Any:
            what = f"{name} {_describe(arguments)}".rstrip()
            return self._effects.around(self._place, what, lambda: value(*arguments, **more))

        return call


def _fit(trouble: Trouble, place: str) -> Trouble | None:
    """The trouble that can befall an effect at this place, None for none."""
    if trouble in {Trouble.KILLED_BEFORE, Trouble.KILLED_AFTER, Trouble.INTERRUPTED}:
        return trouble
    if place == "prover":
        return Trouble.DISAGREES
    if trouble is Trouble.DISAGREES:
        return None
    if place in SERVERS:
        return {Trouble.FULL: Trouble.LOST, Trouble.TORN: Trouble.KILLED_AFTER}.get(trouble, trouble)
    return Trouble.TORN if trouble is Trouble.TORN and place == "journal" else Trouble.FULL


def _describe(arguments: Sequence[Any]) -> str:
    first = arguments[0] if arguments else ""
    if isinstance(first, Sequence) and not isinstance(first, str | bytes):
        return "; ".join(" ".join(filter(None, (fact.kind, fact.step, fact.unit))) for fact in first)
    return getattr(first, "name", first if isinstance(first, str) else "")


@contextmanager
def disk_is_full(limit: int) -> Iterator[None]:
    """No file of this process can grow beyond ``limit`` bytes: the kernel writes what fits and refuses the rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Turns:
    """Lets the jobs of the engine's pools run one at a time; they change places at the pauses in ``switches``, from 1 on."""

    def __init__(self, switches: Sequence[int]) -> None:
        self._switches = frozenset(switches)
        self._pauses = 0
        self._controller = threading.Semaphore(0)
        self._go: list[threading.Semaphore] = []
        self._left: list[int] = []
        self._current = -1

    def open_pool(self, max_workers: int) -> "Pool":
        """Stand in for ``ThreadPoolExecutor``."""
        return Pool(self)

    def run(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run every job to its end; none may raise. Where no switch is left, one follows the other."""
        if len(jobs) < 2 or max(self._switches, default=0) <= self._pauses:
            for job in jobs:
                job()
            return
        self._go = [threading.Semaphore(0) for _ in jobs]
        self._left = list(range(len(jobs)))

        def body(number: int) -> None:
            self._go[number].acquire()
            jobs[number]()
            self._left.remove(number)
            self._controller.release()

        threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in self._left]
        for thread in threads:
            thread.start()
        self._current = 0
        while self._left:
            if self._current not in self._left:
                self._current = self._left[0]
            self._go[self._current].release()
            self._controller.acquire()
        for thread in threads:
            thread.join()
        self._current = -1

    def pause(self) -> None:
        """Let another job go on, if the story says so here."""
        if self._current < 0:
            return
        self._pauses += 1
        if self._pauses in self._switches and len(self._left) > 1:
            me = self._current
            self._current = self._left[(self._left.index(me) + 1) % len(self._left)]
            self._controller.release()
            self._go[me].acquire()


class Pool:
    """A pool whose jobs take turns; they begin when it is left."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._jobs: list[Callable[[], None]] = []

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def job() -> None:
            try:
                future.set_result(work(*arguments))
            except BaseException as error:  # noqa: BLE001 - handed on to whoever asks, Killed too
                future.set_exception(error)

        self._jobs.append(job)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._turns.run(self._jobs)
