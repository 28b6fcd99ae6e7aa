"""PURE: settings + inventory + what was observed -> plan. The only place that decides what a migration does."""

from collections.abc import Iterator, Sequence

from migrator.inventory.groups import build_cut_over_groups
from migrator.inventory.model import Reference
from migrator.plan.bind import BoundState
from migrator.plan.blockers import (
    ACKNOWLEDGEABLE,
    check_acknowledgements,
    check_created,
    check_hazards,
    check_parsable,
    check_probe,
    check_selection,
    check_states,
)
from migrator.plan.facts import Facts, build_coordinates, build_key
from migrator.plan.files import Rewriting, build_backend_files, build_rewriting
from migrator.plan.model import (
    Finding,
    ObservedState,
    Override,
    Plan,
    PlannedSource,
    PlannedState,
    PlannedTarget,
    Project,
)
from migrator.plan.scope import check_left_behind, check_projects, check_remote_states
from migrator.settings import Settings


def build_plan(facts: Facts) -> Plan:
    """Return the plan. Blockers stand in it; a plan with blockers is never carried out."""
    settings = facts.settings
    states = tuple(_plan_state(facts, state) for state in facts.bound.states)
    groups = build_cut_over_groups(facts.inventory.references)
    chosen = [reference for reference in facts.inventory.references if _is_selected(facts, reference)]
    rewriting = _build_rewriting(facts, chosen)
    blockers = [
        *check_acknowledgements(settings),
        *check_parsable(facts),
        *facts.bound.blockers,
        *check_states(facts, states),
        *check_selection(facts, groups),
        *rewriting.blockers,
        *check_projects(facts, chosen),
        *check_left_behind(facts, rewriting.files),
        *check_remote_states(facts, chosen),
        *(check_hazards(facts.inventory.hazards) if states else ()),
        *check_probe(facts.probe),
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
        run_prefix=target.run_prefix.strip("/"),
    )


def _build_rewriting(facts: Facts, chosen: Sequence[Reference]) -> Rewriting:
    coordinates = build_coordinates(facts.settings, facts.project)
    rewriting = build_rewriting(chosen, facts.texts, coordinates)
    if coordinates.style != "partial":
        return rewriting
    states = (*facts.bound.states, *_find_unwritten(facts))
    created = build_backend_files(states, lambda state: build_key(facts.settings, facts.project, state), coordinates)
    return Rewriting(
        files=created + rewriting.files,
        reports=rewriting.reports,
        blockers=(*rewriting.blockers, *check_created(facts, states, created)),
    )


def _find_unwritten(facts: Facts) -> Iterator[BoundState]:
    """Yield the states that files lead to and nobody wrote yet: their first init asks for a backend file as well."""
    known = {one.observed.name for one in facts.bound.states} | {one.name for one in facts.bound.left_alone}
    for stack in facts.inventory.stacks:
        for state in stack.states:
            if (
                state.environment is None
                or state.name in known
                or (facts.selected and stack.name not in facts.selected)
            ):
                continue
            known.add(state.name)
            observed = ObservedState(name=state.name, listed_serial=None, locked_by=None, deleted=False)
            yield BoundState(observed=observed, stack=stack, environment=state.environment)


def _is_selected(facts: Facts, reference: Reference) -> bool:
    """A reference that serves no stack in particular belongs to the last stage: only to a plan of every stack."""
    if not facts.selected:
        return True
    return bool(reference.stacks) and set(reference.stacks) <= set(facts.selected)
