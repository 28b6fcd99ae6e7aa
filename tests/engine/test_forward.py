"""Forward: a whole migration, its barriers, and what stops it before anything was written."""

import json
from dataclasses import replace

import pytest

from migrator.engine.phases import Phase
from migrator.errors import (
    BackendError,
    CheckFailedError,
    ForeignLockError,
    ForeignObjectError,
    InterruptedRunError,
    RefusedError,
    StalePlanError,
    StoppedError,
    UnsafeTargetError,
)
from migrator.journal.home import Home
from migrator.plan.model import Finding
from migrator.standin import Fault
from tests.support.fault_proxy import Effect, FaultProxy
from tests.support.fault_proxy import Fault as ProxyFault
from tests.support.world import CREATED, SECRET, build_target, document


def test_a_whole_migration(world):
    before = world.truth()
    assert world.migrate() is Phase.MIGRATED
    truth = world.truth()
    assert truth.versions == before.versions
    assert truth.locked == {"attic-dev": True, "attic-prod": True}
    assert truth.objects == {
        "attic-dev": document(7),
        "attic-prod": document(3, lineage="l-2"),
    }
    assert truth.target_locks == frozenset()
    assert truth.files["Justfile"] == ("init:\n    tofu init # s3 é\n".encode(), 0o755)
    assert truth.files["stacks/attic/backend.tf"] == (
        b'backend "s3" {}\r\n',
        before.files["stacks/attic/backend.tf"][1],
    )
    assert truth.files[CREATED] == (b'bucket = "tofu-state"\n', 0o644)
    assert sorted(world.prover.proved) == ["attic-dev", "attic-prod"]
    assert world.failed_checks() == {}


def test_migrating_again_does_nothing_more(world):
    world.migrate()
    truth, journal = world.truth(), world.directory().read_view()
    assert world.migrate() is Phase.MIGRATED
    assert world.migrate(Phase.CHECKED) is Phase.MIGRATED
    assert (world.truth(), world.directory().read_view()) == (truth, journal)


@pytest.mark.parametrize("until", [Phase.CHECKED, Phase.PROVEN, Phase.CUT_OVER])
def test_it_stops_at_a_barrier_and_goes_on_to_the_same_end(make_world, until):
    plain, staged = make_world(), make_world()
    plain.migrate()
    assert staged.migrate(until) is until
    truth = staged.truth()
    assert truth.locked == {"attic-dev": True, "attic-prod": True}
    assert len(truth.target_locks) == 2
    assert (b"s3" in truth.files["stacks/attic/backend.tf"][0]) == (until is Phase.CUT_OVER)
    assert bool(staged.prover.proved) == (until is not Phase.CHECKED)
    assert staged.failed_checks() == {}
    assert staged.migrate(until) is until
    assert staged.migrate() is Phase.MIGRATED
    assert staged.truth() == plain.truth()


def test_an_earlier_barrier_is_not_reported_once_a_later_one_is_reached(world):
    world.migrate(Phase.CUT_OVER)
    assert world.migrate(Phase.CHECKED) is Phase.CUT_OVER


def test_without_proof_nothing_is_proved(make_world):
    world = make_world(proof="off")
    world.migrate()
    assert world.prover.proved == []


def test_a_state_that_was_never_written_moves_its_authority_only(make_world):
    world = make_world({"attic-dev": None})
    world.migrate()
    truth = world.truth()
    assert (truth.objects, truth.locked, truth.versions) == ({}, {"attic-dev": True}, {"attic-dev": {}})
    assert world.failed_checks() == {}


def test_a_plan_of_files_only(make_world):
    world = make_world({})
    assert world.migrate() is Phase.MIGRATED
    assert b"s3" in world.truth().files["stacks/attic/backend.tf"][0]


@pytest.mark.slow
def test_many_more_states_than_workers_move_in_parallel(make_world):
    names = [f"s{number:03}" for number in range(80)]
    world = make_world({name: document(number + 1, lineage=name) for number, name in enumerate(names)})
    world.migrate(workers=16)
    truth = world.truth()
    assert len(truth.objects) == 80
    assert all(json.loads(truth.objects[name])["lineage"] == name for name in names)
    assert all(truth.locked.values())
    assert not truth.target_locks
    world.rollback(workers=16)
    assert not world.truth().objects
    assert not any(world.truth().locked.values())


# Before anything is written: no trace


def assert_nothing_left(world, before):
    assert world.truth() == before
    status = world.status()
    assert {state.source_lock for state in status.states} == {"free"}
    assert {state.target_lock for state in status.states} == {"free"}
    assert status.in_doubt == ()
    assert world.failed_checks() == {}


def test_a_plan_that_the_list_shows_to_be_stale(world):
    world.apply_at_source("attic-prod", document(4, lineage="l-2"))
    before = world.truth()
    with pytest.raises(StalePlanError) as stale:
        world.migrate()
    assert (stale.value.exit_code, stale.value.where, stale.value.hint) == (3, "attic-prod", "migrator plan")
    assert_nothing_left(world, before)


def test_a_document_that_changed_behind_an_unchanged_serial_gives_all_locks_back(make_world):
    world = make_world()
    state = replace(world.state("attic-prod"), sha256="0" * 64)
    world.plan = replace(world.plan, states=(world.state("attic-dev"), state))
    before = world.truth()
    with pytest.raises(StalePlanError) as stale:
        world.migrate()
    assert stale.value.now == "nothing was written, and no lock is held by this run"
    assert world.status().phase == "refused"
    assert_nothing_left(world, before)
    assert world.rollback() == ()
    assert_nothing_left(world, before)
    with pytest.raises(RefusedError):
        world.migrate()


def test_a_version_written_between_the_list_and_the_lock_is_found_under_the_lock(world):
    world.standin.arm(Fault(mode="l", state="attic-dev"))
    world.source.read_state("attic-dev")
    with pytest.raises(StalePlanError):
        world.migrate()
    assert not any(world.truth().locked.values())


def test_a_foreign_lock_at_the_source(world):
    world.lock_source("attic-prod")
    before = world.truth()
    with pytest.raises(ForeignLockError) as locked:
        world.migrate()
    assert locked.value.exit_code == 4
    assert "maint" in locked.value.message
    assert world.truth() == before
    assert world.lock_id("attic-prod") == "somebody"


def test_a_foreign_lock_at_the_target_gives_the_sources_back(world):
    world.put_lock("attic-prod")
    before = world.truth()
    with pytest.raises(ForeignLockError) as locked:
        world.migrate()
    assert "rival@there" in locked.value.message
    assert locked.value.now == "nothing was written, and no lock is held by this run"
    assert world.truth() == before


def test_a_refusal_after_an_interrupted_attempt_gives_its_locks_back_too(world):
    def interrupt(run):
        run.listen = lambda event: run.interrupt.set() if event.step == "lock_source" else None

    with pytest.raises(InterruptedRunError):
        world.migrate(prepare=interrupt, workers=1)
    assert list(world.truth().locked.values()).count(True) == 1
    world.put_lock("attic-prod")
    with pytest.raises(ForeignLockError) as locked:
        world.migrate()
    assert "no lock is held" in locked.value.now
    assert not any(world.truth().locked.values())


def test_locks_that_cannot_be_given_back_are_owned_up_to(world):
    world.put_lock("attic-prod")

    class Unreachable:
        def __getattr__(self, name):
            return getattr(world.source, name)

        def release_lock(self, unit, lock_id):
            raise BackendError("the network is gone", where="DELETE /lock")

    def unplug(run):
        run.ports = replace(run.ports, source=Unreachable())

    with pytest.raises(StoppedError) as stopped:
        world.migrate(prepare=unplug, workers=1)
    assert (stopped.value.exit_code, stopped.value.hint) == (5, "migrator rollback")
    assert "still holds locks" in stopped.value.now
    assert world.status().phase == "rolling-back"
    world.rollback()
    assert not any(world.truth().locked.values())
    assert len(world.truth().target_locks) == 1


def test_a_state_that_vanished_or_was_deleted(make_world):
    world = make_world()
    extra = replace(world.state("attic-dev"), name="gone", key=world.prefix + "gone")
    world.plan = replace(world.plan, states=(*world.plan.states, extra))
    with pytest.raises(StalePlanError, match="no longer lists gone"):
        world.migrate()
    assert not any(world.truth().locked.values())


@pytest.mark.parametrize("locked", ["attic-dev", "attic-prod"])
def test_a_store_that_obeys_no_condition_any_more_costs_nobody_a_lock(world, moto, locked):
    """The plan's probe was some time ago. Which lock stands there, the first one or a later one, makes no difference."""
    before = world.truth()
    world.put_lock(locked)
    with FaultProxy(moto.endpoint) as proxy:
        proxy.inject(ProxyFault(Effect.PASS, method="PUT|DELETE", strip=("If-None-Match", "If-Match"), times=None))
        world.target = build_target(replace(moto, endpoint=proxy.url))
        with pytest.raises((ForeignLockError, UnsafeTargetError)) as refused:
            world.migrate()
    assert refused.value.exit_code == 4
    assert "no" in refused.value.now
    truth = world.truth()
    assert (truth.locked, truth.objects, truth.files) == (before.locked, before.objects, before.files)
    holder = build_target(moto).read_lock(world.state(locked).key, "")
    assert (holder.id, len(truth.target_locks)) == ("somebody", 1)


def test_an_unreachable_source_changes_nothing(world):
    world.standin.stop()
    with pytest.raises(BackendError) as unreachable:
        world.migrate()
    assert unreachable.value.exit_code == 6
    assert world.status().states[0].source_lock == "free"


def test_a_source_that_goes_away_in_the_middle_stops_the_run(world):
    def unplug(run):
        run.listen = lambda event: world.standin.stop() if event.step == "publish" else None

    with pytest.raises(StoppedError) as stopped:
        world.migrate(prepare=unplug, workers=1)
    assert stopped.value.exit_code == 5
    assert "phase captured; 0 of 2 states checked" in stopped.value.now
    assert "2 locks at the source and 2 at the target" in stopped.value.now


# Something of somebody else's


def test_a_foreign_object_stops_the_run_and_does_not_block_the_way_back(world):
    before = world.truth()

    def intrude(event):
        if event.name == "barrier" and event.step == "captured":
            world.put("attic-prod", b"not a state at all")

    def listen(run):
        run.listen = intrude

    with pytest.raises(StoppedError, match="an object that we did not write") as stopped:
        world.migrate(prepare=listen)
    assert isinstance(stopped.value.__cause__, ForeignObjectError)
    with pytest.raises(StoppedError):
        world.migrate()
    world.rollback()
    truth = world.truth()
    assert truth.objects == {"attic-prod": b"not a state at all"}
    assert replace(truth, objects={}) == before


def test_an_empty_object_is_foreign_too(world):
    world.put("attic-dev", b"")
    with pytest.raises(StoppedError):
        world.migrate()
    with pytest.raises(StoppedError):
        world.migrate()
    world.rollback()
    assert world.truth().objects == {"attic-dev": b""}


def test_a_seal_that_was_forced_open_before_the_cut_over_is_found_and_the_way_back_is_open(world):
    before = world.truth()
    world.migrate(Phase.PROVEN)
    world.apply_at_source("attic-dev", document(8))
    with pytest.raises(StoppedError, match="the lock of this run at the source is gone") as stopped:
        world.migrate()
    assert "0 of 3 files cut over" in stopped.value.now
    assert world.truth().files == before.files
    world.rollback()
    truth = world.truth()
    assert truth.versions["attic-dev"] == {7: document(7), 8: document(8)}
    assert (truth.objects, truth.target_locks, any(truth.locked.values())) == ({}, frozenset(), False)


def test_a_seal_that_was_forced_open_between_cut_over_and_the_end_keeps_the_target_shut(world):
    world.migrate(Phase.CUT_OVER)
    world.apply_at_source("attic-dev", document(8))
    with pytest.raises(StoppedError, match="the lock of this run at the source is gone"):
        world.migrate()
    assert len(world.truth().target_locks) == 2
    world.rollback()
    assert world.truth().versions["attic-dev"][8] == document(8)
    assert b"http" in world.truth().files["stacks/attic/backend.tf"][0]


def test_a_target_lock_that_was_taken_over_stops_before_files_change(world):
    world.migrate(Phase.CHECKED)
    world.put_lock("attic-dev")
    with pytest.raises(StoppedError, match=r"at the target is gone.*rival@there"):
        world.migrate()
    assert b"http" in world.truth().files["stacks/attic/backend.tf"][0]


def test_bytes_that_changed_at_the_target_stop_before_files_change(world):
    world.migrate(Phase.CHECKED)
    world.put("attic-dev", document(7, outputs={}))
    with pytest.raises(StoppedError, match="the document at the target changed"):
        world.migrate()


def test_bytes_that_were_stored_wrongly_are_found_by_reading_back(world):
    class Lying:
        def __getattr__(self, name):
            return getattr(world.target, name)

        def create_state(self, key, data):
            return world.target.create_state(key, data.replace(b"7", b"8"))

    def lie(run):
        run.ports = replace(run.ports, target=Lying())

    with pytest.raises(CheckFailedError, match="the target does not serve the bytes") as failed:
        world.migrate(prepare=lie)
    assert (failed.value.exit_code, failed.value.hint) == (3, "migrator rollback")
    assert "no file was changed" in failed.value.now


# Files


def test_a_file_that_was_edited_after_the_plan_stops_before_it_is_touched(world):
    world.migrate(Phase.PROVEN)
    (world.root / "stacks/attic/backend.tf").write_text("edited")
    with pytest.raises(StalePlanError) as stale:
        world.migrate()
    assert stale.value.hint == "migrator rollback"
    assert "phase proven" in stale.value.now
    assert (world.root / "stacks/attic/backend.tf").read_text() == "edited"


def test_a_file_that_is_cut_over_by_hand_is_not_taken_for_ours(world):
    world.migrate(Phase.PROVEN)
    (world.root / "stacks/attic/backend.tf").write_bytes(b'backend "s3" {}\r\n')
    with pytest.raises(StalePlanError):
        world.migrate()


def test_a_link_in_the_place_of_a_file_is_refused_before_any_effect(world):
    (world.root / "Justfile").unlink()
    (world.root / "Justfile").symlink_to("/etc/hostname")
    with pytest.raises(RefusedError, match="symbolic link"):
        world.migrate()
    assert not any(world.truth().locked.values())


def test_a_full_disk_for_a_blob_stops_and_resumes(world, monkeypatch):
    from migrator.journal import durable

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world.directory()
    with monkeypatch.context() as patched:
        patched.setattr(durable.os, "fchmod", full)
        with pytest.raises(CheckFailedError, match="No space left") as stopped:
            world.migrate()
    assert stopped.value.exit_code == 5
    assert world.status().phase == "planned"
    assert world.migrate() is Phase.MIGRATED


def test_no_secret_in_plan_journal_or_status(world):
    world.migrate()
    directory = world.directory()
    assert SECRET.encode() not in (directory.path / "journal.jsonl").read_bytes()
    assert SECRET.encode() not in (directory.path / "plan.json").read_bytes()
    assert SECRET not in repr(world.status()) + repr(world.verify())
    assert Home(world.root).runs() == [directory]


def test_a_plan_with_a_blocker_is_never_carried_out(make_world):
    blocker = Finding(code="unbound-state", where="odd", message="m")
    world = make_world(blockers=(blocker,))
    before = world.truth()
    with pytest.raises(RefusedError, match="a blocker is never carried out") as refused:
        world.migrate()
    assert (refused.value.exit_code, refused.value.where) == (4, "unbound-state: odd")
    assert world.truth() == before


def test_a_terminal_that_goes_away_does_not_leave_states_half_way(world):
    def hang_up(event):
        raise BrokenPipeError(32, "Broken pipe")

    def listen(run):
        run.listen = hang_up

    assert world.migrate(prepare=listen) is Phase.MIGRATED
    world.rollback(prepare=listen)
    assert world.status().phase == "rolled-back"
