"""The scenes of the story, in order. Each plays one thing on the stage and returns what it showed, in one line.

A scene raises ``LeftOutError`` when it cannot be played here and an error of ``migrator.errors`` when it fails. No scene
believes a command's own word for what it can see for itself on the servers or in the files.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrator.backends.base import Presence
from migrator.backends.lock_info import LockInfo
from migrator.engine.phases import StepKind
from migrator.errors import CheckFailedError
from migrator.journal.fold import StepState
from migrator.journal.home import Home
from migrator.plan.codec import decode_plan
from migrator.plan.model import PlannedState
from migrator.rehearsal.checkout import compare_fingerprints, read_fingerprint
from migrator.rehearsal.model import Transcript
from migrator.rehearsal.stage import CHANGE_ADDRESS, Change, LeftOutError, Stage, build_failure
from migrator.rewrite.reference import Disposition
from migrator.state.relation import Relation, compare_snapshots
from migrator.state.snapshot import digest_of, read_snapshot

_LOCK_ID = "00000000-0000-4000-8000-000000000001"
_REFUSED_BY_LOCK = "Error acquiring the state lock"
_SERIAL = re.compile(rb'"serial"\s*:\s*(\d+)')


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: it is played when the scenes in ``needs`` did not fail, and were not left out."""

    name: str
    play: Callable[[Stage], str]
    needs: tuple[str, ...] = ()


def take_inventory(stage: Stage) -> str:
    """``inventory``: find what says where state lives."""
    stage.migrator("inventory")
    references = stage.inventory.references
    counted = {one: sum(found.disposition is one for found in references) for one in Disposition}
    return (
        f"{_count(len(stage.inventory.stacks), 'stack')}; {_count(counted[Disposition.REWRITE], 'reference')} to rewrite, "
        f"{counted[Disposition.REPORT]} to report, {counted[Disposition.KEEP]} to keep"
    )


def make_plan(stage: Stage) -> str:
    """``plan``: decide, and touch nothing."""
    stage.migrator("plan")
    path = Home(stage.copy).default_plan
    stage.plan = decode_plan(path.read_bytes(), where=str(path))
    _check_nothing_changed(stage)
    return f"{_count(len(stage.plan.states), 'state')}, {_count(len(stage.plan.files), 'file')}; nothing was touched"


def migrate(stage: Stage) -> str:
    """``migrate``: the documents arrive byte for byte and every source stays sealed."""
    stage.check_out("before")
    stage.migrator("migrate", "--yes")
    for state in stage.planned.states:
        if state.sha256 is not None and digest_of(stage.read_document(state)) != stage.heads[state.name]:
            raise CheckFailedError("the target holds other bytes than the source", where=state.name)
    locked = {listed.name for listed in stage.source.list_states() if listed.locked}
    unsealed = [state.name for state in stage.planned.states if state.name not in locked]
    if unsealed:
        raise CheckFailedError("the source is not sealed", where=", ".join(unsealed))
    return f"{_count(len(stage.planned.states), 'state')} byte-identical at the target, the source sealed"


def prove_by_plan(stage: Stage) -> str:
    """The proof by plan is a step of ``migrate``; this says whether it was part of it."""
    tofu = stage.require_tofu()
    proved = stage.read_run().units(StepKind.PROVE, StepState.DONE)
    unproved = [state.name for state in stage.planned.states if state.name not in proved]
    if unproved or stage.planned.proof != "required":
        raise CheckFailedError("the proof by plan was not made", where=", ".join(unproved))
    return f"{tofu.version} plans the same against source and target for {_count(len(stage.planned.states), 'state')}"


def find_no_reference(stage: Stage) -> str:
    """``inventory --check``: nothing that the tool rewrites names the source any more; what people decide is counted."""
    stage.migrator("inventory", "--check")
    changed = compare_fingerprints(stage.before, read_fingerprint(stage.copy))
    if set(changed) != {file.path for file in stage.planned.files}:
        raise CheckFailedError("other files changed than the plan says", where=", ".join(changed[:5]))
    decided = len(stage.planned.reports)
    left = f"; {_count(decided, 'place')} for a person to decide" if decided else ""
    return f"{_count(len(changed), 'file')} cut over, no reference that can be rewritten is left{left}"


def verify(stage: Stage) -> str:
    """``verify``: every state, seal and file as the run left it."""
    stage.migrator("verify")
    return "every state, seal and file is as the run left it"


def apply_from_stale_checkout(stage: Stage) -> str:
    """A checkout from before the migration cannot write: the source's lock refuses it."""
    stage.require_tofu()
    state = stage.choose_state()
    checkout = stage.check_out("before")
    stage.write_change(checkout, state)
    _check_exit(stage.init(checkout, state, "source"))
    attempt = _apply(stage, checkout, state)
    stage.show(attempt)
    if attempt.exit_code == 0:
        raise CheckFailedError("a stale checkout could write to the source", where=state.name)
    if _REFUSED_BY_LOCK not in attempt.output:
        raise build_failure(attempt)
    if stage.read_head(state.name) != stage.heads[state.name]:
        raise CheckFailedError("the source changed although it is sealed", where=state.name)
    return f"an apply of {state.name} against the source was refused by the lock"


def apply_under_target_lock(stage: Stage) -> str:
    """The target's own lock works: while somebody holds it, an apply is refused."""
    stage.require_tofu()
    state = stage.choose_state()
    checkout = stage.check_out("after")
    stage.write_change(checkout, state)
    _check_exit(stage.init(checkout, state, "target"))
    stage.target.acquire_lock(state.key, _lock_of("somebody else"))
    attempt = _apply(stage, checkout, state)
    stage.target.release_lock(state.key, _LOCK_ID)
    if attempt.exit_code == 0:
        raise CheckFailedError("OpenTofu wrote to the target although its lock was held", where=state.name)
    if _REFUSED_BY_LOCK not in attempt.output:
        raise build_failure(attempt)
    return f"while somebody held the lock of {state.name} at the target, an apply was refused"


def change_target(stage: Stage) -> str:
    """Life goes on: a newer document is written at the target, by OpenTofu where there is one."""
    state = stage.choose_state()
    by_tofu = not isinstance(stage.tofu, str)
    before = stage.read_document(state)
    if by_tofu:
        checkout = stage.check_out("after")
        stage.write_change(checkout, state)
        _check_exit(stage.init(checkout, state, "target"))
        applied = _apply(stage, checkout, state)
        stage.show(applied)
        _check_exit(applied)
    else:
        _write_successor(stage, state, before)
    after = stage.read_document(state)
    if compare_snapshots(read_snapshot(before), read_snapshot(after)) is not Relation.NEWER:
        raise CheckFailedError("the change is no successor of what was migrated", where=state.name)
    serials = read_snapshot(before).serial, read_snapshot(after).serial
    stage.change = Change(state=state, document=after, serial=serials[1], by_tofu=by_tofu)
    who = "applied through the rewritten files" if by_tofu else "written as OpenTofu would"
    return f"{state.name} went from serial {serials[0]} to {serials[1]} at the target, {who}"


def rollback(stage: Stage) -> str:
    """``rollback``: the authority returns to the source, with what changed since."""
    if not Home(stage.copy).runs():
        raise LeftOutError("no run was begun, so there is nothing to take back")
    stage.migrator("rollback", "--yes")
    if stage.change is None:
        return "the authority is back at the source"
    return f"the authority is back at the source, with serial {stage.change.serial} of {stage.change.state.name}"


def compare_files(stage: Stage) -> str:
    """Every file of the work tree is what it was, byte for byte and by mode."""
    _check_files(stage)
    git = "" if stage.before.status is None else ", git status unchanged"
    return f"{_count(len(stage.before.files), 'file')} byte for byte as before{git}"


def compare_states(stage: Stage) -> str:
    """The source serves the newest document of every state, and no lock is left."""
    changed = stage.change
    for name, before in stage.heads.items():
        carried = changed is not None and changed.state.name == name
        expected = digest_of(changed.document) if changed is not None and carried else before
        if stage.read_head(name) != expected:
            what = "the change made at the target" if carried else "what it served at the beginning"
            raise CheckFailedError(f"the source does not serve {what}", where=name)
    listed = stage.source.list_states()
    if {one.name for one in listed} != set(stage.heads):
        raise CheckFailedError("the source lists other states than at the beginning")
    locked = [one.name for one in listed if one.locked]
    if locked:
        raise CheckFailedError("a lock is left at the source", where=", ".join(locked))
    carried_text = f", {changed.state.name} with the change made at the target" if changed is not None else ""
    return f"the source serves {_count(len(listed), 'state')}{carried_text}; no lock is held"


def compare_target(stage: Stage) -> str:
    """Nothing of ours is left in the bucket but the mirrored run: no object, no lock, no scratch key."""
    keys = stage.embedded.list_target_keys()
    if stage.plan is not None:  # without a plan there was no run to mirror
        keys = tuple(key for key in keys if not key.startswith(f"{stage.plan.target.run_prefix}/runs/"))
    if keys:
        raise CheckFailedError("objects are left at the target", where=", ".join(keys[:5]))
    return "no state object and no lock is left at the target"


def plan_at_source(stage: Stage) -> str:
    """The checkout from before works again, and the source's document holds the change."""
    stage.require_tofu()
    if stage.change is None:
        raise LeftOutError("no change was made")
    state = stage.change.state
    checkout = stage.check_out("before")
    stage.write_change(checkout, state)
    _check_exit(stage.init(checkout, state, "source"))
    planned = stage.run_tofu(
        checkout, state, "plan", "-detailed-exitcode", f"-target={CHANGE_ADDRESS}", "-input=false", "-no-color"
    )
    stage.show(planned)
    if planned.exit_code == 2:
        raise CheckFailedError("OpenTofu would make the change again at the source", where=state.name)
    _check_exit(planned)
    return f"a plan of {state.name} at the source is empty: the change is there"


SCENES: Sequence[Scene] = (
    Scene("inventory", take_inventory),
    Scene("plan", make_plan, ("inventory",)),
    Scene("migrate", migrate, ("plan",)),
    Scene("proof-by-plan", prove_by_plan, ("migrate",)),
    Scene("references", find_no_reference, ("migrate",)),
    Scene("verify", verify, ("migrate",)),
    Scene("stale-checkout", apply_from_stale_checkout, ("migrate",)),
    Scene("target-lock", apply_under_target_lock, ("migrate",)),
    Scene("change", change_target, ("migrate",)),
    Scene("rollback", rollback, ("plan",)),
    Scene("files-restored", compare_files),
    Scene("states-restored", compare_states),
    Scene("target-emptied", compare_target),
    Scene("plan-at-source", plan_at_source, ("change", "rollback")),
)


def _apply(stage: Stage, checkout: Path, state: PlannedState) -> Transcript:
    return stage.run_tofu(
        checkout, state, "apply", "-auto-approve", f"-target={CHANGE_ADDRESS}", "-input=false", "-no-color"
    )


def _check_exit(transcript: Transcript) -> None:
    if transcript.exit_code:
        raise build_failure(transcript)


def _check_nothing_changed(stage: Stage) -> None:
    _check_files(stage)
    for name, before in stage.heads.items():
        if stage.read_head(name) != before:
            raise CheckFailedError("the source changed", where=name)
    keys = stage.embedded.list_target_keys()
    if keys or any(listed.locked for listed in stage.source.list_states()):
        raise CheckFailedError("something was left behind at the servers", where=", ".join(keys))


def _check_files(stage: Stage) -> None:
    after = read_fingerprint(stage.copy)
    differing = compare_fingerprints(stage.before, after)
    if differing:
        raise CheckFailedError(
            f"{_count(len(differing), 'file')} differ from the beginning", where=", ".join(differing[:5])
        )
    if after.status != stage.before.status:
        raise CheckFailedError("git status differs from the beginning")


def _write_successor(stage: Stage, state: PlannedState, before: bytes) -> None:
    """Write the document with its serial raised, under the target's lock, as OpenTofu does."""
    serial = read_snapshot(before).serial
    after = _SERIAL.sub(f'"serial": {serial + 1}'.encode(), before, count=1)
    if read_snapshot(after).serial != serial + 1:
        raise LeftOutError("the document's serial cannot be raised without OpenTofu")
    stage.target.acquire_lock(state.key, _lock_of("rehearsal"))
    stage.target.remove_state(state.key, sha256=digest_of(before))
    stage.target.create_state(state.key, after)
    stage.target.release_lock(state.key, _LOCK_ID)
    if stage.target.read_state(state.key).presence is not Presence.PRESENT:
        raise CheckFailedError("the change did not arrive", where=state.name)


def _lock_of(who: str) -> LockInfo:
    return LockInfo(
        id=_LOCK_ID, operation="OperationTypeApply", who=who, version="rehearsal", created="2026-01-01T00:00:00Z"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
