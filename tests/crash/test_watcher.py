"""The watcher can fail: each of its rules is broken on purpose, by a product that is broken on purpose."""

from dataclasses import replace

import pytest

from migrator.engine.steps.capture import Capture
from migrator.engine.steps.carry_back import CarryBack
from migrator.engine.steps.lock_source import LockSource
from migrator.engine.steps.lock_target import LockTarget
from migrator.engine.steps.publish import Publish
from migrator.engine.steps.unlock_target import UnlockTarget
from migrator.plan.model import PlannedState
from tests.cli.lab import document
from tests.crash.effects import Effects, Killed
from tests.crash.matrix import MIGRATE, ROLLBACK
from tests.support.watcher import SourceTruth, TargetTruth, ViolationError, Watcher, digest

PATH = "/api/v4/projects/84/terraform/state/alpha-dev"


def at_source(ports, method, path="", body=b"", **query):
    """A request to GitLab that the product would never send."""
    ports.source._exchange.write(method, PATH + path, body=body, query=query or None)


def at_target(ports, call, key, **more):
    bucket = ports.target._bucket
    getattr(bucket._client, call)(Bucket=bucket.name, Key=key, **more)


def seeds():
    """Name, violated rule, what is broken, how, and whether the way back is where it shows."""

    def release_source_too(self, ports, intent):
        done = UNBROKEN[UnlockTarget](self, ports, intent)
        at_source(ports, "DELETE", "/lock")
        return done

    yield "the source is opened as well", "open: .* both sides", UnlockTarget, release_source_too, MIGRATE

    def unlock_early(self, ports, intent):
        done = UNBROKEN[Publish](self, ports, intent)
        at_source(ports, "DELETE", "/lock")
        at_target(ports, "delete_object", f"{intent['key']}.tflock")
        return done

    yield "both are opened before cut-over", "open: .* both sides", Publish, unlock_early, MIGRATE

    def forget(self, ports, intent):
        return {"sha256": intent["sha256"], "serial": intent["serial"]}

    yield "the newest is not carried back", "newest: .* serial 9", CarryBack, forget, ROLLBACK

    def remove_version(self, ports, intent):
        at_source(ports, "DELETE", "/versions/7")
        return UNBROKEN[LockSource](self, ports, intent)

    yield "a version is removed", "newest|source: .* version 7 was removed", LockSource, remove_version, MIGRATE

    def remove_old_version(self, ports, intent):
        at_source(ports, "DELETE", "/versions/5")
        return UNBROKEN[LockSource](self, ports, intent)

    yield "an old version is removed", "source: .* version 5 was removed", LockSource, remove_old_version, MIGRATE

    def write(data):
        def apply(self, ports, intent):
            done = UNBROKEN[LockSource](self, ports, intent)
            at_source(ports, "POST", body=data, ID=intent["lock_id"])
            return done

        return apply

    yield "bytes are made up", "source: .* never held", LockSource, write(document(8)), MIGRATE

    def write_other(data):
        def apply(self, ports, intent):
            at_target(ports, "put_object", self.state.key, Body=data)
            return UNBROKEN[CarryBack](self, ports, intent)

        return apply

    yield "the target is overwritten", "newest|foreign: .* overwritten", CarryBack, write_other(document(5)), ROLLBACK

    def delete_state(self, ports, intent):
        at_source(ports, "DELETE")
        return UNBROKEN[LockSource](self, ports, intent)

    yield "the state is deleted", "source: .* deleted", LockSource, delete_state, MIGRATE

    def take_another_lock(self, ports, intent):
        return UNBROKEN[LockSource](self, ports, {"lock_id": "unheard-of"})

    yield (
        "a lock has no record",
        "foreign: .* 'unheard-of' at the source .* no journal",
        LockSource,
        take_another_lock,
        MIGRATE,
    )

    def force(self, ports, intent):
        at_target(ports, "delete_object", f"{intent['key']}.tflock")
        return UNBROKEN[LockTarget](self, ports, intent)

    yield "a rival's lock is removed", "foreign: .* 'somebody' at the target is not ours", LockTarget, force, MIGRATE

    def overwrite(self, ports, intent):
        at_target(ports, "put_object", intent["key"], Body=document(7))
        return {"sha256": intent["sha256"], "etag": "", "version_id": None}

    yield "a stranger's object is overwritten", "foreign: .* overwritten", Publish, overwrite, MIGRATE

    def delete(self, ports, intent):
        at_target(ports, "delete_object", intent["key"])
        return UNBROKEN[Publish](self, ports, intent)

    yield "a stranger's object is deleted", "foreign: .* not ours was deleted", Publish, delete, MIGRATE

    def invent(self, ports, intent):
        at_target(ports, "put_object", intent["key"], Body=b"{}")
        return UNBROKEN[Publish](self, ports, intent)

    yield "an object is made up", "foreign: .* does not know", Publish, invent, MIGRATE


UNBROKEN = {step: step.apply for step in (Capture, CarryBack, LockSource, LockTarget, Publish, UnlockTarget)}
SEEDS = {name: rest for name, *rest in seeds()}
# What looks before a step acts, and would stop these: it is broken as well.
LOOKS = {
    "the newest is not carried back": "migrator.engine.rollback.check_may_remove",
    "a rival's lock is removed": "migrator.engine.guard._check_first_target_lock",
}


def prepare(make_lab, name, command):
    """Without protection rules: the lock is all that keeps the source closed."""
    lab = make_lab({"alpha-dev": (document(5), document(7))}, rules=False)
    if command == ROLLBACK:
        assert lab.run(*MIGRATE).code == 0
        lab.put(lab.key(), document(9))
    if "rival" in name:
        lab.lock_as_rival()
    if "stranger" in name:
        lab.put(lab.key(), b"a stranger's")
    return lab


@pytest.mark.parametrize("name", SEEDS)
def test_a_product_that_is_broken_is_caught(make_lab, monkeypatch, name):
    rule, step, broken, command = SEEDS[name]
    lab = prepare(make_lab, name, command)
    monkeypatch.setattr(step, "apply", broken)
    if name in LOOKS:
        monkeypatch.setattr(LOOKS[name], lambda *_: None)
    effects = Effects(lab)
    with pytest.raises(ViolationError, match=rule), effects.installed(), pytest.raises(Killed):
        lab.run(*command)


@pytest.mark.parametrize(
    "name", ["the source is opened as well", "a rival's lock", "a stranger's object", "the way back"]
)
def test_a_product_that_is_whole_is_not(make_lab, name):
    command = ROLLBACK if name == "the way back" else MIGRATE
    lab = prepare(make_lab, name, command)
    with Effects(lab).installed():
        assert lab.run(*command).code == {"a rival's lock": 4, "a stranger's object": 5}.get(name, 0)


# -- what no command does, on a model ----------------------------------------------------------------------------------


class Model:
    """Both stores in two fields."""

    def __init__(self, **more):
        self.source = SourceTruth(versions={7: document(7)})
        self.target = TargetTruth()
        self.own = {"ours"}
        self.watcher = Watcher(
            states=[build_state(**more)],
            source=Side(lambda: self.source),
            target=Side(lambda: self.target),
            own_ids=lambda: self.own,
        )

    def change(self, source=None, target=None):
        self.source = replace(self.source, **source or {})
        self.target = replace(self.target, **target or {})
        self.watcher.check("a change")


class Side:
    def __init__(self, look):
        self.look = lambda _: look()


def build_state(*, adopted=False):
    data = document(7)
    return PlannedState(
        name="alpha-dev",
        stack="alpha",
        directory="stacks/alpha",
        environment="dev",
        key="k",
        serial=7,
        lineage="l-1",
        sha256=digest(data),
        size=len(data),
        encrypted=False,
        resource_count=0,
        adopted=adopted,
    )


LOCKED = {"lock_id": "ours"}


def test_the_way_there_and_back_is_no_violation():
    model = Model()
    model.change(LOCKED)
    model.change({}, {**LOCKED, "data": document(7)})
    model.change({}, {"lock_id": None})
    with model.watcher.rival():
        model.change({}, {"data": document(9)})
    model.change({}, LOCKED)
    model.change({"versions": {7: document(7), 9: document(9)}})
    model.change({}, {"data": None})
    model.change({}, {"lock_id": None})
    model.change({"lock_id": None})
    assert model.watcher.checks == 9


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ({7: document(7), 6: document(6)}, "below version 7"),
        ({7: document(7), 9: document(9, "l-2")}, "another lineage"),
        ({7: document(7), 9: document(8)}, "no document of that serial"),
        ({7: document(7), 9: None}, "never held"),
        ({7: document(7, outputs={"a": {}})}, "version 7 was removed or changed"),
        ({9: document(9)}, "version 7 was removed"),
    ],
)
def test_the_source_is_written_by_a_carry_back_only(written, rule):
    model = Model()
    with model.watcher.rival():
        for data in (document(6), document(8), document(9, "l-2"), document(9)):
            model.change({}, {"data": data})
            model.watcher._take_as_given()
    with pytest.raises(ViolationError, match=rule):
        model.change({"versions": written})


def test_an_open_side_that_a_rule_protects_is_closed():
    model = Model()
    model.change({**LOCKED, "protected": True}, {"data": document(7)})
    with model.watcher.rival():
        model.change({"lock_id": None})  # a maintainer forced it open
    with pytest.raises(ViolationError, match="open"):
        model.change({"protected": False})


def test_what_a_rival_does_is_taken_as_given_and_told_once():
    model = Model()
    with model.watcher.rival():
        model.change({"lock_id": "theirs"}, {"data": document(8), "lock_id": "theirs"})
    with pytest.raises(ViolationError, match="foreign"):
        model.change({"lock_id": None})
    model = Model()
    with model.watcher.rival():
        model.change({}, {"data": document(8)})  # both are open now, and it is not our doing
    model.change({}, {"data": document(8)})
    with pytest.raises(ViolationError, match="newest"):
        model.change({}, {"data": None})


def test_an_adopted_object_is_nobodys_until_it_moves_on():
    model = Model(adopted=True)
    with model.watcher.rival():
        model.change({}, {"data": document(7)})
    model.change(LOCKED)
    model.change({"lock_id": None})
    with pytest.raises(ViolationError, match="not ours was deleted"):
        model.change({}, {"data": None})
    model = Model(adopted=True)
    with model.watcher.rival():
        model.change(LOCKED, {"data": document(9)})
    with pytest.raises(ViolationError, match="open"):
        model.change({"lock_id": None})
