"""``.migrator/``: where plans and runs of one repository live (interface.md section 4)."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from migrator.errors import ConfigurationError, NoRunError, UsageError
from migrator.journal.durable import make_private_directory, sync_directory, write_durably
from migrator.journal.process_lock import hold_lock
from migrator.journal.run_directory import RunDirectory

HOME = ".migrator"
_INCOMING = ".incoming"
_SHOWN = 5
_LONGEST = 128  # characters of a name that is shown


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

        Raises: NoRunError when there is none, UsageError when there are several, ConfigurationError when a link stands where
        none belongs.
        """
        runs = self.runs()
        if name is None:
            if not runs:
                begin = "migrator migrate" if self.default_plan.exists() else "migrator plan"
                raise NoRunError("there is no run yet", where=str(self.path / "runs"), hint=begin)
            return runs[-1]
        if directory := _find_directory(name):
            return _open_run(directory)
        found = match_run([run.run_id for run in runs], name, where=str(self.path / "runs"))
        return RunDirectory(self.path / "runs" / found)

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


def match_run(known: Sequence[str], name: str, *, where: str) -> str:
    """Return the one of the ``known`` ids, oldest first, that is ``name`` or begins with it.

    Raises: NoRunError when none does, UsageError when several do.
    """
    matches = [name] if name in known else [run_id for run_id in known if name and run_id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    latest = ", ".join((matches or known)[-_SHOWN:])
    if matches:
        raise UsageError(f"{len(matches)} runs begin with {name}", where=where, hint=f"name one of: {latest}")
    hint = f"name one of: {latest}" if latest else "there is no run yet: migrator plan"
    raise NoRunError(f"no run is called {name[:_LONGEST]!r}", where=where, hint=hint)


def _find_directory(name: str) -> Path | None:
    """Return the run directory that ``name`` is the path of; a name that can be none is no run's."""
    try:
        directory = Path(name) if name else None
        return directory.resolve() if directory and (directory / "journal.jsonl").is_file() else None
    except (OSError, ValueError):
        return None


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
