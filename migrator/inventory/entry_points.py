"""An entry point: a piece of shell that initializes a stack, and which (stack, state name) pairs it establishes. PURE.

Which stack follows from the directory that it runs in: ``cd {{stack_dir}}/{{stack}}`` is matched against the directories
of the stacks, which also says what ``stack`` is for each. The state follows from the address flags, else from
TF_HTTP_ADDRESS, else from the variables of GitLab's own wrapper scripts.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from migrator.inventory.model import Place, Stack
from migrator.inventory.shell_regions import ShellRegion, build_lookup
from migrator.inventory.values import Lookup, Value, build_value, expand, join_values, match_path, split_after

STATE_MARKER = "/terraform/state/"
_PARENT = re.compile(r"(?<=/)(?!\.\.?/)[^/]+/\.\./")
_WRAPPER_NAMES = ("GITLAB_TOFU_STATE_NAME", "TF_STATE_NAME")
_WRAPPER_ADDRESSES = ("GITLAB_TOFU_STATE_ADDRESS", "TF_ADDRESS")
_WRAPPER_DIRECTORIES = ("GITLAB_TOFU_ROOT_DIR", "TF_ROOT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An entry point uses this state name for this stack. ``environment`` is what the place calls it, if it says so."""

    stack: str
    name: Value
    environment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """``region`` runs in ``base`` (relative to the repository, ``""`` its top) with the variables of ``outside``.

    ``directories`` are working directories that the surrounding file sets, which ``cd`` is relative to. ``areas`` are
    the parts of files that it runs or inherits; ``evidence`` are places that lead to it and say which stack is meant.
    """

    base: str
    region: ShellRegion
    outside: Lookup
    directories: tuple[Value, ...] = ()
    areas: tuple[Place, ...] = ()
    environment: str | None = None
    evidence: frozenset[Place] = field(default_factory=frozenset)


def build_claims(entry: EntryPoint, stacks: Iterable[Stack]) -> Iterator[Claim]:
    """Yield what the entry point establishes; nothing when it uses no state, or no stack can be told."""
    if not (entry.region.initializes or entry.region.works_on_state):
        return
    for stack, known in _match_stacks(entry, stacks):
        lookup = build_lookup(entry.region, entry.outside, known)
        for name in _read_names(entry.region, lookup):
            bound = name.bind(known)
            if bound.pieces:
                places = bound.places | entry.evidence
                yield Claim(stack=stack.name, name=Value(bound.pieces, places), environment=entry.environment)


def find_stacks(entry: EntryPoint, stacks: Iterable[Stack]) -> Iterator[str]:
    """Yield the names of the stacks in whose directories the entry point may run."""
    return (stack.name for stack, _ in _match_stacks(entry, stacks))


def read_state_name(address: str, lookup: Lookup) -> tuple[Value, ...]:
    """Return the state names in an address: what stands behind ``/terraform/state/``."""
    if STATE_MARKER in address:  # the rest of the address would only add places that do not matter
        names = expand(address.rpartition(STATE_MARKER)[2], lookup)
    else:
        names = tuple(name for value in expand(address, lookup) if (name := split_after(value, STATE_MARKER)))
    return tuple(_without_slash(name) for name in names)


def _without_slash(name: Value) -> Value:
    last = name.pieces[-1] if name.pieces else None
    return build_value([*name.pieces[:-1], last.rstrip("/")], name.places) if isinstance(last, str) else name


def _read_names(region: ShellRegion, lookup: Lookup) -> tuple[Value, ...]:
    if region.addresses:
        return tuple(
            name.with_place(address.place)
            for address in region.addresses
            for name in read_state_name(address.text, lookup)
        )
    addresses = ("TF_HTTP_ADDRESS", *(_WRAPPER_ADDRESSES if region.uses_wrapper else ()))
    for variable in addresses:
        if found := _read_address_variable(variable, region, lookup):
            return found
    for variable in _WRAPPER_NAMES if region.uses_wrapper else ():
        if found := lookup("shell", variable):
            return found
    return ()


def _read_address_variable(variable: str, region: ShellRegion, lookup: Lookup) -> tuple[Value, ...]:
    if assigned := region.assignments.get(variable):
        texts = [one for one in assigned if STATE_MARKER in one.text]
        if texts:
            return tuple(name.with_place(one.place) for one in texts for name in read_state_name(one.text, lookup))
    values = lookup("shell", variable)
    return tuple(name for value in values if (name := split_after(value, STATE_MARKER)))


def _match_stacks(entry: EntryPoint, stacks: Iterable[Stack]) -> Iterator[tuple[Stack, dict[str, str]]]:
    """Yield each way in which the entry point may run in a stack's directory, with what its unknown parts are then."""
    directories = _read_directories(entry)
    for stack in stacks:
        found = [known for value in directories if (known := match_path(value, stack.directory)) is not None]
        for known in {tuple(sorted(one.items())): one for one in found}.values():
            yield stack, known


def _read_directories(entry: EntryPoint) -> list[Value]:
    lookup = build_lookup(entry.region, entry.outside, {})
    outer = entry.directories or (build_value([entry.base]),)
    inner = [value for text in entry.region.directories for value in expand(text, lookup)]
    if not inner and entry.region.uses_wrapper:
        inner = [value for name in _WRAPPER_DIRECTORIES for value in lookup("shell", name)]
    joined = [one for value in inner for base in outer for one in _join_path(base, value)]
    return list(dict.fromkeys(_normalize(value) for value in [*joined, *(inner or outer)]))


def _join_path(base: Value, inner: Value) -> tuple[Value, ...]:
    return join_values(((base,), (build_value(["/"]),), (inner,))) if base.pieces else (inner,)


def _normalize(value: Value) -> Value:
    """Return the path without ``.`` and ``..``, and without quotes around its parts."""
    if value.text is not None:
        return build_value([posixpath.normpath(value.text)], value.places)
    pieces = [_PARENT.sub("", piece) if isinstance(piece, str) else piece for piece in value.pieces]
    if len(pieces) > 1 and not isinstance(pieces[0], str) and isinstance(pieces[1], str):
        pieces[1] = re.sub(r"^(?:/\.\.?)+(?=/)", "", pieces[1])  # $(dirname $0)/../stacks
    elif pieces and isinstance(pieces[0], str):
        pieces[0] = pieces[0].removeprefix("./")
    return build_value(pieces, value.places)


def build_mapping_lookup(variables: Mapping[str, tuple[Value, ...]], *, language: str = "shell") -> Lookup:
    """Return a lookup of these variables."""
    return lambda asked, name: variables.get(name, ()) if asked == language else ()
