"""What migrate, verify, rollback and finalize share: a plan, its run, credentials, and an open journal."""

import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from migrator.cli.invocation import Invocation, read_clock
from migrator.engine.run import Run
from migrator.engine.status import RunStatus, build_status
from migrator.engine.verify import Check, Evidence, verify
from migrator.errors import (
    InterruptedRunError,
    JournalError,
    MigratorError,
    StoppedError,
    UsageError,
)
from migrator.inventory.tree import RepositoryTree
from migrator.journal.fold import RunView, fold
from migrator.journal.record import RecordKind
from migrator.journal.run_directory import RunDirectory
from migrator.plan.codec import decode_plan, digest_of_plan
from migrator.plan.model import Plan
from migrator.report.run import Progress
from migrator.report.tables import build_count

if TYPE_CHECKING:
    from migrator.cli.wiring import Secrets

# Commands that stay offline (status) do not pay for the clients of the backends: wiring is imported where it is needed.


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """A run with its plan, ready to be worked on."""

    invocation: Invocation
    directory: RunDirectory
    plan: Plan
    digest: str
    tree: RepositoryTree

    def read_secrets(self) -> "Secrets":
        """Return the credentials that the plan names.

        Raises: ConfigurationError.
        """
        from migrator.cli.wiring import read_secrets

        return read_secrets(self.plan.source, self.plan.target, self.invocation.environment)

    def read_status(self, view: RunView | None = None) -> RunStatus:
        """Return the status, from the journal alone."""
        status = build_status(self.plan, self.digest, view or self.directory.read_view())
        return replace(status, next_command=self.name_plan(status.next_command))

    def name_plan(self, command: str) -> str:
        """Return the command with this run's plan in it, where the default plan is another one by now."""
        home = self.invocation.home
        try:
            default = decode_plan(home.default_plan.read_bytes(), where="")
            same = digest_of_plan(default) == self.digest
        except (OSError, MigratorError):
            same = False
        path = self.directory.path / "plan.json"
        shown = path.relative_to(self.tree.root) if path.is_relative_to(self.tree.root) else path
        return command if same else re.sub(r"migrator migrate(?= \(|$|;|,)", f"migrator migrate {shown}", command)

    def remove_proof_copies(self) -> None:
        """Remove what the proof works on: copies of files as they were then, and plans, which hold secrets."""
        shutil.rmtree(self.directory.path / "scratch", ignore_errors=True)

    @contextmanager
    def open_run(self) -> Iterator[Run]:
        """Hold the run, open its journal and yield it. What stops it is recorded before it goes on.

        Hold ``Home.locked()`` meanwhile.
        """
        from migrator.cli.wiring import build_ports

        ports = build_ports(self.plan, self.directory, self.tree, self.read_secrets(), self.invocation)
        with self.directory.locked():
            log = self.directory.open_log(read_clock)
            run = Run(log=log, view=fold(log.records), ports=ports, listen=Progress(self.invocation.output))
            try:
                with _interrupts(run):
                    yield run
            except MigratorError as error:
                _complete_stop(error, self, self.read_status(run.view))
                _record_stop(run, error)
                raise
            finally:
                log.close()

    def verify(self, view: RunView, secrets: "Secrets") -> list[Check]:
        """Return every check, the question to the inventory included."""
        from migrator.cli.wiring import build_ports

        ports = build_ports(self.plan, self.directory, self.tree, secrets, self.invocation)
        evidence = Evidence(
            source=ports.source, target=ports.target, work_tree=ports.work_tree, blobs=ports.blobs, run=view
        )
        return [*verify(self.plan, evidence), *self._check_inventory(view)]

    def _check_inventory(self, view: RunView) -> list[Check]:
        if view.outcome != "migrated":
            return []
        # Imported late: of the commands that share this module, only verify and finalize look into files.
        from migrator.inventory.discover import discover_inventory

        stacks = {state.stack for state in self.plan.states}
        left = [
            reference
            for reference in discover_inventory(self.tree).references
            if reference.leads_to_source and (not reference.stacks or stacks & set(reference.stacks))
        ]
        found = f"{len(left)} left, first {left[0].place}" if left else "none left"
        return [Check(name="references-to-source", subject="repository", ok=not left, found=found)]


def open_existing(invocation: Invocation, name: str | None) -> Working:
    """Return an existing run: by id, by directory, or the latest.

    Raises: UsageError, ConfigurationError, JournalError.
    """
    directory = invocation.home.find_run(name)
    where = str(directory.path / "plan.json")
    plan = decode_plan(directory.read_plan_bytes(), where=where)
    digest = digest_of_plan(plan)
    view = directory.read_view()
    if view.plan_digest and view.plan_digest != digest:
        raise JournalError(
            "the plan of this run is not the one its journal began with",
            where=where,
            hint="restore the file from a backup of the run directory",
        )
    return Working(
        invocation=invocation, directory=directory, plan=plan, digest=digest, tree=invocation.discover_tree()
    )


def _complete_stop(error: MigratorError, working: Working, status: RunStatus) -> None:
    """Complete an error for an operator: what stops part-way says how far the run is and which command goes on."""
    error.where = error.where or f"run {status.run}"
    if error.exit_code in (StoppedError.exit_code, InterruptedRunError.exit_code):
        cut_over = f"{status.files_cut_over} of {build_count(status.files_total, 'file')} cut over"
        reached = f"phase {status.phase}, {cut_over}; the journal is intact"
        if isinstance(error, InterruptedRunError):
            error.now, error.hint = reached, status.next_command
        error.now = error.now or reached
        if "migrator" not in (error.hint or ""):
            error.hint = f"{error.hint}; then: {status.next_command}" if error.hint else status.next_command
    error.hint = working.name_plan(error.hint) if error.hint else None


def confirm(invocation: Invocation, question: str, *, command: str) -> None:
    """Ask a person; without a terminal, require --yes.

    Raises: UsageError.
    """
    if not invocation.output.interactive or invocation.output.json:
        raise UsageError("not confirmed: there is no terminal to ask on", where="terminal", hint=command)
    import typer

    try:
        confirmed = typer.confirm(question, err=True)
    except typer.Abort:
        confirmed = False
    if not confirmed:
        raise UsageError("not confirmed", where="terminal", hint=f"the command again, or: {command}")


def show_status(working: Working, status: RunStatus, **more: object) -> None:
    """Print the JSON document of a run."""
    working.invocation.output.document(
        {"format": "migrator.status/1", **msgspec.to_builtins(status), **msgspec.to_builtins(more)}
    )


@contextmanager
def _interrupts(run: Run) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the run between two steps; a second SIGINT ends it at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if run.interrupt.is_set():
            raise KeyboardInterrupt
        run.interrupt.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted in the middle of a step") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _record_stop(run: Run, error: MigratorError) -> None:
    if isinstance(error, JournalError) or run.view.outcome is not None:
        return
    run.record(RecordKind.STOPPED, {"exit_code": error.exit_code, "message": error.message})
