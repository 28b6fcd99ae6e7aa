"""Two machines with this program, at work on the same states at the same time.

Who comes first is decided at the gate, by the request that is on its way, so that each story is told the same each time. In
each one wins; the other stops with 4, says who holds what since when, and leaves nothing half done; and the command that its
message names is the right one to type. The watcher looks on.
"""

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psutil
import pytest

from tests.support.estate_lab import Finished, finish
from tests.support.gate import Gate, Moment, Passing, Trap
from tests.support.programs import wants_rustfs
from tests.support.s3_servers import S3Server
from tests.support.scene import MIGRATE, ROLLBACK, STATE, Machine, Scene, open_scene, said_by
from tests.support.watched_lab import Truth

SOURCE_LOCK = r"/terraform/state/[^/]+/lock$"


@pytest.fixture(scope="module")
def scene(find_server: Callable[[str], S3Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    server = find_server("rustfs" if wants_rustfs() else "moto")
    scene = open_scene(tmp_path_factory.mktemp("scene") / "lab", server=server)
    yield scene
    scene.close()


# --- one machine ------------------------------------------------------------------------------------------------------


def test_a_second_command_in_the_same_repository_is_refused(scene: Scene) -> None:
    watcher = scene.begin("planned")
    first: list[subprocess.Popen[str]] = []
    refused: list[Finished] = []

    def try_others() -> None:
        refused.extend(scene.alice.migrator(*command, expect=4) for command in (MIGRATE, ROLLBACK))

    scene.lab.gate.lay(Trap(Moment.BEFORE, try_others, method="PUT", path="tfstate$", aside=True))
    first.append(scene.alice.start(*MIGRATE))
    assert finish(first[0]).code == 0
    scene.end(watcher)
    assert all(f"process {first[0].pid}" in one.err for one in refused), refused
    assert len(refused) == 2
    assert scene.lab.truth() == scene.truth["migrated"]
    assert len(scene.lab.run_directories()) == 1


# --- two machines -----------------------------------------------------------------------------------------------------

# At which request of the first machine the second one begins; from then on both run.
OFFSETS = {
    "at once": {"number": 1},
    "at its first lock": {"path": SOURCE_LOCK},
    "when it has locked one": {"moment": Moment.AFTER, "path": SOURCE_LOCK},
    "when it publishes": {"method": "PUT", "path": "tfstate$"},
}


def race(scene: Scene, first: Callable[[], Any], second: Callable[[], Any], offset: dict[str, Any]) -> list[Finished]:
    """Run two commands at the same time: the second begins at a request of the first, which waits for it there."""
    later: list[subprocess.Popen[str]] = []

    def begin_second() -> None:
        later.append(second())
        assert scene.lab.gate.wait(lambda: bool(scene.lab.gate.arrivals & read_ports(later[0].pid)))

    scene.lab.gate.clear()
    scene.lab.gate.lay(Trap(**{"moment": Moment.BEFORE, "do": begin_second, **offset}))
    earlier = first()
    done = finish(earlier)
    scene.lab.gate.check()
    return [done, finish(later[0])]


def read_ports(process: int) -> set[int]:
    return {one.laddr.port for one in psutil.Process(process).net_connections(kind="tcp")}


@pytest.mark.parametrize("plans", ["one plan", "two plans"])
@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS.keys())
def test_of_two_that_migrate_one_wins(scene: Scene, offset: dict[str, Any], plans: str) -> None:
    watcher = scene.begin("planned")
    plan = (".migrator/of-alice.json",) if plans == "one plan" else ()
    machines = (scene.alice, scene.bob)
    done = race(scene, lambda: scene.alice.start(*MIGRATE), lambda: scene.bob.start("migrate", *plan, "--yes"), offset)
    scene.end(watcher)
    assert sorted(one.code for one in done) == [0, 4], [one.text for one in done]
    won = [one.code for one in done].index(0)
    winner, loser, refused = machines[won], machines[1 - won], done[1 - won]
    assert re.search(r"(locked|worked on) .*by \S+,? since 20\d\d-", said_by(refused)), refused.err
    loser.check_clean()
    assert drop_files(scene.lab.truth()) == drop_files(scene.truth["migrated"])
    assert scene.lab.snapshot(winner.directory) == scene.truth["migrated"].files
    if offset in (OFFSETS["at once"], OFFSETS["when it publishes"]):
        check_next(scene, winner, loser, loser.next(refused), one_plan=plans == "one plan")
        scene.end(watcher)


def check_next(scene: Scene, winner: Machine, loser: Machine, following: tuple[str, ...], *, one_plan: bool) -> None:
    """The command that the message names is right at any time: while the winner's run stands it says that the same plan
    was carried out, or is refused; then it does it.
    """
    winner.migrator("verify")
    told = loser.migrator(*following, expect=0 if one_plan else 4)
    assert ("carried out already" in told.text) == one_plan
    loser.check_clean()
    winner.migrator(*ROLLBACK)
    winner.check_clean()
    loser.migrator(*following)
    assert drop_files(scene.lab.truth()) == drop_files(scene.truth["migrated"])


def drop_files(truth: Truth) -> Truth:
    return replace(truth, files={})


@dataclass(frozen=True)
class CrossedLocks:
    """The worst order for two that take many locks: nobody locks until both have looked; then one locks the first state,
    and the other another one, if it asks for several at a time.
    """

    gate: Gate
    children: list[subprocess.Popen[str]]

    def __call__(self, waiting: Sequence[Passing]) -> Passing | None:
        others = [one for one in waiting if not re.search(SOURCE_LOCK, one.path)]
        taken = [one.path for one in self.gate.seen if re.search(SOURCE_LOCK, one.path)]
        if others or len(taken) > 1:
            return (others or waiting)[0]
        asked = self.asked(waiting)
        if taken:
            return next((one for one in asked[1] if one.path not in taken), asked[1][0])
        return asked[0][0] if all(asked) else None

    def asked(self, waiting: Sequence[Passing]) -> list[list[Passing]]:
        """The locks that each waits for."""
        locks = sorted((one for one in waiting if re.search(SOURCE_LOCK, one.path)), key=lambda one: one.path)
        ports = [read_ports(child.pid) for child in self.children] or [set()]
        return [[one for one in locks if one.port in theirs] for theirs in ports]

    def ask_for_several(self) -> bool:
        return all(len(locks) > 1 for locks in self.asked([*self.gate.seen, *self.gate.waiting]))


def test_two_that_look_at_the_same_time_never_refuse_each_other(scene: Scene) -> None:
    watcher = scene.begin("planned")
    gate = scene.lab.gate
    children: list[subprocess.Popen[str]] = []
    order = gate.choose = CrossedLocks(gate, children)
    gate.lay(Trap(Moment.BEFORE, lambda: gate.wait(order.ask_for_several, seconds=1), path=SOURCE_LOCK))
    children += [machine.start(*MIGRATE) for machine in (scene.alice, scene.bob)]
    done = [finish(child) for child in children]
    scene.end(watcher)
    assert sorted(one.code for one in done) == [0, 4], [one.text for one in done]
    assert drop_files(scene.lab.truth()) == drop_files(scene.truth["migrated"])


DURING_ROLLBACK = {
    "at once": ("checked", {"number": 1}),
    "when an object is gone": ("cut-over", {"moment": Moment.AFTER, "method": "DELETE", "path": "tfstate$"}),
    "when one is unlocked": ("migrated", {"moment": Moment.AFTER, "method": "DELETE", "path": SOURCE_LOCK}),
}


@pytest.mark.parametrize(("barrier", "offset"), DURING_ROLLBACK.values(), ids=DURING_ROLLBACK.keys())
def test_who_migrates_while_another_rolls_back(scene: Scene, barrier: str, offset: dict[str, Any]) -> None:
    watcher = scene.begin(barrier)
    refused = scene.bob.migrator(*MIGRATE, expect=4)
    assert re.search(r"locked .*by maint,? since 20\d\d-", said_by(refused)), refused.err
    scene.bob.check_clean()
    back, forward = race(
        scene, lambda: scene.alice.start(*ROLLBACK), lambda: scene.bob.start(*scene.bob.next(refused)), offset
    )
    scene.end(watcher)
    assert back.code == 0, back.text
    scene.alice.check_clean()
    assert forward.code in (0, 4), forward.text
    if forward.code == 4:
        scene.bob.check_clean()
        assert scene.lab.truth() == scene.truth["planned"]
        scene.bob.migrator(*scene.bob.next(forward))
    scene.end(watcher)
    assert drop_files(scene.lab.truth()) == drop_files(scene.truth["migrated"])
    assert scene.lab.snapshot(scene.bob.directory) == scene.truth["migrated"].files


def test_of_two_that_roll_back_one_wins(scene: Scene) -> None:
    """The other machine has no run of its own: it finds the first one's in the bucket, and who works on it."""
    watcher = scene.begin("moved on")
    newest = scene.lab.documents()[STATE]
    refused: list[Finished] = []

    def try_too() -> None:
        refused.append(scene.bob.migrator(*ROLLBACK, expect=4))

    scene.lab.gate.lay(Trap(Moment.AFTER, try_too, method="PUT", path="/runs/[^/]+/lock$", aside=True))
    scene.alice.migrator(*ROLLBACK)
    scene.end(watcher)
    assert re.search(r"worked on .*by alice@\S+ since 20\d\d-", said_by(refused[0]).replace(",", "")), refused
    scene.check_carried(newest)
    scene.alice.check_clean()
    assert "is rolled-back already" in scene.bob.migrator(*ROLLBACK).text
    scene.end(watcher)
    scene.check_carried(newest)
    scene.bob.check_clean()
