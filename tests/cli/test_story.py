"""The examples that `--help` shows, run in the order of the story; and what each command leaves."""

import re

import pytest

from migrator.cli.overview import COMMANDS
from tests.cli.lab import STATES, Lab

STORY = ("init", "inventory", "probe", "plan", "migrate", "verify", "status", "rollback", "finalize")


def example_of(lab: Lab, command: str) -> list[str]:
    done = lab.run(command, "--help")
    assert done.code == 0
    last = done.out.rstrip("\n").splitlines()[-1]
    match = re.fullmatch(r"  Example: migrator (.+)", last)
    assert match, f"the help of {command} ends with: {last}"
    return match[1].split(" ")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_of_the_command_itself(lab, command):
    assert example_of(lab, command)[0] == command


def test_the_examples_run_in_the_order_of_the_story(lab):
    settings = (lab.repo / "migrator.toml").read_text()
    (lab.repo / "migrator.toml").unlink()
    assert lab.run(*example_of(lab, "init")).code == 0
    (lab.repo / "migrator.toml").write_text(settings)
    assert lab.run(*example_of(lab, "inventory")).code == 3  # it names --check, and there is something left
    assert lab.run(*example_of(lab, "probe")).document["verdict"] == "safe"
    assert "--- a/" in lab.run(*example_of(lab, "plan")).out

    assert lab.run(*example_of(lab, "migrate")).code == 0  # it names --until proven
    assert BEFORE_CUT_OVER in (lab.repo / "stacks/alpha/backend.tf").read_text()
    assert lab.run("migrate", "--yes").code == 0
    assert AFTER_CUT_OVER in (lab.repo / "stacks/alpha/backend.tf").read_text()

    assert lab.run(*example_of(lab, "verify")).code == 0
    assert lab.run(*example_of(lab, "status")).document["phase"] == "migrated"
    assert "would bring 2 states back" in lab.run(*example_of(lab, "rollback")).out
    assert lab.run(*example_of(lab, "inventory")).code == 0
    finalize = [lab.bucket if word == "tofu-state" else word for word in example_of(lab, "finalize")]
    assert lab.run(*finalize).code == 0
    assert lab.run("status", "--json").document["phase"] == "finalized"


BEFORE_CUT_OVER = 'backend "http"'
AFTER_CUT_OVER = 'backend "s3"'


def test_there_and_back_leaves_the_world_as_it_was(lab):
    before = lab.world()
    lab.migrate()
    assert {name: lab.lock_at_source(name) is not None for name in STATES} == dict.fromkeys(STATES, True)
    assert lab.objects() == {f"acme/infra/{name}/terraform.tfstate": lab.truth(name).content for name in STATES}
    assert lab.run("rollback", "--yes").code == 0
    assert lab.world() == before


def migrate(lab: Lab) -> str:
    lab.plan()
    done = lab.run("migrate", "--yes")
    assert done.code == 0, done.err
    return done.out


def test_the_end_of_a_migration_names_what_people_have_to_decide(lab):
    assert "for a person to decide" not in migrate(lab)
    assert lab.run("rollback", "--yes").code == 0
    (lab.repo / "Makefile").write_text(
        "ADDRESS := https://gitlab.example.com/api/v4/projects/84/terraform/state/alpha-dev\n"
    )
    assert "1 place of the plan for a person to decide: migrator inventory lists what is left" in migrate(lab)
