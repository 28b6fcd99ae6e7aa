"""Programs that die and programs that run twice: nothing is lost, nothing is half-changed, and the same command goes on."""

import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.minio_process import MinioProcess
from tests.support.estate_lab import STATES, Lab, finish, kill, replace_setting, wait_until
from tests.support.s3_servers import S3Server

UNPROVED = replace_setting("proof.plan", '"off"')
# The step whose n-th evidence is in the journal when the process is killed; n is seeded, so that a failure can be repeated.
STEPS = {
    "lock_source": len(STATES),
    "lock_target": len(STATES),
    "publish": len(STATES),
    "check_target": 4,
    "cut_over_file": 15,
}
SEED = 20261124
MOMENTS = [(step, random.Random(f"{SEED} {step}").randint(1, most)) for step, most in STEPS.items()]


@pytest.fixture
def lab(minio: S3Server, make_lab: Callable[..., Lab]) -> Lab:
    return make_lab(minio, settings=UNPROVED)


def count_done(lab: Lab, step: str, directory: Path | None = None) -> int:
    return Counter(one["step"] for one in lab.journal(directory) if one["kind"] == "done")[step]


def check_invariant(lab: Lab) -> None:
    """Whatever was reached: a copy means that the source is locked; a changed file means that both sides are, for all."""
    assert set(lab.documents()) <= set(lab.gitlab.locked())
    assert all(data == lab.newest()[name] for name, data in lab.documents().items())
    assert {name: lab.gitlab.document(name) for name in STATES} == lab.newest()
    # A file that was being written may have left its temporary beside it; whatever goes on takes it away.
    changed = {path for path in lab.changed_files() if not path.endswith(".migrator-tmp")}
    if changed:
        assert lab.gitlab.locked() == lab.target_locks() == list(STATES)
        plan = json.loads((lab.repository / ".migrator" / "plan.json").read_bytes())
        assert changed <= {one["path"] for one in plan["files"]}


@pytest.fixture(params=MOMENTS, ids=lambda moment: f"{moment[0]}-{moment[1]}")
def killed(request: pytest.FixtureRequest, lab: Lab) -> Lab:
    """A lab whose migration was ended by SIGKILL at a seeded moment."""
    step, number = request.param
    lab.migrator("plan")
    process = lab.start_migrator("migrate", "--yes")
    wait_until(lambda: count_done(lab, step) >= number, process)
    kill(process)
    check_invariant(lab)
    status = lab.migrator("status", "--json").document()
    assert status["phase"] not in ("migrated", "rolled-back")
    assert "migrator migrate" in status["next_command"]
    return lab


def test_a_killed_migration_resumes(killed: Lab) -> None:
    resumed = killed.migrator("migrate", "--yes")
    assert "resumed" in resumed.text
    killed.check_migrated()
    killed.migrator("verify")
    assert not [path for path in killed.changed_files() if path.endswith("-tmp")]
    assert len(killed.run_directories()) == 1
    killed.check_empty_plan("attic-prod", credentials="target")
    killed.migrator("rollback", "--yes")
    killed.check_untouched()


def test_a_killed_migration_rolls_back(killed: Lab) -> None:
    killed.migrator("rollback", "--yes")
    killed.check_untouched()
    killed.check_empty_plan("attic-prod", credentials="source")


@pytest.mark.parametrize("step", ["cut_over_file", "publish"])
def test_a_killed_rollback_goes_on(lab: Lab, step: str) -> None:
    lab.migrate()
    process = lab.start_migrator("rollback", "--yes")
    undone = lambda: [one["step"] for one in lab.journal() if one["kind"] == "undo-intent"]  # noqa: E731
    wait_until(lambda: step in undone(), process)
    kill(process)
    assert set(STATES) - set(lab.documents()) <= set(STATES) - set(lab.target_locks()) | set(lab.gitlab.locked())
    assert lab.migrator("status", "--json").document()["next_command"] == "migrator rollback"
    lab.migrator("migrate", "--yes", expect=4)
    lab.migrator("rollback", "--yes")
    lab.check_untouched()


# --- the server dies ----------------------------------------------------------------------------------------------------


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[MinioProcess]:
    process = MinioProcess(tmp_path / "minio")
    yield process
    process.stop()


def test_a_server_that_is_killed_and_comes_back(mortal: MinioProcess, make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(mortal.server, settings=UNPROVED)
    lab.migrator("plan")
    process = lab.start_migrator("migrate", "--yes")
    wait_until(lambda: count_done(lab, "publish") >= 3, process)
    mortal.kill()
    stopped = finish(process)
    assert stopped.code == 5, stopped.text
    assert "next:" in stopped.err
    assert "migrator migrate" in stopped.err
    assert lab.changed_files() == set()
    assert lab.gitlab.locked() == list(STATES)
    # What the journal calls done is on the disk of the server that lost its memory.
    done = {one["unit"] for one in lab.journal() if one["kind"] == "done" and one["step"] == "publish"}
    mortal.start()
    assert done <= set(lab.documents())
    check_invariant(lab)
    lab.migrator("migrate", "--yes")
    lab.check_migrated()
    lab.migrator("verify")

    mortal.kill()
    before = (lab.snapshot(), lab.journal()[-1]["kind"])
    assert lab.migrator("verify", expect=6).code == 6
    lab.migrator("rollback", "--yes", expect=6)
    assert lab.snapshot() == before[0]
    assert lab.migrator("status", "--json").document()["phase"] == "migrated"
    mortal.start()
    lab.check_migrated()
    lab.migrator("rollback", "--yes")
    lab.check_untouched()


# --- two at once ----------------------------------------------------------------------------------------------------------


def test_a_second_migrate_in_the_same_repository_is_refused(lab: Lab) -> None:
    lab.migrator("plan")
    first = lab.start_migrator("migrate", "--yes")
    wait_until(lambda: count_done(lab, "publish") >= 1, first)
    first.send_signal(signal.SIGSTOP)
    try:
        for command in ("migrate", "rollback"):
            refused = lab.migrator(command, "--yes", expect=4)
            assert str(first.pid) in refused.err
    finally:
        first.send_signal(signal.SIGCONT)
    assert finish(first).code == 0
    lab.check_migrated()
    assert len(lab.run_directories()) == 1
    lab.migrator("verify")


def test_the_second_of_two_clones_is_refused_and_names_the_holder(lab: Lab) -> None:
    second = lab.clone("second")
    lab.migrator("plan")
    lab.migrator("plan", directory=second)
    first = lab.start_migrator("migrate", "--yes")
    wait_until(lambda: lab.gitlab.locked() == list(STATES), first)
    first.send_signal(signal.SIGSTOP)
    try:
        refused = lab.migrator("migrate", "--yes", directory=second, expect=4)
        assert "locked" in refused.err
        assert "maint" in refused.err, refused.err
        assert lab.git("status", "--porcelain", directory=second) == ""
        assert lab.gitlab.locked() == list(STATES)
    finally:
        first.send_signal(signal.SIGCONT)
    assert finish(first).code == 0
    lab.check_migrated()
    lab.migrator("verify")
    lab.migrator("migrate", "--yes", directory=second, expect=4)
    lab.check_migrated()


def test_two_clones_that_start_together_never_both_win(lab: Lab) -> None:
    second = lab.clone("second")
    checkouts = [lab.repository, second]
    for directory in checkouts:
        lab.migrator("plan", directory=directory)
    racers = [lab.start_migrator("migrate", "--yes", directory=directory) for directory in checkouts]
    done = [finish(racer) for racer in racers]
    codes = [one.code for one in done]
    assert codes.count(0) <= 1, codes
    assert all(code in (0, 4) for code in codes), [one.text for one in done]
    if 0 in codes:
        winner, loser = checkouts[codes.index(0)], checkouts[1 - codes.index(0)]
    else:
        # Each held what the other needed; both gave back what they had, so that nobody is in the way of the next one.
        assert lab.gitlab.locked() == lab.target_locks() == []
        assert lab.objects() == {}
        winner, loser = checkouts
        lab.migrator("migrate", "--yes")
    lab.check_migrated()
    assert lab.git("status", "--porcelain", directory=loser) == ""
    assert lab.git("status", "--porcelain", directory=winner) != ""
    lab.migrator("verify", directory=winner)
