"""Lines that lead to states that do not move: other projects, and states that are left behind."""

from dataclasses import replace

import pytest

from migrator.inventory.model import Inventory
from migrator.plan.bind import bind_states
from migrator.plan.scope import find_named_projects
from migrator.rewrite.reference import ReferenceKind
from migrator.settings import Acknowledgement, Exclusion
from tests.plan.conftest import BACKEND, build_settings, observed, reference

BACKEND_FILE = "stacks/attic/backend.tf"


def with_backend(case, project="84", path=BACKEND_FILE, **changes):
    text = BACKEND.replace("/projects/84/", f"/projects/{project}/")
    case.references.append(reference(path, ("attic",), text, **changes))
    case.texts[path] = text


def exclude(case, *names, acknowledged=()):
    case.settings = build_settings(
        exclude=tuple(Exclusion(state=name, reason="it stays") for name in names),
        acknowledge=tuple(Acknowledgement(code=code, reason="known") for code in acknowledged),
    )


@pytest.mark.parametrize("project", ["84", "acme%2Finfra", "Acme%2FInfra", "${var.project}", "$CI_PROJECT_ID"])
def test_the_project_itself_and_what_only_a_run_knows_is_fine(case, project):
    with_backend(case, project)
    assert case.codes() == []


@pytest.mark.parametrize("project", ["85", "acme%2Fother"])
def test_an_address_of_another_project_blocks(case, project):
    with_backend(case, project)
    (blocker,) = case.plan().blockers
    assert (blocker.code, blocker.where) == ("foreign-project", f"{BACKEND_FILE}:1")
    assert project.replace("%2F", "/") in blocker.message
    case.settings = build_settings(acknowledge=(Acknowledgement(code="foreign-project", reason="its former path"),))
    assert [one.code for one in case.plan().overrides] == ["foreign-project"]
    assert case.codes() == []


def test_examples_in_documents_name_any_project(case):
    with_backend(case, "12345", path="docs/state.md")
    with_backend(case, "12345", path="stacks/attic/other.tf", kind=ReferenceKind.BACKEND_COMMENT)
    assert "foreign-project" not in case.codes()
    assert find_named_projects(case.references, case.texts.get) == []


def test_the_project_that_most_addresses_name_comes_first(case):
    for number, project in enumerate(("7", "9", "9", "acme%2Finfra")):
        with_backend(case, project, path=f"stacks/attic/{number}.tf")
    assert find_named_projects(case.references, case.texts.get) == ["9", "7", "acme/infra"]


def test_a_stack_is_not_cut_over_while_a_state_of_it_is_excluded(case):
    with_backend(case)
    exclude(case, "attic-prod")
    (blocker,) = case.plan().blockers
    assert (blocker.code, blocker.where) == ("left-behind-state", "attic-prod")
    assert BACKEND_FILE in blocker.message
    exclude(case, "attic-prod", acknowledged=["left-behind-state"])
    assert case.codes() == []


def test_not_even_when_all_of_its_states_are_excluded(case):
    with_backend(case)
    exclude(case, "attic-*")
    assert case.codes() == ["left-behind-state"] * 2


@pytest.mark.parametrize("changes", [{"deleted": True}, {"listed_serial": None, "serial": None, "sha256": None}])
def test_a_state_without_a_document_is_not_left_behind(case, changes):
    with_backend(case)
    case.states[1] = replace(case.states[1], **changes)
    exclude(case, "attic-prod")
    assert case.codes() == []


REMOTE = """data "terraform_remote_state" "runners" {
  backend = "http"
  config  = { address = "https://gitlab.example.com/api/v4/projects/84/terraform/state/runners-dev" }
}
"""


def read_runners(case):
    case.states.append(observed("runners-dev"))
    case.references.append(reference("stacks/attic/data.tf", ("attic",), REMOTE))
    case.texts["stacks/attic/data.tf"] = REMOTE


def test_a_remote_state_that_moves_too_is_read_from_the_target(case):
    read_runners(case)
    assert case.codes() == []


def test_a_remote_state_that_stays_blocks_its_reader(case):
    read_runners(case)
    exclude(case, "runners-*")
    (blocker,) = case.plan().blockers
    assert (blocker.code, blocker.where) == ("left-behind-state", "stacks/attic/data.tf:1")
    assert "runners-dev" in blocker.message


def test_a_selection_takes_along_what_it_reads(case):
    read_runners(case)
    case.selected = ("attic",)
    assert case.codes() == ["left-behind-state"]
    case.selected = ("attic", "runners")
    assert case.codes() == []


def test_a_remote_state_that_an_earlier_run_moved_is_read_from_the_target(case):
    read_runners(case)
    case.states[-1] = replace(case.states[-1], locked_by="migrator")
    inventory = Inventory(revision="r", stacks=case.stacks, references=tuple(case.references), hazards=())
    bound = bind_states(case.settings, inventory, case.states, moved={"runners-dev": "run-1"})
    assert case.codes(bound=bound) == []


def test_an_excluded_state_that_no_changed_line_leads_to_is_fine(case):
    exclude(case, "attic-prod", "runners-dev", "scratch-1")
    case.states += [observed("runners-dev"), observed("scratch-1")]
    assert case.codes() == []
    with_backend(case, path="README", kind=ReferenceKind.PROSE)
    assert "left-behind-state" not in case.codes()


def test_of_two_claims_the_one_that_was_settled_against_is_not_left_behind(case, binding):
    with_backend(case)
    case.states = [observed("attic-dev"), observed("attic-main")]
    exclude(case, "attic-dev")
    case.settings = replace(case.settings, state=(binding("attic-main", "attic", "dev"),))
    assert case.codes() == []
