"""What must be possible when a fault is gone that has left something behind."""

from dataclasses import replace

from tests.faults.bench import STATE, Bench
from tests.support.world import PROJECT, _plan_state


def forward_from_a_backup(bench: Bench, command: str) -> None:
    """What was damaged is put back from a backup: the run goes on as if it had never been."""
    gave_back = not bench.is_damaged and bench.plain.status().phase == "refused"
    bench.put_back()
    if gave_back:
        # A journal that lost its end knew one lock of two, and gave that one back: the whole one knows the other.
        bench.check_ending("rollback", bench.beginning)
        return
    bench.check_told()
    bench.check_ways_forward(command)


def forward_with_a_new_plan(bench: Bench, command: str) -> None:
    """Somebody wrote the source: nothing is held, a new plan takes the newer document, and its way back leaves it there."""
    before = bench.plain.truth()
    assert not before.locked[STATE]
    assert before.objects == {}
    assert before.target_locks == frozenset()
    newest = max(before.versions[STATE].items())[1]
    plan = bench.plain.plan
    bench.plain.plan = replace(plan, states=(_plan_state(STATE, newest, bench.plain.prefix),))
    try:
        bench.begin_again()
        assert bench.run("migrate").code == 0
        assert bench.plain.truth().objects == {STATE: newest}
        assert bench.run("rollback").code == 0
        assert bench.plain.truth() == before
    finally:
        bench.plain.plan = plan


def forward_when_restored(bench: Bench, command: str) -> None:
    """Whoever deleted the state restores it; its lock is gone, so a run that held it goes back."""
    store = bench.standin.store
    row = store.find(PROJECT, STATE)
    assert row is not None
    store._put(replace(row, deleted_at=None))
    if command == "migrate" and bench.plain.status().phase == "refused":
        bench.begin_again()
        bench.check_ending("migrate", bench.migrated)
    elif command == "migrate":
        bench.check_ending("rollback", bench.beginning)
    else:
        bench.check_ending("rollback", bench.carried_back)


def forward_when_the_object_is_back(bench: Bench, command: str) -> None:
    """Whoever deleted the object at the target removes the delete marker."""
    bench.put_object_back()
    bench.check_ways_forward(command)
