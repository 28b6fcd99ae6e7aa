"""The process ends at every effect, before and after it: running again completes, and so does going back.

The truth of both servers is watched after every effect. Each matrix asserts that it was run whole.
"""

import pytest

from migrator.engine.phases import Phase
from migrator.errors import ForeignLockError, InterruptedRunError, MigratorError, RefusedError, UnknownOutcomeError
from tests.engine.effects import Effects, Killed, ViolationError, check_invariant, check_status
from tests.support.world import document

ONE = {"attic-dev": document(7)}
NEWER = document(9)


def count_effects(world, command, **more):
    effects = Effects(world)
    command(prepare=effects.install, workers=1, **more)
    return effects.names


def kill(world, command, k, moment, **more):
    """Run a command and end it at its k-th effect; what is left must be truthful."""
    effects = Effects(world, kill_at=k, moment=moment)
    with pytest.raises(Killed):
        command(prepare=effects.install, workers=1, **more)
    check_status(world)
    check_invariant(world)
    return effects.names[-1]


@pytest.fixture
def forward(make_world):
    plain = make_world(ONE)
    before = plain.truth()
    names = count_effects(plain, plain.migrate)
    return before, plain.truth(), names


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("way", ["resume", "rollback"])
def test_migrate_is_killed_at_every_effect(make_world, forward, moment, way):
    before, after, names = forward
    seen = []
    for k in range(1, len(names) + 1):
        world = make_world(ONE)
        seen.append(kill(world, world.migrate, k, moment))
        if way == "resume":
            assert world.migrate() is Phase.MIGRATED
            assert (world.truth(), world.status().phase) == (after, "migrated"), (k, seen[-1])
        else:
            world.rollback()
            assert world.truth() == before, (k, seen[-1])
            assert world.status().in_doubt == ()
        assert world.failed_checks() == {}
    assert seen == names
    assert {"source.acquire_lock", "target.create_state", "target.release_lock", "journal.append_all"} <= set(names)


def advance(world):
    world.put("attic-dev", NEWER)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("until", "change"),
    [(Phase.CHECKED, None), (Phase.MIGRATED, None), (Phase.MIGRATED, advance)],
    ids=["checked", "migrated", "moved-on"],
)
def test_rollback_is_killed_at_every_effect(make_world, moment, until, change):
    def prepare():
        world = make_world(ONE)
        world.migrate(until)
        if change:
            change(world)
        return world

    plain = prepare()
    names = count_effects(plain, plain.rollback)
    seen = []
    for k in range(1, len(names) + 1):
        world = prepare()
        seen.append(kill(world, world.rollback, k, moment))
        world.rollback()
        assert world.truth() == plain.truth(), (k, seen[-1])
        assert (world.status().phase, world.failed_checks()) == ("rolled-back", {})
    assert seen == names
    assert plain.source.read_state("attic-dev").data == (NEWER if change else ONE["attic-dev"])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_giving_back_after_a_refusal_is_killed_at_every_effect(make_world, moment):
    def prepare():
        world = make_world(ONE)
        world.put_lock("attic-dev")
        return world

    plain = prepare()
    before = plain.truth()
    effects = Effects(plain)
    with pytest.raises(ForeignLockError):
        plain.migrate(prepare=effects.install, workers=1)
    for k in range(1, len(effects.names) + 1):
        world = prepare()
        kill(world, world.migrate, k, moment)
        if world.status().phase in ("planned", "refused"):
            with pytest.raises(RefusedError):
                world.migrate()
        else:
            world.rollback()
        assert world.truth() == before, effects.names[k - 1]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_phantom_is_killed_at_every_effect(make_world, moment):
    plain = make_world({"attic-dev": None}, create_file=False)
    before = plain.truth()
    names = count_effects(plain, plain.migrate)
    for k in range(1, len(names) + 1, 2 if moment == "after" else 1):
        world = make_world({"attic-dev": None}, create_file=False)
        kill(world, world.migrate, k, moment)
        if k % 2:
            world.migrate()
            assert world.truth() == plain.truth()
        world.rollback()
        assert world.truth() == before


def interrupt_at(k):
    """Set the interrupt, as a signal does, when the k-th step is done."""

    def prepare(run):
        events = []

        def listen(event):
            events.append(event)
            if sum(one.name in ("step", "undo") for one in events) == k:
                run.interrupt.set()

        run.listen = listen

    return prepare


def interrupt(command, k):
    """Return whether the command was stopped, not whole already."""
    try:
        command(prepare=interrupt_at(k), workers=1)
    except InterruptedRunError:
        return True
    return False


@pytest.mark.parametrize("way", ["resume", "rollback"])
def test_migrate_is_interrupted_after_every_step(make_world, forward, way):
    before, after, _ = forward
    for k in range(1, 20):
        world = make_world(ONE)
        stopped = interrupt(world.migrate, k)
        check_status(world)
        if way == "resume":
            world.migrate()
            assert world.truth() == after
        else:
            world.rollback()
            assert world.truth() == before
        if not stopped:
            break
    assert 9 <= k < 19  # 7 steps of the state, 3 files: the last one ends the run


def test_rollback_is_interrupted_after_every_step(make_world):
    plain = make_world(ONE)
    before = plain.truth()
    for k in range(1, 20):
        world = make_world(ONE)
        world.migrate()
        stopped = interrupt(world.rollback, k)
        check_status(world)
        world.rollback()
        assert world.truth() == before
        if not stopped:
            break
    assert 6 <= k < 19


def test_two_states_in_parallel_are_killed_and_go_on(make_world):
    plain = make_world()
    before = plain.truth()
    plain.migrate()
    for k in (5, 9, 14, 20, 26, 33, 41):
        world = make_world()
        effects = Effects(world, kill_at=k)
        with pytest.raises(Killed):
            world.migrate(prepare=effects.install, workers=4)
        check_status(world)
        if k % 2:
            world.migrate()
            assert world.truth() == plain.truth()
        world.rollback()
        assert world.truth() == before


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_request_that_fails_at_every_effect_stops_and_goes_on(make_world, forward, moment):
    """An error instead of a kill: the engine handles it, and what it says must be true."""
    before, after, names = forward
    requests = [k for k, name in enumerate(names, 1) if not name.startswith("journal")]
    assert len(requests) >= 8
    for k in requests:
        world = make_world(ONE)
        failing = Failing(world, kill_at=k, moment=moment)
        with pytest.raises(MigratorError) as stopped:
            world.migrate(prepare=failing.install, workers=1)
        assert stopped.value.exit_code == 5, names[k - 1]
        assert "journal is intact" in stopped.value.now
        check_status(world)
        if k % 2:
            world.migrate()
            assert world.truth() == after
        world.rollback()
        assert world.truth() == before


class Failing(Effects):
    """Fails at one effect and goes on."""

    def around(self, name, call):
        try:
            return super().around(name, call)
        except Killed:
            self.killed = False
            raise UnknownOutcomeError("the connection broke") from None


def test_the_watcher_can_fail(world):
    world.migrate(Phase.CHECKED)
    check_invariant(world)
    world.force_unlock_source("attic-dev")
    check_invariant(world)
    world.delete("attic-dev", ".tflock")
    with pytest.raises(ViolationError, match="both sides can be written"):
        check_invariant(world)
