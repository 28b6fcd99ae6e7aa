"""Numbers every effect of a run and ends the process at one of them, and watches the invariant after each.

An effect is a request that changes something, a change of the work tree, a blob, or a record of the journal. ``Killed`` is
no error of ours: nothing in the engine handles it, as nothing handles SIGKILL.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from migrator.engine.run import Run
from tests.support.world import Truth, World

EFFECTS = {
    "source": ("acquire_lock", "release_lock", "write_state", "protect_state", "unprotect_state"),
    "target": ("acquire_lock", "release_lock", "create_state", "remove_state"),
    "work_tree": ("replace", "remove"),
    "blobs": ("write",),
}


class Killed(BaseException):
    """The process ended here."""


class ViolationError(AssertionError):
    """The invariant does not hold."""


@dataclass
class Effects:
    """Counts effects; ``kill_at`` (from 1) ends the run ``before`` or ``after`` that one. ``names`` tell which they were."""

    world: World
    kill_at: int = 0
    moment: str = "before"
    names: list[str] = field(default_factory=list)
    killed: bool = False

    def install(self, run: Run) -> None:
        """Put the counter around everything of the run that has effects."""
        ports = {name: _Around(getattr(run.ports, name), methods, name, self) for name, methods in EFFECTS.items()}
        run.ports = replace(run.ports, **ports)
        run.log = _Around(run.log, ("append_all",), "journal", self)

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        """Count one effect and have it, unless the run ends before it."""
        if self.killed:
            raise Killed
        self.names.append(name)
        here = len(self.names) == self.kill_at
        if here and self.moment == "before":
            self.killed = True
            raise Killed
        try:
            return call()
        finally:
            check_invariant(self.world)
            if here:
                self.killed = True
                raise Killed


class _Around:
    def __init__(self, inner: Any, methods: tuple[str, ...], name: str, effects: Effects) -> None:
        self._inner, self._methods, self._name, self._effects = inner, methods, name, effects

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in self._methods:
            return value
        return lambda *args, **more: self._effects.around(f"{self._name}.{name}", lambda: value(*args, **more))


def check_invariant(world: World) -> None:
    """At most one backend is unlocked and authoritative, and the newest document is never lost.

    Looks at the truth of both servers. Raises: ViolationError.
    """
    for state in world.plan.states:
        row = world.standin.truth_of(84, state.name)
        head = world.target.read_state(state.key)
        target_is_open = bool(head.data) and world.target.read_lock(state.key, "") is None
        if row.lock is None and not row.protected and target_is_open and not state.adopted:
            raise ViolationError(f"{state.name}: both sides can be written")
        if state.sha256 is not None and not row.versions:
            raise ViolationError(f"{state.name}: the source lost its versions")


def check_status(world: World) -> None:
    """Whatever the status says without doubt is so, offline."""
    status = world.status()
    truth = world.truth()
    doubted = {one.split(" ", 1)[1] for one in status.in_doubt}
    for one in status.states:
        for said, locked in (
            (one.source_lock, truth.locked[one.name]),
            (one.target_lock, one.name in truth.target_locks and not is_rival(world, one.key)),
        ):
            assert said == "in doubt" or (said == "held") == locked, (one, truth)
        here = world.standin.truth_of(84, one.name).content
        there = truth.objects.get(one.name)
        if there is not None and there != here and one.name not in doubted:
            assert one.authority == "target", one
    named = {file.path for file in world.plan.files if digest_at(truth, file.path) == file.post_sha256}
    certain = {file.path for file in world.plan.files} - doubted
    assert len(named & certain) <= status.files_cut_over <= len(named), (named, status)
    assert status.next_command


def is_rival(world: World, key: str) -> bool:
    holder = world.target.read_lock(key, "")
    return holder is not None and holder.who == "rival@there"


def digest_at(truth: Truth, path: str) -> str | None:
    found = truth.files.get(path)
    return sha256(found[0]).hexdigest() if found else None
