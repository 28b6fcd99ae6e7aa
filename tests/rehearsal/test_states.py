"""States for a rehearsal: by applying stacks that need nothing, and never by running what a stack would run."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.errors import ConfigurationError
from migrator.rehearsal.programs import Shell, Tofu, build_clean_environment, examine_tofu
from migrator.rehearsal.states import apply_stacks, examine_stacks, read_fixture_states
from migrator.rehearsal.wanted import Wanted
from tests.rehearsal.repositories import read_everything, write_stack


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    directory = tmp_path / "scratch"
    directory.mkdir()
    return directory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    directory.mkdir()
    return directory


@pytest.fixture
def shell(root: Path, scratch: Path) -> Shell:
    return Shell(directory=root, environment=build_clean_environment(os.environ, home=scratch))


@pytest.fixture
def tofu(shell: Shell) -> Tofu:
    program = os.environ.get("TOFU") or shutil.which("tofu") or shutil.which("terraform")
    found = examine_tofu(program, shell.environment)
    assert isinstance(found, Tofu), found  # a missing program is a failure, never a skip
    return found


def wanted(stack: str, environment: str = "dev", *var_files: str) -> Wanted:
    return Wanted(
        name=f"{stack}/{environment}",
        stack=stack,
        directory=f"infra/{stack}",
        environment=environment,
        var_files=var_files,
    )


@pytest.mark.acceptance
def test_stacks_are_applied_each_environment_with_its_values(
    root: Path, scratch: Path, shell: Shell, tofu: Tofu
) -> None:
    stack = write_stack(root, "network")
    (stack / "prod.tfvars").write_text("size = 9\n")
    before = read_everything(root)
    material = apply_stacks(
        root, [wanted("network"), wanted("network", "prod", "prod.tfvars")], tofu, shell=shell, scratch=scratch
    )
    assert read_everything(root) == before
    assert material.left_out == ()
    assert not material.encrypted
    assert {binding.name: binding.var_files for binding in material.bindings} == {
        "network/dev": (),
        "network/prod": ("prod.tfvars",),
    }
    inputs = {}
    for name, (version,) in material.states.items():
        assert version.path.stat().st_mode & 0o777 == 0o600
        document = json.loads(version.path.read_bytes())
        assert document["serial"] == version.serial
        inputs[name] = document["resources"][0]["instances"][0]["attributes"]["input"]["value"]
    assert inputs == {"network/dev": "network of 3", "network/prod": "network of 9"}


@pytest.mark.acceptance
def test_stacks_that_need_help_are_left_out_with_the_reason_and_nothing_of_them_runs(
    root: Path, scratch: Path, shell: Shell, tofu: Tofu, tmp_path: Path
) -> None:
    proof = tmp_path / "a-command-ran"
    command = f'provisioner "local-exec" {{\n    command = "touch {proof}"\n  }}\n'
    write_stack(root, "fine")
    write_stack(root, "cloud", body='resource "random_pet" "name" {}\n')
    write_stack(root, "runs", body=f'resource "terraform_data" "run" {{\n  {command}}}\n')
    write_stack(root, "calls", body='module "inner" {\n  source = "../../modules/inner"\n}\n')
    write_stack(root, "asks", body='variable "unknown" {\n  type = string\n}\n')
    write_stack(root, "broken", body="resource {\n")
    inner = root / "modules" / "inner"
    inner.mkdir(parents=True)
    (inner / "main.tf").write_text(f'resource "terraform_data" "inner" {{\n  {command}}}\n')
    names = ("fine", "cloud", "runs", "calls", "asks", "broken")
    material = apply_stacks(root, [wanted(name) for name in names], tofu, shell=shell, scratch=scratch)
    assert set(material.states) == {"fine/dev"}
    reasons = dict(reason.split(": ", 1) for reason in material.left_out)
    assert set(reasons) == {f"{name}/dev" for name in names} - {"fine/dev"}
    assert reasons["cloud/dev"].startswith("needs the provider ")
    assert "hashicorp/random" in reasons["cloud/dev"]
    assert reasons["runs/dev"] == "the stack runs commands (a provisioner)"
    assert reasons["calls/dev"].endswith("modules/inner runs commands (a provisioner)")
    assert "No value for required variable" in reasons["asks/dev"]
    assert "Error" in reasons["broken/dev"]
    assert not proof.exists()


@pytest.mark.acceptance
def test_a_repository_without_a_stack_that_can_be_applied_is_refused_with_every_reason(
    root: Path, scratch: Path, shell: Shell, tofu: Tofu
) -> None:
    write_stack(root, "cloud", body='resource "random_pet" "name" {}\n')
    with pytest.raises(ConfigurationError, match="cloud/dev: needs the provider") as raised:
        apply_stacks(root, [wanted("cloud")], tofu, shell=shell, scratch=scratch)
    assert "--fixtures" in (raised.value.hint or "")


@pytest.mark.acceptance
def test_two_stacks_that_claim_one_name_give_one_state(root: Path, scratch: Path, shell: Shell, tofu: Tofu) -> None:
    write_stack(root, "network")
    write_stack(root, "dns")
    twice = [replace(wanted(stack), name="shared") for stack in ("network", "dns")]
    material = apply_stacks(root, twice, tofu, shell=shell, scratch=scratch)
    assert [binding.stack for binding in material.bindings] == ["dns"]
    assert material.left_out == ("shared of network: dns has a state of this name",)


@pytest.mark.acceptance
def test_examining_replaces_any_backend(root: Path, scratch: Path, shell: Shell, tofu: Tofu) -> None:
    write_stack(root, "network", backend='backend "s3" {\n    bucket = "b"\n    key = "k"\n  }')
    assert examine_stacks(root, ["infra/network"], tofu, shell=shell, scratch=scratch) == {"infra/network": None}


def test_recorded_states_keep_their_bytes_and_say_whether_they_are_encrypted(fixtures: Path) -> None:
    material = read_fixture_states(fixtures)
    assert set(material.states) == {"network-dev", "dns-dev"}
    assert not material.encrypted
    (fixtures / "dns-dev" / "5.tfstate").write_text(
        '{"serial":5,"lineage":"lineage-of-dns-dev","meta":{},"encrypted_data":"AAAA","encryption_version":"v0"}'
    )
    material = read_fixture_states(fixtures)
    assert material.encrypted
    assert [version.serial for version in material.states["dns-dev"]] == [4, 5]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "no tofu and no terraform was found"),
        ("echo 'OpenTofu v1.9.4'", "OpenTofu 1.9.4 has no lock for the s3 backend"),
        ("echo nonsense", "does not say which version it is"),
        ("exec /nonexistent", "does not say which version it is"),
    ],
)
def test_a_program_that_cannot_take_part_is_told_with_the_reason(
    tmp_path: Path, script: str | None, reason: str
) -> None:
    program = None
    if script is not None:
        (tmp_path / "tofu").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "tofu").chmod(0o755)
        program = str(tmp_path / "tofu")
    found = examine_tofu(program, {"PATH": os.environ["PATH"]})
    assert isinstance(found, str)
    assert reason in found


def test_a_clean_environment_holds_nothing_of_the_callers_but_the_search_path(scratch: Path) -> None:
    outside = {
        "PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "real", "GITLAB_TOKEN": "real", "TF_HTTP_PASSWORD": "real",
        "TF_VAR_password": "real", "HOME": "/home/somebody", "https_proxy": "http://proxy.example.com",
        "KUBECONFIG": "/home/somebody/.kube/config", "MIGRATOR_KEEP": "/somewhere",
    }  # fmt: skip
    environment = build_clean_environment(outside, home=scratch)
    assert "real" not in environment.values()
    assert not set(environment) & {"GITLAB_TOKEN", "TF_HTTP_PASSWORD", "TF_VAR_password", "KUBECONFIG", "MIGRATOR_KEEP"}
    assert environment["HOME"] == environment["TMPDIR"] == str(scratch)
    assert environment["https_proxy"] == environment["HTTPS_PROXY"] == "http://127.0.0.1:9"
