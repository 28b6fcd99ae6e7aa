"""Backward: from every barrier, after the target moved on, and when something blocks it."""

import itertools
from dataclasses import replace

import pytest

from migrator.engine.phases import Phase
from migrator.errors import (
    BackendError,
    ForeignLockError,
    ForeignObjectError,
    JournalError,
    RefusedError,
    StoppedError,
)
from migrator.standin import Fault
from tests.support.world import BUCKET, PROJECT, SECRET, document

NEWER = document(9, outputs={"added": {"value": 1}})


@pytest.mark.parametrize("until", [Phase.CHECKED, Phase.PROVEN, Phase.CUT_OVER, Phase.MIGRATED])
def test_from_every_barrier_everything_is_as_it_was(world, until):
    before = world.truth()
    world.migrate(until)
    assert world.rollback() == ()
    assert world.truth() == before
    status = world.status()
    assert (status.phase, status.next_command, status.in_doubt) == ("rolled-back", "migrator plan", ())
    assert {(one.authority, one.source_lock, one.target_lock) for one in status.states} == {("source", "free", "free")}
    assert world.failed_checks() == {}
    assert world.rollback() == ()
    assert world.truth() == before
    with pytest.raises(RefusedError):
        world.migrate()


def test_a_run_that_never_began_anything(world):
    before = world.truth()
    assert world.rollback() == ()
    assert world.truth() == before


def test_a_state_that_moved_on_is_carried_back_and_served(world):
    before = world.truth()
    world.migrate()
    world.put("attic-dev", NEWER)
    assert "moved on to serial 9" in next(c.found for c in world.verify() if c.name == "target-document")
    (carried,) = world.rollback()
    assert (carried.name, carried.serial_before, carried.serial_after) == ("attic-dev", 7, 9)
    truth = world.truth()
    assert truth.versions["attic-dev"] == {7: document(7), 9: NEWER}
    assert world.source.read_state("attic-dev").data == NEWER
    assert replace(truth, versions=before.versions) == before
    assert world.status().states[0].carried_serial == 9
    assert world.failed_checks() == {}
    assert [one.name for one in world.rollback()] == ["attic-dev"]


def test_a_state_first_written_at_the_target_is_carried_back(make_world):
    world = make_world({"attic-dev": None})
    before = world.truth()
    world.migrate()
    world.put("attic-dev", document(1, lineage="brand-new"))
    (carried,) = world.rollback()
    assert (carried.serial_before, carried.serial_after) == (None, 1)
    truth = world.truth()
    assert truth.versions == {"attic-dev": {1: document(1, lineage="brand-new")}}
    assert replace(truth, versions=before.versions) == before


def test_a_state_that_was_never_written_anywhere(make_world):
    world = make_world({"attic-dev": None})
    before = world.truth()
    world.migrate()
    assert world.rollback() == ()
    assert world.truth() == before


def adopt(world):
    world.put("attic-dev", document(7))
    states = tuple(replace(state, adopted=state.name == "attic-dev") for state in world.plan.states)
    world.plan = replace(world.plan, states=states)


def test_bytes_that_stood_at_the_target_before_survive(world):
    adopt(world)
    before = world.truth()
    world.migrate()
    world.rollback()
    assert world.truth() == before


def test_adopted_bytes_that_moved_on_go_home_like_any_other(world):
    adopt(world)
    world.migrate()
    world.put("attic-dev", NEWER)
    world.rollback()
    assert world.truth().versions["attic-dev"][9] == NEWER
    assert world.truth().objects == {}


# Blocked: explained, and nothing touched


def assert_blocked(world, error, says, **attributes):
    before, journal = world.truth(), world.directory().read_view()
    with pytest.raises(error, match=says) as blocked:
        world.rollback()
    assert type(blocked.value) is error
    assert (world.truth(), world.directory().read_view()) == (before, journal)
    for name, value in attributes.items():
        assert getattr(blocked.value, name) == value


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (document(7, outputs={}), "is forked"),
        (document(9, lineage="other"), "is unrelated"),
        (document(6), "is older"),
        (b"garbage", "cannot be carried back: the document is not OpenTofu state"),
        (b"", "no longer holds"),
        (None, "no longer holds"),
    ],
)
def test_a_target_that_holds_no_successor_blocks(world, data, says):
    world.migrate()
    if data is None:
        world.delete("attic-dev")
    else:
        world.put("attic-dev", data)
    assert_blocked(world, RefusedError, says, exit_code=4, where=f"attic-dev, key {world.state('attic-dev').key}")


def test_an_operation_that_runs_at_the_target_blocks_until_it_ends(world):
    before = world.truth()
    world.migrate()
    world.put_lock("attic-dev")
    assert_blocked(world, ForeignLockError, "rival@there", exit_code=4, where="attic-dev", now="nothing was touched")
    world.delete("attic-dev", ".tflock")
    world.rollback()
    assert world.truth() == before


def test_a_lock_object_that_nobody_can_read_blocks(world):
    world.migrate()
    world.s3.put_object(Bucket=BUCKET, Key=world.state("attic-dev").key + ".tflock", Body=b"?")
    assert_blocked(world, ForeignLockError, "locked at the target")


def test_an_edited_file_blocks(world):
    world.migrate()
    (world.root / "Justfile").write_text("edited")
    assert_blocked(world, RefusedError, "Justfile was edited", where="Justfile", now="nothing was touched")


def test_a_lost_copy_of_a_file_blocks_before_anything_is_touched(world):
    world.migrate()
    file = world.plan.files[1]
    (world.directory().path / "blobs" / file.pre_sha256).write_bytes(b"damaged")
    world.run_store.remove(f"runs/{world.directory().run_id}/blobs/{file.pre_sha256}", sha256=file.pre_sha256)
    assert ("pre-image", file.path) in world.failed_checks()
    assert_blocked(
        world,
        RefusedError,
        "missing or damaged",
        hint=f"put back what was there before the cut-over: find the version of {file.path} with the sha256 {file.pre_sha256} (git log -- {file.path}), "
        "then: migrator rollback",
    )
    (world.root / file.path).write_bytes(b'backend "http" {}\r\n')
    world.rollback()


def test_a_lost_copy_of_a_file_comes_back_from_the_mirror(world):
    world.migrate()
    file = world.plan.files[1]
    (world.directory().path / "blobs" / file.pre_sha256).write_bytes(b"damaged")
    world.rollback()
    assert (world.root / file.path).read_bytes() == b'backend "http" {}\r\n'


def test_the_blob_of_a_state_is_not_needed_to_carry_its_successor_back(world):
    world.migrate()
    (world.directory().path / "blobs" / world.state("attic-dev").sha256).unlink()
    world.put("attic-dev", NEWER)
    world.rollback()
    assert world.truth().versions["attic-dev"][9] == NEWER


def test_a_source_that_moved_on_past_the_seal_blocks(world):
    world.migrate()
    world.apply_at_source("attic-dev", document(8))
    assert world.failed_checks() == {
        ("source-sealed", "attic-dev"): "open: the seal was lifted",
        ("source-unchanged", "attic-dev"): "changed past the seal: both sides have moved",
    }
    assert_blocked(world, RefusedError, "somebody wrote past the seal", now="nothing was touched")


def test_a_rival_on_an_opened_seal_blocks_before_anything_is_touched(world):
    world.migrate()
    world.force_unlock_source("attic-dev")
    world.lock_source("attic-dev")
    assert_blocked(world, ForeignLockError, "the seal of attic-dev was opened", exit_code=4)


def test_a_seal_that_was_opened_and_not_used_is_closed_again_meanwhile(world):
    before = world.truth()
    world.migrate()
    world.force_unlock_source("attic-dev")
    assert ("source-sealed", "attic-dev") in world.failed_checks()
    closed = []

    def watch(run):
        run.listen = lambda event: closed.append(world.lock_id("attic-dev")) if event.step == "carry" else None

    world.rollback(prepare=watch)
    assert closed[0] is not None
    assert world.truth() == before


def test_servers_that_cannot_be_reached(world):
    world.migrate()
    world.standin.stop()
    with pytest.raises(BackendError) as unreachable:
        world.rollback()
    assert unreachable.value.exit_code == 6
    assert world.status().phase == "migrated"


def test_servers_that_go_away_in_the_middle(world):
    world.migrate()

    def unplug(run):
        run.listen = lambda event: world.standin.stop() if event.step == "release" else None

    with pytest.raises(StoppedError) as stopped:
        world.rollback(prepare=unplug)
    assert (stopped.value.exit_code, stopped.value.now) == (5, "the rollback is part-way; the journal is intact")
    assert world.status().next_command == "migrator rollback"


def test_a_carry_back_whose_reply_was_lost_is_found_to_be_done(world):
    world.migrate()
    world.put("attic-dev", NEWER)
    world.standin.arm(Fault(mode="a", state="attic-dev", variant="drop"))
    world.rollback()
    assert world.truth().versions["attic-dev"] == {7: document(7), 9: NEWER}
    assert not world.truth().objects


def test_bytes_written_past_our_lock_during_rollback_are_never_deleted(world):
    world.migrate()
    world.put("attic-dev", NEWER)
    rogue = document(12)

    def intrude(run):
        run.listen = lambda event: world.put("attic-dev", rogue) if event.step == "release" else None

    with pytest.raises(StoppedError) as stopped:
        world.rollback(prepare=intrude)
    assert isinstance(stopped.value.__cause__, ForeignObjectError)
    assert world.truth().objects["attic-dev"] == rogue
    assert world.truth().locked["attic-dev"]


@pytest.mark.parametrize("until", [Phase.CHECKED, Phase.CUT_OVER, Phase.MIGRATED])
def test_the_last_copy_is_never_removed(world, until):
    """GitLab lost the file of its newest version and serves nothing: the target's object is all there is."""
    world.migrate(until)
    world.standin.arm(Fault(mode="c", state="attic-dev", times=None))
    with pytest.raises((RefusedError, StoppedError), match=r"the source (serves a document|does not serve)") as refused:
        world.rollback()
    assert "both sides moved" in refused.value.hint
    assert world.truth().objects["attic-dev"] == document(7)


def test_what_was_carried_home_must_still_be_there_when_the_target_is_cleared(world):
    world.migrate()
    world.put("attic-dev", document(8))

    def stop_when_carried(run):
        run.listen = lambda event: run.interrupt.set() if (event.name, event.step) == ("step", "carry_back") else None

    with pytest.raises(StoppedError):
        world.rollback(prepare=stop_when_carried)
    world.standin.store.remove_version(PROJECT, "attic-dev", 8)  # restored from a backup, or removed by somebody
    with pytest.raises((RefusedError, StoppedError), match="did not leave there"):
        world.rollback()
    assert world.truth().objects["attic-dev"] == document(8)


def test_verify_finds_a_lock_of_ours_that_came_late(world):
    """A request of a process that was killed may arrive after all is over."""
    world.migrate(Phase.CHECKED)
    lock_id = world.directory().read_view().step("lock_target", "attic-dev").intent["lock_id"]
    world.rollback()
    assert world.failed_checks() == {}
    world.put_lock("attic-dev", lock_id)
    assert "held by" in world.failed_checks()["target-unlocked", "attic-dev"]


# Finalize


def test_finalize_gives_up_the_way_back_and_nothing_else(world):
    world.migrate()
    before = world.truth()
    with pytest.raises(RefusedError, match="does not name the target's bucket") as refused:
        world.finalize(confirm="other")
    assert refused.value.hint == f"migrator finalize --confirm {BUCKET}"
    world.finalize()
    assert world.truth() == before
    assert (world.status().phase, world.status().next_command) == ("finalized", "nothing: the run is finalized")
    with pytest.raises(RefusedError, match="finalized"):
        world.rollback()
    assert world.migrate() is Phase.FINALIZED
    assert world.status().phase == "finalized"
    with pytest.raises(RefusedError):
        world.rollback()
    world.directory().blobs.shred()
    assert world.failed_checks() == {}


@pytest.mark.parametrize("until", [Phase.CHECKED, Phase.CUT_OVER])
def test_a_run_that_is_not_complete_is_not_finalized(world, until):
    world.migrate(until)
    with pytest.raises(RefusedError, match="only a migrated run"):
        world.finalize()


def test_a_run_that_was_rolled_back_is_not_finalized(world):
    world.migrate()
    world.rollback()
    with pytest.raises(RefusedError, match="rolled-back"):
        world.finalize()


def test_finalize_refuses_while_verify_finds_something(world):
    world.migrate()
    world.delete("attic-prod")
    with pytest.raises(RefusedError, match="checks of verify fail") as refused:
        world.finalize()
    assert refused.value.now == "nothing was touched; the way back is still open"
    assert world.status().phase == "migrated"
    world.put("attic-prod", document(3, lineage="l-2"))
    world.rollback()


def test_a_file_that_goes_on_living_does_not_hinder_finalize(world):
    world.migrate()
    (world.root / "Justfile").write_text("edited since")
    assert set(world.failed_checks()) == {("file", "Justfile")}
    world.finalize()


@pytest.mark.parametrize(
    ("break_it", "check"),
    [
        (lambda world: world.delete("attic-dev"), ("target-document", "attic-dev")),
        (lambda world: world.put("attic-dev", document(7, outputs={})), ("target-document", "attic-dev")),
        (lambda world: world.put("attic-dev", b"{}"), ("target-document", "attic-dev")),
        (lambda world: world.force_unlock_source("attic-dev"), ("source-sealed", "attic-dev")),
        (lambda world: (world.root / "Justfile").unlink(), ("file", "Justfile")),
    ],
)
def test_verify_finds_each_difference(world, break_it, check):
    world.migrate()
    assert world.failed_checks() == {}
    break_it(world)
    assert list(world.failed_checks()) == [check]


@pytest.mark.parametrize(
    ("data", "ok", "found"),
    [
        (None, True, "serial 9, as this run left it"),
        (document(10), True, "moved on to serial 10, same lineage"),
        (document(10, lineage="other"), False, "the document there is unrelated"),
    ],
)
def test_verify_after_a_rollback_looks_at_what_the_source_serves(world, data, ok, found):
    world.migrate()
    world.put("attic-dev", NEWER)
    world.rollback()
    if data is not None:
        world.apply_at_source("attic-dev", data)
    (check,) = (one for one in world.verify() if (one.name, one.subject) == ("source-document", "attic-dev"))
    assert (check.ok, check.found) == (ok, found)


def test_verify_after_the_rollback_of_a_state_that_was_never_written(make_world):
    world = make_world({"attic-dev": None})
    world.migrate()
    world.rollback()
    assert [one.found for one in world.verify() if one.name == "source-document"] == ["never written, as before"]
    world.apply_at_source("attic-dev", document(1))
    assert world.failed_checks() == {}


def test_a_target_lock_that_was_forced_open_is_taken_again_and_what_was_written_comes_home(world):
    """Before cut-over nobody was sent to the target, and still somebody forced both locks open and applied there."""
    world.migrate(Phase.CHECKED)
    world.force_unlock_source("attic-dev")
    world.delete("attic-dev", ".tflock")
    world.put("attic-dev", document(8))
    world.rollback()
    assert world.source.read_state("attic-dev").data == document(8)
    assert (world.truth().objects, set(world.truth().locked.values())) == ({}, {False})
    assert world.failed_checks() == {}


def test_what_is_written_past_our_lock_while_the_way_back_works_comes_home_at_the_next_attempt(world):
    """A rival that obeys no lock writes after the target was read: nothing is deleted, and rolling back again carries it."""
    world.migrate(Phase.CUT_OVER)

    def write_after_files(run):
        def listen(event):
            if (event.name, event.step) == ("stage", "release"):
                world.put("attic-dev", document(8))

        run.listen = listen

    with pytest.raises(StoppedError, match="did not write"):
        world.rollback(prepare=write_after_files)
    assert world.truth().objects["attic-dev"] == document(8)
    world.rollback()
    assert world.source.read_state("attic-dev").data == document(8)
    assert (world.truth().objects, world.failed_checks()) == ({}, {})


def test_what_moves_on_after_it_was_carried_back_is_carried_back_again(world):
    world.migrate()
    world.put("attic-dev", document(9))

    def write_after_carry(run):
        def listen(event):
            if (event.name, event.step) == ("undo", "cut_over_file"):
                world.put("attic-dev", document(10))

        run.listen = listen

    with pytest.raises(StoppedError):
        world.rollback(prepare=write_after_carry)
    assert world.source.read_state("attic-dev").data == document(9)
    world.rollback()
    assert world.source.read_state("attic-dev").data == document(10)
    assert sorted(world.truth().versions["attic-dev"]) == [7, 9, 10]
    assert (world.truth().objects, world.failed_checks()) == ({}, {})


def test_one_reading_alone_is_never_carried_back(world, monkeypatch):
    """A flipped bit or a cache's answer between two readings: GitLab's versions cannot be taken back, so nothing is written."""
    world.migrate()
    world.put("attic-dev", document(9))
    readings = itertools.count()
    real = world.target.read_state

    def flip(key):
        head = real(key)
        if key == world.state("attic-dev").key and b'"serial": 9' in head.data and next(readings) == 2:
            return replace(head, data=head.data.replace(SECRET.encode(), SECRET.upper().encode()))
        return head

    monkeypatch.setattr(world.target, "read_state", flip)
    with pytest.raises(StoppedError, match="two readings"):
        world.rollback()
    assert sorted(world.truth().versions["attic-dev"]) == [7]
    world.rollback()
    assert world.source.read_state("attic-dev").data == document(9)
    assert world.failed_checks() == {}


def test_a_journal_that_lost_its_end_is_no_run_that_did_nothing(world):
    """Cut in the middle of its second record, it says that nothing ever began; the files say otherwise."""
    world.plan = replace(world.plan, target=replace(world.plan.target, run_prefix=""))  # no mirror that heals it
    world.migrate()
    before = world.truth()
    path = world.directory().path / "journal.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: first + 40])
    with pytest.raises(JournalError, match="knows nothing of that") as damaged:
        world.rollback()
    assert (damaged.value.exit_code, world.truth()) == (3, before)
    path.write_bytes(whole)
    world.rollback()
    assert world.truth().target_locks == frozenset()
