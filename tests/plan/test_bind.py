"""Which stack a state belongs to, and what is refused rather than guessed."""

from dataclasses import replace

import pytest

from migrator.plan.model import Finding
from migrator.settings import Binding, Exclusion
from tests.plan.conftest import build_settings, observed, stack


def bound(case):
    return {one.observed.name: (one.stack.name, one.environment) for one in case.bind().states}


def left(case):
    return {one.name: one.reason for one in case.bind().left_alone}


def findings(case):
    return [(one.code, one.where) for one in case.bind().blockers]


def test_a_name_that_is_written_out(case):
    assert bound(case) == {"attic-dev": ("attic", "dev"), "attic-prod": ("attic", "prod")}
    assert findings(case) == []


def test_a_name_that_fits_a_template(case):
    case.states = [observed("runners-eu_1")]
    assert bound(case) == {"runners-eu_1": ("runners", "eu_1")}


@pytest.mark.parametrize(
    "name", ["runners-", "runners-eu-1", "Runners-dev", "my-runners-dev", "runners-dev ", "runners"]
)
def test_a_name_that_almost_fits_is_not_normalised(case, name):
    case.states = [observed(name)]
    assert findings(case) == [("unbound-state", name)]


def test_a_bare_placeholder_claims_nothing(case):
    case.stacks = (stack("anything", any="{environment}"),)
    case.states = [observed("dev")]
    assert findings(case) == [("unbound-state", "dev")]


def test_a_name_written_out_beats_a_template(case):
    case.stacks = (stack("special", dev="runners-dev"), stack("runners", any="runners-{environment}"))
    case.states = [observed("runners-dev")]
    assert bound(case) == {"runners-dev": ("special", "dev")}


def test_two_stacks_that_claim_one_state(case):
    case.stacks = (stack("one", dev="shared-dev"), stack("two", dev="shared-dev"))
    case.states = [observed("shared-dev")]
    (finding,) = case.bind().blockers
    assert (finding.code, finding.where) == ("doubly-bound-state", "shared-dev")
    assert "(one, dev), (two, dev)" in finding.message
    case.settings = build_settings(state=(Binding(name="shared-dev", stack="two", environment="dev"),))
    assert bound(case) == {"shared-dev": ("two", "dev")}


def test_two_states_for_one_stack(case):
    case.states.append(observed("attic_dev"))
    case.settings = build_settings(state=(Binding(name="attic_dev", stack="attic", environment="dev"),))
    assert findings(case) == [("two-states-for-one-stack", "attic-dev, attic_dev")]


def test_the_operator_settles_with_variables(case):
    case.states = [observed("legacy")]
    table = Binding(name="legacy", stack="attic", environment="dev", var_files=("dev.tfvars",))
    case.settings = build_settings(state=(table,))
    (state,) = case.bind().states
    assert (state.stack.name, state.environment, state.var_files) == ("attic", "dev", ("dev.tfvars",))


def test_tables_that_name_nothing(case):
    case.settings = build_settings(
        state=(
            Binding(name="absent", stack="attic", environment="x"),
            Binding(name="attic-dev", stack="attik", environment="dev"),
        )
    )
    found = {(one.code, one.where): one.hint for one in case.bind().blockers}
    assert found[("unknown-stack", "migrator.toml, [[state]] attic-dev")] == "known stacks: attic, runners"
    assert ("absent-state", "migrator.toml, [[state]] absent") in found


def test_what_is_left_alone_and_why(case):
    case.states += [
        observed("scratch-1"),
        observed("gone", deleted=True),
        observed("never", listed_serial=None, serial=None, sha256=None, lineage=None),
    ]
    case.settings = build_settings(exclude=(Exclusion(state="scratch-*", reason="abandoned in 2025"),))
    assert left(case) == {
        "scratch-1": "abandoned in 2025",
        "gone": "deleted at the source",
        "never": "never written: the name exists at the source without a document",
    }
    assert findings(case) == []


def test_a_name_without_a_document_that_a_stack_claims_moves_its_authority(case):
    case.states = [observed("attic-dev", listed_serial=None, serial=None, sha256=None, lineage=None)]
    assert bound(case) == {"attic-dev": ("attic", "dev")}


def test_an_unbound_state_whose_document_is_lost_is_not_passed_over(case):
    lost = Finding(code="missing-document", where="odd", message="m")
    case.states = [observed("odd", listed_serial=4, sha256=None, problem=lost)]
    assert findings(case) == [("unbound-state", "odd")]


def test_selected_stacks(case):
    case.states.append(observed("runners-dev"))
    case.selected = ("runners",)
    assert bound(case) == {"runners-dev": ("runners", "dev")}
    assert left(case) == dict.fromkeys(("attic-dev", "attic-prod"), "its stack was not selected with --stack")


def test_every_state_is_in_exactly_one_place(case):
    case.states += [observed("gone", deleted=True), observed("odd"), observed("runners-dev")]
    case.settings = replace(case.settings, exclude=(Exclusion(state="attic-prod", reason="r"),))
    names = [*bound(case), *left(case), *(where for _, where in findings(case))]
    assert sorted(names) == sorted(state.name for state in case.states)
