"""What migrate, verify, rollback and finalize share: a plan, its run, credentials, and an open journal."""

import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from migrator.cli.invocation import Invocation, read_clock
from migrator.engine.run import Run
from migrator.engine.status import RunStatus, build_status
from migrator.engine.stop import complete_stop, record_stop
from migrator.engine.verify import Check, Evidence, verify
from migrator.errors import (
    BackendUnreachableError,
    InterruptedRunError,
    JournalError,
    MigratorError,
    UnknownOutcomeError,
    UsageError,
)
from migrator.inventory.tree import RepositoryTree
from migrator.journal.fold import RunView, fold
from migrator.journal.run_directory import RunDirectory
from migrator.plan.codec import decode_plan, digest_of_plan
from migrator.plan.model import Plan
from migrator.report.run import Progress
from migrator.report.visible import make_line

if TYPE_CHECKING:
    from migrator.cli.wiring import Secrets
    from migrator.engine.mirror import Mirror

_INTERRUPTED_TWICE = (
    b"error: interrupted again: this command ended at once\n"
    b"  now:   the journal is intact; what was under way may still take effect, and this run keeps its locks\n"
    b"  next:  migrator status\n"
)

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
    def open_run(self, *, take_over: bool = False, mirrored: bool = True) -> Iterator[Run]:
        """Hold the run here and, where it is mirrored, against other machines; open its journal and yield it.

        What stops it is recorded before it goes on. Hold ``Home.locked()`` meanwhile.
        """
        from migrator.cli.wiring import build_mirror, build_ports

        secrets = self.read_secrets()
        ports = build_ports(self.plan, self.directory, self.tree, secrets, self.invocation)
        with self.directory.locked():
            mirror = build_mirror(self.plan, self.directory, secrets) if mirrored else None
            if mirror is not None and self.directory.read_view().run_id:
                # It may have gone on elsewhere, or further than a journal knows that was cut short.
                self._catch_up(mirror, take_over=take_over)
            log = self.directory.open_log(read_clock)
            listen = Progress(self.invocation.output)
            run = Run(log=log, view=fold(log.records), ports=ports, mirror=mirror, listen=listen)
            try:
                with _signals(run), self._attended(run):
                    yield run
            finally:
                log.close()

    def _catch_up(self, mirror: "Mirror", *, take_over: bool) -> None:
        try:
            _hold(mirror, take_over=take_over)
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


def open_existing(
    invocation: Invocation, name: str | None, *, find: Callable[[Invocation, str | None], RunDirectory] | None = None
) -> Working:
    """Return an existing run: by id, by directory, or the latest. ``find`` may look further than this machine.

    Raises: UsageError, ConfigurationError, JournalError.
    """
    directory = find(invocation, name) if find else invocation.home.find_run(name)
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


def _hold(mirror: "Mirror", *, take_over: bool) -> None:
    from migrator.engine.rollback import name_way_without_target

    try:
        mirror.hold(take_over=take_over)
    except (BackendUnreachableError, UnknownOutcomeError) as error:
        # Behind a proxy that drops connections even a dead target leaves a doubt; a lock that stands there is ours.
        raise name_way_without_target(
            BackendUnreachableError(error.message, where=error.where, now=error.now)
        ) from None


def confirm(invocation: Invocation, question: str, *, command: str) -> None:
    """Ask a person; without a terminal, require --yes.

    Raises: UsageError.
    """
    if not invocation.output.interactive or invocation.output.json:
        raise UsageError("not confirmed: there is no terminal to ask on", where="terminal", hint=command)
    import typer

    try:
        confirmed = typer.confirm(make_line(question), err=True)
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
def _signals(run: Run) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the run between two steps; a second one ends the process at once.

    As if it had been killed: what is under way in other threads may still have its effect, so nothing is tidied up that
    would say otherwise. No lock is given back, no outcome is recorded, and the next command settles it.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if run.interrupt.is_set():
            os.write(sys.stderr.fileno(), _INTERRUPTED_TWICE)
            os._exit(InterruptedRunError.exit_code)
        run.interrupt.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
