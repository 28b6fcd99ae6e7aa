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
from migrator.inventory.entry_sources import read_file_claims
from migrator.inventory.model import Place, Stack, StateName
from migrator.inventory.stacks import is_gitlab_backend
from migrator.inventory.survey import Survey
from migrator.inventory.tree import RepositoryTree
from migrator.inventory.usage import Usage, read_mentions, read_usages
from migrator.inventory.values import Unknown, Value

_DEFAULT_ENVIRONMENT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A name with its environment; of a ``literal`` name it is still to be found, ``hint`` is what the place calls it."""

    name: str
    places: frozenset[Place]
    environment: str | None = None
    literal: bool = False
    hint: str | None = None


def discover_states(tree: RepositoryTree, stacks: tuple[Stack, ...], survey: Survey) -> tuple[Stack, ...]:
    """Return the stacks with the state names that the files establish, for each stack with GitLab's http backend."""
    gitlab = tuple(stack for stack in stacks if is_gitlab_backend(stack))
    if not gitlab:
        return stacks
    claims = [claim for entry in survey.entry_points for claim in build_claims(entry, gitlab)]
    claims += read_file_claims(tree, gitlab)
    usages = read_usages(tree, gitlab) if claims else ()
    named: dict[str, list[_Named]] = defaultdict(list)
    for claim in claims:
        named[claim.stack] += _name_states(claim, usages)
    for stack, mentions in _find_mentions(tree, named).items():
        named[stack] += mentions
    known = {one.environment for found in named.values() for one in found if one.environment}
    return tuple(replace(stack, states=_build_state_names(stack, named.get(stack.name, []), known)) for stack in stacks)


def _name_states(claim: Claim, usages: Iterable[Usage]) -> Iterator[_Named]:
    """Yield the names of one claim: each known value of its environment, and the template unless the list is closed."""
    unknown = _find_environment(claim.name)
    if unknown is None:
        yield _Named(name=claim.name.text or "", places=claim.name.places, literal=True, hint=claim.environment)
        return
    given = unknown.choices or ((unknown.default,) if unknown.default else ())
    values = dict.fromkeys(given, claim.name.places)
    for usage in usages:
        if usage.sets(unknown.name) and claim.stack in usage.stacks:
            values[usage.value] = values.get(usage.value, claim.name.places) | {usage.place}
    others = len(claim.name.unknowns) > 1
    if not any(isinstance(piece, str) for piece in claim.name.pieces) and not values:
        return  # nothing is known of this name: a template of it would fit every state
    for value, places in values.items():
        if not others:
            yield _Named(name=_fill(claim.name, unknown, value), environment=value, places=places)
    if others or not unknown.choices:
        yield _Named(name=_fill(claim.name, unknown, "{environment}"), places=claim.name.places)


def _find_mentions(tree: RepositoryTree, named: dict[str, list[_Named]]) -> dict[str, list[_Named]]:
    """Return the names in documents that a template of a stack gives for an environment of any other stack."""
    environments = {one.environment for found in named.values() for one in found if one.environment}
    wanted = {
        one.name.replace("{environment}", environment): (stack, environment)
        for stack, found in named.items()
        for one in found
        if one.environment is None and one.name.count("{") == 1 and "{environment}" in one.name
        for environment in environments
    }
    mentions: dict[str, list[_Named]] = defaultdict(list)
    for name, place in read_mentions(tree, wanted):
        stack, environment = wanted[name]
        mentions[stack].append(_Named(name=name, environment=environment, places=frozenset([place])))
    return mentions


def _find_environment(name: Value) -> Unknown | None:
    """Return the unknown part that is the environment: the one that is called so, else the last one."""
    unknowns = name.unknowns
    called = [one for one in unknowns if re.search(r"env|stage|tier|inputs\.", one.name, re.IGNORECASE)]
    candidates = called or unknowns
    return candidates[-1] if candidates else None


def _fill(name: Value, environment: Unknown, value: str) -> str:
    return "".join(
        piece if isinstance(piece, str) else value if piece == environment else f"{{{_field(piece.name)}}}"
        for piece in name.pieces
    )


def _field(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").lower() or "unknown"


def _build_state_names(stack: Stack, found: Iterable[_Named], known: set[str]) -> tuple[StateName, ...]:
    evidence: dict[tuple[str | None, str], set[Place]] = defaultdict(set)
    for one in found:
        environment = _name_environment(stack, one, known) if one.literal else one.environment
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
