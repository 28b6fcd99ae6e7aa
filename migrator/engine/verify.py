"""Read-only: is everything as the run left it, or better? Each answer is one ``Check``; nothing is decided here."""

from dataclasses import dataclass
from typing import Protocol

from migrator.backends.base import Head, Presence, StateSource, StateTarget
from migrator.backends.lock_info import LockInfo
from migrator.engine.guard import read_source_lock
from migrator.engine.parallel import WORKERS, run_for_states
from migrator.engine.phases import Phase, StepKind
from migrator.engine.ports import WorkTree
from migrator.engine.steps.carry_back import list_left_at_source
from migrator.errors import InvalidStateError
from migrator.journal.fold import RunView, StepState
from migrator.plan.model import Plan, PlannedFile, PlannedState
from migrator.state.relation import Relation, compare_other_bytes
from migrator.state.snapshot import digest_of, read_snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question with its answer: ``subject`` is a state or path, ``found`` is for people."""

    name: str
    subject: str
    ok: bool
    found: str


class KeptBlobs(Protocol):
    """What is asked of the documents that the run keeps, wherever it does."""

    def has(self, digest: str) -> bool:
        """Return whether a whole blob with this digest is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What verification reads: both backends, the work tree, and what the run left on disk."""

    source: StateSource
    target: StateTarget
    work_tree: WorkTree
    blobs: KeptBlobs
    run: RunView


def verify(plan: Plan, evidence: Evidence) -> list[Check]:
    """Return every check of the run, states first, in the order of the plan.

    Raises: BackendError.
    """
    found: dict[str, list[Check]] = {}

    def look(state: PlannedState) -> None:
        found[state.name] = _verify_state(state, evidence)

    run_for_states(plan.states, look, workers=WORKERS)
    checks = [check for state in plan.states for check in found[state.name]]
    return checks + [_verify_file(file, evidence) for file in plan.files]


def _verify_state(state: PlannedState, evidence: Evidence) -> list[Check]:
    view = evidence.run
    if view.step(StepKind.LOCK_SOURCE, state.name).state is not StepState.DONE:
        checks = [_source_is_free(state, evidence)]
        if _rule_of_run(state, view):
            checks.append(_source_is_unprotected(state, evidence))
        if view.outcome == Phase.ROLLED_BACK and view.step(StepKind.CAPTURE, state.name).evidence is not None:
            checks.append(_returned_document(state, evidence))
        if view.target_left and view.step(StepKind.PUBLISH, state.name).state is StepState.DONE:
            checks.append(_left_document(state, evidence))
        if view.step(StepKind.LOCK_TARGET, state.name).intent is not None and not view.target_left:
            checks.append(_target_is_free(state, evidence))
        return checks
    checks = [*_seal(state, evidence), _source_document(state, evidence)]
    if view.step(StepKind.PUBLISH, state.name).state is StepState.DONE:
        checks.append(_target_document(state, evidence))
    if view.step(StepKind.UNLOCK_TARGET, state.name).state is StepState.DONE:
        checks.append(_target_is_free(state, evidence))
    return checks


def _source_is_free(state: PlannedState, evidence: Evidence) -> Check:
    locked = evidence.run.step(StepKind.LOCK_SOURCE, state.name).intent is not None
    ours = locked and read_source_lock(evidence.source, state.name, evidence.run)[1]
    return Check(
        name="source-unlocked",
        subject=state.name,
        ok=not ours,
        found="still locked by this run" if ours else "no lock of this run",
    )


def _returned_document(state: PlannedState, evidence: Evidence) -> Check:
    """After a rollback the source serves what was captured or carried back, or a successor of it."""
    carried = evidence.run.step(StepKind.CARRY_BACK, state.name).evidence
    digest, serial = (carried["sha256"], carried["serial"]) if carried else (state.sha256, state.serial)
    head = evidence.source.read_state(state.name)
    if head.sha256 == digest:
        found = f"serial {serial}, as this run left it" if digest else "never written, as before"
        return Check(name="source-document", subject=state.name, ok=True, found=found)
    lineage = evidence.run.step(StepKind.CAPTURE_TARGET, state.name).evidence or {"lineage": state.lineage}
    ok, found = _compare_successor(head, lineage=lineage["lineage"], serial=serial)
    return Check(name="source-document", subject=state.name, ok=ok, found=found)


def _left_document(state: PlannedState, evidence: Evidence) -> Check:
    """After a way back without the target nobody may find a document there."""
    gone = evidence.target.read_state(state.key).presence is not Presence.PRESENT
    found = "nothing is left there" if gone else "a document of this run is still there: migrator rollback closes it"
    return Check(name="target-closed", subject=state.name, ok=gone, found=found)


def _rule_of_run(state: PlannedState, run: RunView) -> int | None:
    """Return the id of the rule that this run made or relies on."""
    made = run.step(StepKind.PROTECT_SOURCE, state.name).evidence or {}
    rule: int | None = made.get("rule") or made.get("theirs")
    return rule


def _seal(state: PlannedState, evidence: Evidence) -> list[Check]:
    """The lock, and the rule where there is one: either of them keeps a stale checkout out."""
    rule = _rule_of_run(state, evidence.run)
    protection = _protection(state, rule, evidence) if rule else None
    holder, ours = read_source_lock(evidence.source, state.name, evidence.run)
    protected = protection is not None and protection.ok
    if ours:
        found = "sealed by this run"
    elif protected:
        found = f"the lock {_describe_holder(holder)}; the protection rule keeps everybody out"
    else:
        found = f"held by {holder.describe()}" if holder else "open: the seal was lifted"
    lock = Check(name="source-sealed", subject=state.name, ok=ours or protected, found=found)
    return [lock, protection] if protection else [lock]


def _describe_holder(holder: LockInfo | None) -> str:
    return f"is held by {holder.describe()}" if holder else "was lifted"


def _protection(state: PlannedState, rule_id: int, evidence: Evidence) -> Check:
    made = evidence.run.step(StepKind.PROTECT_SOURCE, state.name).evidence or {}
    protection = evidence.source.read_protection(state.name)
    rule = protection.rule
    ok = False
    if rule is None:
        found = protection.reason or f"open: rule {rule_id} was removed"
    elif rule.id != rule_id:
        found = f"rule {rule_id} was replaced by rule {rule.id}: {rule.describe()}"
    else:
        ok = rule.is_as_made if made["rule"] else rule.keeps_everybody_out
        found = f"rule {rule_id}{'' if ok else ' was changed'}: {rule.describe()}"
    return Check(name="source-protected", subject=state.name, ok=ok, found=found)


def _source_is_unprotected(state: PlannedState, evidence: Evidence) -> Check:
    """After a rollback no rule of this run stands: not even one that could not be removed while the feature was off."""
    made = evidence.run.step(StepKind.PROTECT_SOURCE, state.name).evidence or {}
    protection = evidence.source.read_protection(state.name)
    stands = protection.rule is not None and protection.rule.id == made.get("rule")
    found = f"rule {made.get('rule')} of this run still stands" if stands else "no rule of this run"
    ok = protection.known and not stands
    return Check(name="source-unprotected", subject=state.name, ok=ok, found=protection.reason or found)


def _source_document(state: PlannedState, evidence: Evidence) -> Check:
    found = evidence.source.read_state(state.name).sha256
    ok = found in list_left_at_source(state, evidence.run)
    text = f"serial {state.serial}, unchanged" if found == state.sha256 else "serial carried back from the target"
    if not ok:
        text = "changed past the seal: both sides have moved"
    return Check(name="source-unchanged", subject=state.name, ok=ok, found=text)


def _target_document(state: PlannedState, evidence: Evidence) -> Check:
    head = evidence.target.read_state(state.key)
    ok, found = _compare_target(state, head)
    return Check(name="target-document", subject=state.name, ok=ok, found=found)


def _compare_target(state: PlannedState, head: Head) -> tuple[bool, str]:
    if head.presence is not Presence.PRESENT and state.sha256 is None:
        return True, "nothing there yet"
    if head.sha256 == state.sha256:
        return True, f"serial {state.serial}, byte-identical"
    return _compare_successor(head, lineage=state.lineage if state.sha256 else None, serial=state.serial)


def _compare_successor(head: Head, *, lineage: str | None, serial: int | None) -> tuple[bool, str]:
    """Say whether other bytes than expected are a successor of them; without a lineage any state is (a first one)."""
    if head.presence is not Presence.PRESENT:
        return False, "missing"
    try:
        snapshot = read_snapshot(head.data)
    except InvalidStateError as error:
        return False, error.message
    if lineage is None:
        return True, f"serial {snapshot.serial}, first written there since"
    relation = compare_other_bytes(lineage=lineage, serial=serial or 0, other=snapshot)
    ok = relation is Relation.NEWER
    return ok, f"moved on to serial {snapshot.serial}, same lineage" if ok else f"the document there is {relation}"


def _target_is_free(state: PlannedState, evidence: Evidence) -> Check:
    holder = evidence.target.read_lock(state.key, "")
    taken = evidence.run.step(StepKind.LOCK_TARGET, state.name).intent or {}
    taken_again = evidence.run.step(StepKind.UNLOCK_TARGET, state.name).undo_intent or {}
    ours = holder is not None and holder.id in (taken.get("lock_id"), taken_again.get("lock_id"))
    found = "free" if holder is None else f"held by {holder.describe()}"
    return Check(name="target-unlocked", subject=state.name, ok=not ours, found=found)


def _verify_file(file: PlannedFile, evidence: Evidence) -> Check:
    data = evidence.work_tree.read(file.path)
    digest = None if data is None else digest_of(data)
    cut_over = evidence.run.step(StepKind.CUT_OVER_FILE, file.path).state is StepState.DONE
    expected, word = (file.post_sha256, "target") if cut_over else (file.pre_sha256, "source")
    may_go_back = cut_over and evidence.run.outcome != Phase.FINALIZED
    if may_go_back and file.pre_sha256 and not evidence.blobs.has(file.pre_sha256):
        return Check(name="pre-image", subject=file.path, ok=False, found="its kept copy is missing or damaged")
    if digest == expected:
        return Check(name="file", subject=file.path, ok=True, found=f"names the {word}, as the run left it")
    if digest == (file.pre_sha256 if cut_over else file.post_sha256):
        found = f"as {'before' if cut_over else 'after'} the cut-over: not the work tree that this run changed last"
        return Check(name="file", subject=file.path, ok=False, found=found)
    # An edit of something else in a file is no fault; whether it still names the target is asked of the inventory.
    return Check(name="file", subject=file.path, ok=False, found="edited since, or never written")
