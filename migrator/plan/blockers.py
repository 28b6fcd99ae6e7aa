"""PURE: what forbids a plan to be carried out. Each check returns findings; none decides alone."""

from collections import Counter
from collections.abc import Iterable, Sequence

from migrator.inventory.groups import CutOverGroup
from migrator.inventory.hazards import LOSING_DATA
from migrator.inventory.model import Hazard
from migrator.plan.bind import BoundState
from migrator.plan.bounds import is_plainly_spelt
from migrator.plan.facts import Facts
from migrator.plan.model import Finding, ObservedKey, PlannedFile, PlannedState, ProbeResult
from migrator.settings import Settings

# Blockers that an operator may take upon himself, with a reason that the plan keeps. The others have no safe override.
ACKNOWLEDGEABLE = LOSING_DATA | {"unsafe-target", "refused-file", "left-behind-state", "foreign-project"}
_HCL = (".tf", ".tofu", ".tf.json", ".tofu.json")
LONGEST_KEY = 1024  # bytes, of S3
LONGEST_STEM = 200  # bytes: file systems take 255, with an ending and that of a temporary file


def check_acknowledgements(settings: Settings) -> list[Finding]:
    """Return the acknowledgements that acknowledge nothing: a misspelt one must not be ignored."""
    return [
        Finding(
            code="unknown-acknowledgement",
            where=f"migrator.toml, [[acknowledge]] {entry.code}",
            message="no blocker that can be acknowledged has this code",
            hint=f"these can: {', '.join(sorted(ACKNOWLEDGEABLE))}",
        )
        for entry in settings.acknowledge
        if entry.code not in ACKNOWLEDGEABLE
    ]


def check_hazards(hazards: Iterable[Hazard]) -> list[Finding]:
    """Return one finding for each kind of hazard that would lose data: somebody must have read it."""
    places: dict[str, list[Hazard]] = {}
    for hazard in hazards:
        if hazard.code in LOSING_DATA:
            places.setdefault(hazard.code, []).append(hazard)
    return [
        Finding(
            code=code,
            where=f"{found[0].place}{f' and {len(found) - 1} more' if len(found) > 1 else ''}",
            message=found[0].message,
            hint=f"docs/hazards.md says what to do about {code}; then acknowledge it in migrator.toml with a reason",
        )
        for code, found in sorted(places.items())
    ]


def check_created(facts: Facts, states: Iterable[BoundState], created: Iterable[PlannedFile]) -> list[Finding]:
    """Return what stands in the way of the files that style ``partial`` creates for ``states``."""
    occupied = [
        Finding(
            code="occupied-file",
            where=file.path,
            message="style partial creates this file, and the repository has one of this name",
            hint="rename it, or use style inline",
        )
        for file in created
        if facts.texts(file.path) is not None
    ]
    nameless = [
        Finding(
            code="unsafe-file-name",
            where=state.observed.name,
            message="style partial names a file after each state, and this name holds a slash or is too long",
            hint="use style inline",
        )
        for state in states
        if "/" in state.observed.name or len(state.observed.name.encode()) > LONGEST_STEM
    ]
    return occupied + nameless


def check_parsable(facts: Facts) -> list[Finding]:
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


def check_states(facts: Facts, states: Sequence[PlannedState]) -> list[Finding]:
    """Return what stands in the way of the states: their documents, locks and keys."""
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
    if not is_plainly_spelt(key):
        return "is not in Unicode's form NFC"
    return "is longer than 1024 bytes" if len(key.encode()) + len(".tflock") > LONGEST_KEY else None


def check_selection(facts: Facts, groups: Sequence[CutOverGroup]) -> list[Finding]:
    """Return what stands in the way of a selection with ``--stack``."""
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


def check_probe(probe: ProbeResult) -> list[Finding]:
    """Return what the target does not promise."""
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
