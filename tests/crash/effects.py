"""The effect layer: numbers every external effect of a run in this process, and ends the run at one of them.

An effect is a request of any protocol (requests and botocore both go through urllib3's ``urlopen``), or a call that changes
the disk below the world's directory or makes it durable. A killed run raises ``Killed``, which is no ``Exception``: nothing
handles it, as nothing handles SIGKILL, and from then on no effect takes place any more, whatever cleanup tries.

    effects = Effects(world, kill=Kill(effect=7, moment=Moment.UNSEEN))
    with effects.installed(), pytest.raises(Killed):
        ...
    effects.names[-1]        # the effect at which it ended

The watcher looks after every effect, under one lock: other threads of the run are never half-way through an effect then.
Deliberately not here: what a killed run leaves behind for others (``matrix``), real processes (``test_real_kills``).
"""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import NewConnectionError

from tests.crash.lab import PROJECT, CrashLab
from tests.crash.transport import read_body
from tests.support.watcher import ViolationError

_PATHS = ("rename", "replace", "unlink", "rmdir", "mkdir", "chown", "chmod", "link", "symlink")
_DESCRIPTORS = ("ftruncate", "fsync", "fdatasync", "fchmod", "pwrite")
_CREATING = os.O_CREAT | os.O_TRUNC
_RUN = re.compile(r"runs/[0-9A-Z]+T[0-9A-Z]+-[0-9a-f]{8}")
_TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.migrator-tmp$")


class Killed(BaseException):
    """The process ended here."""


class Moment(StrEnum):
    """When a process dies, as seen from one effect."""

    BEFORE = "before"  # the effect does not take place
    TORN = "torn"  # half of the bytes of a write are there
    UNSEEN = "unseen"  # it takes place, its reply is never seen
    SEEN = "seen"  # its reply is seen, and nothing else happens: the next effect, whatever it is, does not take place


@dataclass(frozen=True, slots=True)
class Kill:
    """The end of a process at the effect with this number, from 1."""

    effect: int
    moment: Moment


class Effects:
    """Counts the effects of everything that runs while it is installed; ``kill`` ends it at one of them."""

    def __init__(self, lab: CrashLab, *, kill: Kill | None = None, end: Callable[[], None] | None = None) -> None:
        """``end`` is what a kill does; by default it raises ``Killed``."""
        self.names: list[str] = []
        self.writes: set[int] = set()
        self.dead = False
        self.violation: ViolationError | None = None
        self.lab = lab
        self._watcher = lab.watcher()
        self._kill = kill
        self._end = end or _raise_killed
        self._guard = threading.Lock()
        self._inside = threading.local()
        self._root = str(lab.repo.resolve())
        self.addresses: dict[str, str] = {"source": lab.url, "target": lab.server.endpoint}
        self._hosts = {urlsplit(url).netloc: side for side, url in self.addresses.items()}

    @contextmanager
    def installed(self) -> Iterator["Effects"]:
        """Put the layer between this process and the world.

        Raises: ViolationError at the end, if the watcher saw one, whatever became of it on the way.
        """
        with ExitStack() as stack:
            stack.enter_context(patch.object(HTTPConnectionPool, "urlopen", self._around_urlopen()))
            for name in _PATHS:
                stack.enter_context(patch.object(os, name, self._around_path(name, getattr(os, name))))
            for name in _DESCRIPTORS:
                stack.enter_context(patch.object(os, name, self._around_descriptor(name, getattr(os, name))))
            stack.enter_context(patch.object(os, "write", self._around_write(os.write)))
            stack.enter_context(patch.object(os, "open", self._around_open(os.open)))
            try:
                yield self
            finally:
                if self.dead:
                    self._close_files()
                if self.violation:
                    raise self.violation

    @property
    def is_inside(self) -> bool:
        """Whether this thread is having an effect now."""
        return getattr(self._inside, "effect", False)

    def have(self, name: str, call: Callable[[], Any], *, tear: Callable[[], Any] | None = None) -> Any:
        """Have one effect, unless the process ends before it. ``tear`` has half of it."""
        with self._guard:
            if self.dead:
                raise Killed
            self.names.append(name)
            number = len(self.names)
            if tear:
                self.writes.add(number)
            if self._is_at(number, Moment.BEFORE) or self._is_at(number - 1, Moment.SEEN):
                self._die()
            self._inside.effect = True
            try:
                if self._is_at(number, Moment.TORN) and tear:
                    tear()
                    self._die()
                reply = call()
                self._watch(name)
                if self._is_at(number, Moment.UNSEEN):
                    self._die()
            finally:
                self._inside.effect = False
            return reply

    def end_of_command(self) -> None:
        """The command returned: a process that was to die after the last effect's reply dies here."""
        if not self.dead and self._is_at(len(self.names), Moment.SEEN):
            self._die()

    def _is_at(self, number: int, moment: Moment) -> bool:
        return self._kill == Kill(number, moment)

    def _die(self) -> None:
        self.dead = True
        self._end()

    def _watch(self, name: str) -> None:
        try:
            self._watcher.check(f"after effect {len(self.names)} ({name})")
        except ViolationError as violation:
            # Raised as it is, a client might take it for a failed request.
            self.violation = violation
            self.dead = True
            raise Killed from None

    def _close_files(self) -> None:
        """Close what the dead process had open, as the kernel does; its locks are gone with it."""
        for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
            if self._name_descriptor(descriptor):
                os.close(descriptor)

    def _around_urlopen(self) -> Callable[..., Any]:
        layer, real = self, HTTPConnectionPool.urlopen

        def urlopen(pool: HTTPConnectionPool, method: str, url: str, *args: Any, **more: Any) -> Any:
            side = layer._hosts.get(f"{pool.host}:{pool.port}")
            if side is None:
                return real(pool, method, url, *args, **more)
            if side == "target" and layer.lab.target_is_dead:
                raise NewConnectionError(pool, "nobody listens there")
            body, headers = (*args, *(more.get(name) for name in ("body", "headers")[len(args) :]))[:2]
            send = layer.lab.sends[side]
            return layer.have(
                f"{method} {side} {layer._shorten(url)}", lambda: send(method, url, headers or {}, read_body(body))
            )

        return urlopen

    def _shorten(self, url: str) -> str:
        path = urlsplit(url).path
        path = path.removeprefix(f"/{self.lab.bucket}/").removeprefix(f"/{self.lab.bucket}")
        return _RUN.sub("runs/RUN", path.removeprefix(f"/api/v4/projects/{PROJECT}/terraform/"))

    def _around_path(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **more: Any) -> Any:
            shown = self._name(path, more.get("dir_fd"))
            if shown is None or self.is_inside:
                return real(path, *args, **more)
            return self.have(f"{name} {shown}", lambda: real(path, *args, **more))

        return call

    def _around_descriptor(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: Any, *args: Any, **more: Any) -> Any:
            shown = self._name_descriptor(descriptor)
            if shown is None or self.is_inside:
                return real(descriptor, *args, **more)
            return self.have(f"{name} {shown}", lambda: real(descriptor, *args, **more))

        return call

    def _around_write(self, real: Callable[..., int]) -> Callable[..., int]:
        def write(descriptor: int, data: Any) -> int:
            shown = self._name_descriptor(descriptor)
            if shown is None or self.is_inside:
                return real(descriptor, data)
            half = bytes(data)[: len(data) // 2]
            return self.have(f"write {shown}", lambda: real(descriptor, data), tear=lambda: real(descriptor, half))

        return write

    def _around_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def open_file(path: Any, flags: int, *args: Any, **more: Any) -> int:
            shown = self._name(path)
            changes = bool(flags & _CREATING) and not (os.path.exists(path) and not flags & os.O_TRUNC)  # noqa: PTH110
            if shown is None or not changes or self.is_inside:
                return real(path, flags, *args, **more)
            return self.have(f"create {shown}", lambda: real(path, flags, *args, **more))

        return open_file

    def _name_descriptor(self, descriptor: Any) -> str | None:
        try:
            return self._name(os.readlink(f"/proc/self/fd/{int(descriptor)}"))  # noqa: PTH115
        except (OSError, TypeError, ValueError):
            return None

    def _name(self, path: Any, directory: int | None = None) -> str | None:
        """A path below the repository, without what differs from run to run; None for any other."""
        if not isinstance(path, str | Path):
            return None
        base = os.getcwd() if directory is None else os.readlink(f"/proc/self/fd/{directory}")  # noqa: PTH109, PTH115
        text = os.path.normpath(os.path.join(base, path))  # noqa: PTH118
        if text != self._root and not text.startswith(self._root + os.sep):
            return None
        return _RUN.sub("runs/RUN", _TEMPORARY.sub("~", os.path.relpath(text, self._root)))


def _raise_killed() -> None:
    raise Killed
