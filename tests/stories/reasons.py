"""What may stand in the way, read from the truth: the only reasons for which a command without trouble may refuse.

``forward``, ``backward`` and ``failing`` say for ``migrate``, ``rollback`` and ``verify`` which states and files somebody else
has changed so that a refusal is right; the engine's own judgement is not asked. ``repair`` does what the hints ask of people.
"""

from migrator.engine.phases import Phase, StepKind
from migrator.journal.fold import RunView, StepState
from migrator.plan.model import PlannedFile, PlannedState
from migrator.state.snapshot import digest_of
from tests.stories.acts import LetGo, TakeBack, TargetReturns
from tests.stories.model import read_serial
from tests.stories.world import StoryWorld

Reasons = dict[str, str]
BEGUN = (StepState.IN_DOUBT, StepState.DONE, StepState.UNDO_IN_DOUBT)


def forward(world: StoryWorld) -> Reasons:
    """Why ``migrate`` may refuse."""
    view = world.view
    if view.outcome in (Phase.MIGRATED, Phase.FINALIZED):
        return {}
    if view.rolling_back:
        return {view.run_id: "rolling back"}
    states = {state.name: why for state in world.plan.states if (why := _state_forward(world, view, state))}
    return states | {file.path: why for file in world.plan.files if (why := _file_forward(world, view, file))}


def _state_forward(world: StoryWorld, view: RunView, state: PlannedState) -> str:
    row, there = world.gitlab.rows[state.name], world.s3.look(state.key)
    lock = view.step(StepKind.LOCK_SOURCE, state.name)
    taken = lock.state is StepState.DONE
    if row.is_protected and not taken:
        return "protected"
    if row.lock is not None and (lock.intent is None or row.lock.id != lock.intent["lock_id"]):
        return "locked at the source"
    if taken and row.lock is None:
        return "forced open at the source"
    if _digest(row.newest) != state.sha256:
        return "written at the source"
    unlock = view.step(StepKind.UNLOCK_TARGET, state.name).state
    if unlock is StepState.DONE or (unlock is StepState.IN_DOUBT and not world.is_ours(there.lock_id)):
        return "locked at the target" if there.lock_id else ""
    held = view.step(StepKind.LOCK_TARGET, state.name)
    if there.lock_id is not None and (held.intent is None or there.lock_id != held.intent["lock_id"]):
        return "locked at the target"
    if held.state is StepState.DONE and there.lock_id is None:
        return "forced open at the target"
    if there.data is None:
        return "deleted at the target" if _is_published(view, state) else ""
    return "overwritten at the target" if _digest(there.data) != state.sha256 else ""


def _file_forward(world: StoryWorld, view: RunView, file: PlannedFile) -> str:
    found = world.digest_at(file.path)
    begun = view.step(StepKind.CUT_OVER_FILE, file.path).state is not StepState.UNTOUCHED
    return "" if found == file.pre_sha256 or (begun and found == file.post_sha256) else "edited"


def backward(world: StoryWorld) -> Reasons:
    """Why ``rollback`` may refuse."""
    view = world.view
    if view.outcome == Phase.FINALIZED:
        return {view.run_id: "finalized"}
    if view.outcome is not None and view.outcome != Phase.MIGRATED and not view.target_left:
        return {}
    states = {state.name: why for state in world.plan.states if (why := _state_backward(world, view, state))}
    return states | {file.path: why for file in world.plan.files if (why := _file_backward(world, view, file))}


def _state_backward(world: StoryWorld, view: RunView, state: PlannedState) -> str:
    row, there = world.gitlab.rows[state.name], world.s3.look(state.key)
    if why := _rule_backward(world, view, state):
        return why
    publish = view.step(StepKind.PUBLISH, state.name)
    if world.shape.mirrored and state.name in world.moved:
        return "moved by somebody"  # the machine that acts next may not have heard how far the last one came
    foreign = there.lock_id is not None and not world.is_ours(there.lock_id)
    if foreign and view.step(StepKind.LOCK_TARGET, state.name).state is StepState.UNDO_IN_DOUBT:
        return "locked at the target"  # where ours was, or perhaps still should be
    if publish.state not in BEGUN:
        return ""
    given_back = view.step(StepKind.LOCK_SOURCE, state.name).undo_intent is not None
    was_open = view.step(StepKind.UNLOCK_TARGET, state.name).state is not StepState.UNTOUCHED
    if foreign:
        return "locked at the target"
    if row.lock and not world.is_ours(row.lock.id):
        return "locked at the source"
    known = _list_known(view, state)
    newer = there.data is not None and _digest(there.data) not in known
    if ((was_open and not given_back) or newer) and _digest(row.newest) not in known:
        return "written at the source"
    if publish.evidence is None:
        return ""
    if there.data is None:
        return "deleted at the target" if state.sha256 is not None and publish.state is StepState.DONE else ""
    return "overwritten at the target" if newer and not _is_successor(state, there.data, view) else ""


def _rule_backward(world: StoryWorld, view: RunView, state: PlannedState) -> str:
    """A rule of somebody else keeps us out too, and one of ours that was changed is not removed."""
    rule = world.gitlab.rows[state.name].rule
    if rule is None or not view.steps:
        return ""
    ours = rule.id == (view.step(StepKind.PROTECT_SOURCE, state.name).evidence or {}).get("rule")
    if ours:
        return "" if rule.is_as_made else "rule changed"
    in_doubt = view.step(StepKind.PROTECT_SOURCE, state.name).state in (StepState.IN_DOUBT, StepState.UNDO_IN_DOUBT)
    return "protected" if rule.keeps_everybody_out and not in_doubt else ""


def _list_known(view: RunView, state: PlannedState) -> set[str | None]:
    """What the run itself published or carried back."""
    carried = view.step(StepKind.CARRY_BACK, state.name).intent or {}
    return {state.sha256, carried.get("sha256", state.sha256), *carried.get("earlier", ())}


def _file_backward(world: StoryWorld, view: RunView, file: PlannedFile) -> str:
    # The machine that acts next may not have heard that the last one put the file back.
    state = view.step(StepKind.CUT_OVER_FILE, file.path).state
    begun = state in BEGUN or (world.shape.mirrored and state is StepState.UNDONE)
    return "edited" if begun and world.digest_at(file.path) not in (file.pre_sha256, file.post_sha256) else ""


def failing(world: StoryWorld) -> set[tuple[str, str]]:
    """What ``verify`` must find once the run is migrated, finalized, or over."""
    view, found = world.view, set[tuple[str, str]]()
    migrated = view.outcome in (Phase.MIGRATED, Phase.FINALIZED)
    for state in world.plan.states:
        found |= {(name, state.name) for name in (_list_failing if migrated else _list_left)(world, view, state)}
    for file in world.plan.files:
        if world.digest_at(file.path) != (file.post_sha256 if migrated else file.pre_sha256):
            found.add(("file", file.path))
    return found


def _list_failing(world: StoryWorld, view: RunView, state: PlannedState) -> set[str]:
    row, there = world.gitlab.rows[state.name], world.s3.look(state.key)
    made = view.step(StepKind.PROTECT_SOURCE, state.name).evidence or {}
    rule_id, found = made.get("rule") or made.get("theirs"), set()
    stands = row.rule is not None and row.rule.id == rule_id
    protected = stands and row.rule is not None and (row.rule.is_as_made if made["rule"] else row.is_protected)
    if rule_id and not protected:
        found.add("source-protected")
    if (row.lock is None or row.lock.id != world.own(state.name)) and not protected:
        found.add("source-sealed")
    if _digest(row.newest) != state.sha256:
        found.add("source-unchanged")
    if not _is_successor(state, there.data, view):
        found.add("target-document")
    return found


def _list_left(world: StoryWorld, view: RunView, state: PlannedState) -> set[str]:
    published = view.step(StepKind.PUBLISH, state.name).state is StepState.DONE
    left = view.target_left and published and world.s3.objects.get(state.key)
    return {"target-closed"} if left else set()


def _is_successor(state: PlannedState, data: bytes | None, view: RunView) -> bool:
    """Whether this may stand at the target: what was published there, what is home already, or a successor of either."""
    if data is None or _digest(data) in _list_known(view, state):
        return (data is None) == (state.sha256 is None) or data is not None
    serial = read_serial(data)
    if serial is None or state.sha256 is None:
        return serial is not None
    home = view.step(StepKind.CARRY_BACK, state.name).evidence or {"serial": state.serial}
    return f'"lineage": "{state.lineage}"'.encode() in data and serial > (home["serial"] or 0)


def repair(world: StoryWorld) -> None:
    """Put right what others did, as the hints and the runbook ask: edits taken back, rules removed, a lost object put back
    where it was, a foreign one moved away, what was written past the seal removed by hand.
    """
    for number in range(len(world.plan.files)):
        world.tell(TakeBack(number))
    blocked = backward(world)
    with world.watcher.rival():
        for state in world.plan.states:
            if state.name in blocked:
                world.gitlab.remove_rule(state.name)
                _remove_versions_past_the_seal(world, state)
                _put_back_object(world, state)
                world.told.append(f"people put {state.name} right: {blocked[state.name]}")


def _put_back_object(world: StoryWorld, state: PlannedState) -> None:
    """Put the document that belongs to the target's key there, or nothing."""
    view, there, lost = world.view, world.s3.objects.get(state.key), world.lost.get(state.name)
    published = view.step(StepKind.PUBLISH, state.name)
    if _is_successor(state, there, view) or published.evidence is None or published.state is StepState.UNDONE:
        return
    kept = {digest_of(data): data for data in world.gitlab.rows[state.name].versions.values()}
    good = lost if lost is not None and _is_successor(state, lost, view) else kept.get(state.sha256 or "")
    if good is None:
        world.s3.remove(state.key)
    else:
        world.s3.put(state.key, good)


def _remove_versions_past_the_seal(world: StoryWorld, state: PlannedState) -> None:
    known, versions = _list_known(world.view, state), world.gitlab.rows[state.name].versions
    for serial, data in list(versions.items()):
        if serial > (state.serial or 0) and _digest(data) not in known:
            del versions[serial]


def send_rivals_home(world: StoryWorld) -> None:
    """Nobody else holds a lock any more, and the target answers."""
    world.tell(TargetReturns())
    for state in world.plan.states:
        world.tell(LetGo(state.name))


def _is_published(view: RunView, state: PlannedState) -> bool:
    return state.sha256 is not None and view.step(StepKind.PUBLISH, state.name).evidence is not None


def _digest(data: bytes | None) -> str | None:
    return None if data is None else digest_of(data)
