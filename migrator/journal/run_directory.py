"""The directory of one run: its plan, journal and blobs, and who works on it (interface.md section 4)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from migrator.errors import ConfigurationError, JournalError, JournalWriteError
from migrator.journal.blobs import BlobStore
from migrator.journal.durable import write_durably
from migrator.journal.fold import RunView, fold
from migrator.journal.log import Log, read_log
from migrator.journal.process_lock import hold_lock
from migrator.journal.record import Record


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run below ``.migrator/runs``: its plan, journal and blobs."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's name: its directory's name."""
        return self.path.name

    @property
    def where(self) -> str:
        """Where it is, for people."""
        return str(self.path)

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

        A copy of the directory is another holder, or two machines that each have one would both take the run for theirs: the
        ID ends in the file's inode, which no copy has.

        Raises: JournalWriteError.
        """
        path = self.path / "holder"
        try:
            if not path.exists():
                write_durably(path, new_id().encode() + b"\n")
            return f"{path.read_text('ascii').strip()}-{tell_apart(path)}"
        except OSError as error:
            raise JournalWriteError(f"{path.name} cannot be kept: {error.strerror}", where=str(path)) from None
        except UnicodeDecodeError:
            raise JournalError("the file does not hold what was written", where=str(path)) from None

    def read_records(self) -> Sequence[Record]:
        """Return every record of the journal.

        Raises: JournalError.
        """
        return read_log(self._journal)

    def read_view(self) -> RunView:
        """Return what the journal says.

        Raises: JournalError.
        """
        return fold(self.read_records())

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


def tell_apart(path: Path) -> str:
    """Return what a file has and no copy of it: its inode."""
    return str(path.stat().st_ino)
