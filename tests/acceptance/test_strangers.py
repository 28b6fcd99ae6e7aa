"""Others on the states of a run: OpenTofu with and without its lock, a maintainer of GitLab, a stranger in the bucket.

At every barrier and, at the gate, between two requests. Each is refused, or seen before harm, or carried home; the message
names a way forward, and the test takes that way. The watcher looks on.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from migrator.state.snapshot import read_snapshot
from tests.support.estate_lab import finish
from tests.support.gate import Moment, Trap
from tests.support.programs import wants_rustfs
from tests.support.s3_servers import S3Server
from tests.support.scene import APPLY, MIGRATE, ROLLBACK, STATE, Scene, newer, open_scene, said_by
from tests.support.small_estate import STATES
from tests.support.watcher import ViolationError

SOURCE_LOCK = r"/terraform/state/[^/]+/lock$"


@pytest.fixture(scope="module")
def scene(find_server: Callable[[str], S3Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    server = find_server("rustfs" if wants_rustfs() else "moto")
    scene = open_scene(tmp_path_factory.mktemp("scene") / "lab", server=server)
    yield scene
    scene.close()


# --- OpenTofu ---------------------------------------------------------------------------------------------------------


def test_an_apply_under_way_is_waited_for_and_then_the_plan_is_stale(scene: Scene) -> None:
    watcher = scene.begin("planned")
    with watcher.rival():
        apply = scene.begin_apply(scene.bob)
    refused = scene.alice.migrator(*MIGRATE, expect=4)
    assert re.search(r"locked .*by bob,? since 20\d\d-", said_by(refused)), refused.err
    scene.alice.check_clean()
    with watcher.rival():
        finish(apply, "yes\n")
    stale = scene.alice.migrator(*scene.alice.next(refused), expect=3)
    scene.alice.check_clean()
    assert scene.lab.gitlab.locked() == scene.lab.target_locks() == []
    scene.alice.migrator(*scene.alice.next(stale))
    watcher = scene.lab.watch()
    scene.alice.migrator(*MIGRATE)
    scene.end(watcher)
    assert scene.lab.documents()[STATE] == scene.lab.gitlab.document(STATE)
    assert read_snapshot(scene.lab.documents()[STATE]).serial == 5


@pytest.mark.parametrize(("does", "code"), [("writes", 3), ("locks", 4)])
def test_somebody_comes_between_the_first_look_and_the_locks(scene: Scene, does: str, code: int) -> None:
    watcher = scene.begin("planned")
    applies: list[subprocess.Popen[str]] = []

    def come_between() -> None:
        with watcher.rival():
            if does == "writes":
                scene.lab.gitlab.write(STATE, newer())
            else:
                applies.append(scene.begin_apply(scene.bob))

    scene.lab.gate.lay(trap := Trap(Moment.BEFORE, come_between, path=SOURCE_LOCK))
    refused = scene.alice.migrator(*MIGRATE, expect=code)
    assert trap.sprung
    scene.end(watcher)
    scene.alice.check_clean()
    assert scene.lab.gitlab.locked() == ([STATE] if does == "locks" else [])
    assert scene.lab.documents() == {}
    with watcher.rival():
        for apply in applies:
            finish(apply, "yes\n")
    if does == "locks":
        refused = scene.alice.migrator(*scene.alice.next(refused), expect=3)
    assert scene.alice.next(refused) == ("plan",)


def test_an_apply_under_way_at_the_target_is_waited_for_and_carried_back(scene: Scene) -> None:
    watcher = scene.begin("migrated")
    with watcher.rival():
        apply = scene.begin_apply(scene.alice)
    refused = scene.alice.migrator(*ROLLBACK, expect=4)
    assert re.search(r"locked at the target by \S+@\S+,? since 20\d\d-", said_by(refused)), refused.err
    assert scene.lab.truth().versions == scene.truth["migrated"].versions
    with watcher.rival():
        finish(apply, "yes\n")
    applied = scene.lab.documents()[STATE]
    scene.alice.migrator(*scene.alice.next(refused))
    scene.end(watcher)
    scene.check_carried(applied)


def test_the_seal_holds_against_who_ignores_locks(scene: Scene) -> None:
    scene.begin("migrated")
    refused = scene.tofu(scene.bob, *APPLY, "-lock=false", expect=1)
    assert "Failed to save state" in refused.text
    assert scene.lab.truth() == scene.truth["migrated"]


def test_a_source_that_was_forced_open_and_written_before_the_cut_over(scene: Scene) -> None:
    watcher = scene.begin("checked")
    with watcher.rival():
        scene.lab.gitlab.force_unlock(STATE)
        scene.tofu(scene.bob, *APPLY, "-lock=false")
    applied = scene.lab.gitlab.document(STATE)
    stopped = scene.alice.migrator(*MIGRATE, expect=5)
    assert "lock of this run at the source is gone" in said_by(stopped)
    assert scene.lab.changed_files() == set()
    scene.alice.migrator(*scene.alice.next(stopped))
    scene.end(watcher)
    scene.check_carried(applied)
    scene.alice.check_clean()
    scene.alice.migrator("plan")
    watcher = scene.lab.watch()
    scene.alice.migrator(*MIGRATE)
    scene.end(watcher)
    assert scene.lab.documents()[STATE] == applied


def test_a_source_that_was_forced_open_and_written_after_the_cut_over(scene: Scene) -> None:
    """Two documents claim to be the newest: nothing is touched, and the runbook says how people decide."""
    watcher = scene.begin("moved on")
    with watcher.rival():
        scene.lab.gitlab.force_unlock(STATE)
        scene.tofu(scene.bob, *APPLY, "-lock=false")
    before = scene.lab.truth()
    failed = scene.alice.migrator("verify", expect=3)
    assert "both sides have moved" in failed.text
    refused = scene.alice.migrator(*ROLLBACK, expect=4)
    assert "both sides moved" in said_by(refused)
    scene.end(watcher)
    assert scene.lab.truth() == before


@pytest.mark.parametrize("barrier", ["checked", "cut-over"])
def test_a_target_that_was_written_past_the_lock_before_it_was_opened(scene: Scene, barrier: str) -> None:
    watcher = scene.begin(barrier)
    with watcher.rival():
        if barrier == "checked":
            scene.write_target(newer())
        else:
            scene.tofu(scene.alice, *APPLY, "-lock=false")
    written = scene.lab.documents()[STATE]
    stopped = scene.alice.migrator(*MIGRATE, expect=5)
    assert "the document at the target changed" in said_by(stopped)
    scene.alice.migrator(*scene.alice.next(stopped))
    scene.end(watcher)
    scene.check_carried(written)
    scene.alice.check_clean()


# Where somebody who ignores locks writes the target while it is rolled back.
AT_ROLLBACK = {
    "before it is captured": ("moved on", {"moment": Moment.AFTER, "method": "PUT", "path": f"{STATE}/.*tflock$"}),
    "before it is carried back": ("moved on", {"method": "POST", "path": f"/state/{STATE}$"}),
    "after it was carried back": (
        "moved on", {"moment": Moment.AFTER, "method": "POST", "path": f"/state/{STATE}$"}
    ),
    "before it is removed": ("moved on", {"method": "DELETE", "path": f"{STATE}/terraform.tfstate$"}),
    "before what had not changed is removed": (
        "migrated", {"method": "DELETE", "path": f"{STATE}/terraform.tfstate$"}
    ),
}  # fmt: skip


@pytest.mark.parametrize(("barrier", "when"), AT_ROLLBACK.values(), ids=AT_ROLLBACK.keys())
def test_what_is_written_past_the_lock_during_a_rollback_is_carried_back(
    scene: Scene, barrier: str, when: dict[str, Any]
) -> None:
    watcher = scene.begin(barrier)
    written = newer(2)

    def write() -> None:
        with watcher.rival():
            scene.write_target(written)

    scene.lab.gate.lay(trap := Trap(**{"moment": Moment.BEFORE, "do": write, **when}))
    done = scene.lab.migrator(*ROLLBACK, expect=None)
    assert trap.sprung
    assert done.code in (0, 5), done.text
    if done.code == 5:
        scene.lab.gate.check()
        assert scene.lab.documents()[STATE] == written
        scene.alice.migrator(*scene.alice.next(done))
    scene.end(watcher)
    scene.check_carried(written)
    scene.alice.check_clean()


# --- a maintainer -----------------------------------------------------------------------------------------------------

# The barrier that a run goes on from, and the request before which the source is forced open (None: at once).
FORCED = {
    "before it publishes": ("planned", {"method": "PUT", "path": "tfstate$"}),
    "before files change": ("checked", None),
    "before the target is opened": ("cut-over", None),
}


@pytest.mark.parametrize(("barrier", "when"), FORCED.values(), ids=FORCED.keys())
def test_a_lock_that_was_forced_open(scene: Scene, barrier: str, when: dict[str, Any] | None) -> None:
    watcher = scene.begin(barrier)

    def force_open() -> None:
        with watcher.rival():
            scene.lab.gitlab.force_unlock(STATE)

    if when is None:
        force_open()
    else:
        scene.lab.gate.lay(Trap(**{"moment": Moment.BEFORE, "do": force_open, **when}))
    stopped = scene.alice.migrator(*MIGRATE, expect=5)
    scene.end(watcher)
    assert "the lock of this run at the source is gone; it is held by nobody" in said_by(stopped)
    assert STATE in said_by(stopped)
    now = scene.lab.truth()
    assert now.versions == scene.truth["planned"].versions
    assert now.files == scene.truth["cut-over" if barrier == "cut-over" else "planned"].files
    assert len(now.target_locks) == len(STATES)
    status = scene.alice.migrator("status", "--json").document()
    assert "is gone" in status["stopped"]
    scene.alice.migrator(*scene.alice.next(stopped))
    scene.end(watcher)
    assert scene.lab.truth() == scene.truth["planned"]
    scene.alice.check_clean()


def test_a_lock_that_was_forced_open_for_an_apply_that_is_under_way(scene: Scene) -> None:
    watcher = scene.begin("checked")
    with watcher.rival():
        scene.lab.gitlab.force_unlock(STATE)
        apply = scene.begin_apply(scene.bob)
    stopped = scene.alice.migrator(*MIGRATE, expect=5)
    assert re.search(r"at the source is gone; it is held by bob,? since 20\d\d-", said_by(stopped)), stopped.err
    scene.alice.migrator(*scene.alice.next(stopped))
    scene.end(watcher)
    scene.alice.check_clean()
    assert scene.lab.gitlab.locked() == [STATE]
    finish(apply, "yes\n")
    assert read_snapshot(scene.lab.gitlab.document(STATE)).serial == 5


@pytest.mark.parametrize("when", ["while the target is opened", "afterwards"])
def test_a_seal_that_was_forced_open(scene: Scene, when: str) -> None:
    """No look can come so late that nothing comes after it: then verify says so, and the way back closes the source."""
    scene.begin("cut-over" if when == "while the target is opened" else "migrated")

    def force_open() -> None:
        scene.lab.gate.judge = lambda moment: None  # both sides are open from here on, by somebody else's hand
        scene.lab.gitlab.force_unlock(STATE)

    if when == "afterwards":
        force_open()
    else:
        scene.lab.gate.lay(trap := Trap(Moment.BEFORE, force_open, method="DELETE", path="tflock$"))
        scene.alice.migrator(*MIGRATE)
        assert trap.sprung
    watcher = scene.lab.watch()
    failed = scene.alice.migrator("verify", expect=3)
    assert "open: the seal was lifted" in failed.text
    assert "migrator rollback" in failed.err
    scene.lab.migrator("finalize", "--confirm", scene.lab.bucket, expect=4)
    scene.alice.migrator(*ROLLBACK)
    scene.end(watcher)
    assert scene.lab.truth() == scene.truth["planned"]


# --- the target's lock ------------------------------------------------------------------------------------------------


def test_a_lock_of_the_target_that_somebody_replaced(scene: Scene) -> None:
    watcher = scene.begin("checked")
    with watcher.rival():
        scene.replace_target_lock()
    stopped = scene.alice.migrator(*MIGRATE, expect=5)
    assert "at the target is gone; it is held by somebody@elsewhere, since 2026-04-15" in said_by(stopped)
    assert scene.lab.changed_files() == set()
    refused = scene.alice.migrator(*scene.alice.next(stopped), expect=4)
    assert "somebody@elsewhere" in said_by(refused)
    with watcher.rival():
        scene.remove_target_lock()
    scene.alice.migrator(*scene.alice.next(refused))
    scene.end(watcher)
    assert scene.lab.truth() == scene.truth["planned"]
    scene.alice.check_clean()


def test_a_lock_of_the_target_that_somebody_replaced_while_it_is_given_back(scene: Scene) -> None:
    """The stranger's lock stays; the run ends as soon as it is told to go on."""
    watcher = scene.begin("cut-over")

    def replace_lock() -> None:
        with watcher.rival():
            scene.replace_target_lock()

    looked = {"method": "GET", "path": f"{STATE}/terraform.tfstate$"}
    scene.lab.gate.lay(trap := Trap(Moment.AFTER, replace_lock, **looked))
    stopped = scene.alice.migrator(*MIGRATE, expect=5)
    assert trap.sprung
    assert "replaced by somebody else's" in said_by(stopped)
    scene.alice.migrator(*MIGRATE)
    scene.end(watcher)
    assert scene.lab.target_locks() == [STATE]
    with watcher.rival():
        scene.remove_target_lock()
    assert scene.lab.truth() == scene.truth["migrated"]
    scene.alice.migrator("verify")


# --- the watcher itself -----------------------------------------------------------------------------------------------


def test_the_watcher_sees_what_nobody_announced(scene: Scene) -> None:
    """The control: had a command of ours done this, the tests above would have failed."""
    watcher = scene.begin("checked")
    scene.lab.gate.lay(Trap(Moment.BEFORE, lambda: scene.write_target(newer()), method="PUT", path="journal"))
    finish(
        scene.alice.start(*ROLLBACK)
    )  # however it ends: what it asks for once the watcher has spoken is not answered
    with pytest.raises(ViolationError, match=f"foreign: {STATE}.*an object was overwritten"):
        scene.end(watcher)
