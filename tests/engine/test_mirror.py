"""Two machines and one run: what one began, the other takes back; of two that go on from one record, one is refused."""

from hashlib import sha256

import pytest

from migrator.engine.mirrored_run import fetch_run, list_runs
from migrator.engine.phases import Phase
from migrator.errors import BackendError, BackendUnreachableError, ForeignLockError, JournalError, StoppedError
from migrator.journal.blobs import BlobStore
from tests.support.world import document

NEWER = document(9)


class Died(BaseException):
    """The process of one machine ended."""


def die_at(step, unit="attic-dev"):
    """End the process when a step is done, before anything is given back or mirrored."""

    def prepare(run):
        def listen(event):
            if (event.name, event.step, event.unit) == ("step", step, unit):
                run.mirror = None
                raise Died

        run.listen = listen

    return prepare


def names(world):
    return world.run_store.list_names("runs/")


@pytest.mark.parametrize("until", [Phase.CHECKED, Phase.PROVEN, Phase.CUT_OVER, Phase.MIGRATED])
def test_a_fresh_clone_rolls_back_from_every_barrier(world, until):
    before = world.truth()
    world.migrate(until)
    there = world.clone()
    run = there.fetch()
    assert run.run_id == world.directory().run_id
    assert there.status() == world.status()
    there.rollback()
    assert there.truth() == before
    assert there.failed_checks() == {}


def test_a_fresh_clone_carries_back_what_is_newer(world):
    world.migrate()
    world.put("attic-dev", NEWER)
    there = world.clone()
    there.fetch()
    (carried,) = there.rollback()
    assert (carried.name, carried.serial_after) == ("attic-dev", 9)
    assert there.source.read_state("attic-dev").data == NEWER
    assert there.failed_checks() == {}


@pytest.mark.parametrize(
    "step",
    ["lock_source", "lock_target", "capture", "publish", "check_target", "prove", "cut_over_file", "unlock_target"],
)
def test_a_machine_that_died_is_taken_over(world, step):
    before = world.truth()
    with pytest.raises(Died):
        world.migrate(prepare=die_at(step, "Justfile" if step == "cut_over_file" else "attic-dev"), workers=1)
    there = world.clone()
    there.fetch()
    with pytest.raises(ForeignLockError, match="worked on from another place by me@here") as refused:
        there.rollback()
    assert "--take-over" in refused.value.hint
    there.rollback(take_over=True)
    assert there.failed_checks() == {}
    # The first machine's own files are its own business; everything else is as before.
    assert (there.truth().versions, there.truth().objects) == (before.versions, before.objects)
    assert (there.truth().locked, there.truth().target_locks) == (before.locked, before.target_locks)
    assert there.truth().files == before.files

    # The machine that was believed dead comes back: it learns what happened, and does nothing of its own.
    assert world.status().phase != "rolled-back"
    world.rollback()
    assert world.status().phase == "rolled-back"
    assert world.truth().objects == before.objects


def test_a_machine_that_is_taken_over_while_it_works_stops_before_its_next_stage(world):
    there = world.clone()

    def steal(run):
        def listen(event):
            if (event.name, event.step) == ("barrier", "captured"):
                there.fetch()
                there.rollback(take_over=True)

        run.listen = listen

    with pytest.raises(StoppedError, match="another machine went on"):
        world.migrate(prepare=steal)
    assert world.truth().objects == {}
    assert set(world.truth().locked.values()) == {False}
    world.rollback()
    assert world.status().phase == "rolled-back"


def test_a_killed_command_goes_on_at_its_own_machine(world):
    with pytest.raises(Died):
        world.migrate(prepare=die_at("publish"), workers=1)
    assert world.migrate() is Phase.MIGRATED
    assert not any(name.endswith("/lock") for name in names(world))


def test_nothing_is_attempted_that_is_not_mirrored(world):
    """At every request that changes something, the bucket knows its intent."""
    seen = []

    def prepare(run):
        write = run.mirror.write

        def watched():
            write()
            seen.append(b"".join(world.run_store.read(name) for name in names(world) if "/journal/" in name))

        run.mirror.write = watched
        monkey.setattr(run.ports.source, "acquire_lock", lock)

    acquire_lock = world.source.acquire_lock

    def lock(unit, info):
        assert info.id.encode() in seen[-1]
        return acquire_lock(unit, info)

    with pytest.MonkeyPatch.context() as monkey:
        world.migrate(prepare=prepare)
    assert len(seen) >= 5


def test_the_mirror_holds_plan_journal_and_blobs(world):
    world.migrate()
    directory = world.directory()
    stem = f"runs/{directory.run_id}/"
    assert list_runs(world.run_store) == [directory.run_id]
    assert world.run_store.read(stem + "plan.json") == directory.read_plan_bytes()
    pieces = [name for name in names(world) if "/journal/" in name]
    assert b"".join(world.run_store.read(name) for name in pieces) == directory.read_journal()
    blobs = {name.rpartition("/")[2] for name in names(world) if "/blobs/" in name}
    assert blobs == set(directory.blobs.sizes())
    mirror = world.mirror(directory)
    assert mirror.shred() == len(blobs)
    assert not any("/blobs/" in name for name in names(world))


def test_a_store_that_cannot_be_written_stops_the_way_forward_and_not_the_way_back(world, monkeypatch):
    world.migrate()

    def refuse(*_):
        raise BackendUnreachableError("no connection", where="PUT")

    def break_mirror(run):
        monkeypatch.setattr(run.mirror, "write", refuse)

    notes = []

    def prepare(run):
        break_mirror(run)
        run.listen = lambda event: notes.append(event.detail) if event.name == "note" else None

    world.rollback(prepare=prepare)
    assert world.status().phase == "rolled-back"
    assert any("the mirror is behind" in note for note in notes)
    assert "it keeps other machines out" in notes[-1]


def test_a_first_stage_that_cannot_be_mirrored_touches_nothing(world, monkeypatch):
    before = world.truth()

    def prepare(run):
        def refuse():
            raise BackendUnreachableError("no connection", where="PUT")

        run.mirror.write = refuse

    with pytest.raises((BackendError, StoppedError)):
        world.migrate(prepare=prepare)
    assert world.truth() == before
    assert world.migrate() is Phase.MIGRATED


@pytest.mark.parametrize("damage", ["piece", "order", "blob", "plan"])
def test_a_damaged_mirror_is_not_believed(world, damage):
    world.migrate()
    stem = f"runs/{world.directory().run_id}/"
    found = next(
        name
        for name in names(world)
        if {"piece": "/journal/", "order": "/journal/", "blob": "/blobs/", "plan": "plan.json"}[damage] in name
    )
    data = world.run_store.read(found)
    world.run_store.remove(found, sha256=sha256(data).hexdigest())
    if damage in ("piece", "blob"):
        world.run_store.create(found, data.replace(b"a", b"b"))
    there = world.clone()
    with pytest.raises(JournalError) as refused:
        fetch_run(there.run_store, stem.split("/")[1], there.home)
    assert refused.value.exit_code == 3
    assert there.home.runs() == [] or not (there.home.runs()[0].path / "journal.jsonl").exists()


def test_blobs_keep_their_names(world):
    """What another machine wrote is kept under its own digest, whatever the bucket calls it."""
    world.migrate()
    there = world.clone()
    run = there.fetch()
    store: BlobStore = run.blobs
    assert all(sha256(store.read(name)).hexdigest() == name for name in store.sizes())


def test_a_torn_end_of_the_journal_is_not_mirrored(world):
    """A disk that fills up leaves half a line; whoever opens the journal next drops it."""
    world.migrate(Phase.CHECKED)

    def tear(run):
        with (world.directory().path / "journal.jsonl").open("ab") as stream:
            stream.write(b'{"at":')
        run.end_mirror()
        raise Died

    with pytest.raises(Died):
        world.open(tear)
    assert world.migrate() is Phase.MIGRATED
    there = world.clone()
    there.fetch()
    there.rollback()
    assert there.failed_checks() == {}


def test_a_mirror_that_missed_a_stage_of_the_way_back_catches_up(world):
    """One reply is lost after the piece was written; the next attempt is longer and goes on after it."""
    world.migrate()
    there = world.clone()
    there.fetch()
    failures = iter([True])

    def prepare(run):
        create = run.mirror._store.create

        def lose(name, data):
            done = create(name, data)
            if "/journal/" in name and next(failures, False):
                raise BackendUnreachableError("the reply was lost", where="PUT")
            return done

        monkeypatch.setattr(type(run.mirror._store), "create", lambda store, name, data: lose(name, data))

    with pytest.MonkeyPatch.context() as monkeypatch:
        there.rollback(prepare=prepare)
    assert there.status().phase == "rolled-back"
    world.rollback()
    assert world.status().phase == "rolled-back"
    assert world.directory().read_journal() == there.directory().read_journal()
