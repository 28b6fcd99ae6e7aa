"""The proof by plan with a real OpenTofu or Terraform, between the stand-in and moto."""

import json
import os
import stat
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from migrator.engine.proof import TofuProver, first_error, read_changes
from migrator.engine.proof_copies import copy_variable_files
from migrator.errors import CheckFailedError, ConfigurationError, StoppedError
from migrator.inventory.model import Place
from migrator.plan.model import PlannedEdit, PlannedFile
from tests.support.programs import require_program
from tests.support.world import BUCKET, TOKEN

SECRET = "canary-9c1d"
STACK = f"""
variable "text" {{
  type    = string
  default = "first"
}}
resource "terraform_data" "one" {{
  input = var.text
}}
output "text" {{
  value = terraform_data.one.output
}}
output "secret" {{
  value     = "{SECRET}"
  sensitive = true
}}
"""
HTTP = 'terraform {\n  backend "http" {}\n}\n'
BACKEND = "stacks/attic/backend.tf"


@pytest.fixture(scope="module")
def program():
    return str(require_program("tofu"))


@pytest.fixture(scope="module")
def applied(program, tmp_path_factory):
    """The state that a real apply of the stack leaves."""
    directory = tmp_path_factory.mktemp("applied")
    (directory / "main.tf").write_text(STACK)
    for command in (("init",), ("apply", "-auto-approve")):
        subprocess.run([program, *command, "-input=false"], cwd=directory, env=clean(), check=True, capture_output=True)
    return (directory / "terraform.tfstate").read_bytes()


def clean(**more):
    return {"PATH": os.environ["PATH"], "HOME": os.devnull, "TF_CLI_CONFIG_FILE": os.devnull} | more


def plan_file(world, moto):
    arguments = {
        "bucket": BUCKET,
        "region": moto.region,
        "key": "set-at-init",
        "use_path_style": True,
        "use_lockfile": True,
        "skip_credentials_validation": True,
        "skip_region_validation": True,
        "skip_requesting_account_id": True,
        "skip_metadata_api_check": True,
        "skip_s3_checksum": True,
        "endpoints": {"s3": moto.endpoint},
    }
    body = "".join(
        f"    {name} = {json.dumps(value).replace(':', ' =', 1) if name == 'endpoints' else json.dumps(value)}\n"
        for name, value in arguments.items()
    )
    text = f'terraform {{\n  backend "s3" {{\n{body}  }}\n}}\n'
    edit = PlannedEdit(
        start=0, end=len(HTTP), text=text, kind="backend-block", place=Place(path=BACKEND, start_line=1, end_line=3)
    )
    return PlannedFile(
        path=BACKEND,
        pre_sha256=sha256(HTTP.encode()).hexdigest(),
        post_sha256=sha256(text.encode()).hexdigest(),
        edits=(edit,),
        stacks=("attic",),
    )


@pytest.fixture
def lab(make_world, moto, applied, program):
    """A world whose stack is real, checked at the target, and its prover."""

    def make(document=applied, *, names=("attic-dev",), main=STACK, **changes):
        world = make_world(dict.fromkeys(names, document), create_file=False)
        (world.root / BACKEND).write_text(HTTP)
        (world.root / "stacks/attic/main.tf").write_text(main)
        world.plan = replace(world.plan, files=(plan_file(world, moto),), **changes)
        for state in world.plan.states:
            if document is not None:
                world.target.create_state(state.key, document)
        return world, build_prover(world, program, moto)

    return make


def build_prover(world, program, moto, **changes):
    settings = {
        "program": program,
        "plan": world.plan,
        "root": world.root,
        "paths": list(world.truth().files),
        "scratch": world.directory().path / "scratch",
        "environment": clean(TF_WORKSPACE="other", TF_CLI_ARGS="-bogus", TF_HTTP_ADDRESS="http://127.0.0.1:9"),
        "source_environment": {"TF_HTTP_USERNAME": "migrator", "TF_HTTP_PASSWORD": TOKEN},
        "target_environment": {"AWS_ACCESS_KEY_ID": moto.access_key, "AWS_SECRET_ACCESS_KEY": moto.secret_key},
        "secrets": (TOKEN, moto.secret_key),
    }
    return TofuProver(**(settings | changes))


pytestmark = pytest.mark.acceptance


def test_both_sides_plan_nothing_and_the_work_tree_gets_nothing(lab):
    world, prover = lab()
    before = world.truth()
    assert prover.prove(world.state("attic-dev")) == {"mode": "plan", "source": 0, "target": 0, "changes": 0}
    assert world.truth() == before
    assert stat.S_IMODE(prover.scratch.stat().st_mode) == 0o700
    assert not list(prover.scratch.rglob("*.tfplan"))
    prover.clean()
    assert not prover.scratch.exists()


def test_what_would_change_on_both_sides_alike_does_not_block(lab):
    world, prover = lab(main=STACK.replace('"first"', '"second"'))
    found = prover.prove(world.state("attic-dev"))
    assert (found["source"], found["target"], found["changes"]) == (2, 2, 2)


def test_variables_that_git_ignores_are_used(lab, program, moto):
    world, _ = lab()
    (world.root / "stacks/attic/dev.tfvars").write_text('text = "other"\n')
    state = replace(world.state("attic-dev"), var_files=("dev.tfvars",))
    world.plan = replace(world.plan, states=(state,))
    prover = build_prover(world, program, moto, paths=[BACKEND, "stacks/attic/main.tf"])
    assert prover.prove(state)["changes"] == 2


def test_another_document_at_the_target_is_found_and_named(lab, applied):
    world, prover = lab()
    other = json.loads(applied) | {"resources": [], "outputs": {}}
    world.put("attic-dev", json.dumps(other).encode())
    with pytest.raises(CheckFailedError, match="plans differently") as failed:
        prover.prove(world.state("attic-dev"))
    assert "terraform_data.one" in failed.value.where
    assert (failed.value.exit_code, failed.value.hint) == (3, "migrator rollback")


def test_a_state_that_was_never_written_plans_the_same_creation(lab):
    world, prover = lab(None)
    found = prover.prove(world.state("attic-dev"))
    assert (found["source"], found["target"]) == (2, 2)
    assert world.truth().objects == {}


def test_init_only_asks_less(lab):
    world, prover = lab(proof="init-only")
    assert prover.prove(world.state("attic-dev")) == {"mode": "init-only"}


def test_a_failure_quotes_one_line_without_secrets_and_keeps_a_private_log(lab, program, moto):
    broken = STACK + f'resource "terraform_data" "two" {{\n  input = file("{TOKEN}")\n}}\n'
    world, prover = lab(main=broken)
    with pytest.raises(CheckFailedError, match=r"the proof failed: .* plan for attic-dev against the target") as failed:
        prover.prove(world.state("attic-dev"))
    log = Path(failed.value.where)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert TOKEN not in log.read_text() + failed.value.message
    assert "[secret]" in log.read_text()


def test_what_the_document_marks_as_sensitive_is_struck_from_output_that_shows_it(lab, program, moto, applied):
    """A precondition that tells a secret, as a provider might: OpenTofu itself lets `nonsensitive` do it."""
    careless = STACK + (
        'resource "terraform_data" "two" {\n  lifecycle {\n    precondition {\n      condition = var.text == "no"\n'
        f'      error_message = "Error: it is {SECRET}"\n    }}\n  }}\n}}\n'
    )
    world, _ = lab(main=careless)
    shown = build_prover(world, program, moto)
    with pytest.raises(CheckFailedError) as failed:
        shown.prove(world.state("attic-dev"))
    assert SECRET in Path(failed.value.where).read_text()  # the control: without the document nobody knows the secret
    struck = build_prover(world, program, moto, read_document=lambda _: applied)
    with pytest.raises(CheckFailedError) as failed:
        struck.prove(world.state("attic-dev"))
    assert SECRET not in Path(failed.value.where).read_text() + failed.value.message
    assert "it is [secret]" in Path(failed.value.where).read_text()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_every_file_that_a_proof_leaves_is_private(lab, program, moto, umask):
    world, _ = lab(main=STACK.replace('"first"', '"second"'))
    (world.root / "stacks/attic/dev.tfvars").write_text('text = "other"\n')
    (world.root / "stacks/attic/run.sh").write_text("")
    (world.root / "stacks/attic/run.sh").chmod(0o755)
    prover = build_prover(world, program, moto)
    before = os.umask(umask)
    try:
        prover.prove(world.state("attic-dev"))
    finally:
        os.umask(before)
    found = [path for path in prover.scratch.rglob("*") if not path.is_symlink()]
    modes = {path.relative_to(prover.scratch): stat.S_IMODE(path.stat().st_mode) for path in found}
    assert any(path.name == "run.sh" for path in modes)
    assert {mode & 0o077 for mode in modes.values()} == {0}, modes


def test_no_room_for_the_copies_stops_the_run(lab, monkeypatch):
    world, prover = lab()
    monkeypatch.setattr("shutil.copyfileobj", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StoppedError, match="No space left") as stopped:
        prover.prove(world.state("attic-dev"))
    assert stopped.value.exit_code == 5


def test_wrong_credentials_fail_the_proof(lab, program, moto):
    world, _ = lab()
    prover = build_prover(
        world, program, moto, source_environment={"TF_HTTP_USERNAME": "x", "TF_HTTP_PASSWORD": "wrong"}
    )
    with pytest.raises(CheckFailedError, match="against the source"):
        prover.prove(world.state("attic-dev"))


def test_a_program_that_is_gone(lab, moto):
    world, _ = lab()
    prover = build_prover(world, "/nowhere/tofu", moto)
    with pytest.raises(ConfigurationError, match="not there any more"):
        prover.prove(world.state("attic-dev"))


def test_what_a_killed_attempt_left_is_not_proved(lab):
    world, prover = lab()
    stale = prover.scratch / "target/stacks/attic/stale.tf"
    stale.parent.mkdir(parents=True)
    stale.write_text("no configuration at all {")
    assert prover.prove(world.state("attic-dev"))["changes"] == 0


def test_states_whose_names_look_alike_share_no_file(lab):
    world, prover = lab(names=("a/b", "a_b"))
    for state in world.plan.states:
        prover.prove(state)
    data = [path.name for path in prover.scratch.iterdir() if path.name.endswith("-target.data")]
    assert len(set(data)) == 2


def test_a_whole_migration_and_its_way_back_with_a_real_proof(lab, applied):
    world, prover = lab()
    for state in world.plan.states:
        world.delete(state.name)
    before = world.truth()
    world.prover = prover
    world.migrate()
    assert world.truth().objects == {"attic-dev": applied}
    world.rollback()
    assert world.truth() == before


def test_what_counts_as_a_change():
    shown = {
        "resource_changes": [
            {"address": "a", "change": {"actions": ["no-op"]}},
            {"address": "b", "change": {"actions": ["read"]}},
            {"address": "c", "change": {"actions": ["delete", "create"]}},
        ],
        "output_changes": {"same": {"actions": ["no-op"]}, "new": {"actions": ["create"]}},
    }
    assert sorted(read_changes(shown)) == ["c", "output.new"]
    assert read_changes({}) == {}


def test_which_line_is_quoted():
    assert first_error("\n╷\n│ Error: no bucket\n│ \n") == "Error: no bucket"
    assert first_error("nothing known\n") == "nothing known"
    assert first_error("") == "no output"
    assert len(first_error("Error: " + "x" * 1000)) == 300


def test_variable_files_beside_the_stack_are_copied(tmp_path, lab):
    world, _ = lab()
    (world.root / "stacks/common.tfvars").write_text("x")
    (world.root / "stacks/attic/a.auto.tfvars").write_text("y")
    state = replace(world.state("attic-dev"), var_files=("../common.tfvars", "absent.tfvars"))
    copy_variable_files(world.root, state, tmp_path / "copy")
    found = sorted(path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*.tfvars"))
    assert found == ["stacks/attic/a.auto.tfvars", "stacks/common.tfvars"]


@pytest.mark.parametrize("where", ["../../../outside.tfvars", "{absolute}", "link.tfvars"])
def test_a_variable_file_outside_of_the_repository_is_refused(tmp_path, lab, where):
    world, _ = lab()
    outside = world.root.parent / "outside.tfvars"
    outside.write_text("")
    if where == "link.tfvars":
        (world.root / "stacks/attic/link.tfvars").symlink_to(outside)
    state = replace(world.state("attic-dev"), var_files=(where.format(absolute=outside),))
    with pytest.raises(ConfigurationError, match="outside of the repository"):
        copy_variable_files(world.root, state, tmp_path / "copy")
    assert not list((tmp_path / "copy").rglob("outside.tfvars"))
