"""Each step on real servers: what probe says before, after and against somebody else; undo, twice."""

from dataclasses import replace

import pytest

from migrator.engine.phases import StepKind
from migrator.engine.step import Done, Foreign, NotDone
from migrator.engine.steps import CaptureTarget, CarryBack, build_chains, build_state_step
from migrator.errors import ForeignLockError, ForeignObjectError, InternalError, RefusedError, StalePlanError
from migrator.journal.fold import fold
from migrator.journal.record import Record, RecordKind
from migrator.state.snapshot import digest_of
from tests.support.world import CREATED, document

NAME = "attic-dev"


class Bench:
    """One step with its ports and the records that came before it."""

    def __init__(self, world, step):
        self.world, self.step = world, step
        self.ports = world.ports(world.directory())
        self.records = []

    def note(self, kind, step, **body):
        number = len(self.records) + 1
        self.records.append(Record(number=number, at="t", kind=kind, step=step, unit=self.step.unit, body=body))

    def take(self, step=None):
        """Apply a step as the runner does; return what undo is given."""
        step = step or self.step
        intent = step.build_intent(self.ports, fold(self.records))
        self.note(RecordKind.INTENT, step.kind, **intent)
        evidence = step.apply(self.ports, intent)
        self.note(RecordKind.DONE, step.kind, **evidence)
        return {**intent, **evidence}

    def intent(self):
        return self.step.build_intent(self.ports, fold(self.records))

    def undo(self, intent):
        undo_intent = self.step.build_undo_intent(self.ports, fold(self.records))
        return self.step.undo(self.ports, intent, undo_intent)


@pytest.fixture
def bench(world):
    return lambda kind: Bench(world, build_state_step(kind, world.state(NAME)))


def test_lock_source(world, bench):
    b = bench(StepKind.LOCK_SOURCE)
    intent = b.intent()
    assert b.step.probe(b.ports, intent) == NotDone()
    evidence = b.step.apply(b.ports, intent)
    assert world.lock_id(NAME) == intent["lock_id"] == evidence["lock_id"]
    assert isinstance(b.step.probe(b.ports, intent), Done)
    assert b.step.apply(b.ports, intent)["lock_id"] == intent["lock_id"]
    assert b.undo(intent) == {"released": "released"}
    assert b.undo(intent)["released"] in ("released", "not-held")
    assert world.lock_id(NAME) is None


def test_lock_source_against_somebody(world, bench):
    b = bench(StepKind.LOCK_SOURCE)
    world.lock_source(NAME)
    intent = b.intent()
    found = b.step.probe(b.ports, intent)
    assert isinstance(found, Foreign)
    assert "lock ID somebody" in found.found
    with pytest.raises(ForeignLockError):
        b.step.apply(b.ports, intent)
    assert b.undo(intent) == {"released": "held-by-other"}
    assert world.lock_id(NAME) == "somebody"


def test_lock_target(world, bench):
    b = bench(StepKind.LOCK_TARGET)
    intent = b.intent()
    assert b.step.probe(b.ports, intent) == NotDone()
    b.step.apply(b.ports, intent)
    assert isinstance(b.step.probe(b.ports, intent), Done)
    assert b.step.apply(b.ports, intent)["lock_id"] == intent["lock_id"]
    assert b.undo(intent) == {"released": "released"}
    assert b.undo(intent) == {"released": "not-held"}
    assert not world.truth().target_locks


def test_lock_target_against_somebody(world, bench):
    b = bench(StepKind.LOCK_TARGET)
    world.put_lock(NAME)
    intent = b.intent()
    assert isinstance(b.step.probe(b.ports, intent), Foreign)
    with pytest.raises(ForeignLockError):
        b.step.apply(b.ports, intent)
    assert b.undo(intent) == {"released": "held-by-other"}
    assert world.truth().target_locks == {NAME}


def test_capture(world, bench):
    b = bench(StepKind.CAPTURE)
    assert b.step.probe(b.ports, b.intent()) == NotDone()
    evidence = b.take()
    assert b.ports.blobs.read(evidence["sha256"]) == document(7)
    assert (evidence["serial"], evidence["lineage"]) == (7, "l-1")
    assert b.undo(evidence) == {}


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"serial": 6}, {"lineage": "other"}, {"sha256": None}])
def test_capture_of_anything_but_what_was_planned(world, changes):
    b = Bench(world, build_state_step(StepKind.CAPTURE, replace(world.state(NAME), **changes)))
    with pytest.raises(StalePlanError, match="attic-dev changed after the plan was made"):
        b.take()


def test_capture_of_a_document_that_is_gone(make_world):
    world = make_world({NAME: None})
    state = replace(world.state(NAME), sha256="0" * 64)
    with pytest.raises(StalePlanError, match="no document any more"):
        Bench(world, build_state_step(StepKind.CAPTURE, state)).take()


@pytest.fixture
def publish(world, bench):
    b = bench(StepKind.PUBLISH)
    b.take(build_state_step(StepKind.CAPTURE, world.state(NAME)))
    return b


def test_publish(world, publish):
    b = publish
    intent = b.intent()
    assert b.step.probe(b.ports, intent) == NotDone()
    evidence = b.step.apply(b.ports, intent)
    assert b.step.probe(b.ports, intent) == Done(evidence)
    assert b.step.apply(b.ports, intent) == evidence
    assert b.undo({**intent, **evidence}) == {"removed": "removed"}
    assert b.undo({**intent, **evidence}) == {"removed": "absent"}
    assert world.truth().objects == {}


@pytest.mark.parametrize("data", [b"somebody's", b"", document(7, outputs={})])
def test_publish_against_somebody(world, publish, data):
    b = publish
    world.put(NAME, data)
    intent = b.intent()
    assert isinstance(b.step.probe(b.ports, intent), Foreign)
    with pytest.raises(ForeignObjectError):
        b.step.apply(b.ports, intent)
    assert b.undo(intent) == {"removed": "left-alone"}
    with pytest.raises(ForeignObjectError):
        b.undo({**intent, "etag": '"ours, once"'})
    assert world.truth().objects == {NAME: data}


def test_publish_in_doubt_that_took_effect_is_taken_back(world, publish):
    b = publish
    intent = b.intent()
    b.step.apply(b.ports, intent)
    assert b.undo(intent) == {"removed": "removed"}


def test_check_target_reads_both_sides(world, publish):
    b = publish
    check = build_state_step(StepKind.CHECK_TARGET, world.state(NAME))
    assert check.probe(b.ports, {}) == NotDone()
    with pytest.raises(Exception, match="the target does not serve the bytes"):
        b.take(check)
    b.take()
    assert b.take(check)["serial"] == 7
    world.apply_at_source(NAME, document(8))
    with pytest.raises(Exception, match="the source does not serve the bytes"):
        b.take(check)


def test_unlock_target_and_its_way_back(world, bench):
    b = bench(StepKind.UNLOCK_TARGET)
    b.take(build_state_step(StepKind.LOCK_TARGET, world.state(NAME)))
    intent = b.intent()
    assert b.step.probe(b.ports, intent) == NotDone()
    assert b.step.apply(b.ports, intent) == {"released": "released"}
    assert isinstance(b.step.probe(b.ports, intent), Done)
    world.put_lock(NAME)
    assert isinstance(b.step.probe(b.ports, intent), Done)
    undo_intent = b.step.build_undo_intent(b.ports, fold(b.records))
    with pytest.raises(ForeignLockError):
        b.step.undo(b.ports, intent, undo_intent)
    world.delete(NAME, ".tflock")
    for _ in range(2):
        assert b.step.undo(b.ports, intent, undo_intent) == {"lock_id": undo_intent["lock_id"]}
    assert undo_intent["lock_id"] != intent["lock_id"]


def test_unlock_target_that_somebody_took_over(world, bench):
    b = bench(StepKind.UNLOCK_TARGET)
    b.take(build_state_step(StepKind.LOCK_TARGET, world.state(NAME)))
    world.put_lock(NAME)
    with pytest.raises(ForeignLockError, match="replaced by somebody else's"):
        b.take()
    assert world.truth().target_locks == {NAME}


def test_unlock_target_that_finds_no_lock_says_so_once(world, bench):
    """Ours is gone, or the answer was an old one: the next attempt looks again before it believes it."""
    b = bench(StepKind.UNLOCK_TARGET)
    b.take(build_state_step(StepKind.LOCK_TARGET, world.state(NAME)))
    world.delete(NAME, ".tflock")
    with pytest.raises(ForeignLockError, match="is not there"):
        b.take()
    assert isinstance(b.step.probe(b.ports, b.intent()), Done)


def test_carry_back(world, bench):
    b = bench(StepKind.LOCK_SOURCE)
    b.take()
    world.put(NAME, document(9))
    captured = b.take(CaptureTarget(world.state(NAME), digest_of(document(9))))
    b.step = CarryBack(world.state(NAME))
    intent = b.intent()
    assert b.step.probe(b.ports, intent) == NotDone()
    for _ in range(2):
        assert b.step.apply(b.ports, intent) == {"sha256": captured["sha256"], "serial": 9}
    assert isinstance(b.step.probe(b.ports, intent), Done)
    assert b.undo(intent) == {}
    assert world.truth().versions[NAME] == {7: document(7), 9: document(9)}


def test_carry_back_never_covers_a_higher_serial(world, bench):
    b = bench(StepKind.LOCK_SOURCE)
    b.take()
    world.put(NAME, document(9))
    b.take(CaptureTarget(world.state(NAME), digest_of(document(9))))
    world.apply_at_source(NAME, document(11))
    with pytest.raises(ForeignObjectError):
        b.take(CarryBack(world.state(NAME)))
    assert world.source.read_state(NAME).data == document(11)


def test_carry_back_without_a_capture_is_a_bug(world, bench):
    b = bench(StepKind.LOCK_SOURCE)
    with pytest.raises(InternalError):
        CarryBack(world.state(NAME)).build_intent(b.ports, fold([]))


def test_capture_target_of_nothing(world, bench):
    b = bench(StepKind.LOCK_SOURCE)
    with pytest.raises(RefusedError, match="vanished"):
        b.take(CaptureTarget(world.state(NAME), digest_of(document(9))))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_cut_over_file(world, index):
    (chain,) = build_chains((StepKind.CUT_OVER_FILE,), world.plan)[index : index + 1]
    b, path = Bench(world, chain[0]), world.root / chain[0].unit
    before = world.truth().files
    intent = b.intent()
    assert b.step.probe(b.ports, intent) == NotDone()
    b.step.apply(b.ports, intent)
    after = path.read_bytes()
    assert isinstance(b.step.probe(b.ports, intent), Done)
    b.step.apply(b.ports, intent)
    path.write_bytes(b"edited")
    assert isinstance(b.step.probe(b.ports, intent), Foreign)
    with pytest.raises(StalePlanError):
        b.step.apply(b.ports, intent)
    with pytest.raises(RefusedError, match="would lose the edit"):
        b.undo(intent)
    path.write_bytes(after)
    assert b.undo(intent) == {"restored": "yes"}
    assert b.undo(intent) == {"restored": "already"}
    assert world.truth().files == before


def test_cut_over_of_a_plan_whose_edits_do_not_give_its_image(world):
    file = replace(world.plan.files[0], post_sha256="0" * 64)
    world.plan = replace(world.plan, files=(file,))
    ((step,),) = build_chains((StepKind.CUT_OVER_FILE,), world.plan)
    before = world.truth().files
    with pytest.raises(StalePlanError, match="do not give the planned file"):
        Bench(world, step).take()
    assert world.truth().files == before


def test_what_a_killed_replace_left_is_swept_in_both_directions(world):
    left = world.root / "stacks/attic/.backend.tf.0123456789ab.migrator-tmp"
    alike = world.root / "stacks/attic/.backend.tf.backup.tmp"
    alike.write_text("the user's")
    left.write_text("half")
    world.migrate()
    assert not left.exists()
    left.write_text("half")
    (world.root / "stacks/attic/backend.tf").write_bytes(b'backend "http" {}\r\n')
    world.rollback()
    assert not left.exists()
    assert alike.read_text() == "the user's"
    assert CREATED not in world.truth().files


def test_prove_asks_the_prover_each_time(world, bench):
    b = bench(StepKind.PROVE)
    assert b.step.probe(b.ports, b.intent()) == NotDone()
    assert b.take()["mode"] == "plan"
    assert b.undo({}) == {}
    assert world.prover.proved == [NAME]
