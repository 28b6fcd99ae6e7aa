"""Read-only look at both sides, for the plan. Documents are read, digested and let go."""

from collections.abc import Iterable, Sequence
from functools import partial

from migrator.backends.base import ListedState, Presence, StateSource, StateTarget
from migrator.engine.parallel import WORKERS, run_in_parallel
from migrator.errors import InvalidStateError
from migrator.plan.bounds import find_name_problem
from migrator.plan.model import Finding, ObservedKey, ObservedState
from migrator.state.snapshot import digest_of, read_snapshot


def observe_source(source: StateSource, wanted: Iterable[str] | None = None) -> list[ObservedState]:
    """Return what the source shows of every state, sorted by name; documents are read for ``wanted`` only (None: all).

    Raises: BackendError.
    """
    listed = source.list_states()
    names = None if wanted is None else set(wanted)
    found: dict[str, ObservedState] = {}

    def look(state: ListedState) -> None:
        read = not state.deleted and (names is None or state.name in names)
        found[state.name] = _observe_state(source, state) if read else _describe(state)

    run_in_parallel([partial(look, state) for state in listed], workers=WORKERS)
    return [found[state.name] for state in listed]


def _describe(state: ListedState, problem: Finding | None = None) -> ObservedState:
    return ObservedState(
        name=state.name,
        listed_serial=state.serial,
        locked_by=_holder(state),
        deleted=state.deleted,
        problem=problem,
    )


def _observe_state(source: StateSource, state: ListedState) -> ObservedState:
    if problem := find_name_problem(state.name):
        return _describe(
            state,
            Finding(
                code="unsafe-name",
                where=state.name,
                message=f"the name {problem}",
                hint="exclude the state with a reason, or rename it at the source",
            ),
        )
    head = source.read_state(state.name)
    if head.presence is not Presence.PRESENT:
        if state.serial is None:
            return _describe(state)
        return _describe(
            state,
            Finding(
                code="missing-document",
                where=state.name,
                message=f"GitLab lists version {state.serial} but serves no document: its file is lost",
                hint="restore the file at GitLab from a backup; an empty state here would plan to create everything",
            ),
        )
    try:
        snapshot = read_snapshot(head.data)
    except InvalidStateError as error:
        return _describe(
            state, Finding(code="invalid-document", where=state.name, message=error.message, hint="repair it at GitLab")
        )
    return ObservedState(
        name=state.name,
        listed_serial=state.serial,
        locked_by=_holder(state),
        deleted=False,
        sha256=snapshot.sha256,
        serial=snapshot.serial,
        lineage=snapshot.lineage,
        size=snapshot.size,
        encrypted=snapshot.encrypted,
        resource_count=snapshot.resource_count,
    )


def _holder(state: ListedState) -> str | None:
    return f"{state.locked_by or 'somebody'} since {state.locked_at or 'an unknown time'}" if state.locked else None


def observe_target(target: StateTarget, keys: Sequence[str]) -> list[ObservedKey]:
    """Return what the target shows at each key, in the order of ``keys``.

    Raises: BackendError.
    """
    found: dict[str, ObservedKey] = {}

    def look(key: str) -> None:
        head = target.read_state(key)
        holder = target.read_lock(key, "")
        found[key] = ObservedKey(
            key=key,
            sha256=None if head.presence is Presence.ABSENT else digest_of(head.data),
            locked_by=holder.describe() if holder else None,
        )

    run_in_parallel([partial(look, key) for key in keys], workers=WORKERS)
    return [found[key] for key in keys]
