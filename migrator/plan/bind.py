"""PURE: which (stack, environment) each state of the source belongs to.

The operator's ``[[state]]`` tables come first, then what the files establish. No name is normalised: a state that nothing
binds, and two states that claim one (stack, environment), are blockers until the operator settles them.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from migrator.inventory.model import Inventory, Stack
from migrator.plan.model import Finding, LeftAlone, ObservedState
from migrator.settings import Binding, Settings

_PLACEHOLDER = "{environment}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundState:
    """A state with its place in the repository."""

    observed: ObservedState
    stack: Stack
    environment: str
    var_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Every state of the source is in exactly one of the first three.

    ``excluded`` are those of ``left_alone`` that the settings exclude although files lead to them; ``staying`` names those
    whose document is, and stays, at the source alone.
    """

    states: tuple[BoundState, ...]
    left_alone: tuple[LeftAlone, ...]
    blockers: tuple[Finding, ...]
    excluded: tuple[BoundState, ...] = ()
    staying: frozenset[str] = frozenset()


def bind_states(
    settings: Settings,
    inventory: Inventory,
    observed: Iterable[ObservedState],
    *,
    selected: Sequence[str] = (),
    paths: Collection[str] = (),
    moved: Mapping[str, str] = MappingProxyType({}),
) -> Bound:
    """Return what belongs where.

    ``selected`` are stack names (all when empty), ``paths`` the files of the repository, ``moved`` the states that an
    earlier run of this repository moved and sealed, with the run's id.
    """
    by_name = {stack.name: stack for stack in inventory.stacks}
    bindings = {binding.name: binding for binding in settings.state}
    states: list[BoundState] = []
    left_alone: list[LeftAlone] = []
    blockers = _check_settings(settings, by_name)
    names = set()
    everything = sorted(observed, key=lambda state: state.name)
    for one in everything:
        names.add(one.name)
        reason = _reason_to_leave(settings, one, moved)
        if reason is not None:
            left_alone.append(LeftAlone(name=one.name, reason=reason))
            continue
        found = _bind(one, bindings.get(one.name), inventory, by_name)
        if isinstance(found, BoundState):
            if selected and found.stack.name not in selected:
                left_alone.append(LeftAlone(name=one.name, reason="its stack was not selected with --stack"))
            else:
                states.append(_with_variables(found, paths))
        elif isinstance(found, LeftAlone):
            left_alone.append(found)
        else:
            blockers.append(found)
    blockers += _check_absent(settings, names) + _check_doubles(states)
    return Bound(
        states=tuple(states),
        left_alone=tuple(left_alone),
        blockers=tuple(blockers),
        excluded=tuple(_find_excluded(settings, inventory, everything, by_name)),
        staying=frozenset(one.name for one in left_alone) - moved.keys(),
    )


def _find_excluded(
    settings: Settings, inventory: Inventory, observed: Iterable[ObservedState], by_name: dict[str, Stack]
) -> Iterator[BoundState]:
    bindings = {binding.name: binding for binding in settings.state}
    for one in observed:
        if one.deleted or one.listed_serial is None or _reason_to_exclude(settings, one) is None:
            continue
        found = _bind(one, bindings.get(one.name), inventory, by_name)
        if isinstance(found, BoundState):
            yield found


def _reason_to_leave(settings: Settings, state: ObservedState, moved: Mapping[str, str]) -> str | None:
    if state.deleted:
        return "deleted at the source"
    if state.name in moved and state.locked_by:
        return f"moved already by run {moved[state.name]}; the lock at the source is its seal"
    return _reason_to_exclude(settings, state)


def _reason_to_exclude(settings: Settings, state: ObservedState) -> str | None:
    return next((exclusion.reason for exclusion in settings.exclude if exclusion.matches(state.name)), None)


def _bind(
    state: ObservedState, binding: Binding | None, inventory: Inventory, by_name: dict[str, Stack]
) -> BoundState | LeftAlone | Finding:
    if binding is not None and binding.stack in by_name:
        return BoundState(
            observed=state,
            stack=by_name[binding.stack],
            environment=binding.environment,
            var_files=binding.var_files,
        )
    candidates = _find_candidates(state.name, inventory)
    if len(candidates) == 1:
        stack, environment = candidates[0]
        return BoundState(observed=state, stack=stack, environment=environment)
    if not candidates and state.listed_serial is None and state.problem is None:
        return LeftAlone(name=state.name, reason="never written: the name exists at the source without a document")
    if not candidates:
        return Finding(
            code="unbound-state",
            where=state.name,
            message="no file says which stack this state belongs to",
            hint="bind it with a [[state]] table in migrator.toml, or leave it with an [[exclude]] table and a reason",
        )
    claims = ", ".join(f"({stack.name}, {environment})" for stack, environment in candidates)
    return Finding(
        code="doubly-bound-state",
        where=state.name,
        message=f"the files give it to several stacks: {claims}",
        hint="settle it with a [[state]] table in migrator.toml",
    )


def _with_variables(state: BoundState, paths: Collection[str]) -> BoundState:
    """Return the state with the variable file of its environment, where the stack has one and nothing else is bound.

    A wrong guess does no harm: both sides of the proof are planned with the same files.
    """
    name = f"{state.environment}.tfvars"
    if state.var_files or f"{state.stack.directory}/{name}" not in paths:
        return state
    return replace(state, var_files=(name,))


def _find_candidates(name: str, inventory: Inventory) -> list[tuple[Stack, str]]:
    """Return who claims a state name; a name that is written out beats one that only fits a template."""
    exact = {
        (stack.name, state.environment): (stack, state.environment)
        for stack in inventory.stacks
        for state in stack.states
        if state.environment is not None and state.name == name
    }
    if exact:
        return list(exact.values())
    fitting: dict[tuple[str, str], tuple[Stack, str]] = {}
    for stack in inventory.stacks:
        for state in stack.states:
            environment = _match_template(state.name, name) if state.environment is None else None
            if environment is not None:
                fitting[stack.name, environment] = (stack, environment)
    return list(fitting.values())


def _match_template(template: str, name: str) -> str | None:
    if template.count(_PLACEHOLDER) != 1 or template == _PLACEHOLDER:
        return None
    before, after = (re.escape(part) for part in template.split(_PLACEHOLDER))
    match = re.fullmatch(f"{before}([A-Za-z0-9_]+){after}", name)
    return match.group(1) if match else None


def _check_settings(settings: Settings, by_name: dict[str, Stack]) -> list[Finding]:
    return [
        Finding(
            code="unknown-stack",
            where=f"migrator.toml, [[state]] {binding.name}",
            message=f"there is no stack called {binding.stack}",
            hint=f"known stacks: {', '.join(sorted(by_name)) or 'none'}",
        )
        for binding in settings.state
        if binding.stack not in by_name
    ]


def _check_absent(settings: Settings, names: set[str]) -> list[Finding]:
    return [
        Finding(
            code="absent-state",
            where=f"migrator.toml, [[state]] {binding.name}",
            message="the source lists no state of this name",
            hint="correct the name, or remove the table",
        )
        for binding in settings.state
        if binding.name not in names
    ]


def _check_doubles(states: Iterable[BoundState]) -> list[Finding]:
    claims: dict[tuple[str, str], list[str]] = defaultdict(list)
    for state in states:
        claims[state.stack.name, state.environment].append(state.observed.name)
    return [
        Finding(
            code="two-states-for-one-stack",
            where=", ".join(names),
            message=f"both claim stack {stack}, environment {environment}",
            hint="bind one of them to another environment, or exclude it with a reason, in migrator.toml",
        )
        for (stack, environment), names in sorted(claims.items())
        if len(names) > 1
    ]
