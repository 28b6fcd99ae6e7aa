"""``.migrator/``: where plans, runs, journals and blobs of one repository live (interface.md section 4)."""

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from migrator.errors import ConfigurationError, JournalError, JournalWriteError, RefusedError, UsageError
from migrator.journal.blobs import BlobStore
from migrator.journal.durable import PRIVATE_FILE, make_private_directory, sync_directory, write_durably
from migrator.journal.fold import RunView, fold
from migrator.journal.log import Log, read_log

HOME = ".migrator"
_INCOMING = ".incoming"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run below ``.migrator/runs``: its plan, journal and blobs."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's name: its directory's name."""
        return self.path.name

    @property
    def blobs(self) -> BlobStore:
        """The documents that the run captured."""
        return BlobStore(self.path / "blobs")

    def read_plan_bytes(self) -> bytes:
        """Return the plan that the run executes.

        Raises: ConfigurationError.
        """
        try:
            return (self.path / "plan.json").read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"the run has no plan: {error.strerror}",
                where=str(self.path / "plan.json"),
                hint="name another run; migrator status shows the latest",
            ) from None

    @property
    def _journal(self) -> Path:
        return self.path / "journal.jsonl"

    def read_journal(self, start: int = 0) -> bytes:
        """Return the bytes of the journal from offset ``start`` on; an absent one is empty.

        Raises: JournalError.
        """
        try:
            with self._journal.open("rb") as stream:
                stream.seek(start)
                return stream.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise JournalError(f"the journal cannot be read: {error.strerror}", where=str(self._journal)) from None

    def write_journal(self, data: bytes) -> None:
        """Put a journal that another machine wrote in place, durably. No log may be open.

        Raises: JournalWriteError.
        """
        try:
            write_durably(self._journal, data)
        except OSError as error:
            raise JournalWriteError(f"the journal cannot be written: {error.strerror}", where=str(self.path)) from None

    def set_journal_aside(self) -> None:
        """Keep the journal under another name: another machine went on from an earlier record of it.

        Raises: JournalWriteError.
        """
        taken = len(list(self.path.glob("journal.superseded-*.jsonl")))
        try:
            write_durably(self.path / f"journal.superseded-{taken + 1}.jsonl", self.read_journal())
        except OSError as error:
            raise JournalWriteError(f"the journal cannot be kept: {error.strerror}", where=str(self.path)) from None

    def read_holder(self, new_id: Callable[[], str]) -> str:
        """Return the ID under which this run directory holds the run against other machines; made once, durably.

        Raises: JournalWriteError.
        """
        path = self.path / "holder"
        try:
            if not path.exists():
                write_durably(path, new_id().encode() + b"\n")
            return path.read_text("ascii").strip()
        except OSError as error:
            raise JournalWriteError(f"{path.name} cannot be kept: {error.strerror}", where=str(path)) from None
        except UnicodeDecodeError:
            raise JournalError("the file does not hold what was written", where=str(path)) from None

    def read_view(self) -> RunView:
        """Return what the journal says.

        Raises: JournalError.
        """
        return fold(read_log(self._journal))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this run; a run directory may be worked on from a repository that is not the one it began in.

        Raises: RefusedError when another process holds it, ConfigurationError when the lock file cannot be opened.
        """
        with hold_lock(self.path / "lock", "this run"):
            yield

    def open_log(self, clock: Callable[[], str]) -> Log:
        """Open the journal for writing; hold ``locked()`` meanwhile."""
        return Log(self._journal, clock)

    def make_scratch(self) -> Path:
        """Return a private directory for temporary files that may hold secrets, below the run."""
        scratch = self.path / "scratch"
        make_private_directory(scratch)
        return scratch


class Home:
    """The ``.migrator`` directory of a repository. Nothing is created before the first write."""

    def __init__(self, repository: Path) -> None:
        self.path = repository / HOME

    @property
    def default_plan(self) -> Path:
        """Where ``plan`` writes and ``migrate`` reads unless told otherwise."""
        return self.path / "plan.json"

    def prepare(self) -> None:
        """Create the directory with its own ``.gitignore``.

        Raises: ConfigurationError when it cannot be created, or is a link that leads elsewhere.
        """
        try:
            _check_no_links(self.path, self.path / "runs")
            make_private_directory(self.path)
            ignore = self.path / ".gitignore"
            if not ignore.exists():
                write_durably(ignore, b"*\n")
        except OSError as error:
            raise ConfigurationError(
                f"{HOME} cannot be written: {error.strerror}",
                where=str(self.path),
                now="nothing was touched",
                hint="make room, or make the work tree writable; then run the command again",
            ) from None

    def runs(self) -> list[RunDirectory]:
        """Return every run, oldest first.

        Raises: ConfigurationError when a link stands where none belongs.
        """
        runs = self.path / "runs"
        _check_no_links(self.path, runs)
        paths = sorted(runs.iterdir()) if runs.is_dir() else []
        _check_no_links(*paths)
        return [_open_run(path) for path in paths if _is_run(path)]

    def find_run(self, name: str | None) -> RunDirectory:
        """Return the run with this id or directory; the latest without a name.

        Raises: UsageError when there is none, ConfigurationError when a link stands where none belongs.
        """
        runs = self.runs()
        if name is None:
            if not runs:
                raise UsageError("there is no run yet", where=str(self.path / "runs"), hint="migrator migrate")
            return runs[-1]
        directory = Path(name)
        if (directory / "journal.jsonl").is_file():
            return _open_run(directory.resolve())
        matches = [run for run in runs if run.run_id == name] or [run for run in runs if run.run_id.startswith(name)]
        if len(matches) != 1:
            known = ", ".join(run.run_id for run in runs[-5:]) or "none"
            raise UsageError(
                f"no single run is called {name}", where=str(self.path / "runs"), hint=f"name one of: {known}"
            )
        return matches[0]

    def create_run(self, run_id: str, plan: bytes) -> RunDirectory:
        """Create a run with its own copy of the plan, durably."""
        self.prepare()
        run = RunDirectory(self.path / "runs" / run_id)
        with _making(run.path):
            make_private_directory(run.path)
            write_durably(run.path / "plan.json", plan)
        return run

    @contextmanager
    def receive_run(self, run_id: str, plan: bytes) -> Iterator[RunDirectory]:
        """Yield a directory to be filled with a run from elsewhere; it becomes a run, in one move, when the block ends.

        Until then no command takes it for one: with half of its journal it would say what is not true. Hold ``locked()``.
        """
        run = RunDirectory(self.path / "runs" / run_id)
        incoming = run.path.with_name(f".{run_id}{_INCOMING}")
        with _making(run.path):
            for left in incoming.parent.glob(f".*{_INCOMING}"):
                shutil.rmtree(left)
        filled = self.create_run(incoming.name, plan)
        yield filled
        with _making(run.path):
            filled.path.rename(run.path)
            sync_directory(run.path.parent)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the repository against other processes of this program; the kernel gives it back if we die.

        Raises: RefusedError when another process holds it, ConfigurationError when the lock file cannot be opened.
        """
        self.prepare()
        with hold_lock(self.path / "lock", "this repository"):
            yield


@contextmanager
def _making(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"the run cannot be created: {error.strerror}",
            where=str(path),
            now="nothing was touched",
            hint="make room on the disk, then run the command again",
        ) from None


def _is_run(path: Path) -> bool:
    """A directory without plan and journal never was a run: making it was cut short, before anything else was done."""
    if path.name.endswith(_INCOMING):
        return False
    return path.is_dir() and any((path / name).exists() for name in ("plan.json", "journal.jsonl"))


def _open_run(path: Path) -> RunDirectory:
    _check_no_links(*path.iterdir())
    return RunDirectory(path)


def _check_no_links(*paths: Path) -> None:
    """What is written below ``.migrator`` stays there: no link of a hostile archive leads it elsewhere."""
    for path in paths:
        if path.is_symlink():
            raise ConfigurationError(
                f"{path.name} is a symbolic link; refusing to follow it",
                where=str(path),
                now="nothing was touched",
                hint="remove the link",
            )


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock on the file at ``path``, which names our process meanwhile.

    Raises: RefusedError when another process holds it, ConfigurationError when the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE)
    except OSError as error:
        raise ConfigurationError(
            f"the lock file cannot be opened: {error.strerror}",
            where=str(path),
            now="nothing was touched",
            hint="make it writable, then run the command again",
        ) from None
    try:
        _check_alone(descriptor, path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise RefusedError(
                f"another migrator works on {what} (process {holder or 'unknown'})",
                where=str(path),
                now="this command did nothing",
                hint="wait for it to end, then: migrator status",
            ) from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # a full disk: the lock holds all the same, only its holder cannot be named
        yield
    finally:
        os.close(descriptor)


def _check_alone(descriptor: int, path: Path) -> None:
    """The lock file is emptied: it must not be a second name of a file elsewhere."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise ConfigurationError(
            "the lock file is another file's second name, or no file",
            where=str(path),
            now="nothing was touched",
            hint="remove it",
        )
