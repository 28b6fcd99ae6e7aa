"""PURE: settings + inventory + what was observed -> plan. The only place that decides what a migration does."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from migrator.inventory.groups import CutOverGroup, build_cut_over_groups
from migrator.inventory.model import Inventory, Reference
from migrator.plan.bind import Bound, BoundState
from migrator.plan.files import Rewriting, build_backend_files, build_rewriting
from migrator.plan.model import (
    Finding,
    ObservedKey,
    Override,
    Plan,
    PlannedRepository,
    PlannedSource,
    PlannedState,
    PlannedTarget,
    ProbeResult,
    Project,
)
from migrator.rewrite.reference import TargetCoordinates
from migrator.settings import Settings

# Blockers that an operator may take upon himself, with a reason that the plan keeps. The others have no safe override.
ACKNOWLEDGEABLE = frozenset({"unsafe-target", "refused-file"})
_HCL = (".tf", ".tofu", ".tf.json", ".tofu.json")
LONGEST_KEY = 1024  # bytes, of S3


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was read for a plan. ``keys`` by object key; ``texts`` gives a file's text by path."""

    settings: Settings
    inventory: Inventory
    project: Project
    bound: Bound
    keys: Mapping[str, ObservedKey]
    probe: ProbeResult
    texts: Callable[[str], str | None]
    repository: PlannedRepository
    tofu: str
    created: str
    tool_version: str
    selected: Sequence[str] = ()


def build_key(settings: Settings, project: Project, state: BoundState) -> str:
    """Return the object key of a state."""
    return settings.target.key.format(
        project_path=project.path,
        project_id=project.id,
        stack=state.stack.name,
        environment=state.environment,
        state=state.observed.name,
    )


def build_coordinates(settings: Settings, project: Project) -> TargetCoordinates:
    """Return the target in the terms that files are written in."""
    key = settings.target.key.replace("{project_path}", project.path).replace("{project_id}", str(project.id))
    return TargetCoordinates(
        endpoint=settings.target.endpoint,
        bucket=settings.target.bucket,
        region=settings.target.region,
        key=key,
        path_style=settings.target.path_style,
        style=settings.target.style,
    )


def build_plan(facts: Facts) -> Plan:
    """Return the plan. Blockers stand in it; a plan with blockers is never carried out."""
    settings = facts.settings
    states = tuple(_plan_state(facts, state) for state in facts.bound.states)
    groups = build_cut_over_groups(facts.inventory.references)
    rewriting = _build_rewriting(facts)
    blockers = [
        *_check_parsable(facts),
        *facts.bound.blockers,
        *_check_states(facts, states),
        *_check_selection(facts, groups),
        *rewriting.blockers,
        *_check_probe(facts.probe),
    ]
    acknowledged = {entry.code: entry.reason for entry in settings.acknowledge}
    standing = [one for one in blockers if one.code not in ACKNOWLEDGEABLE or one.code not in acknowledged]
    overridden = sorted({one.code for one in blockers if one not in standing})
    return Plan(
        created=facts.created,
        tool_version=facts.tool_version,
        repository=facts.repository,
        source=_plan_source(settings, facts.project),
        target=_plan_target(settings),
        tofu=facts.tofu,
        proof=settings.proof.plan,
        probe=facts.probe,
        states=states,
        files=rewriting.files,
        groups=tuple(group for group in groups if len(group.stacks) > 1),
        left_alone=facts.bound.left_alone,
        reports=rewriting.reports,
        hazards=tuple(
            Finding(code=hazard.code, where=str(hazard.place), message=hazard.message)
            for hazard in facts.inventory.hazards
        ),
        blockers=tuple(standing),
        overrides=tuple(Override(code=code, reason=acknowledged[code]) for code in overridden),
    )


def _plan_state(facts: Facts, state: BoundState) -> PlannedState:
    observed = state.observed
    key = build_key(facts.settings, facts.project, state)
    there = facts.keys.get(key)
    return PlannedState(
        name=observed.name,
        stack=state.stack.name,
        directory=state.stack.directory,
        environment=state.environment,
        key=key,
        serial=observed.serial,
        lineage=observed.lineage,
        sha256=observed.sha256,
        size=observed.size,
        encrypted=observed.encrypted,
        resource_count=observed.resource_count,
        adopted=there is not None and there.sha256 is not None and there.sha256 == observed.sha256,
        var_files=state.var_files,
    )


def _plan_source(settings: Settings, project: Project) -> PlannedSource:
    source = settings.source
    return PlannedSource(
        url=source.url.rstrip("/"),
        project_id=project.id,
        project_path=project.path,
        token_env=source.token_env,
        username=source.username,
        ca_bundle=source.ca_bundle,
    )


def _plan_target(settings: Settings) -> PlannedTarget:
    target = settings.target
    return PlannedTarget(
        endpoint=target.endpoint,
        bucket=target.bucket,
        region=target.region,
        key=target.key,
        path_style=target.path_style,
        style=target.style,
        access_key_env=target.access_key_env,
        secret_key_env=target.secret_key_env,
        session_token_env=target.session_token_env,
        ca_bundle=target.ca_bundle,
        profile=target.profile,
    )


def _build_rewriting(facts: Facts) -> Rewriting:
    coordinates = build_coordinates(facts.settings, facts.project)
    chosen = [reference for reference in facts.inventory.references if _is_selected(facts, reference)]
    rewriting = build_rewriting(chosen, facts.texts, coordinates)
    if coordinates.style != "partial":
        return rewriting
    created = build_backend_files(
        facts.bound.states, lambda state: build_key(facts.settings, facts.project, state), coordinates
    )
    occupied = tuple(
        Finding(
            code="occupied-file",
            where=file.path,
            message="style partial creates this file, and the repository has one of this name",
            hint="rename it, or use style inline",
        )
        for file in created
        if facts.texts(file.path) is not None
    )
    return Rewriting(files=created + rewriting.files, reports=rewriting.reports, blockers=rewriting.blockers + occupied)


def _is_selected(facts: Facts, reference: Reference) -> bool:
    """A reference that serves no stack in particular belongs to the last stage: only to a plan of every stack."""
    if not facts.selected:
        return True
    return bool(reference.stacks) and set(reference.stacks) <= set(facts.selected)


def _check_parsable(facts: Facts) -> list[Finding]:
    """A stack whose backend cannot be read has no known state: what else the files say about it is guesswork."""
    return [
        Finding(
            code="unparsable-file",
            where=str(reference.place),
            message=f"this names the source, and the file {reference.reason}",
            hint="correct the file, then: migrator plan",
        )
        for reference in facts.inventory.references
        if reference.place.path.endswith(_HCL) and reference.reason.startswith("cannot be parsed")
    ]


def _check_states(facts: Facts, states: Sequence[PlannedState]) -> list[Finding]:
    blockers = [state.observed.problem for state in facts.bound.states if state.observed.problem]
    blockers += [
        Finding(
            code="held-lock",
            where=state.observed.name,
            message=f"locked at the source by {state.observed.locked_by}",
            hint="wait until that operation ends; migrator never forces a lock",
        )
        for state in facts.bound.states
        if state.observed.locked_by
    ]
    shared = Counter(state.key for state in states)
    for planned in states:
        blockers += _check_key(planned, facts.keys.get(planned.key), shared[planned.key])
    return blockers


def _check_key(state: PlannedState, there: ObservedKey | None, claims: int) -> list[Finding]:
    blockers = []
    if problem := find_key_problem(state.key):
        blockers.append(
            Finding(
                code="unsafe-key",
                where=f"{state.name}, key {state.key}",
                message=f"the key {problem}, which stores, clients and files understand differently",
                hint="exclude the state with a reason, or rename it at the source, or choose another target.key",
            )
        )
    if claims > 1:
        blockers.append(
            Finding(
                code="shared-key",
                where=f"{state.name}, key {state.key}",
                message=f"{claims} states would share this key",
                hint="use {state} in target.key",
            )
        )
    if there is not None and there.locked_by:
        blockers.append(
            Finding(
                code="held-lock",
                where=f"{state.name}, key {state.key}",
                message=f"locked at the target by {there.locked_by}",
                hint="wait until that operation ends; migrator never forces a lock",
            )
        )
    if there is not None and there.sha256 is not None and there.sha256 != state.sha256:
        blockers.append(
            Finding(
                code="occupied-key",
                where=f"{state.name}, key {state.key}",
                message="the target already holds other bytes at this key",
                hint="find out whose they are; choose another target.key, or move the object away by hand",
            )
        )
    return blockers


def find_key_problem(key: str) -> str | None:
    """Return what makes an object key dangerous, None when nothing does."""
    parts = key.split("/")
    if "" in parts or "." in parts or ".." in parts:
        return "has an empty segment, . or .."
    if key.endswith(".tflock"):
        return "ends in .tflock, the name of a lock"
    if not key.isprintable() or set(key) & set("\"'`\\$"):
        return "holds a control character, quote, backslash or $"
    return "is longer than 1024 bytes" if len(key.encode()) + len(".tflock") > LONGEST_KEY else None


def _check_selection(facts: Facts, groups: Sequence[CutOverGroup]) -> list[Finding]:
    chosen = set(facts.selected)
    known = {stack.name for stack in facts.inventory.stacks}
    blockers = [
        Finding(
            code="unknown-stack",
            where=f"--stack {name}",
            message="there is no such stack",
            hint=f"known stacks: {', '.join(sorted(known)) or 'none'}",
        )
        for name in sorted(chosen - known)
    ]
    for group in groups:
        missing = sorted(set(group.stacks) - chosen)
        if chosen & set(group.stacks) and missing:
            places = ", ".join(str(place) for binding in group.bindings for place in binding.places[:1])
            blockers.append(
                Finding(
                    code="shared-reference",
                    where=places,
                    message=f"these lines also serve {', '.join(missing)}: such stacks cut over together",
                    hint="add " + " ".join(f"--stack {name}" for name in missing) + ", or leave --stack out",
                )
            )
    return blockers


def _check_probe(probe: ProbeResult) -> list[Finding]:
    if probe.verdict == "safe":
        return []
    return [
        Finding(
            code="unsafe-target",
            where="target",
            message="conditional writes do not work here, so a lock protects nothing: " + "; ".join(probe.reasons),
            hint="use another store or version; or acknowledge unsafe-target in migrator.toml with a reason",
        )
    ]
