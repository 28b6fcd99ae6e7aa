"""Which run a command is about: one that is here, or one that another machine left in the target's bucket.

A run that is named is looked for here first. Without a name the latest is taken, wherever it is: ids begin with the time. A
run in the bucket is read and not fetched: what only looks writes nothing. Whoever may write to the bucket may put one
there, so only a run of this repository, between the places that ``migrator.toml`` names, is taken.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.markup import escape

from migrator.cli.invocation import Invocation
from migrator.engine.mirrored_run import (
    MirroredRun,
    decode_mirrored_plan,
    list_runs,
    read_mirrored_plan,
    read_mirrored_run,
)
from migrator.engine.parallel import run_in_parallel
from migrator.errors import BackendError, ConfigurationError, JournalError, NoRunError, RefusedError, UsageError
from migrator.inventory.tree import read_repository_identity
from migrator.journal.home import match_run
from migrator.journal.run_directory import RunDirectory
from migrator.plan.belonging import find_misfit, is_of_others
from migrator.settings import Settings

if TYPE_CHECKING:
    from migrator.backends.base import RunStore

AnyRun = RunDirectory | MirroredRun

_AT_ONCE = 16
_MOST_READ = 512  # plans of other repositories that are passed over before we give up looking
_MOST_TOLD = 3
_NO_PLAN = "no plan: "


def find_run(invocation: Invocation, name: str | None, *, later: bool) -> AnyRun:
    """Return the run that is meant. ``later``: the bucket may have a later one than the latest here.

    Raises: NoRunError that names every place where it was looked; UsageError, ConfigurationError, RefusedError,
    BackendError, JournalError.
    """
    try:
        here = invocation.home.find_run(name)
    except NoRunError as missing:
        return _find_elsewhere(invocation, name, missing)
    if name is not None or not later:
        return here
    try:
        bucket = _Bucket.open(invocation)
        return (bucket and bucket.find_latest(after=here.run_id)) or here
    except (BackendError, ConfigurationError):
        return here  # a command that needs the bucket says so itself


def find_all_elsewhere(invocation: Invocation) -> list[MirroredRun]:
    """Return every run of this repository that is in the bucket, oldest first. What cannot be read is left out.

    Raises: BackendError, ConfigurationError.
    """
    bucket = _Bucket.open(invocation)
    return bucket.find_all() if bucket else []


def _find_elsewhere(invocation: Invocation, name: str | None, missing: NoRunError) -> MirroredRun:
    try:
        bucket = _Bucket.open(invocation)
    except ConfigurationError as error:
        raise NoRunError(
            f"{missing.message}, and the bucket was not asked: {error.message}",
            where=missing.where,
            hint=error.hint,
        ) from None
    if bucket is None:
        raise missing
    found = bucket.find_latest(after="") if name is None else bucket.find_named(name, missing)
    if found is None:
        raise NoRunError(missing.message, where=f"{missing.where}; {bucket.where}", hint=missing.hint)
    return found


class _Bucket:
    """The mirrored runs of the bucket that the settings name."""

    def __init__(self, invocation: Invocation, settings: Settings, store: "RunStore") -> None:
        self._output = invocation.output
        self._settings = settings
        self._store = store
        self._identity = read_repository_identity(invocation.root)
        self.where = store.where("runs/")

    @classmethod
    def open(cls, invocation: Invocation) -> "_Bucket | None":
        """Return the bucket, None where nothing is said about one, or nothing is mirrored there.

        Raises: ConfigurationError.
        """
        from migrator.cli.wiring import build_run_store, read_secrets

        if not invocation.config_path.is_file():
            return None
        settings = invocation.read_settings()
        if not settings.target.run_prefix:
            return None
        # Whoever only looks needs no token of GitLab.
        secrets = read_secrets(None, settings.target, invocation.environment)
        return cls(invocation, settings, build_run_store(settings.target, secrets))

    def find_named(self, name: str, missing: NoRunError) -> MirroredRun | None:
        """Return the run of this name.

        Raises: NoRunError, UsageError when there is no single one, RefusedError when it is not one of this repository.
        """
        known = list_runs(self._store)
        if not known:
            raise NoRunError(missing.message, where=f"{missing.where}; {self.where}", hint=missing.hint)
        run_id = match_run(known, name, where=f"{missing.where}; {self.where}")
        found = read_mirrored_run(self._store, run_id)
        plan = decode_mirrored_plan(found.plan, where=found.where)
        if is_of_others(plan, self._settings, self._identity):
            raise self._build_refusal(run_id, "it is of another repository, or of another source or target", named=True)
        if misfit := find_misfit(plan, self._settings):
            raise self._build_refusal(run_id, misfit, named=True)
        return self._tell(found)

    def find_latest(self, *, after: str) -> MirroredRun | None:
        """Return the latest run of this repository whose id sorts behind ``after``, None when there is none.

        One that is over (refused, rolled back) is nobody's incident: it hides no run that stands, here or there.

        Raises: RefusedError when there are only such as say that they are of this repository and do not fit it.
        """
        later = [run_id for run_id in reversed(list_runs(self._store)) if run_id > after]
        latest = later[:_MOST_READ]
        passed_over: list[tuple[str, str]] = []
        over: list[MirroredRun] = []
        for start in range(0, len(latest), _AT_ONCE):
            for run_id, problem in self._look_at(latest[start : start + _AT_ONCE]):
                if problem:
                    passed_over.append((run_id, problem))
                    continue
                found = read_mirrored_run(self._store, run_id)
                view = found.read_view()
                if view.outcome in ("refused", "rolled-back") and not view.target_left:
                    over.append(found)
                elif view.run_id:
                    self._tell_passed_over(passed_over)
                    return self._tell(found)
        if over and not after:
            return self._tell(next((run for run in over if run.read_view().outcome != "refused"), over[0]))
        if len(later) > _MOST_READ and not after:
            raise UsageError(
                f"none of the latest {_MOST_READ} of {len(later)} runs in the bucket is of this repository",
                where=self.where,
                hint="name the run that is meant, by its id or by what its id begins with",
            )
        claims = [one for one in passed_over if not one[1].startswith(_NO_PLAN)]
        if claims and not after:
            raise self._build_refusal(*claims[0], named=False)
        self._tell_passed_over(passed_over)
        return None

    def find_all(self) -> list[MirroredRun]:
        """Return every run of this repository that can be read, oldest first."""
        found: list[MirroredRun] = []
        for run_id, problem in self._look_at(list_runs(self._store)[-_MOST_READ:]):
            try:
                run = None if problem else read_mirrored_run(self._store, run_id)
                if run and run.read_view().run_id:
                    found.append(run)
            except JournalError:
                continue
        return found

    def _look_at(self, run_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Return each run that is not another repository's, with what keeps it from being this one's ("": nothing)."""
        found: dict[str, str] = {}

        def look(run_id: str) -> None:
            try:
                data = read_mirrored_plan(self._store, run_id)
                plan = decode_mirrored_plan(data, where=run_id)
            except JournalError as error:
                found[run_id] = f"{_NO_PLAN}{error.message}"
                return
            if not is_of_others(plan, self._settings, self._identity):
                found[run_id] = find_misfit(plan, self._settings) or ""

        run_in_parallel([partial(look, run_id) for run_id in run_ids], workers=_AT_ONCE)
        return [(run_id, found[run_id]) for run_id in run_ids if run_id in found]

    def _tell(self, found: MirroredRun) -> MirroredRun:
        self._output.say(f"reading run {escape(found.run_id)} from {escape(found.where)}: there is no copy of it here")
        return found

    def _tell_passed_over(self, runs: Sequence[tuple[str, str]]) -> None:
        for run_id, problem in runs[:_MOST_TOLD]:
            self._output.say(f"passed over run {escape(run_id)} in the bucket: {escape(problem)}")
        if more := len(runs[_MOST_TOLD:]):
            self._output.say(f"passed over {more} more in the bucket")

    def _build_refusal(self, run_id: str, problem: str, *, named: bool) -> RefusedError:
        return RefusedError(
            f"run {run_id} in the bucket is not taken for one of this repository: {problem}",
            where=self._store.where(f"runs/{run_id}"),
            now="nothing was touched, and nothing there was believed",
            hint="put migrator.toml back to what it was when that run began (git log -- migrator.toml)"
            + ("" if named else ", or name another run"),
        )
