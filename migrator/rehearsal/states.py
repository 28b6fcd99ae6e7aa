"""Where the documents of the embedded source come from: recorded ones, the stacks themselves, or the real source.

A stack is applied only when OpenTofu finds that it needs no provider and no file of it runs a command, so applying has no
effect but a state file below the rehearsal's directory. The real source is listed and read, and nothing else.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from migrator.backends.base import Presence, StateSource
from migrator.errors import CheckFailedError, ConfigurationError, InvalidStateError
from migrator.rehearsal.checkout import copy_files, list_files
from migrator.rehearsal.estate import RecordedVersion, recorded_states
from migrator.rehearsal.programs import Shell, Tofu
from migrator.rehearsal.wanted import Wanted
from migrator.settings import Binding
from migrator.state.snapshot import read_snapshot

_WORKERS = 2
_OVERRIDE = "migrator_rehearsal_override.tf"
_LOCAL = 'terraform {\n  backend "local" {}\n}\n'
_CONFIGURATION_FILE = re.compile(r"\.(tf|tofu)(\.json)?$")
_RUNS_COMMANDS = re.compile(rb"^\s*provisioner\s+\"|\"provisioner\"\s*:", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What the embedded source will hold. ``origin`` says where it is from; ``left_out`` what is missing, and why.

    ``encrypted`` says that a document cannot be opened without a key, so that no plan can be made with it.
    """

    states: Mapping[str, Sequence[RecordedVersion]]
    origin: str
    bindings: tuple[Binding, ...] = ()
    left_out: tuple[str, ...] = ()
    encrypted: bool = False


def read_fixture_states(root: Path) -> Material:
    """Return the recorded states below ``root``: ``<state name>/<serial>.tfstate``.

    Raises: ConfigurationError when there is none, or one is no state document.
    """
    states = recorded_states(root)
    if not states:
        raise ConfigurationError(
            "there is no recorded state",
            where=str(root / "<state name>" / "<serial>.tfstate"),
            now="nothing was touched",
        )
    encrypted = False
    for versions in states.values():
        for version in versions:
            try:
                encrypted |= read_snapshot(version.path.read_bytes()).encrypted
            except InvalidStateError as error:
                raise ConfigurationError(error.message, where=str(version.path), now="nothing was touched") from None
    return Material(states=states, origin="recorded", encrypted=encrypted)


def read_source_states(source: StateSource, destination: Path) -> Material:
    """Read every state of the real source into files (0600) below ``destination``: its newest document, exact bytes.

    Locks are not carried over. Raises: BackendError; CheckFailedError when a listed document is not served.
    """
    states: dict[str, Sequence[RecordedVersion]] = {}
    left_out: list[str] = []
    encrypted = False
    for listed in source.list_states():
        if listed.deleted:
            continue
        head = source.read_state(listed.name)
        if head.presence is not Presence.PRESENT:
            if listed.serial is not None:
                raise CheckFailedError(
                    f"the source lists version {listed.serial} and serves no document",
                    where=listed.name,
                    now="the source was only read",
                    hint="restore the file at GitLab; `migrator plan` would refuse this state",
                )
            states[listed.name] = ()
            continue
        snapshot = read_snapshot(head.data)
        encrypted |= snapshot.encrypted
        path = _write_version(destination, listed.name, snapshot.serial, head.data)
        states[listed.name] = (RecordedVersion(serial=snapshot.serial, path=path),)
        if listed.locked:
            left_out.append(f"the lock of {listed.name}, held by {listed.locked_by or 'somebody'} when it was read")
    return Material(states=states, origin="read from the source", left_out=tuple(left_out), encrypted=encrypted)


def apply_stacks(root: Path, wanted: Iterable[Wanted], tofu: Tofu, *, shell: Shell, scratch: Path) -> Material:
    """Apply the stacks of the repository at ``root`` that need no provider, on a copy, and return what that gave.

    Raises: ConfigurationError when not one state could be made.
    """
    copy, destination = scratch / "apply", scratch / "states"
    copy_files(root, list_files(root), copy)
    reasons = examine_stacks(root, {one.directory for one in wanted}, tofu, shell=shell, scratch=scratch)
    for directory in {one.directory for one in wanted}:
        (copy / directory / _OVERRIDE).write_text(_LOCAL)
    states: dict[str, Sequence[RecordedVersion]] = {}
    bindings: list[Binding] = []
    left_out: list[str] = []

    def apply(one: Wanted) -> str | bytes:
        return reasons[one.directory] or _apply(one, copy, tofu, shell=shell, scratch=scratch)

    ordered: dict[str, Wanted] = {}
    for one in sorted(wanted, key=lambda one: (one.name, one.stack)):
        if one.name in ordered:
            left_out.append(f"{one.name} of {one.stack}: {ordered[one.name].stack} has a state of this name")
        else:
            ordered[one.name] = one
    with ThreadPoolExecutor(_WORKERS) as pool:
        for one, made in zip(ordered.values(), pool.map(apply, ordered.values()), strict=True):
            if isinstance(made, str):
                left_out.append(f"{one.name}: {made}")
                continue
            serial = read_snapshot(made).serial
            path = _write_version(destination, one.name, serial, made)
            states[one.name] = (RecordedVersion(serial=serial, path=path),)
            bindings.append(one.binding)
    if not states:
        raise ConfigurationError(
            "no stack of this repository could be applied without a provider: " + "; ".join(left_out),
            where=str(root),
            now="nothing outside of a temporary directory was touched",
            hint="rehearse with recorded states (--fixtures DIR) or with those of the source (--from-source)",
        )
    return Material(
        states=states, origin="made by applying the stacks", bindings=tuple(bindings), left_out=tuple(left_out)
    )


def examine_stacks(
    root: Path, directories: Iterable[str], tofu: Tofu, *, shell: Shell, scratch: Path
) -> dict[str, str | None]:
    """Return for each stack directory why it cannot be planned here without help, None when it can.

    OpenTofu itself decides, on a copy, with an empty mirror in the place of every provider registry.
    """
    copy = scratch / "examine"
    copy_files(root, list_files(root), copy)
    mirror = scratch / "no-providers"
    mirror.mkdir()
    configuration = scratch / "no-providers.tfrc"
    configuration.write_text(
        f"provider_installation {{\n  filesystem_mirror {{\n    path = {json.dumps(str(mirror))}\n  }}\n}}\n"
    )
    ordered = sorted(set(directories))

    def examine(directory: str) -> str | None:
        (copy / directory / _OVERRIDE).write_text(_LOCAL)
        data = scratch / "data" / quote(directory or ".", safe="")
        more = {"TF_CLI_CONFIG_FILE": str(configuration), "TF_DATA_DIR": str(data)}
        command = [tofu.program, f"-chdir={copy / directory}", "init", "-input=false", "-no-color"]
        result = shell.run(command, typed=f"{Path(tofu.program).name} init", more=more)
        if result.exit_code:
            return _explain(result.output)
        module = _find_module_that_runs_commands(copy / directory, data)
        return f"{module} runs commands (a provisioner)" if module else None

    with ThreadPoolExecutor(_WORKERS) as pool:
        return dict(zip(ordered, pool.map(examine, ordered), strict=True))


def _apply(one: Wanted, copy: Path, tofu: Tofu, *, shell: Shell, scratch: Path) -> str | bytes:
    """Return the state that applying gave, or why there is none."""
    file_name = quote(one.name, safe="")
    state = scratch / "applied" / f"{file_name}.tfstate"
    state.parent.mkdir(exist_ok=True)
    more = {"TF_DATA_DIR": str(scratch / "data" / f"apply-{file_name}")}
    variables = [f"-var-file={name}" for name in one.var_files]
    for arguments in (
        ["init", "-reconfigure", "-input=false", "-no-color", f"-backend-config=path={state}"],
        ["apply", "-auto-approve", "-input=false", "-no-color", *variables],
    ):
        command = [tofu.program, f"-chdir={copy / one.directory}", *arguments]
        result = shell.run(command, typed=f"{Path(tofu.program).name} {arguments[0]}", more=more)
        if result.exit_code:
            return _explain(result.output)
    return state.read_bytes() if state.is_file() else "applying it made no state"


def _explain(output: str) -> str:
    """Return what OpenTofu said is wrong, in one phrase."""
    providers = sorted(set(re.findall(r"provider[\s│]+([\w.-]+/[\w.-]+(?:/[\w.-]+)?)", output)))
    if providers:
        return f"needs the provider {', '.join(providers)}"
    errors = [line.strip(" │╷╵") for line in output.splitlines() if "Error:" in line]
    return errors[0] if errors else "OpenTofu failed without a reason"


def _find_module_that_runs_commands(stack: Path, data: Path) -> str | None:
    """Return the directory of a module in use that holds a provisioner, relative to the stack."""
    directories = {"."}
    try:
        manifest = json.loads((data / "modules" / "modules.json").read_bytes())
        directories |= {str(module["Dir"]) for module in manifest["Modules"]}
    except FileNotFoundError:
        pass  # a stack without modules
    for directory in sorted(directories):
        for file in sorted((stack / directory).iterdir()):
            if _CONFIGURATION_FILE.search(file.name) and _RUNS_COMMANDS.search(file.read_bytes()):
                return "the stack" if directory in ("", ".") else directory
    return None


def _write_version(destination: Path, name: str, serial: int, data: bytes) -> Path:
    path = destination / quote(name, safe="") / f"{serial}.tfstate"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)
    return path


def remove_scratch(scratch: Path) -> None:
    """Remove what applying and examining left: states and plugin data."""
    for name in ("apply", "applied", "examine", "data"):
        shutil.rmtree(scratch / name, ignore_errors=True)
