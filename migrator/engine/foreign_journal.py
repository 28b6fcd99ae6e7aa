"""PURE: does a journal fit the plan of its run? Asked of every journal that was not written by the process that reads it.

The chain of hashes finds damage, not malice: whoever makes up a journal makes up its hashes. A journal that names states,
keys, files or documents that its plan does not know, or lacks what the way back needs, is refused before anything of it is
believed. What is left to believe (that a step took place, the IDs of locks) every step looks at before it has an effect.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from migrator.engine.phases import FORWARD, Phase, StepKind
from migrator.errors import JournalError
from migrator.journal.fold import RunView, StepState
from migrator.journal.record import Body, Record, RecordKind
from migrator.plan.bounds import is_digest
from migrator.plan.model import Plan

Rule = Callable[[Any], bool]

_OUTCOMES = (Phase.MIGRATED, Phase.ROLLED_BACK, Phase.FINALIZED, "refused")
_ABOUT_STEPS = (RecordKind.INTENT, RecordKind.DONE, RecordKind.UNDO_INTENT, RecordKind.UNDONE)
_BEFORE = {
    RecordKind.DONE: StepState.UNTOUCHED,
    RecordKind.UNDO_INTENT: StepState.UNTOUCHED,
    RecordKind.UNDONE: StepState.UNDO_IN_DOUBT,
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _or_none(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def _is(expected: Any) -> Rule:
    return lambda value: type(value) is type(expected) and value == expected


def _is_list_of_digests(value: Any) -> bool:
    return isinstance(value, list) and all(one is None or is_digest(one) for one in value)


def check_journal_fits(plan: Plan, digest: str, run_id: str, records: Iterable[Record], *, where: str) -> RunView:
    """Return what the records say, once each of them fits the plan with this digest and the run with this id.

    Raises: JournalError that names the first record that does not fit.
    """
    rules = _Rules(plan, run_id)
    view = RunView()
    for record in records:
        problem = _find_problem(record, view, rules, digest)
        if problem:
            raise JournalError(
                f"record {record.number} of the journal does not fit its run: {problem}",
                where=where,
                now="nothing was touched, and nothing there was believed",
                hint="find out who wrote it; then work from the machine that holds the run, or from a backup of its directory",
            )
        view.add(record)
    return view


class _Rules:
    """What records about the steps of one plan must say. A rule for a key that is absent is asked with None."""

    def __init__(self, plan: Plan, run_id: str) -> None:
        self._states = {state.name: state for state in plan.states}
        self._files = {file.path: file for file in plan.files}
        self._run_id = run_id
        self._bucket = plan.target.bucket
        self._proof = plan.proof

    def units(self, kind: StepKind) -> Collection[str]:
        """Return the units that a step of this kind may be about."""
        if kind is StepKind.FINALIZE:
            return (self._run_id,)
        return self._files if kind is StepKind.CUT_OVER_FILE else self._states

    def units_before(self, phase: Phase) -> Iterable[tuple[StepKind, str]]:
        """Return every step of the stage that ends in this phase."""
        for reached, kinds in FORWARD:
            if reached is phase and not (phase is Phase.PROVEN and self._proof == "off"):
                yield from ((kind, unit) for kind in kinds for unit in self.units(kind))

    def bodies(self, record: Record) -> Mapping[str, Rule]:
        """Return what the body of a record must hold."""
        kind = StepKind(record.step)
        if kind is StepKind.CUT_OVER_FILE:
            return self._of_file(record)
        if kind is StepKind.FINALIZE:
            return {"bucket": _is(self._bucket)} if record.kind is RecordKind.INTENT else {}
        match record.kind:
            case RecordKind.INTENT:
                return self._intent(kind, record.unit)
            case RecordKind.DONE:
                return self._done(kind, record.unit)
            case RecordKind.UNDO_INTENT:
                return self._undo_intent(kind)
        return {}

    def _of_file(self, record: Record) -> Mapping[str, Rule]:
        file = self._files[record.unit]
        if record.kind in (RecordKind.INTENT, RecordKind.DONE):
            return {"pre_sha256": _is(file.pre_sha256), "post_sha256": _is(file.post_sha256)}
        return {}

    def _intent(self, kind: StepKind, unit: str) -> Mapping[str, Rule]:
        state = self._states[unit]
        key, captured, lock = {"key": _is(state.key)}, {"sha256": _is(state.sha256)}, {"lock_id": _is_text}
        rules: Mapping[StepKind, Mapping[str, Rule]] = {
            StepKind.LOCK_SOURCE: lock,
            StepKind.LOCK_TARGET: {**lock, **key},
            StepKind.CAPTURE: captured,
            StepKind.PUBLISH: {**key, **captured, "adopted": _is(state.adopted)},
            StepKind.CHECK_TARGET: captured,
            StepKind.PROTECT_SOURCE: {"before": _or_none(_is_number), "reason": _or_none(lambda one: type(one) is str)},
            StepKind.UNLOCK_TARGET: lock,
            StepKind.CAPTURE_TARGET: {**key, "sha256": is_digest},
            StepKind.CARRY_BACK: {
                **lock,
                "sha256": is_digest,
                "serial": _is_number,
                "earlier": _or_none(_is_list_of_digests),
            },
        }
        return rules.get(kind, {})

    def _done(self, kind: StepKind, unit: str) -> Mapping[str, Rule]:
        captured, lock = {"sha256": _is(self._states[unit].sha256)}, {"lock_id": _is_text}
        rules: Mapping[StepKind, Mapping[str, Rule]] = {
            StepKind.LOCK_SOURCE: lock,
            StepKind.LOCK_TARGET: lock,
            StepKind.CAPTURE: captured,
            StepKind.PUBLISH: captured,
            StepKind.PROTECT_SOURCE: {"rule": _or_none(_is_number), "theirs": _or_none(_is_number)},
            StepKind.CAPTURE_TARGET: {
                "sha256": is_digest,
                "serial": _is_number,
                "lineage": lambda one: type(one) is str,
            },
            StepKind.CARRY_BACK: {"sha256": is_digest, "serial": _is_number},
        }
        return rules.get(kind, {})

    def _undo_intent(self, kind: StepKind) -> Mapping[str, Rule]:
        rules: Mapping[StepKind, Mapping[str, Rule]] = {
            StepKind.LOCK_TARGET: {"lock_id": _or_none(_is_text)},
            StepKind.PUBLISH: {"sha256": _or_none(is_digest)},
            StepKind.UNLOCK_TARGET: {"lock_id": _is_text},
        }
        return rules.get(kind, {})


def _find_problem(record: Record, view: RunView, rules: _Rules, digest: str) -> str | None:
    if (record.number == 1) is not (record.kind is RecordKind.RUN):
        return "a journal begins with the record of its run, and has no other"
    match record.kind:
        case RecordKind.RUN:
            return _find_problem_of_run(record.body, rules, digest)
        case RecordKind.BARRIER:
            return _find_problem_of_barrier(record.body, view, rules)
        case RecordKind.OUTCOME if record.body.get("outcome") not in _OUTCOMES:
            return "it names no end that a run can have"
        case RecordKind.STOPPED if type(record.body.get("message")) is not str:
            return "it does not say what stopped the run"
        case kind if kind in _ABOUT_STEPS:
            return _find_problem_of_step(record, view, rules)
    return None


def _find_problem_of_run(body: Body, rules: _Rules, digest: str) -> str | None:
    if [body.get("run")] != list(rules.units(StepKind.FINALIZE)):
        return "it was begun under another id"
    return None if body.get("plan") == digest else "it was begun with another plan"


def _find_problem_of_barrier(body: Body, view: RunView, rules: _Rules) -> str | None:
    reached = body.get("barrier")
    if reached not in [phase for phase, _ in FORWARD]:
        return "it names no phase"
    for kind, unit in rules.units_before(Phase(reached)):
        # Runs of the first versions know nothing of protection rules.
        if kind is not StepKind.PROTECT_SOURCE and view.step(kind, unit).evidence is None:
            return f"it says {reached}, and {kind} of {unit} is not done"
    return None


def _find_problem_of_step(record: Record, view: RunView, rules: _Rules) -> str | None:
    if record.step not in list(StepKind):
        return f"there is no step {record.step!r}"
    if record.unit not in rules.units(StepKind(record.step)):
        return f"{record.step} of {record.unit!r}, which its plan does not know"
    state = view.step(record.step, record.unit).state
    before = _BEFORE.get(record.kind)
    if (before is StepState.UNTOUCHED and state is before) or (
        before is StepState.UNDO_IN_DOUBT and state is not before
    ):
        return f"{record.step} of {record.unit} cannot be {record.kind} while it is {state}"
    for key, holds in rules.bodies(record).items():
        if not holds(record.body.get(key)):
            return f"{record.step} of {record.unit} has another {key} than it must"
    return None
