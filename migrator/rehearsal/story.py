"""The whole story on a copy of a repository: prepare the stage, play the scenes, compare with the beginning.

Nothing outside of one private directory is written, and unless the caller hands in a real source nothing but 127.0.0.1 is
reached. Deliberately not here: words for people (``narrate``), what a scene does (``scenes``), naming a concrete backend
(the caller hands in how to connect).
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from migrator.backends.base import StateSource, StateTarget
from migrator.errors import ConfigurationError, MigratorError
from migrator.inventory.discover import discover_inventory
from migrator.inventory.model import Inventory
from migrator.inventory.stacks import is_gitlab_backend
from migrator.inventory.tree import discover_tree
from migrator.plan.model import Project
from migrator.plan.scope import find_named_projects
from migrator.rehearsal.checkout import copy_repository, read_fingerprint
from migrator.rehearsal.embedded import Embedded, check_target_is_installed, run_embedded
from migrator.rehearsal.model import Outcome, Proof, Rehearsal, Transcript
from migrator.rehearsal.programs import Shell, Tofu, build_clean_environment, examine_tofu
from migrator.rehearsal.scenes import SCENES, Scene
from migrator.rehearsal.settings import (
    BUCKET,
    build_credential_environment,
    build_rehearsal_settings,
    encode_settings,
    read_own_settings,
)
from migrator.rehearsal.stage import LeftOutError, Stage
from migrator.rehearsal.states import (
    Material,
    apply_stacks,
    examine_stacks,
    read_fixture_states,
    read_source_states,
    remove_scratch,
)
from migrator.rehearsal.wanted import build_wanted_states
from migrator.settings import Settings

_PROJECT_ID = 84


class Listener(Protocol):
    """Who is told the story while it is played."""

    def begin(self, name: str) -> None:
        """A scene begins."""

    def show(self, transcript: Transcript) -> None:
        """A command was run, and this is what it printed."""

    def end(self, proof: Proof) -> None:
        """The scene that was begun last has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """How to reach the embedded servers: settings and the environment that holds their credentials."""

    source: Callable[[Settings, Mapping[str, str]], StateSource]
    target: Callable[[Settings, Mapping[str, str]], StateTarget]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealSource:
    """The real source, to be read and nothing else, and the project that it belongs to."""

    states: StateSource
    project: Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to rehearse. ``config`` is the repository's own configuration; it need not exist. ``tofu`` is a program.

    States come from ``fixtures``, else from ``real_source``, else from applying the stacks. ``keep`` is a directory,
    absent or empty, that is left behind.
    """

    root: Path
    config: Path
    fixtures: Path | None = None
    real_source: RealSource | None = None
    keep: Path | None = None
    tofu: str | None = None
    project_path: str | None = None


def rehearse(request: Request, connect: Connect, listener: Listener) -> Rehearsal:
    """Play the story.

    Raises: ConfigurationError when it cannot begin; BackendError when the real source cannot be read.
    """
    began = time.monotonic()
    check_target_is_installed()
    own = read_own_settings(request.config)
    with _make_workplace(request.keep) as workplace:
        copy, scratch = workplace / _slug(request.root.name), workplace / "scratch"
        scratch.mkdir(mode=0o700)
        copy_repository(request.root, copy)
        bare = Shell(directory=copy, environment=build_clean_environment(os.environ, home=scratch))
        tofu = examine_tofu(request.tofu, bare.environment)
        tree = discover_tree(copy)
        inventory = discover_inventory(tree)
        material = _gather_states(request, own, inventory, tofu, shell=bare, scratch=scratch)
        tofu = _check_proof(tofu, inventory, material, copy=copy, shell=bare, scratch=scratch)
        project = _choose_project(request, own, find_named_projects(inventory.references, tree.read_text_or_nothing))
        with run_embedded(
            material.states,
            project_id=project.id,
            project_path=project.path,
            bucket=BUCKET if own is None else own.target.bucket,
            directory=scratch,
        ) as embedded:
            settings = build_rehearsal_settings(
                own,
                embedded,
                bindings=material.bindings,
                names=material.states,
                program=tofu.program if isinstance(tofu, Tofu) else None,
            )
            stage = _set_stage(
                settings, embedded, connect, inventory, tofu, listener=listener, copy=copy, scratch=scratch
            )
            proofs = [*_left_out_states(material), *_play(SCENES, stage, listener)]
        remove_scratch(scratch)
        return Rehearsal(
            repository=str(request.root),
            states=len(material.states),
            states_from=material.origin,
            tofu=tofu.version if isinstance(tofu, Tofu) else None,
            proofs=tuple(proofs),
            seconds=time.monotonic() - began,
            kept=str(request.keep) if request.keep else None,
        )


def _play(scenes: Sequence[Scene], stage: Stage, listener: Listener) -> Iterator[Proof]:
    outcomes: dict[str, Outcome] = {}
    for scene in scenes:
        listener.begin(scene.name)
        missing = [name for name in scene.needs if outcomes[name] is not Outcome.MADE]
        proof = _skip(scene, missing[0]) if missing else _play_one(scene, stage)
        outcomes[scene.name] = proof.outcome
        listener.end(proof)
        yield proof


def _skip(scene: Scene, missing: str) -> Proof:
    return Proof(
        name=scene.name, outcome=Outcome.LEFT_OUT, seconds=0.0, detail=f"follows {missing}, which was not made"
    )


def _play_one(scene: Scene, stage: Stage) -> Proof:
    began = time.monotonic()
    hint = None
    try:
        outcome, detail = Outcome.MADE, scene.play(stage)
    except LeftOutError as reason:
        outcome, detail = Outcome.LEFT_OUT, str(reason)
    except MigratorError as error:
        outcome, hint = Outcome.FAILED, error.hint
        detail = f"{error.message}: {error.where}" if error.where else error.message
    return Proof(name=scene.name, outcome=outcome, seconds=time.monotonic() - began, detail=detail, hint=hint)


def _left_out_states(material: Material) -> list[Proof]:
    return [Proof(name="states", outcome=Outcome.LEFT_OUT, seconds=0.0, detail=reason) for reason in material.left_out]


def _set_stage(
    settings: Settings,
    embedded: Embedded,
    connect: Connect,
    inventory: Inventory,
    tofu: Tofu | str,
    *,
    listener: Listener,
    copy: Path,
    scratch: Path,
) -> Stage:
    config = scratch / "migrator.toml"
    config.write_text(encode_settings(settings), "utf-8")
    environment = {
        **build_clean_environment(os.environ, home=scratch),
        **build_credential_environment(settings, embedded),
        "MIGRATOR_CONFIG": str(config),
        "MIGRATOR_REPO": str(copy),
    }
    stage = Stage(
        copy=copy,
        scratch=scratch,
        shell=Shell(directory=copy, environment=environment),
        embedded=embedded,
        source=connect.source(settings, environment),
        target=connect.target(settings, environment),
        tofu=tofu,
        inventory=inventory,
        before=read_fingerprint(copy),
        heads={},
        show=listener.show,
    )
    stage.heads = {listed.name: stage.read_head(listed.name) for listed in stage.source.list_states()}
    return stage


def _gather_states(
    request: Request, own: Settings | None, inventory: Inventory, tofu: Tofu | str, *, shell: Shell, scratch: Path
) -> Material:
    if request.fixtures is not None:
        return read_fixture_states(request.fixtures)
    if request.real_source is not None:
        return read_source_states(request.real_source.states, scratch / "states")
    if isinstance(tofu, str):
        raise ConfigurationError(
            f"there are no states to rehearse with: the stacks cannot be applied, for {tofu}",
            now="nothing was touched",
            hint="rehearse with recorded states (--fixtures DIR) or with those of the source (--from-source)",
        )
    wanted = build_wanted_states(own, inventory, has_file=lambda path: (shell.directory / path).is_file())
    if not wanted:
        raise ConfigurationError(
            "no stack keeps its state in GitLab, so there is nothing to rehearse",
            where=str(request.root),
            now="nothing was touched",
            hint="migrator inventory",
        )
    return apply_stacks(shell.directory, wanted, tofu, shell=shell, scratch=scratch)


def _check_proof(
    tofu: Tofu | str, inventory: Inventory, material: Material, *, copy: Path, shell: Shell, scratch: Path
) -> Tofu | str:
    """Return the program, or why it cannot plan the stacks of this repository here."""
    if isinstance(tofu, str):
        return tofu
    if material.encrypted:
        return "a state is encrypted, and a rehearsal is given no key"
    if material.bindings:
        return tofu  # these stacks were applied just now
    directories = [stack.directory for stack in inventory.stacks if is_gitlab_backend(stack)]
    reasons = examine_stacks(copy, directories, tofu, shell=shell, scratch=scratch)
    found = [f"{directory}: {reason}" for directory, reason in reasons.items() if reason]
    return "; ".join(found) or tofu


def _choose_project(request: Request, own: Settings | None, named: Sequence[str]) -> Project:
    """Return the real project, else the one of the settings, with what they leave out taken from the addresses."""
    if request.real_source is not None:
        return request.real_source.project
    configured = [] if own is None else [str(own.source.project)]
    ids = [name for name in (*configured, *named) if name.isdecimal()]
    paths = [name for name in (*configured, *named) if not name.isdecimal()]
    path = request.project_path or next(iter(paths), f"rehearsal/{_slug(request.root.name)}")
    return Project(id=int(next(iter(ids), _PROJECT_ID)), path=path)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-") or "repository"


@contextmanager
def _make_workplace(keep: Path | None) -> Iterator[Path]:
    """Give a private directory. The one that was asked for is left behind, any other is removed.

    Raises: ConfigurationError when the one that was asked for is not empty.
    """
    if keep is None:
        temporary = Path(tempfile.mkdtemp(prefix="migrator-rehearsal-")).resolve()
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigurationError(
            "the directory to keep must be absent or empty", where=str(keep), now="nothing was touched"
        )
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    keep.chmod(0o700)
    yield keep.resolve()
