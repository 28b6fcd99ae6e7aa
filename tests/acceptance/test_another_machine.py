"""The machine that migrated is gone, or the target is: what an operator types in a fresh clone, or without the store."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.estate_lab import STATES, Lab, kill, replace_setting, wait_until
from tests.support.programs import require_program
from tests.support.s3_servers import MortalServer, S3Server, start_minio

UNPROVED = replace_setting("proof.plan", '"off"')


@pytest.fixture
def lab(minio: S3Server, make_lab: Callable[..., Lab]) -> Lab:
    return make_lab(minio, settings=UNPROVED)


def lose_the_machine(lab: Lab) -> Path:
    """The first clone is gone with its run directory; the files were committed and pushed before."""
    lab.commit(".")
    there = lab.clone("elsewhere")
    shutil.rmtree(lab.repository / ".migrator")
    return there


def test_a_rollback_in_a_fresh_clone(minio: S3Server, make_lab: Callable[..., Lab]) -> None:
    """After cut-over, a commit and a real apply at the target."""
    lab = make_lab(minio, settings=UNPROVED)
    lab.migrate()
    there = lose_the_machine(lab)
    lab.just("attic-dev", "tofu-init", credentials="target", directory=there)
    apply = ("apply", "-auto-approve", *lab.plan_flags("attic-dev"), "-var=retention_days=7")
    lab.tofu("attic-dev", *apply, credentials="target", directory=there / "stacks" / "attic")
    newest = lab.documents()["attic-dev"]
    assert newest != lab.newest()["attic-dev"]

    assert "phase migrated" in lab.migrator("status", directory=there).text
    asked = lab.migrator("rollback", "--dry-run", directory=there)
    assert "there is no copy of it here" in asked.text
    assert not (there / ".migrator").exists()
    back = lab.migrator("rollback", "--yes", directory=there)
    assert "rolled back" in back.text
    assert lab.objects() == {}
    assert lab.gitlab.locked() == []
    assert lab.gitlab.document("attic-dev") == newest
    assert lab.snapshot(there) == lab.files
    lab.migrator("verify", directory=there)
    assert lab.migrator("status", "--json", directory=there).document()["phase"] == "rolled-back"


def test_a_run_of_another_repository_or_source_is_never_fetched(lab: Lab) -> None:
    """Whoever may write to the bucket must not choose where the token goes."""
    lab.migrate()
    there = lose_the_machine(lab)
    settings = there / "migrator.toml"
    settings.write_text(settings.read_text().replace(lab.gitlab.url, "http://127.0.0.1:9"))
    assert "there is no run" in lab.migrator("rollback", "--yes", directory=there, expect=2).text
    assert not (there / ".migrator" / "runs").exists()


def test_a_machine_that_died_in_mid_run_is_taken_over(lab: Lab) -> None:
    lab.migrator("plan")
    process = lab.start_migrator("migrate", "--yes")
    wait_until(lambda: sum(one["step"] == "publish" and one["kind"] == "done" for one in lab.journal()) >= 3, process)
    kill(process)
    there = lab.clone("elsewhere")
    refused = lab.migrator("rollback", "--yes", directory=there, expect=4)
    assert "worked on from another place by" in refused.text
    assert "migrator rollback --take-over" in refused.text
    lab.migrator("rollback", "--yes", "--take-over", directory=there)
    lab.check_untouched()

    # The dead machine comes back to life and types what it would have typed.
    went_on = lab.migrator("migrate", "--yes", expect=4)
    assert "rolled-back" in went_on.text
    assert lab.migrator("status", "--json").document()["phase"] == "rolled-back"
    lab.check_untouched()
    assert not any(name.endswith("/lock") for name in lab.mirrored())


def test_two_machines_never_work_on_one_run(lab: Lab) -> None:
    """Each holds the run at the target while it works, not only on its own disk."""
    lab.migrate("--until", "checked")
    there = lab.clone("elsewhere")
    run = next((lab.repository / ".migrator" / "runs").glob("*"))
    key = f".migrator/runs/{run.name}/lock"
    body = json.dumps({"ID": "x", "Who": "ops@elsewhere", "Created": "2026-01-02T03:04:05Z"}).encode()
    lab.s3.put_object(Bucket=lab.bucket, Key=key, Body=body)
    for directory in (lab.repository, there):
        assert "ops@elsewhere" in lab.migrator("rollback", "--yes", directory=directory, expect=4).text
    assert "ops@elsewhere" in lab.migrator("migrate", "--yes", expect=4).text
    lab.s3.delete_object(Bucket=lab.bucket, Key=key)
    lab.migrator("rollback", "--yes", directory=there)
    lab.check_untouched()


def test_shredding_takes_the_mirrored_documents_too(lab: Lab) -> None:
    lab.migrate()
    assert any("/blobs/" in name for name in lab.mirrored())
    lab.migrator("finalize", "--confirm", lab.bucket, "--shred-blobs")
    assert not any("/blobs/" in name for name in lab.mirrored())
    assert any(name.endswith("/plan.json") for name in lab.mirrored())


def test_no_mirror_where_none_is_wanted(minio: S3Server, make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(minio, settings=lambda text: replace_setting("target.run_prefix", '""')(UNPROVED(text)))
    lab.migrate()
    assert lab.mirrored() == []
    lab.migrator("rollback", "--yes")
    lab.check_untouched()


def test_the_target_died_and_comes_back(tmp_path: Path, make_lab: Callable[..., Lab]) -> None:
    mortal = MortalServer(start_minio, require_program("minio"), tmp_path / "own-minio")
    try:
        lab = make_lab(mortal.server, settings=UNPROVED)
        lab.migrate()
        before = lab.documents()
        mortal.kill()

        stopped = lab.migrator("rollback", "--yes", expect=6)
        assert "migrator rollback --without-target" in stopped.text
        said = lab.migrator("rollback", "--without-target", expect=2)
        assert "if any were written, are missing" in said.text
        back = lab.migrator("rollback", "--without-target", "--yes")
        assert "keep the target's clients away" in back.text
        assert lab.gitlab.locked() == []
        assert lab.changed_files() == set()
        status = lab.migrator("status", "--json").document()
        assert (status["phase"], status["target_left"]) == ("rolled-back", True)

        mortal.start()
        assert lab.documents() == before
        assert "target-closed" in lab.migrator("verify", expect=3).text
        lab.migrator("rollback", "--yes")
        lab.check_untouched()
        lab.migrator("verify")
        assert sorted(lab.gitlab.serials()) == sorted(STATES)
    finally:
        mortal.stop()
