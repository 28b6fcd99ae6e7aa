"""PURE: records -> what is true of a run. The one reading of the journal that resume, status and rollback share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from migrator.journal.record import Body, Record, RecordKind

_FINAL = (
    "finalize"  # this step has no effect but its intent: whoever reads it, on whatever machine, gives up the way back
)


class StepState(StrEnum):
    """How far one step of one unit is."""

    UNTOUCHED = "untouched"
    IN_DOUBT = "in-doubt"  # an intent without an outcome: the effect may or may not have taken place
    DONE = "done"
    UNDO_IN_DOUBT = "undo-in-doubt"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step of one unit. Bodies are None until their record exists; ``number`` is the last record about it, ``begun_at``
    the time of its intent.
    """

    step: str
    unit: str
    intent: Body | None = None
    evidence: Body | None = None
    undo_intent: Body | None = None
    undo_evidence: Body | None = None
    number: int = 0
    begun_at: str = ""

    @property
    def state(self) -> StepState:
        """How far the step is."""
        if self.undo_evidence is not None:
            return StepState.UNDONE
        if self.undo_intent is not None:
            return StepState.UNDO_IN_DOUBT
        if self.evidence is not None:
            return StepState.DONE
        return StepState.IN_DOUBT if self.intent is not None else StepState.UNTOUCHED


@dataclass(slots=True)
class RunView:
    """What is true of a run. ``steps`` keeps the order in which steps began."""

    run_id: str = ""
    plan_digest: str = ""
    steps: dict[tuple[str, str], StepView] = field(default_factory=dict)
    barriers: list[str] = field(default_factory=list)
    rolling_back: bool = False
    without_target: bool = False  # this way back asks nothing of the target
    target_left: bool = False  # the run is over, and what it left at the target is still there
    outcome: str | None = None
    stopped: Body | None = None
    started_at: str = ""
    begun_by: str = ""  # user@host
    updated_at: str = ""

    def step(self, step: str, unit: str) -> StepView:
        """Return the view of one step, ``UNTOUCHED`` when nothing is recorded."""
        return self.steps.get((step, unit)) or StepView(step=step, unit=unit)

    def units(self, step: str, *states: StepState) -> list[str]:
        """Return the units whose step is in one of ``states``, in order."""
        return [view.unit for view in self.steps.values() if view.step == step and view.state in states]

    def add(self, record: Record) -> None:
        """Take one more record into account."""
        self.updated_at = record.at
        key = (record.step, record.unit)
        match record.kind:
            case RecordKind.RUN:
                self.run_id = str(record.body.get("run", ""))
                self.plan_digest = str(record.body.get("plan", ""))
                self.started_at = record.at
                self.begun_by = str(record.body.get("who", ""))
            case RecordKind.INTENT:
                # A new intent for a step that was settled as not done starts it afresh.
                self.steps[key] = StepView(
                    step=record.step, unit=record.unit, intent=record.body, number=record.number, begun_at=record.at
                )
                self.stopped = None
                if record.step == _FINAL:
                    self.outcome = "finalized"
            case RecordKind.DONE | RecordKind.UNDO_INTENT | RecordKind.UNDONE:
                self.steps[key] = _advance(self.step(*key), record)
                self.stopped = None
            case RecordKind.BARRIER:
                self.barriers.append(str(record.body.get("barrier", "")))
            case RecordKind.ROLLBACK:
                self.rolling_back = True
                self.without_target = bool(record.body.get("without_target"))
                self.outcome = None
            case RecordKind.STOPPED:
                self.stopped = record.body
            case RecordKind.OUTCOME:
                self.outcome = str(record.body.get("outcome", ""))
                self.target_left = bool(record.body.get("target_left"))
                self.stopped = None


def _advance(view: StepView, record: Record) -> StepView:
    def pick(kind: RecordKind, before: Body | None) -> Body | None:
        return record.body if record.kind is kind else before

    return StepView(
        step=view.step,
        unit=view.unit,
        intent=view.intent,
        evidence=pick(RecordKind.DONE, view.evidence),
        undo_intent=pick(RecordKind.UNDO_INTENT, view.undo_intent),
        # What is taken back once more is in doubt again.
        undo_evidence=pick(RecordKind.UNDONE, None if record.kind is RecordKind.UNDO_INTENT else view.undo_evidence),
        number=record.number,
        begun_at=view.begun_at,
    )


def fold(records: Iterable[Record]) -> RunView:
    """Return what is true after ``records``."""
    view = RunView()
    for record in records:
        view.add(record)
    return view
