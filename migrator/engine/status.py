"""PURE: what the journal alone says, for people and programs: phase, authority of each state, what to type next."""

from dataclasses import dataclass

from migrator.engine.phases import Phase, StepKind
from migrator.journal.fold import RunView, StepState, StepView
from migrator.journal.record import Body
from migrator.plan.model import Plan, PlannedState

_DOUBT = (StepState.IN_DOUBT, StepState.UNDO_IN_DOUBT)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateStatus:
    """One state: which backend is authoritative, whether each side is locked by this run, and the record that says so.

    ``seal`` says what keeps a stale checkout from writing to the source, ``seal_reason`` why it is no more than a lock.
    """

    name: str
    key: str
    stack: str
    environment: str
    authority: str
    source_lock: str
    target_lock: str
    seal: str
    seal_reason: str
    step: str
    record: int
    serial: int | None
    carried_serial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A whole run. ``next_command`` is what an operator types next; ``mirror`` is where other machines find the run.

    ``target_left``: the run came back without its target, where everything still stands that the run left.
    """

    run: str
    plan: str
    phase: str
    proof: str
    started_at: str
    updated_at: str
    states: tuple[StateStatus, ...]
    files_cut_over: int
    files_total: int
    in_doubt: tuple[str, ...]
    stopped: str | None
    overrides: tuple[str, ...]
    next_command: str
    mirror: str | None = None
    target_left: bool = False


def build_status(plan: Plan, digest: str, view: RunView) -> RunStatus:
    """Return the status of a run from its plan and journal."""
    return RunStatus(
        run=view.run_id,
        plan=digest,
        phase=_phase(view),
        proof=plan.proof,
        started_at=view.started_at,
        updated_at=view.updated_at,
        states=tuple(_state(state, view) for state in plan.states),
        files_cut_over=len(view.units(StepKind.CUT_OVER_FILE, StepState.DONE)),
        files_total=len(plan.files),
        # What was in doubt when a run ended was settled by the way back, or was a mere reading.
        in_doubt=()
        if view.outcome
        else tuple(f"{one.step} {one.unit}" for one in view.steps.values() if one.state in _DOUBT),
        stopped=str(view.stopped["message"]) if view.stopped else None,
        overrides=tuple(override.code for override in plan.overrides),
        next_command=_next(view),
        mirror=f"s3://{plan.target.bucket}/{plan.target.run_prefix}/runs/{view.run_id}"
        if plan.target.run_prefix
        else None,
        target_left=view.target_left,
    )


def _phase(view: RunView) -> str:
    if view.outcome:
        return view.outcome
    if view.rolling_back:
        return "rolling-back"
    return view.barriers[-1] if view.barriers else Phase.PLANNED


def _next(view: RunView) -> str:
    if view.outcome == Phase.ROLLED_BACK and view.target_left:
        return "migrator rollback, as soon as the target answers again"
    match view.outcome:
        case Phase.MIGRATED:
            return "migrator verify"
        case Phase.ROLLED_BACK | "refused":
            return "migrator plan"
        case Phase.FINALIZED:
            return "nothing: the run is finalized"
    return "migrator rollback" if view.rolling_back else "migrator migrate (or: migrator rollback)"


def _state(state: PlannedState, view: RunView) -> StateStatus:
    last = _latest(state, view)
    carried = view.step(StepKind.CARRY_BACK, state.name).evidence
    return StateStatus(
        name=state.name,
        key=state.key,
        stack=state.stack,
        environment=state.environment,
        authority=_authority(state, view),
        source_lock=_held(view.step(StepKind.LOCK_SOURCE, state.name), view),
        target_lock=_target_lock(state, view),
        seal=_seal(state, view),
        seal_reason=_protection(state, view).get("reason", ""),
        step=f"{last.step} {last.state}" if last.step else "",
        record=last.number,
        serial=state.serial,
        carried_serial=int(carried["serial"]) if carried else None,
    )


def _latest(state: PlannedState, view: RunView) -> StepView:
    """The step that a state stands at: the first one in doubt, for a stage begins with all of its intents; else the last."""
    steps = sorted((one for one in view.steps.values() if one.unit == state.name), key=lambda one: one.number)
    if not steps:
        return StepView(step="", unit=state.name)
    return next((one for one in steps if one.state in _DOUBT), steps[-1])


def _held(lock: StepView, view: RunView) -> str:
    if view.outcome == "refused":
        return "free"  # whatever was tried took no effect, or was given back
    return {
        StepState.UNTOUCHED: "free",
        StepState.IN_DOUBT: "in doubt",
        StepState.DONE: "held",
        StepState.UNDO_IN_DOUBT: "in doubt",
        StepState.UNDONE: "free",
    }[lock.state]


def _seal(state: PlannedState, view: RunView) -> str:
    """The lock is the last to be given back: without it there is no seal."""
    lock = _held(view.step(StepKind.LOCK_SOURCE, state.name), view)
    protect = view.step(StepKind.PROTECT_SOURCE, state.name).state
    if lock != "held":
        return "none" if lock == "free" else lock
    if protect in _DOUBT:
        return "lock; rule in doubt"
    rule = _protection(state, view)
    if rule.get("rule"):
        return "lock and protection rule"
    return "lock and protection rule of somebody else" if rule.get("theirs") else "lock"


def _protection(state: PlannedState, view: RunView) -> Body:
    protect = view.step(StepKind.PROTECT_SOURCE, state.name)
    return protect.evidence or {} if protect.state is StepState.DONE else {}


def _target_lock(state: PlannedState, view: RunView) -> str:
    lock = view.step(StepKind.LOCK_TARGET, state.name)
    if lock.state is not StepState.DONE:
        return _held(lock, view)
    unlocked = view.step(StepKind.UNLOCK_TARGET, state.name).state
    if unlocked in (StepState.UNTOUCHED, StepState.UNDONE):
        return "held"
    return "free" if unlocked is StepState.DONE else "in doubt"


def _authority(state: PlannedState, view: RunView) -> str:
    """The target is the authority from cut-over until its newest document is known to be at the source again, or until the
    operator gave the target up.
    """
    if Phase.CUT_OVER not in view.barriers or view.without_target or view.target_left:
        return "source"
    publish = view.step(StepKind.PUBLISH, state.name).state
    captured = view.step(StepKind.CAPTURE_TARGET, state.name).evidence or {}
    carry = view.step(StepKind.CARRY_BACK, state.name).evidence or {}
    carried = bool(carry) and carry.get("sha256") == captured.get("sha256")
    unlock = view.step(StepKind.UNLOCK_TARGET, state.name).state
    if carried or publish in (StepState.UNDO_IN_DOUBT, StepState.UNDONE):
        return "source"
    return "source" if view.rolling_back and unlock is StepState.UNTOUCHED else "target"
