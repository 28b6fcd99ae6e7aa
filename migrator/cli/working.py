"""What migrate, verify, rollback and finalize share: a plan, its run, credentials, and an open journal."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.markup import escape

from migrator.cli.interrupts import end_on_signals
from migrator.cli.invocation import Invocation, read_clock
from migrator.cli.naming import AnyRun, find_run
from migrator.engine.foreign_journal import check_journal_fits
from migrator.engine.run import Run
from migrator.engine.status import RunStatus, build_status
from migrator.engine.stop import complete_stop, record_stop
from migrator.errors import (
    BackendError,
    BackendUnreachableError,
    ConfigurationError,
    InternalError,
    JournalError,
    MigratorError,
    UnknownOutcomeError,
)
from migrator.inventory.tree import RepositoryTree
from migrator.journal.fold import RunView, fold
from migrator.journal.run_directory import RunDirectory
from migrator.plan.codec import decode_plan, digest_of_plan
from migrator.plan.model import Plan
from migrator.report.run import Progress

if TYPE_CHECKING:
    from migrator.cli.wiring import Secrets
    from migrator.engine.mirror import Mirror

# Commands that stay offline (status) do not pay for the clients of the backends: wiring is imported where it is needed.


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """A run with its plan, ready to be worked on."""

    invocation: Invocation
    run: AnyRun
    plan: Plan
    digest: str
    tree: RepositoryTree

    @property
    def directory(self) -> RunDirectory:
        """The run directory of a run that is here."""
        if isinstance(self.run, RunDirectory):
            return self.run
        raise InternalError(f"run {self.run.run_id} was not fetched")

    def fetch(self, *, command: str, take_over: bool) -> "Working":
        """Return the run with a directory of its own here, fetched where it was only read. Hold ``Home.locked()``.

        A run that another machine works on leaves no copy here, which would be of yesterday soon.

        Raises: ForeignLockError, BackendError, JournalError.
        """
        if isinstance(self.run, RunDirectory):
            return self
        if here := [run for run in self.invocation.home.runs() if run.run_id == self.run.run_id]:
            return replace(self, run=here[0])  # another command fetched it meanwhile
        if not take_over:
            self.run.check_not_held(command=command)
        self.invocation.output.say(f"fetching run {escape(self.run.run_id)} from {escape(self.run.where)}")
        return replace(self, run=self.run.fetch(self.invocation.home))

    def read_newest_view(self) -> RunView:
        """Return what the run's journal says where it went furthest: another machine may have gone on with it.

        Writes nothing. A bucket that does not answer, or may not be asked, is for the command itself to tell.

        Raises: JournalError.
        """
        from migrator.cli.wiring import build_run_store
        from migrator.engine.mirrored_run import check_fits, read_journal

        here = self.run.read_view()
        over = here.outcome in ("rolled-back", "refused", "finalized") and not here.target_left
        if not isinstance(self.run, RunDirectory) or not self.plan.target.run_prefix or not here.run_id or over:
            return here
        try:
            store = build_run_store(self.plan.target, self.read_secrets())
            there = read_journal(store, self.run.run_id)
        except (BackendError, ConfigurationError):
            return here
        if self.run.read_journal().startswith(there):
            return here
        where = store.where(f"runs/{self.run.run_id}")
        self.invocation.output.say(f"another machine went on with this run; its journal is read from {escape(where)}")
        return check_fits(self.run.read_plan_bytes(), there, self.run.run_id, where=where)[1]

    def read_secrets(self) -> "Secrets":
        """Return the credentials that the plan names.

        Raises: ConfigurationError.
        """
        from migrator.cli.wiring import read_secrets

        return read_secrets(self.plan.source, self.plan.target, self.invocation.environment)

    def read_status(self, view: RunView | None = None) -> RunStatus:
        """Return the status, from the journal alone."""
        status = build_status(self.plan, self.digest, view or self.run.read_view())
        return replace(status, next_command=self.name_plan(status.next_command))

    def name_plan(self, command: str) -> str:
        """Return the command with this run's plan in it, where the default plan is another one by now."""
        if not isinstance(self.run, RunDirectory):
            return command
        home = self.invocation.home
        try:
            default = decode_plan(home.default_plan.read_bytes(), where="")
            same = digest_of_plan(default) == self.digest
        except (OSError, MigratorError):
            same = False
        path = self.run.path / "plan.json"
        shown = path.relative_to(self.tree.root) if path.is_relative_to(self.tree.root) else path
        return command if same else re.sub(r"migrator migrate(?= \(|$|;|,)", f"migrator migrate {shown}", command)

    def remove_proof_copies(self) -> None:
        """Remove what the proof works on: copies of files as they were then, and plans, which hold secrets."""
        shutil.rmtree(self.directory.path / "scratch", ignore_errors=True)

    @contextmanager
    def open_run(
        self, *, command: str = "migrator rollback", take_over: bool = False, mirrored: bool = True
    ) -> Iterator[Run]:
        """Hold the run here and, where it is mirrored, against other machines; open its journal and yield it.

        What stops it is recorded before it goes on. ``command`` is what takes it over where another machine holds it. Hold
        ``Home.locked()`` meanwhile.
        """
        from migrator.cli.wiring import build_mirror, build_ports

        secrets = self.read_secrets()
        ports = build_ports(self.plan, self.directory, self.tree, secrets, self.invocation)
        with self.directory.locked():
            mirror = build_mirror(self.plan, self.directory, secrets) if mirrored else None
            if mirror is not None and self.directory.read_view().run_id:
                # It may have gone on elsewhere, or further than a journal knows that was cut short.
                self._catch_up(mirror, command=command, take_over=take_over)
            log = self.directory.open_log(read_clock)
            listen = Progress(self.invocation.output)
            run = Run(log=log, view=fold(log.records), ports=ports, mirror=mirror, listen=listen)
            try:
                with end_on_signals(run), self._attended(run):
                    yield run
            finally:
                log.close()

    def _catch_up(self, mirror: "Mirror", *, command: str, take_over: bool) -> None:
        try:
            _hold(mirror, command=command, take_over=take_over)
            if mirror.synchronise():
                self.invocation.output.say("another machine went on with this run; its journal was brought here")
        except MigratorError as error:
            self._complete(error, self.directory.read_view())
            raise

    def _complete(self, error: MigratorError, view: RunView) -> None:
        complete_stop(error, self.read_status(view))
        error.hint = self.name_plan(error.hint or "")

    @contextmanager
    def _attended(self, run: Run) -> Iterator[None]:
        """Record what stops the run, and mirror how it ends."""
        try:
            yield
        except MigratorError as error:
            self._complete(error, run.view)
            record_stop(run, error)
            raise
        finally:
            run.end_mirror()


def open_existing(invocation: Invocation, name: str | None, *, later: bool) -> Working:
    """Return an existing run: by id, by directory, or the latest; ``later`` as in ``find_run``.

    Raises: as ``find_run``.
    """
    run = find_run(invocation, name, later=later)
    plan = decode_plan(run.read_plan_bytes(), where=f"{run.where}/plan.json")
    digest = digest_of_plan(plan)
    if isinstance(run, RunDirectory):
        _check_records(run, plan, digest)
    return Working(invocation=invocation, run=run, plan=plan, digest=digest, tree=invocation.discover_tree())


def _check_records(run: RunDirectory, plan: Plan, digest: str) -> None:
    """A run directory may have been handed about: by a copy, an archive, a backup."""
    records = run.read_records()
    begun = records[0].body if records else {}
    if begun.get("run", run.run_id) != run.run_id:
        raise JournalError(
            f"this is the directory of run {begun['run']}, and has another name",
            where=run.where,
            now="nothing was touched",
            hint="give the directory the name of its run: other machines know it by that",
        )
    if begun.get("plan", digest) != digest:
        raise JournalError(
            "the plan of this run is not the one its journal began with",
            where=f"{run.where}/plan.json",
            hint="restore the file from a backup of the run directory",
        )
    check_journal_fits(plan, digest, run.run_id, records, where=run.where)


def _hold(mirror: "Mirror", *, command: str, take_over: bool) -> None:
    from migrator.engine.rollback import name_way_without_target

    try:
        mirror.hold(take_over=take_over, command=command)
    except (BackendUnreachableError, UnknownOutcomeError) as error:
        # Behind a proxy that drops connections even a dead target leaves a doubt; a lock that stands there is ours.
        raise name_way_without_target(
            BackendUnreachableError(error.message, where=error.where, now=error.now)
        ) from None
