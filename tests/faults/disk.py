"""The local disk below a world: numbers every write that this process makes there, and lets one of them meet a fault.

What refuses is the kernel, wherever it can be brought to: a limit of the size of files takes half of a write and refuses the rest,
as a full disk does; a directory without the right to write refuses root, too, without the capability that passes modes by. Only a
failing sync is injected: no kernel can be asked for one.
"""

import errno
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.capabilities import without_privileges

WRITES = ("write",)
SYNCS = ("fsync", "fdatasync")
ENTRIES = ("create", "mkdir", "rename", "unlink")
_KINDS = (
    (r"/\.gitignore", "settings"),
    (r"/plan\.json", "plan"),
    (r"/journal\.jsonl$", "journal"),
    (r"/blobs/", "blob"),
    (r"\.migrator(/|$)", "directory"),
)
_LOCKS = re.compile(r"\.migrator/(.*/)?(lock|holder)")


class Disk:
    """``listen`` is called with the name of each write just before it; ``meet`` has it, or has a fault instead.

    ``meet(operation, call, where, args)``: ``call`` does it; ``where`` is a path or a descriptor.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root.resolve())
        self.listen: Callable[[str], None] = lambda name: None
        self.heal()

    def heal(self) -> None:
        """Take every fault away."""
        self.meet: Callable[[str, Callable[[], Any], Any, tuple[Any, ...]], Any] = lambda _, call, *rest: call()

    @contextmanager
    def installed(self) -> Iterator[None]:
        with (
            patch.object(os, "write", self._around("write", os.write)),
            patch.object(os, "open", self._around_open(os.open)),
            patch.object(os, "fsync", self._around("fsync", os.fsync)),
            patch.object(os, "fdatasync", self._around("fdatasync", os.fdatasync)),
            patch.object(os, "mkdir", self._around("mkdir", os.mkdir)),
            patch.object(os, "rename", self._around("rename", os.rename)),
            patch.object(os, "unlink", self._around("unlink", os.unlink)),
        ):
            yield

    def _around(self, operation: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(where: Any, *args: Any, **more: Any) -> Any:
            return self._have(operation, where, args, lambda: real(where, *args, **more))

        return call

    def _around_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(where: Any, flags: int, *args: Any, **more: Any) -> int:
            if not flags & os.O_CREAT or Path(where).exists():
                return real(where, flags, *args, **more)
            return int(self._have("create", where, args, lambda: real(where, flags, *args, **more)))

        return call

    def _have(self, operation: str, where: Any, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        path = str(Path(f"/proc/self/fd/{where}").readlink() if isinstance(where, int) else where)
        if not path.startswith(self._root) or _LOCKS.search(path):
            return call()
        self.listen(f"{operation} {_name(path)}")
        return self.meet(operation, call, where, args)


def _name(path: str) -> str:
    return next((kind for pattern, kind in _KINDS if re.search(pattern, path)), "file")


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """No file grows beyond ``size`` bytes. Python ignores the signal that comes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Nobody may make, rename or remove anything in this directory, not even root."""
    mode = directory.stat().st_mode
    directory.chmod(mode & ~0o222)
    try:
        with without_privileges():
            yield
    finally:
        directory.chmod(mode)


# -- what a write meets, by kind of fault: (operation, call, where, args, is it the first that is struck) ---------------------


def meet_no_room(call: Callable[[], Any], where: int, args: tuple[Any, ...], *, first: bool) -> Any:
    """Half of the bytes are taken, then none."""
    room = len(args[0]) // 2 if first else 0
    with limit_file_size(os.fstat(where).st_size + room):
        return call()


def meet_failing_sync(call: Callable[[], Any], where: int, args: tuple[Any, ...], *, first: bool) -> Any:
    """The disk reports that something written before is lost."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def meet_read_only(call: Callable[[], Any], where: Any, args: tuple[Any, ...], *, first: bool) -> Any:
    """The directory may not be changed."""
    with read_only(Path(where).parent):
        return call()
