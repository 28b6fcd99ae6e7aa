"""The main job on real programs: the estate's states and files move to the target, work there, and come back.

Every target server, with OpenTofu 1.12; and the oldest client that has the lock of the s3 backend, 1.10, on MinIO.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.applies import begin_apply
from tests.support.estate_lab import STACKS, STATES, Lab, finish, replace_setting, split_state
from tests.support.programs import wants_rustfs
from tests.support.s3_servers import S3Server

PAIRS = [("moto", "tofu-1.12"), ("minio", "tofu-1.12"), ("minio", "tofu-1.10")]
if wants_rustfs():
    PAIRS.append(("rustfs", "tofu-1.12"))
SOMEBODY = {
    "ID": "6f8a1f3e-0000-4000-8000-000000000001",
    "Operation": "OperationTypeApply",
    "Who": "somebody@elsewhere",
}


@pytest.fixture(params=PAIRS, ids="-".join)
def lab(request: pytest.FixtureRequest, find_server: Callable[[str], S3Server], make_lab: Callable[..., Lab]) -> Lab:
    server, client = request.param
    return make_lab(find_server(server), client)


@pytest.fixture(params=PAIRS, ids="-".join)
def unproved(
    request: pytest.FixtureRequest, find_server: Callable[[str], S3Server], make_lab: Callable[..., Lab]
) -> Lab:
    """The same without a proof by plan, where the proof is not what a test is about."""
    server, client = request.param
    return make_lab(find_server(server), client, settings=replace_setting("proof.plan", '"off"'))


def test_states_and_files_move_and_work_at_the_target(lab: Lab) -> None:
    stale = lab.clone("stale")
    lab.migrator("plan")
    assert lab.changed_files() == set()
    assert lab.objects() == {}
    assert lab.gitlab.locked() == []
    lab.migrator("migrate", "--yes")
    lab.check_migrated()
    _check_reports(lab)
    _check_every_entry_point(lab)
    _check_stale_clone_is_refused(lab, stale)
    _check_lock_of_somebody_else(lab)
    _check_two_applies_at_once(lab)
    # Nothing above but that one apply has changed a document.
    assert [name for name, data in lab.documents().items() if data != lab.newest()[name]] == ["runner-dashboard-dev"]
    lab.migrator("verify")
    assert lab.migrator("inventory", "--check").code == 0


def _check_reports(lab: Lab) -> None:
    """verify holds, status names the target, running migrate again does nothing."""
    verified = lab.migrator("verify", "--json").document()
    assert verified["ok"]
    assert verified["proof"] == "required"
    assert {check["subject"] for check in verified["checks"]} >= {*STATES, *lab.changed_files()}
    status = lab.migrator("status", "--json").document()
    assert status["phase"] == "migrated"
    assert {state["name"]: state["serial"] for state in status["states"]} == lab.gitlab.serials()
    assert {(s["authority"], s["source_lock"], s["target_lock"]) for s in status["states"]} == {
        ("target", "held", "free")
    }
    plans = lab.repository / ".migrator" / "plan.json"
    lineages = {state["name"]: state["lineage"] for state in json.loads(plans.read_bytes())["states"]}
    assert lineages == {name: json.loads(data)["lineage"] for name, data in lab.documents().items()}
    journal = lab.journal()
    assert "already" in lab.migrator("migrate", "--yes").text
    assert lab.journal() == journal


def _check_every_entry_point(lab: Lab) -> None:
    """A plain init and plan, by the root recipes and the stacks' own, knows the target and needs no token of GitLab."""
    for state in STATES:
        lab.check_empty_plan(state, credentials="target")
    for stack in STACKS:
        directory = lab.repository / "stacks" / stack
        if (directory / "Justfile").exists():
            initialized = lab.run(["just", "init"], directory=directory, credentials="target")
            assert 'configured the backend "s3"' in initialized.out
            lab.tofu(
                f"{stack}-dev", "plan", "-detailed-exitcode", *lab.plan_flags(f"{stack}-dev"), credentials="target"
            )
    assert lab.documents() == lab.newest()
    assert lab.target_locks() == []


def _check_stale_clone_is_refused(lab: Lab, stale: Path) -> None:
    """A checkout from before the cut-over can still read at the source, and cannot write."""
    lab.just("attic-dev", "tofu-init", credentials="source", directory=stale)
    for arguments in (["apply", "-auto-approve", "-var=retention_days=7"], ["plan"]):
        refused = lab.tofu(
            "attic-dev", *arguments, credentials="source", directory=stale / "stacks" / "attic", expect=1
        )
        assert "Error acquiring the state lock" in refused.text
    assert lab.gitlab.document("attic-dev") == lab.newest()["attic-dev"]
    assert "attic-dev" in lab.gitlab.locked()
    shutil.rmtree(stale)


def _check_lock_of_somebody_else(lab: Lab) -> None:
    """``use_lockfile`` is in force: a lock object of somebody makes an apply fail, and names him."""
    key = lab.key("attic-prod") + ".tflock"
    info = {**SOMEBODY, "Info": "", "Version": "1.12.6", "Created": "2026-04-15T09:00:00Z", "Path": ""}
    lab.just("attic-prod", "tofu-init", credentials="target")
    lab.s3.put_object(Bucket=lab.bucket, Key=key, Body=json.dumps(info).encode())
    apply = ("apply", "-auto-approve", "-var-file=prod.tfvars", "-var=retention_days=7")
    refused = lab.tofu("attic-prod", *apply, credentials="target", expect=1)
    assert "Error acquiring the state lock" in refused.text
    assert SOMEBODY["ID"] in refused.text
    assert "somebody@elsewhere" in refused.text
    assert lab.documents()["attic-prod"] == lab.newest()["attic-prod"]
    lab.s3.delete_object(Bucket=lab.bucket, Key=key)


def _check_two_applies_at_once(lab: Lab) -> None:
    """While one apply waits for its operator, another is refused; then the first one writes the next serial."""
    state = "runner-dashboard-dev"
    lab.just(state, "tofu-init", credentials="target")
    directory = lab.repository / "stacks" / "runner-dashboard"
    assert lab.client is not None
    environment = lab.environment("target")
    first = begin_apply(lab.client, "-var=title=first", directory=directory, environment=environment)
    assert lab.target_locks() == [state]
    second = lab.tofu(state, "apply", "-auto-approve", "-var=title=second", credentials="target", expect=1)
    assert "Error acquiring the state lock" in second.text
    done = finish(first, "yes\n")
    assert done.code == 0, done.text
    assert lab.target_locks() == []
    before, after = json.loads(lab.newest()[state]), json.loads(lab.documents()[state])
    assert (after["lineage"], after["serial"]) == (before["lineage"], before["serial"] + 1)
    assert after["outputs"]["title"]["value"] == "first"


def test_rolling_back_at_once_leaves_no_trace(unproved: Lab) -> None:
    lab = unproved
    lab.migrate()
    lab.check_migrated()
    lab.migrator("rollback", "--yes")
    lab.check_untouched()
    status = lab.migrator("status", "--json").document()
    assert status["phase"] == "rolled-back"
    assert {(s["authority"], s["source_lock"], s["target_lock"]) for s in status["states"]} == {
        ("source", "free", "free")
    }
    lab.migrator("verify")
    for state in ("attic-dev", "gitlab-runners-prod", "arc-runners-dev"):
        lab.check_empty_plan(state, credentials="source")
    lab.check_untouched()
    assert "nothing to do" in lab.migrator("rollback", "--yes").text


# What is applied at the target between migration and rollback: file of variables and its content, by state.
CHANGES = {
    "attic-dev": ("dev.tfvars", "retention_days = 21\n"),
    "runner-dashboard-dev": ("dev.tfvars", 'title = "Neu"\n'),
}


def test_what_was_applied_at_the_target_is_carried_back_and_can_move_again(lab: Lab) -> None:
    for state, (name, text) in CHANGES.items():
        (lab.repository / "stacks" / split_state(state)[0] / name).write_text(text)
    lab.commit("stacks")
    lab.files = lab.snapshot()
    lab.migrate()
    for state in CHANGES:
        for recipe in ("tofu-init", "tofu-plan", "tofu-apply"):
            lab.just(state, recipe, credentials="target")
    applied = lab.documents()
    assert {name for name in STATES if applied[name] != lab.newest()[name]} == set(CHANGES)
    lab.migrator("verify")

    result = lab.migrator("rollback", "--yes", "--json").document()
    assert {one["name"] for one in result["carried"]} == set(CHANGES)
    lab.check_untouched(documents=applied)
    for state in CHANGES:
        before, after = json.loads(lab.newest()[state]), json.loads(lab.gitlab.document(state))
        assert after["lineage"] == before["lineage"]
        assert after["serial"] > before["serial"]
        lab.just(state, "tofu-init", credentials="source")
        flags = [f"-var-file={CHANGES[state][0]}"]
        lab.tofu(state, "plan", "-detailed-exitcode", *flags, credentials="source")
    assert lab.gitlab.serials() == {name: json.loads(data)["serial"] for name, data in applied.items()}

    lab.states = {name: [data] for name, data in applied.items()}
    lab.migrate()
    lab.check_migrated()
    lab.migrator("verify")
    assert len(lab.run_directories()) == 2
