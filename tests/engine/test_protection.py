"""The seal where GitLab has protection rules: made, relied on, noticed when it is gone, removed if it is ours."""

import urllib.error
from dataclasses import replace

import pytest

from migrator.backends.gitlab_http import GitLabSource
from migrator.engine.phases import Phase, StepKind
from migrator.engine.steps.protect_source import ProtectSource
from migrator.errors import CredentialsRefusedError, ForeignLockError, RefusedError, StoppedError
from migrator.journal.fold import StepState
from tests.support.fault_proxy import Effect, Fault, FaultProxy
from tests.support.world import PROJECT, QUICK, TOKEN, document

ONE = {"attic-dev": document(7)}
NEWER = document(9)
BOTH = {"attic-dev", "attic-prod"}


@pytest.fixture
def world(make_world):
    return make_world(protection=True)


def seals(world):
    return {(state.seal, state.seal_reason) for state in world.status().states}


def checks(world, name):
    return {check.subject: (check.ok, check.found) for check in world.verify() if check.name == name}


def through(world, proxy):
    return replace(world, source=GitLabSource(url=proxy.url, project=PROJECT, token=TOKEN, retry=QUICK))


def test_every_state_is_sealed_twice_and_a_forced_unlock_opens_nothing(world):
    world.migrate()
    assert set(world.rules()) == BOTH
    assert all(world.truth().locked.values())
    assert world.truth().target_locks == frozenset()
    assert seals(world) == {("lock and protection rule", "")}
    rule = world.rules()["attic-dev"]
    assert checks(world, "source-protected")["attic-dev"] == (True, f"rule {rule}: level admin, from anywhere")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        world.apply_at_source("attic-dev", document(8))
    assert world.lock_id("attic-dev") is None
    assert checks(world, "source-sealed") == {
        "attic-dev": (True, "the lock was lifted; the protection rule keeps everybody out"),
        "attic-prod": (True, "sealed by this run"),
    }
    assert world.failed_checks() == {}


@pytest.mark.parametrize("until", [Phase.CHECKED, Phase.CUT_OVER, Phase.MIGRATED])
def test_the_way_back_leaves_no_rule_and_carries_what_is_newer(make_world, until):
    world = make_world(protection=True)
    before = world.truth()
    watcher = world.watcher()
    world.migrate(until)
    if until is Phase.MIGRATED:
        with watcher.rival():
            world.put("attic-dev", NEWER)
    watcher.check("migrated")
    world.rollback()
    assert world.rules() == {}
    assert world.source.read_state("attic-dev").data == (NEWER if until is Phase.MIGRATED else document(7))
    assert replace(world.truth(), versions=before.versions) == before
    assert seals(world) == {("none", "")}
    assert world.failed_checks() == {}


def test_a_lock_that_was_lifted_under_the_rule_is_closed_again_on_the_way_back(world):
    before = world.truth()
    world.migrate()
    world.force_unlock_source("attic-dev")
    closed = []

    def watch(run):
        run.listen = lambda event: closed.append(world.lock_id("attic-dev")) if event.step == "carry" else None

    world.rollback(prepare=watch)
    assert closed[0] is not None
    assert (world.truth(), world.rules()) == (before, {})


def test_a_rival_that_took_the_lock_under_the_rule_blocks_before_anything_is_touched(world):
    world.migrate()
    world.force_unlock_source("attic-dev")
    world.standin.store.lock(PROJECT, "attic-dev", lock_id="theirs", user="rival")
    assert checks(world, "source-sealed")["attic-dev"][1].startswith("the lock is held by rival")
    with pytest.raises(ForeignLockError, match="the seal of attic-dev was opened"):
        world.rollback()
    assert (set(world.rules()), world.status().phase) == (BOTH, "migrated")


def test_without_rules_the_lock_is_the_seal_and_the_reason_is_told(make_world):
    world = make_world()
    world.migrate()
    assert {seal for seal, _ in seals(world)} == {"lock"}
    assert "no protection rules" in world.status().states[0].seal_reason
    assert checks(world, "source-protected") == {}
    asked = [seen for seen in world.standin.exchanges() if seen.path.endswith("state_protection_rules")]
    assert len(asked) <= 4  # by each thread once, whatever the number of states and steps
    world.rollback()
    assert world.failed_checks() == {}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(Effect.ANSWER, method="POST", status=403, body=b'{"message":"403 Forbidden"}'), "may not make"),
        (Fault(Effect.ANSWER, method="GET", status=403, body=b'{"message":"403 Forbidden"}'), "may not read"),
        (Fault(Effect.ANSWER, method="POST", status=405, body=b'{"error":"405 Not Allowed"}'), "19.1"),
        (Fault(Effect.ANSWER, method="POST", status=422, body=b'{"message":{"error":["boom"]}}'), "boom"),
    ],
)
def test_what_hinders_a_rule_stops_no_migration(world, fault, reason):
    with FaultProxy(world.standin.base_url) as proxy:
        fault.path, fault.times = "state_protection_rules", 99
        proxy.inject(fault)
        weak = through(world, proxy)
        assert weak.migrate() is Phase.MIGRATED
        assert {seal for seal, _ in seals(weak)} == {"lock"}
        assert reason in weak.status().states[0].seal_reason
        weak.rollback()
    assert world.rules() == {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Effect.COMMIT_THEN_DROP, method="POST"),
        Fault(Effect.DROP, method="POST"),
        Fault(Effect.COMMIT_THEN_DROP, method="DELETE"),
        Fault(Effect.DROP, method="DELETE"),
    ],
)
def test_a_lost_reply_about_a_rule_is_settled(world, fault):
    before = world.truth()
    with FaultProxy(world.standin.base_url) as proxy:
        fault.path, fault.times = "state_protection_rules", 1
        proxy.inject(fault)
        shaky = through(world, proxy)
        shaky.migrate()
        assert set(world.rules()) == BOTH
        shaky.rollback()
    assert (world.rules(), world.truth()) == ({}, before)


def test_a_reply_that_stays_lost_stops_with_both_sides_closed_and_is_settled_by_looking(world):
    with FaultProxy(world.standin.base_url) as proxy:
        proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="POST", path="state_protection_rules", times=99))
        proxy.inject(Fault(Effect.DROP, method="GET", path="state_protection_rules", after=4, times=99))
        with pytest.raises(StoppedError):
            through(world, proxy).migrate()
    assert world.truth().target_locks
    assert all(world.truth().locked.values())
    assert world.migrate() is Phase.MIGRATED
    assert seals(world) == {("lock and protection rule", "")}
    assert set(world.rules()) == BOTH


class TestTheRuleOfSomebodyElse:
    @pytest.mark.parametrize(
        ("level", "place", "seal"),
        [
            ("admin", "anywhere", "lock and protection rule of somebody else"),
            ("admin", "ci_only", "lock and protection rule of somebody else"),
            ("maintainer", "anywhere", "lock"),
        ],
    )
    def test_is_never_touched(self, world, level, place, seal):
        world.migrate(Phase.CUT_OVER)
        theirs = world.protect("attic-dev", level, place)
        world.migrate()
        state = world.status().states[0]
        assert (state.seal, f"rule {theirs} of somebody else" in state.seal_reason) == (seal, True)
        assert world.rules()["attic-dev"] == theirs
        assert world.failed_checks() == {}
        if level == "admin":
            with pytest.raises((CredentialsRefusedError, StoppedError), match="protected"):
                world.rollback()
            world.remove_rule("attic-dev")
            assert checks(world, "source-protected")["attic-dev"] == (False, f"open: rule {theirs} was removed")
            world.rollback()
            assert world.rules() == {}
        else:
            world.rollback()
            assert world.rules() == {"attic-dev": theirs}

    def test_that_stands_before_the_lock_refuses_the_run(self, world):
        world.protect("attic-dev")
        before = world.truth()
        with pytest.raises((CredentialsRefusedError, StoppedError), match="protected"):
            world.migrate()
        world.rollback()
        assert (world.truth(), set(world.rules())) == (before, {"attic-dev"})


class TestTheRuleThatIsNoLongerOurs:
    def test_removed_is_noticed_and_no_hindrance(self, world):
        before = world.truth()
        world.migrate()
        rule = world.rules()["attic-dev"]
        world.remove_rule("attic-dev")
        assert world.failed_checks() == {("source-protected", "attic-dev"): f"open: rule {rule} was removed"}
        world.rollback()
        assert (world.truth(), world.rules()) == (before, {})

    def test_changed_is_noticed_and_blocks_until_somebody_decides(self, world):
        before = world.truth()
        world.migrate()
        rule = world.rules()["attic-dev"]
        world.change_rule("attic-dev", minimum_access_level_for_write="owner")
        found = f"rule {rule} was changed: level owner, from anywhere"
        assert world.failed_checks() == {("source-protected", "attic-dev"): found}
        with pytest.raises(RefusedError, match=f"rule {rule}, which this run made, was changed") as refused:
            world.rollback()
        assert refused.value.now == "nothing was touched"
        assert (len(world.rules()), world.status().phase) == (2, "migrated")
        world.remove_rule("attic-dev")
        world.rollback()
        assert (world.truth(), world.rules()) == (before, {})

    def test_replaced_is_noticed_and_left_alone(self, world):
        world.migrate()
        rule = world.rules()["attic-dev"]
        world.remove_rule("attic-dev")
        other = world.protect("attic-dev", "developer")
        found = f"rule {rule} was replaced by rule {other}: level developer, from anywhere"
        assert world.failed_checks() == {("source-protected", "attic-dev"): found}
        world.rollback()
        assert world.rules() == {"attic-dev": other}

    def test_and_opened_on_both_counts_is_open(self, world):
        world.migrate()
        world.remove_rule("attic-dev")
        world.force_unlock_source("attic-dev")
        assert set(world.failed_checks()) == {("source-protected", "attic-dev"), ("source-sealed", "attic-dev")}

    def test_that_a_weak_token_cannot_see_blocks_before_anything_is_touched(self, world):
        world.migrate()
        with FaultProxy(world.standin.base_url) as proxy:
            proxy.inject(
                Fault(Effect.ANSWER, path="state_protection_rules", status=403, body=b'{"message":"no"}', times=99)
            )
            with pytest.raises(CredentialsRefusedError, match="a rule of this run may stand") as refused:
                through(world, proxy).rollback()
        assert refused.value.now == "nothing was touched"
        world.rollback()
        assert world.rules() == {}

    def test_switched_off_is_passed_by_and_told_when_it_is_back(self, world):
        world.migrate()
        with FaultProxy(world.standin.base_url) as proxy:
            off = b'{"message":"404 Not Found"}'
            proxy.inject(Fault(Effect.ANSWER, path="state_protection_rules", status=404, body=off, times=99))
            world.standin._service.rules.enabled = False
            through(world, proxy).rollback()
            world.standin._service.rules.enabled = True
        assert world.status().phase == "rolled-back"
        rule = world.rules()["attic-dev"]
        assert world.failed_checks()["source-unprotected", "attic-dev"] == f"rule {rule} of this run still stands"


def test_a_seal_that_was_opened_while_the_run_lay_dead_keeps_the_target_shut(world, monkeypatch):
    """All intents of the last stage stand before its first effect; none of them is a reason to look away."""

    class Killed(BaseException):
        """Nothing handles it."""

    def die(*_):
        raise Killed

    world.migrate(Phase.CUT_OVER)
    with monkeypatch.context() as patched:
        patched.setattr(ProtectSource, "apply", die)
        with pytest.raises(Killed):
            world.migrate()
    assert len(world.directory().read_view().units(StepKind.UNLOCK_TARGET, StepState.IN_DOUBT)) == 2
    world.apply_at_source("attic-dev", document(8))
    with pytest.raises(StoppedError, match="the lock of this run at the source is gone"):
        world.migrate()
    assert len(world.truth().target_locks) == 2
    world.rollback()
    assert world.truth().versions["attic-dev"] == {7: document(7), 8: document(8)}
