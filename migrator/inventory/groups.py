"""Which stacks have to cut over together, and which files bind them. PURE.

A file may change only once every state that it serves has been copied. So stacks that one file serves form a group, and
stacks that are linked through a third one too: the groups are the connected components.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from migrator.inventory.model import Place, Reference
from migrator.rewrite.reference import WORDS, Disposition


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A file that serves several stacks, with the places in it that will change."""

    path: str
    stacks: tuple[str, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOverGroup:
    """Stacks that cut over together. ``bindings`` is empty for a stack that shares no file with another one."""

    stacks: tuple[str, ...]
    bindings: tuple[Binding, ...]


def build_cut_over_groups(references: Iterable[Reference]) -> tuple[CutOverGroup, ...]:
    """Return the groups of the stacks that rewritten references serve, in order of their stacks."""
    served: dict[str, set[str]] = defaultdict(set)
    places: dict[str, list[tuple[bool, Place]]] = defaultdict(list)
    for reference in references:
        if reference.disposition is Disposition.REWRITE:
            served[reference.place.path].update(reference.stacks)
            # What works binds stacks more plainly than what is only said: it comes first.
            places[reference.place.path].append((reference.kind in WORDS, reference.place))
    bindings = [
        Binding(path=path, stacks=tuple(sorted(stacks)), places=tuple(place for _, place in sorted(places[path])))
        for path, stacks in sorted(served.items())
        if len(stacks) > 1
    ]
    components = _build_components(set().union(*served.values()), bindings)
    return tuple(
        CutOverGroup(
            stacks=tuple(sorted(component)),
            bindings=tuple(binding for binding in bindings if component.issuperset(binding.stacks)),
        )
        for component in sorted(components, key=min)
    )


def _build_components(stacks: set[str], bindings: Iterable[Binding]) -> list[set[str]]:
    components: list[set[str]] = [{stack} for stack in stacks]
    for binding in bindings:
        touched = [component for component in components if component.intersection(binding.stacks)]
        components = [component for component in components if component not in touched]
        components.append(set().union(*touched))
    return components
