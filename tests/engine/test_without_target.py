"""The target is dead: GitLab gets what the run captured, the rest is said, and a target that comes back is closed."""

from dataclasses import replace

import pytest

from migrator.engine.phases import Phase
from migrator.engine.taking_back import Carried
from migrator.engine.without_target import list_losses, rollback_without_target
from migrator.errors import (
    BackendUnreachableError,
    CredentialsRefusedError,
    ForeignLockError,
    RefusedError,
    StoppedError,
)
from tests.support.world import document


class DeadTarget:
    """Answers nothing."""

    def __getattr__(self, name):
        def fail(*_, **__):
            raise BackendUnreachableError("no connection", where="s3://tofu-state")

        return fail


def kill_target(run):
    run.ports = replace(run.ports, target=DeadTarget())
    run.mirror = None


def back_without_target(world, prepare=kill_target):
    run = world.open(prepare)
    try:
        return rollback_without_target(world.plan, run)
    finally:
        run.log.close()


def losses(world):
    return {loss.name: loss for loss in list_losses(world.plan, world.directory().read_view())}


@pytest.mark.parametrize("until", [Phase.CHECKED, Phase.PROVEN, Phase.CUT_OVER, Phase.MIGRATED])
def test_the_source_is_the_authority_again(world, until):
    before = world.truth()
    world.migrate(until)
    found = losses(world)
    assert all((loss.since is None) == (until is not Phase.MIGRATED) for loss in found.values())
    assert back_without_target(world) == ()
    after = world.truth()
    assert (after.versions, after.locked, after.files) == (before.versions, before.locked, before.files)
    status = world.status()
    assert (status.phase, status.target_left) == ("rolled-back", True)
    assert {state.authority for state in status.states} == {"source"}
    assert "migrator rollback" in status.next_command
    assert any(check == "target-closed" for check, _ in world.failed_checks())

    world.rollback()  # the target came back
    assert world.truth() == before
    assert (world.status().target_left, world.failed_checks()) == (False, {})


def test_what_may_be_missing_is_said(world):
    world.migrate()
    loss = losses(world)["attic-dev"]
    assert loss.serial == 7
    assert "serials from 8 on, if any were written, are missing" in loss.describe()
    assert loss.since in loss.describe()


def test_a_newer_document_that_was_captured_is_brought_home(world):
    world.migrate()
    world.put("attic-dev", document(9))

    def die_after_capture(run):
        def listen(event):
            if event.step == "capture_target":
                kill_target(run)
                run.interrupt.set()

        run.listen = listen

    with pytest.raises(StoppedError):
        world.rollback(prepare=die_after_capture)
    found = losses(world)
    assert (found["attic-dev"].serial, found["attic-dev"].since) == (9, None)
    assert back_without_target(world) == (Carried(name="attic-dev", serial_before=7, serial_after=9),)
    assert world.source.read_state("attic-dev").data == document(9)
    world.rollback()
    assert world.truth().objects == {}
    assert world.failed_checks() == {}


def test_what_was_written_meanwhile_comes_home_when_the_target_answers(world):
    world.migrate()
    world.put("attic-dev", document(9))
    back_without_target(world)
    assert world.source.read_state("attic-dev").data == document(7)
    assert world.rollback() == (Carried(name="attic-dev", serial_before=7, serial_after=9),)
    assert world.source.read_state("attic-dev").data == document(9)
    assert (world.truth().objects, set(world.truth().locked.values())) == ({}, {False})
    assert world.failed_checks() == {}


def test_both_sides_moved_while_the_target_was_away(world):
    world.migrate()
    world.put("attic-dev", document(9))
    back_without_target(world)
    world.apply_at_source("attic-dev", document(8, outputs={}))
    with pytest.raises(RefusedError, match="did not leave there"):
        world.rollback()
    assert world.truth().objects["attic-dev"] == document(9)
    assert world.source.read_state("attic-dev").data == document(8, outputs={})


def test_the_source_moved_on_and_the_target_did_not(world):
    world.migrate()
    back_without_target(world)
    world.apply_at_source("attic-dev", document(8))
    world.rollback()
    assert (world.truth().objects, world.source.read_state("attic-dev").data) == ({}, document(8))
    assert world.failed_checks() == {}


def test_a_target_that_answers_is_not_given_up(world):
    world.migrate()
    with pytest.raises(RefusedError, match="the target answers"):
        back_without_target(world, prepare=lambda run: None)
    assert world.status().phase == "migrated"


def test_a_target_that_refuses_the_credentials_is_alive(world):
    """Taken for dead, it would stay open beside a source that is open again."""
    world.migrate()
    world.put("attic-dev", document(9))

    class Refusing(DeadTarget):
        def read_lock(self, *_):
            raise CredentialsRefusedError("the signature does not match", where="GET", hint="check the secret key")

    def refuse(run):
        run.ports, run.mirror = replace(run.ports, target=Refusing()), None

    with pytest.raises(CredentialsRefusedError, match="the target answers") as refused:
        back_without_target(world, prepare=refuse)
    assert refused.value.hint == "check the secret key"
    assert (world.status().phase, set(world.truth().locked.values())) == ("migrated", {True})


def stop_at(step):
    """Interrupt a rollback when a step of this kind is done."""

    def prepare(run):
        run.listen = lambda event: run.interrupt.set() if (event.name, event.step) == ("step", step) else None

    return prepare


def test_what_was_captured_last_is_what_comes_home(world):
    """A first attempt carried 8 home; somebody forced the target open and wrote 9, which a second attempt captured."""
    world.migrate()
    for serial, step in ((8, "carry_back"), (9, "capture_target")):
        world.put("attic-dev", document(serial))
        with pytest.raises(StoppedError):
            world.rollback(prepare=stop_at(step))
    assert next(state.authority for state in world.status().states if state.name == "attic-dev") == "target"
    assert losses(world)["attic-dev"].serial == 9
    back_without_target(world)
    assert world.source.read_state("attic-dev").data == document(9)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_what_a_later_run_holds_is_not_the_earlier_ones_to_remove(world, rebuilt):
    """Its bytes may be the very same: what tells them apart is who holds the source."""
    world.migrate()
    back_without_target(world)
    if rebuilt:
        for name in ("attic-dev", "attic-prod"):
            world.delete(name)
    first, world.runs = world.directory(), 1
    world.plan = replace(world.plan, states=tuple(replace(one, adopted=not rebuilt) for one in world.plan.states))
    world.home.create_run("run-2", b"")
    world.migrate()
    there = world.truth()
    assert there.objects == {"attic-dev": document(7), "attic-prod": document(3, lineage="l-2")}
    world.plan = replace(world.plan, states=tuple(replace(one, adopted=False) for one in world.plan.states))
    (world.home.path / "runs" / "run-2").rename(world.root / "elsewhere")
    assert world.directory().run_id == first.run_id
    with pytest.raises(ForeignLockError, match="now it is locked by") as refused:
        world.rollback()
    assert "roll the later run back first" in refused.value.hint
    (world.root / "elsewhere").rename(world.home.path / "runs" / "run-2")
    assert world.truth() == there


def test_a_store_that_was_rebuilt_empty_has_nothing_to_close(world):
    before = world.truth()
    world.migrate()
    back_without_target(world)
    for name in ("attic-dev", "attic-prod"):
        world.delete(name)
    world.rollback()
    assert (world.status().target_left, world.truth()) == (False, before)


def test_a_target_that_does_not_answer_names_the_way_without_it(world):
    world.migrate()
    with pytest.raises(BackendUnreachableError) as stopped:
        world.rollback(prepare=kill_target)
    assert "migrator rollback --without-target" in stopped.value.hint
    assert world.status().phase == "migrated"


def test_the_way_without_a_target_goes_on_with_it(world):
    """Stopped half-way, the target comes back: the ordinary way back completes."""
    before = world.truth()
    world.migrate()

    def interrupted(run):
        kill_target(run)
        run.listen = lambda event: run.interrupt.set() if event.name == "undo" else None

    with pytest.raises(StoppedError):
        back_without_target(world, prepare=interrupted)
    world.rollback()
    assert world.truth() == before
    assert world.failed_checks() == {}
