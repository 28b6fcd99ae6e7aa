"""One file per step. ``build_chains`` says which steps a stage of a plan consists of."""

from collections.abc import Callable, Mapping, Sequence

from migrator.engine.phases import StepKind
from migrator.engine.step import Step
from migrator.engine.steps.capture import Capture
from migrator.engine.steps.carry_back import CaptureTarget, CarryBack
from migrator.engine.steps.check_target import CheckTarget
from migrator.engine.steps.cut_over_file import CutOverFile
from migrator.engine.steps.lock_source import LockSource
from migrator.engine.steps.lock_target import LockTarget
from migrator.engine.steps.protect_source import ProtectSource
from migrator.engine.steps.prove import Prove
from migrator.engine.steps.publish import Publish
from migrator.engine.steps.unlock_target import UnlockTarget
from migrator.plan.model import Plan, PlannedState

_STATE_STEPS: Mapping[StepKind, Callable[[PlannedState], Step]] = {
    StepKind.LOCK_SOURCE: LockSource,
    StepKind.LOCK_TARGET: LockTarget,
    StepKind.CAPTURE: Capture,
    StepKind.PUBLISH: Publish,
    StepKind.CHECK_TARGET: CheckTarget,
    StepKind.PROVE: Prove,
    StepKind.PROTECT_SOURCE: ProtectSource,
    StepKind.UNLOCK_TARGET: UnlockTarget,
}

__all__ = ["CaptureTarget", "CarryBack", "build_chains", "build_state_step"]


def build_state_step(kind: StepKind, state: PlannedState) -> Step:
    """Return the step of this kind for a state."""
    return _STATE_STEPS[kind](state)


def build_chains(kinds: Sequence[StepKind], plan: Plan) -> list[list[Step]]:
    """Return, for one stage, the steps of each unit in order. Chains are independent of each other."""
    if kinds == (StepKind.CUT_OVER_FILE,):
        return [[CutOverFile(file)] for file in plan.files]
    if kinds == (StepKind.PROVE,) and plan.proof == "off":
        return []
    return [[build_state_step(kind, state) for kind in kinds] for state in plan.states]
