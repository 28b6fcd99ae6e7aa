"""A real OpenTofu or Terraform against the stand-in: init, plan, apply, refusal while locked, force-unlock."""

import json
import os
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.acceptance

STACK = """
terraform {
  backend "http" {}
}

variable "text" {
  type    = string
  default = "first"
}

resource "terraform_data" "one" {
  input = var.text
}

output "text" {
  value = terraform_data.one.output
}
"""


@pytest.fixture(scope="module")
def program():
    """$TOFU, else tofu on PATH, else terraform on PATH; never a skip."""
    named = os.environ.get("TOFU")
    found = shutil.which(named) if named else shutil.which("tofu") or shutil.which("terraform")
    if found is None:
        pytest.fail(f"no tofu or terraform found: set TOFU or PATH (TOFU={named!r})")
    return found


@pytest.fixture
def stack(tmp_path, standin, program, client):
    (tmp_path / "main.tf").write_text(STACK)
    address = standin.base_url + client.path("real/state.one")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TF_CLI_CONFIG_FILE": os.devnull,
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "TF_HTTP_ADDRESS": address,
        "TF_HTTP_LOCK_ADDRESS": address + "/lock",
        "TF_HTTP_UNLOCK_ADDRESS": address + "/lock",
        "TF_HTTP_LOCK_METHOD": "POST",
        "TF_HTTP_UNLOCK_METHOD": "DELETE",
        "TF_HTTP_USERNAME": "gitlab-ci-token",
        "TF_HTTP_PASSWORD": "j-run",
        "TF_HTTP_RETRY_MAX": "0",
    }

    def run(*arguments, code=0):
        done = subprocess.run(
            [program, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    run("init", "-input=false", "-no-color")
    return run


def state_of(standin):
    return standin.truth_of(84, "real/state.one")


def apply(run, *arguments, code=0):
    return run("apply", "-auto-approve", "-input=false", "-no-color", *arguments, code=code)


def test_plan_and_apply_write_one_version_and_leave_no_lock(stack, standin):
    stack("plan", "-input=false", "-no-color", "-detailed-exitcode", code=2)
    apply(stack)
    truth = state_of(standin)
    stored = json.loads(truth.content)
    assert stored["serial"] == truth.serial
    assert stored["outputs"]["text"]["value"] == "first"
    assert truth.lock is None
    assert json.loads(stack("state", "pull")) == stored
    stack("plan", "-input=false", "-no-color", "-detailed-exitcode", code=0)
    apply(stack, "-var", "text=second")
    assert state_of(standin).serial > truth.serial
    assert set(truth.versions) < set(state_of(standin).versions)


def test_apply_is_refused_while_locked_and_force_unlock_ends_that(stack, standin, client):
    apply(stack)
    before = state_of(standin)
    assert client.as_("t-other").lock("real/state.one", ID="11111111-2222-3333-4444-555555555555").status == 200
    refused = apply(stack, "-var", "text=second", code=1)
    assert "Error acquiring the state lock" in refused
    assert "11111111-2222-3333-4444-555555555555" in refused
    assert state_of(standin).versions == before.versions
    stack("force-unlock", "-force", "11111111-2222-3333-4444-555555555555")
    assert state_of(standin).lock is None
    apply(stack, "-var", "text=second")
    assert json.loads(state_of(standin).content)["outputs"]["text"]["value"] == "second"
    assert state_of(standin).lock is None


def test_apply_without_a_lock_is_refused_by_a_held_one(stack, standin, client):
    apply(stack)
    before = state_of(standin)
    client.lock("real/state.one", ID="held")
    apply(stack, "-var", "text=second", "-lock=false", code=1)
    assert state_of(standin).versions == before.versions
