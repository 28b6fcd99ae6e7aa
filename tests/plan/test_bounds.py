"""A plan that somebody made up, digest and all, reaches no further than a plan of ours."""

from dataclasses import replace

import pytest

from migrator.errors import RefusedError
from migrator.plan.bounds import find_name_problem, find_path_problem
from migrator.plan.codec import decode_plan, encode_plan
from migrator.plan.model import PlannedFile

HOSTILE = [
    "../outside",
    "/etc/cron.d/evil",
    "stacks/../../outside",
    "",
    "stacks//a.tf",
    "./a.tf",
    ".git/hooks/post-checkout",
    ".git/config",
    "modules/a/.git/config",
    ".GIT/config",
    ".g\u200cit/config",
    ".git. /config",
    ".migrator/runs/x/journal.jsonl",
    ".terraform/terraform.tfstate",
    "a\0b",
]


def written(path: str) -> PlannedFile:
    return PlannedFile(path=path, pre_sha256=None, post_sha256="e" * 64, edits=(), stacks=())


@pytest.mark.parametrize("path", HOSTILE)
def test_a_made_up_plan_is_refused_where_it_is_read(case, path):
    plan = case.plan()
    for made_up in (
        replace(plan, files=(*plan.files, written(path))),
        replace(plan, states=(replace(plan.states[0], directory=path or "/"),)),
    ):
        with pytest.raises(RefusedError, match="not made by this program") as refusal:
            decode_plan(encode_plan(made_up), where="plan.json")
        assert refusal.value.exit_code == 4


@pytest.mark.parametrize(
    "path", [".gitignore", ".gitlab-ci.yml", ".github/x", "a/.gitkeep", "git", "x.git", "ünïcode/a b.tf"]
)
def test_names_that_only_resemble_those_are_fine(case, path):
    assert find_path_problem(path) is None
    plan = replace(case.plan(), files=(written(path),))
    assert decode_plan(encode_plan(plan), where="plan.json") == plan


def test_a_stack_at_the_top_is_fine(case):
    plan = case.plan()
    at_the_top = replace(plan, states=tuple(replace(state, directory=".") for state in plan.states))
    assert decode_plan(encode_plan(at_the_top), where="plan.json") == at_the_top


STRANGE_NAMES = [".", "..", "a\nb", "\x1b[2J", "a\u202eb", "a\u200bb", "a\0b", "cafe\u0301"]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_name_of_a_state_that_deceives_is_a_problem_and_no_plan_of_ours_has_it(case, name):
    assert find_name_problem(name)
    plan = replace(case.plan(), states=(replace(case.plan().states[0], name=name),))
    with pytest.raises(RefusedError, match="not made by this program"):
        decode_plan(encode_plan(plan), where="plan.json")


@pytest.mark.parametrize(
    "name", ["attic-dev", "a b/c.d", "../../x", "..%2f..%2fx", "café", "аttic", "x" * 255, "--help", "$(x)"]
)
def test_a_name_that_is_only_odd_is_none(name):
    assert find_name_problem(name) is None
