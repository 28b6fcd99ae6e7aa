"""Which states each stack has, as far as the files alone establish it. Comments do not count.

Every entry point that initializes a stack makes a claim; claims become state names. A part that nothing in the files
settles stays a template (``attic-{environment}``, environment None) beside the values that a default, a closed list or a
documented command gives. Two names for one environment are both listed: nothing is normalised in silence.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from migrator.inventory.entry_points import Claim, build_claims
from migrator.inventory.entry_sources import read_entry_points, read_file_claims
from migrator.inventory.model import Place, Stack, StateName
from migrator.inventory.stacks import is_gitlab_backend
from migrator.inventory.tree import RepositoryTree
from migrator.inventory.usage import Usage, read_usages
from migrator.inventory.values import Unknown, Value

_DEFAULT_ENVIRONMENT = "default"


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    environment: str | None
    hint: str | None
    is_literal: bool
    places: frozenset[Place]


def discover_states(tree: RepositoryTree, stacks: tuple[Stack, ...]) -> tuple[Stack, ...]:
    """Return the stacks with the state names that the files establish, for each stack with GitLab's http backend."""
    gitlab = tuple(stack for stack in stacks if is_gitlab_backend(stack))
    if not gitlab:
        return stacks
    claims = [claim for entry in read_entry_points(tree) for claim in build_claims(entry, gitlab)]
    claims += read_file_claims(tree, gitlab)
    usages = read_usages(tree, gitlab) if claims else ()
    named: dict[str, list[_Named]] = defaultdict(list)
    for claim in claims:
        named[claim.stack] += _name_states(claim, usages)
    known = {one.environment for found in named.values() for one in found if one.environment}
    return tuple(replace(stack, states=_build_state_names(stack, named.get(stack.name, []), known)) for stack in stacks)


def _name_states(claim: Claim, usages: Iterable[Usage]) -> Iterator[_Named]:
    """Yield the names of one claim: each known value of its environment, and the template unless the list is closed."""
    unknown = _find_environment(claim.name)
    if unknown is None:
        yield _Named(_fill(claim.name, None, ""), None, claim.environment, True, claim.name.places)
        return
    values = {value: claim.name.places for value in unknown.choices or ((unknown.default,) if unknown.default else ())}
    for usage in usages:
        if usage.sets(unknown.name) and claim.stack in usage.stacks:
            values[usage.value] = values.get(usage.value, claim.name.places) | {usage.place}
    others = len(claim.name.unknowns) > 1
    if not any(isinstance(piece, str) for piece in claim.name.pieces) and not values:
        return  # nothing is known of this name: a template of it would fit every state
    for value, places in values.items():
        if not others:
            yield _Named(_fill(claim.name, unknown, value), value, None, False, places)
    if others or not unknown.choices:
        yield _Named(_fill(claim.name, unknown, "{environment}"), None, None, False, claim.name.places)


def _find_environment(name: Value) -> Unknown | None:
    """Return the unknown part that is the environment: the one that is called so, else the last one."""
    unknowns = name.unknowns
    called = [one for one in unknowns if re.search(r"env|stage|tier|inputs\.", one.name, re.IGNORECASE)]
    return (called or list(unknowns) or [None])[-1]


def _fill(name: Value, environment: Unknown | None, value: str) -> str:
    return "".join(
        piece if isinstance(piece, str) else value if piece == environment else f"{{{_field(piece.name)}}}"
        for piece in name.pieces
    )


def _field(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").lower() or "unknown"


def _build_state_names(stack: Stack, found: Iterable[_Named], known: set[str]) -> tuple[StateName, ...]:
    evidence: dict[tuple[str | None, str], set[Place]] = defaultdict(set)
    for one in found:
        environment = _name_environment(stack, one, known) if one.is_literal else one.environment
        evidence[environment, one.name] |= one.places
    return tuple(
        StateName(environment=environment, name=name, evidence=tuple(sorted(places)))
        for (environment, name), places in sorted(
            evidence.items(), key=lambda item: (item[0][0] is None, item[0][0] or "", item[0][1])
        )
    )


def _name_environment(stack: Stack, one: _Named, known: set[str]) -> str:
    """Return the environment of a literal name; where the name does not hold it, what the place calls it.

    ``attic-review`` of stack ``attic`` is ``review``; ``runners-dev`` of ``gitlab-runners`` is ``dev``.
    """
    if one.name.startswith(f"{stack.name}-"):
        return one.name.removeprefix(f"{stack.name}-")
    hint = one.hint.rpartition("/")[2] if one.hint and "$" not in one.hint else None
    head, _, tail = one.name.rpartition("-")
    if hint and one.name.endswith(hint):
        return hint
    if head and (tail in known or set(head.split("-")) <= set(stack.name.split("-"))):
        return tail
    return hint or _DEFAULT_ENVIRONMENT
