"""The proof by plan: OpenTofu, not this program, says that nothing changed.

Runs on two temporary copies of the repository below the run directory, one as it is and one with the files cut over, with
a ``TF_DATA_DIR`` of its own: the work tree gets nothing. Never locks and never writes state: this run holds both locks.
Compares what would change (``show -json``), so drift that was there before is reported and does not block.
"""

import hashlib
import json
import shutil
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from migrator.engine.proof_copies import copy_repository, copy_variable_files, write_copy
from migrator.engine.steps.cut_over_file import build_post_image
from migrator.errors import CheckFailedError, ConfigurationError, StoppedError
from migrator.journal.durable import PRIVATE_FILE, make_private_directory
from migrator.journal.record import Body
from migrator.plan.model import Plan, PlannedState
from migrator.redact import Redactor
from migrator.rewrite.replacements.wording import build_backend_file_name
from migrator.state.sensitive import find_sensitive_values

TIMEOUT_SECONDS = 900
PRIVATE_UMASK = 0o077  # for what OpenTofu writes: plan files and data directories hold secrets
NO_CHANGES, CHANGES = 0, 2
# Settings of the caller's shell that would change which backend or workspace is used.
_DROPPED = ("TF_HTTP_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR", "TF_LOG", "TF_INPUT")


@dataclass(slots=True)
class TofuProver:
    """Proves states of one plan.

    ``secrets``, and what a document (which ``read_document`` gives) marks as sensitive, are struck from everything that
    is shown and from the log that is left for reading.
    """

    program: str
    plan: Plan
    root: Path
    paths: Sequence[str]
    scratch: Path
    environment: Mapping[str, str]
    source_environment: Mapping[str, str]
    target_environment: Mapping[str, str]
    secrets: Sequence[str | None] = ()
    read_document: Callable[[PlannedState], bytes | None] = lambda _: None
    _copying: threading.Lock = field(default_factory=threading.Lock)
    # Two environments of one stack share its directory, where OpenTofu may write a lock file.
    _directories: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def prove(self, state: PlannedState) -> Body:
        """Plan on both sides and compare.

        Raises: CheckFailedError, StoppedError when there is no place to work in.
        """
        try:
            self._copy_once()
        except OSError as error:
            raise StoppedError(
                f"the copies for the proof cannot be made: {error.strerror}",
                where=str(error.filename or self.scratch),
                hint="make room on the disk",
            ) from None
        with self._directories[state.directory]:
            target = self._examine(state, "target", self._target_flags(state), self.target_environment)
            if self.plan.proof == "init-only":
                return {"mode": "init-only"}
            source = self._examine(state, "source", self._source_flags(state), self.source_environment)
        if source.changes != target.changes:
            differing = sorted({*source.changes} ^ {*target.changes}) or sorted(source.changes)
            raise CheckFailedError(
                "OpenTofu plans differently against the target than against the source",
                where=f"{state.name}: {', '.join(differing[:5])}",
                now="both sides are locked by this run and no file was changed",
                hint="migrator rollback",
            )
        return {"mode": "plan", "source": source.exit_code, "target": target.exit_code, "changes": len(target.changes)}

    def clean(self) -> None:
        """Remove the copies: plan files hold secrets."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _copy_once(self) -> None:
        with self._copying:
            done = self.scratch / "copied"
            if done.exists():
                return
            shutil.rmtree(self.scratch, ignore_errors=True)  # half a copy of an attempt that was killed
            make_private_directory(self.scratch)
            for side in ("source", "target"):
                copy_repository(self.root, self.paths, self.scratch / side)
                for state in self.plan.states:
                    copy_variable_files(self.root, state, self.scratch / side)
            for file in self.plan.files:
                path = self.scratch / "target" / file.path
                before = path.read_bytes() if path.exists() else None
                write_copy(path, build_post_image(file, before))
            done.touch(PRIVATE_FILE)

    def _examine(
        self, state: PlannedState, side: str, flags: Sequence[str], credentials: Mapping[str, str]
    ) -> "_Examined":
        call = _Call(
            program=self.program,
            directory=self.scratch / side / state.directory,
            environment=self._environment(state, side, credentials),
            log=self.scratch / f"{_file_name(state)}-{side}.log",
            describe=f"{state.name} against the {side}",
            build_redactor=lambda: self._build_redactor(state),
        )
        call.run("init", "-reconfigure", "-input=false", "-no-color", *flags)
        if self.plan.proof == "init-only":
            return _Examined(exit_code=NO_CHANGES, changes={})
        result = self.scratch / f"{_file_name(state)}-{side}.tfplan"
        variables = [f"-var-file={name}" for name in state.var_files]
        code = call.run(
            "plan", "-input=false", "-no-color", "-lock=false", "-detailed-exitcode", f"-out={result}", *variables,
            allowed=(NO_CHANGES, CHANGES),
        )  # fmt: skip
        shown = json.loads(call.capture("show", "-json", str(result)))
        result.unlink()
        return _Examined(exit_code=code, changes=read_changes(shown))

    def _source_flags(self, state: PlannedState) -> list[str]:
        source = self.plan.source
        address = f"{source.url.rstrip('/')}/api/v4/projects/{source.project_id}/terraform/state/"
        return [f"-backend-config=address={address}{quote(state.name, safe='')}"]

    def _target_flags(self, state: PlannedState) -> list[str]:
        if self.plan.target.style == "partial":
            return [f"-backend-config={build_backend_file_name(state.name)}"]
        return [f"-backend-config=key={state.key}"]

    def _environment(self, state: PlannedState, side: str, credentials: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in self.environment.items() if not name.startswith(_DROPPED)}
        return kept | {
            "TF_DATA_DIR": str(self.scratch / f"{_file_name(state)}-{side}.data"),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **credentials,
        }

    def _build_redactor(self, state: PlannedState) -> Redactor:
        document = self.read_document(state)
        return Redactor([*self.secrets, *(find_sensitive_values(document) if document else ())])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Examined:
    exit_code: int
    changes: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """Runs one program in one place; output goes to a private log, of which errors quote one line."""

    program: str
    directory: Path
    environment: Mapping[str, str]
    log: Path
    describe: str
    build_redactor: Callable[[], Redactor]  # called for a failure only: a document may be large

    def run(self, *arguments: str, allowed: Sequence[int] = (0,)) -> int:
        return self._call(arguments, allowed)[0]

    def capture(self, *arguments: str) -> bytes:
        return self._call(arguments, (0,))[1]

    def _call(self, arguments: Sequence[str], allowed: Sequence[int]) -> tuple[int, bytes]:
        try:
            result = subprocess.run(
                [self.program, *arguments],
                cwd=self.directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                umask=PRIVATE_UMASK,
                check=False,
            )
        except FileNotFoundError:
            raise ConfigurationError(
                f"{self.program} is not there any more, or {self.directory.name} is no directory"
            ) from None
        except subprocess.TimeoutExpired:
            raise self._failed(arguments[0], f"no end within {TIMEOUT_SECONDS} s") from None
        if result.returncode in allowed:
            return result.returncode, result.stdout
        output = self.build_redactor()((result.stdout + b"\n" + result.stderr).decode(errors="replace"))
        write_copy(self.log, output.encode())
        raise self._failed(arguments[0], first_error(output))

    def _failed(self, command: str, reason: str) -> CheckFailedError:
        return CheckFailedError(
            f"the proof failed: {Path(self.program).name} {command} for {self.describe}: {reason}",
            where=str(self.log),
            now="both sides are locked by this run and no file was changed",
            hint="correct what it says and run migrator migrate again, or: migrator rollback",
        )


def first_error(output: str) -> str:
    """Return the line of OpenTofu's output that says what is wrong."""
    lines = [line.strip(" │╷╵") for line in output.splitlines()]
    errors = [line for line in lines if line.startswith("Error:")]
    return (errors or [line for line in lines if line] or ["no output"])[0][:300]


def read_changes(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a plan would change, by address: actions and values, from ``show -json``."""
    changes: dict[str, Any] = {}
    for entry in shown.get("resource_changes", ()):
        if entry["change"]["actions"] not in (["no-op"], ["read"]):
            changes[entry["address"]] = entry["change"]
    for name, change in shown.get("output_changes", {}).items():
        if change["actions"] != ["no-op"]:
            changes[f"output.{name}"] = change
    return changes


def _file_name(state: PlannedState) -> str:
    """Return a file name of its own for each state: ``a/b`` and ``a_b`` may be planned at the same time."""
    plain = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in state.name)
    return f"{plain[:60]}-{hashlib.sha256(state.name.encode()).hexdigest()[:8]}"
