"""``--until``: what is true at each barrier, and that both ways lead on from there."""

import json
from collections.abc import Callable

import pytest

from tests.support.estate_lab import STATES, Lab, replace_setting
from tests.support.s3_servers import S3Server

BARRIERS = ("checked", "proven", "cut-over")


@pytest.fixture
def lab(request: pytest.FixtureRequest, minio: S3Server, make_lab: Callable[..., Lab]) -> Lab:
    """The proof is made where it is what a test is about."""
    barrier = getattr(request.node, "callspec", None) and request.node.callspec.params.get("barrier")
    return make_lab(minio, settings=str if barrier == "proven" else replace_setting("proof.plan", '"off"'))


def check_closed(lab: Lab, barrier: str) -> None:
    """Both sides hold the same documents, locked; files are cut over at the last barrier only, and all of them."""
    assert lab.documents() == lab.newest()
    assert {name: lab.gitlab.document(name) for name in STATES} == lab.newest()
    assert lab.gitlab.locked() == lab.target_locks() == list(STATES)
    plan = json.loads((lab.repository / ".migrator" / "plan.json").read_bytes())
    assert lab.changed_files() == ({one["path"] for one in plan["files"]} if barrier == "cut-over" else set())
    status = lab.migrator("status", "--json").document()
    assert status["phase"] == barrier
    sides = {(one["authority"], one["source_lock"], one["target_lock"]) for one in status["states"]}
    assert sides == {("target" if barrier == "cut-over" else "source", "held", "held")}
    lab.migrator("verify")


def check_nobody_can_write(lab: Lab, barrier: str) -> None:
    """OpenTofu is refused by the lock of whichever side the files name."""
    side = "target" if barrier == "cut-over" else "source"
    lab.just("attic-dev", "tofu-init", credentials=side)
    apply = ("apply", "-auto-approve", "-var=retention_days=7")
    refused = lab.tofu("attic-dev", *apply, credentials=side, expect=1)
    assert "Error acquiring the state lock" in refused.text
    check_closed(lab, barrier)


@pytest.mark.parametrize("barrier", BARRIERS)
def test_a_run_stops_at_the_barrier_and_goes_on(lab: Lab, barrier: str) -> None:
    lab.migrator("plan")
    stopped = lab.migrator("migrate", "--yes", "--until", barrier)
    assert "migrator migrate" in stopped.text
    check_closed(lab, barrier)
    check_nobody_can_write(lab, barrier)
    # Asking for the same barrier again does nothing; going on ends the migration.
    lab.migrator("migrate", "--yes", "--until", barrier)
    check_closed(lab, barrier)
    lab.migrator("migrate", "--yes")
    lab.check_migrated()
    lab.migrator("verify")
    assert len(lab.run_directories()) == 1


@pytest.mark.parametrize("barrier", BARRIERS)
def test_a_run_that_stopped_at_a_barrier_rolls_back(lab: Lab, barrier: str) -> None:
    lab.migrator("plan")
    lab.migrator("migrate", "--yes", "--until", barrier)
    lab.migrator("rollback", "--yes")
    lab.check_untouched()
    lab.check_empty_plan("attic-dev", credentials="source")
    # A plan that was rolled back is not resumed by mistake: the same plan is a new run.
    lab.migrator("migrate", "--yes", "--until", "checked")
    assert len(lab.run_directories()) == 2
    lab.migrator("rollback", "--yes")
    lab.check_untouched()


def test_barrier_after_barrier(minio: S3Server, make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(minio, settings=replace_setting("proof.plan", '"init-only"'))
    lab.migrator("plan")
    for barrier in BARRIERS:
        lab.migrator("migrate", "--yes", "--until", barrier)
        check_closed(lab, barrier)
    lab.migrator("migrate", "--yes")
    lab.check_migrated()
    assert "init-only" in lab.migrator("status").text


def test_a_dry_run_does_nothing(lab: Lab) -> None:
    lab.migrator("plan")
    for command in ("migrate", "rollback"):
        if command == "rollback":
            lab.migrator("migrate", "--yes", "--until", "checked")
        before = (lab.objects(), lab.gitlab.locked(), lab.snapshot(), lab.run_directories())
        lab.migrator(command, "--dry-run")
        assert (lab.objects(), lab.gitlab.locked(), lab.snapshot(), lab.run_directories()) == before


def test_without_a_terminal_nothing_is_done_without_yes(lab: Lab) -> None:
    lab.migrator("plan")
    assert "--yes" in lab.migrator("migrate", expect=2).text
    lab.check_untouched()


def test_a_proof_that_fails_stops_before_any_file_and_succeeds_once_its_cause_is_corrected(
    minio: S3Server, make_lab: Callable[..., Lab]
) -> None:
    lab = make_lab(minio)
    lab.migrator("plan")
    variables = lab.repository / "stacks" / "attic" / "prod.tfvars"
    values = variables.read_bytes()
    variables.write_bytes(values + b"= broken\n")
    failed = lab.migrator("migrate", "--yes", expect=3)
    assert "attic-prod" in failed.err
    assert "migrator migrate" in failed.err
    assert lab.changed_files() == {"stacks/attic/prod.tfvars"}
    assert lab.gitlab.locked() == lab.target_locks() == list(STATES)
    # Nothing on disk but the blobs holds a plan or a document once it is over, either way.
    variables.write_bytes(values)
    lab.migrator("migrate", "--yes")
    lab.check_migrated()
    lab.migrator("rollback", "--yes")
    lab.check_untouched()
    lab.migrator("plan")
    variables.write_bytes(values + b"= broken\n")
    lab.migrator("migrate", "--yes", expect=3)
    variables.write_bytes(values)
    lab.migrator("rollback", "--yes")
    lab.check_untouched()
    for run in lab.run_directories():
        assert {path.name for path in run.iterdir()} <= {"plan.json", "journal.jsonl", "blobs", "lock", "holder"}
