"""The plan: what it holds, what stands against it, and which of that may be taken upon oneself."""

from dataclasses import replace

import pytest

from migrator.inventory.model import Hazard, Inventory
from migrator.plan.blockers import find_key_problem
from migrator.plan.codec import digest_of_plan
from migrator.plan.facts import build_coordinates
from migrator.plan.model import Finding, ObservedKey, ProbeResult
from migrator.rewrite.reference import Disposition
from migrator.settings import Acknowledgement
from migrator.state.snapshot import digest_of
from tests.plan.conftest import BACKEND, PROJECT, build_settings, observed, place, reference

KEY = "acme/infra/attic-dev/terraform.tfstate"
UNSAFE = ProbeResult(verdict="unsafe", reasons=("If-None-Match is ignored",), probed_at="t")
BACKEND_FILE = "stacks/attic/backend.tf"


def test_a_plan_holds_what_was_observed(case):
    plan = case.plan()
    assert plan.blockers == ()
    first, second = plan.states
    assert (first.name, first.stack, first.directory, first.environment) == (
        "attic-dev",
        "attic",
        "stacks/attic",
        "dev",
    )
    assert (first.key, first.serial, first.sha256, first.adopted) == (KEY, 7, "a" * 64, False)
    assert second.key == "acme/infra/attic-prod/terraform.tfstate"
    assert (plan.source.project_id, plan.source.project_path) == (84, "acme/infra")
    assert (plan.target.bucket, plan.proof, plan.tofu) == ("tofu-state", "required", "tofu")


def with_target(case, **changes):
    case.settings = build_settings(target=replace(case.settings.target, **changes))


def test_every_field_of_a_key(case):
    with_target(case, key="{project_id}/{project_path}/{stack}/{environment}/{state}")
    assert case.plan().states[0].key == "84/acme/infra/attic/dev/attic-dev"
    assert build_coordinates(case.settings, PROJECT).key == "84/acme/infra/{stack}/{environment}/{state}"


def test_identical_bytes_at_the_target_are_adopted_and_others_block(case):
    case.keys = [ObservedKey(key=KEY, sha256="a" * 64, locked_by=None)]
    plan = case.plan()
    assert [state.adopted for state in plan.states] == [True, False]
    assert plan.blockers == ()
    case.keys = [ObservedKey(key=KEY, sha256="c" * 64, locked_by=None)]
    (blocker,) = case.plan().blockers
    assert (blocker.code, blocker.where) == ("occupied-key", f"attic-dev, key {KEY}")


def test_bytes_at_the_key_of_a_state_that_was_never_written_block(case):
    case.states = [observed("attic-dev", listed_serial=None, serial=None, lineage=None, sha256=None)]
    case.keys = [ObservedKey(key=KEY, sha256="c" * 64, locked_by=None)]
    assert case.codes() == ["occupied-key"]
    case.keys = [ObservedKey(key=KEY, sha256=None, locked_by=None)]
    assert case.codes() == []


def test_held_locks_block_on_both_sides(case):
    case.states[0] = replace(case.states[0], locked_by="maint since noon")
    case.keys = [ObservedKey(key=KEY, sha256=None, locked_by="rival@there")]
    found = [(one.code, one.message) for one in case.plan().blockers]
    assert found == [
        ("held-lock", "locked at the source by maint since noon"),
        ("held-lock", "locked at the target by rival@there"),
    ]


@pytest.mark.parametrize("code", ["missing-document", "invalid-document"])
def test_a_document_that_cannot_be_moved_blocks(case, code):
    case.states[0] = replace(case.states[0], problem=Finding(code=code, where="attic-dev", message="m"))
    assert case.codes() == [code]


def test_states_that_would_share_a_key(case):
    with_target(case, key="{stack}/{environment}")
    case.stacks = (case.stacks[0], replace(case.stacks[0], directory="other"))
    assert case.codes() == []
    with_target(case, key="{stack}/{project_id}/{environment}")
    case.states.append(observed("attic-dev"))
    assert "shared-key" in case.codes()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("a/../../x", "empty segment, . or .."),
        ("./x", "empty segment, . or .."),
        ("a//x", "empty segment, . or .."),
        ("x/", "empty segment, . or .."),
        ("", "empty segment, . or .."),
        ("a.tflock", "the name of a lock"),
        ("a\nb", "control character"),
        ('a"b', "quote"),
        ("a$(b)", "quote, backslash or $"),
        ("a\\b", "backslash"),
        ("cafe\u0301", "form NFC"),
        ("x" * 1018, "longer than 1024 bytes"),
        ("é" * 510, "longer than 1024 bytes"),
    ],
)
def test_keys_that_stores_and_files_read_differently(key, says):
    assert says in find_key_problem(key)


@pytest.mark.parametrize("key", ["a", KEY, "a.b c/d", "état/x", "x" * 1017])
def test_keys_that_are_fine(key):
    assert find_key_problem(key) is None


@pytest.mark.parametrize("name", ["../../x", "a//b", "a.tflock", 'a"b'])
def test_a_hostile_state_name_blocks(case, name):
    with_target(case, key="{project_path}/{state}")
    case.stacks = (replace(case.stacks[0], states=(replace(case.stacks[0].states[0], name=name),)),)
    case.states = [observed(name)]
    assert case.codes() == ["unsafe-key"]


def test_an_unsafe_target_may_be_taken_upon_oneself_with_a_reason(case):
    case.probe = UNSAFE
    (blocker,) = case.plan().blockers
    assert blocker.code == "unsafe-target"
    assert "If-None-Match is ignored" in blocker.message
    case.settings = build_settings(acknowledge=(Acknowledgement(code="unsafe-target", reason="a test bench"),))
    plan = case.plan()
    assert plan.blockers == ()
    assert [(one.code, one.reason) for one in plan.overrides] == [("unsafe-target", "a test bench")]


def test_what_protects_documents_cannot_be_taken_upon_oneself(case):
    codes = ("held-lock", "occupied-key", "unbound-state")
    case.settings = build_settings(acknowledge=tuple(Acknowledgement(code=code, reason="r") for code in codes))
    case.states[0] = replace(case.states[0], locked_by="somebody")
    case.states.append(observed("odd"))
    case.keys = [ObservedKey(key=KEY, sha256="c" * 64, locked_by=None)]
    plan = case.plan()
    assert sorted(one.code for one in plan.blockers) == sorted([*codes, *["unknown-acknowledgement"] * len(codes)])
    assert plan.overrides == ()


# Files


def with_backend(case, *stacks, path=BACKEND_FILE):
    case.references.append(reference(path, stacks))
    case.texts[path] = BACKEND


def test_a_reference_becomes_an_edit_with_both_digests(case):
    with_backend(case, "attic")
    (file,) = case.plan().files
    assert (file.path, file.stacks, file.pre_sha256) == (BACKEND_FILE, ("attic",), digest_of(BACKEND.encode()))
    (edit,) = file.edits
    after = BACKEND[: edit.start] + edit.text + BACKEND[edit.end :]
    assert 'backend "s3"' in after
    assert file.post_sha256 == digest_of(after.encode())


def test_what_a_person_decides_is_reported_in_order_and_what_is_kept_is_not(case):
    for path, disposition in (("z", Disposition.REPORT), ("a", Disposition.REPORT), ("k", Disposition.KEEP)):
        case.references.append(reference(path, (), disposition=disposition, reason=f"why {path}"))
    plan = case.plan()
    assert [(report.place.path, report.reason) for report in plan.reports] == [("a", "why a"), ("z", "why z")]
    assert plan.files == ()


def test_a_file_whose_result_would_be_wrong_is_refused_whole(case):
    with_backend(case, "attic")
    case.references.append(case.references[0])
    plan = case.plan()
    assert (plan.files, [one.code for one in plan.blockers]) == ((), ["refused-file"])
    case.settings = build_settings(acknowledge=(Acknowledgement(code="refused-file", reason="by hand"),))
    plan = case.plan()
    assert (plan.files, plan.blockers, [one.code for one in plan.overrides]) == ((), (), ["refused-file"])


def test_a_file_that_cannot_be_read_any_more_is_refused(case):
    with_backend(case, "attic")
    case.texts.clear()
    (blocker,) = case.plan().blockers
    assert (blocker.code, blocker.where) == ("refused-file", BACKEND_FILE)


def test_style_partial_creates_one_backend_file_per_state(case):
    with_target(case, style="partial")
    plan = case.plan()
    assert [file.path for file in plan.files] == [
        "stacks/attic/attic-dev.s3.tfbackend",
        "stacks/attic/attic-prod.s3.tfbackend",
    ]
    for file, state in zip(plan.files, plan.states, strict=True):
        assert file.pre_sha256 is None
        assert state.key in file.edits[0].text
        assert file.post_sha256 == digest_of(file.edits[0].text.encode())


def test_style_partial_never_writes_over_a_file(case):
    with_target(case, style="partial")
    case.texts["stacks/attic/attic-dev.s3.tfbackend"] = "theirs"
    (blocker,) = case.plan().blockers
    assert (blocker.code, blocker.where) == ("occupied-file", "stacks/attic/attic-dev.s3.tfbackend")


def test_hazards_travel_in_the_plan(case):
    hazard = Hazard(code="empty-state-branch", place=place("ci.yml", 9), message="m")
    inventory = Inventory(revision="r", stacks=case.stacks, references=(), hazards=(hazard,))
    assert [(one.code, one.where) for one in case.plan(inventory=inventory).hazards] == [
        ("empty-state-branch", "ci.yml:9")
    ]


def test_a_hazard_that_loses_data_blocks_until_it_is_acknowledged(case):
    found = [("crossed-states", 9), ("crossed-states", 20), ("merge-is-cut-over", 3)]
    hazards = tuple(Hazard(code=code, place=place("ci.yml", line), message="m") for code, line in found)
    inventory = Inventory(revision="r", stacks=case.stacks, references=(), hazards=hazards)
    (blocker,) = case.plan(inventory=inventory).blockers
    assert (blocker.code, blocker.where) == ("crossed-states", "ci.yml:9 and 1 more")
    case.settings = build_settings(acknowledge=(Acknowledgement(code="crossed-states", reason="held by hand"),))
    plan = case.plan(inventory=inventory)
    assert (plan.blockers, [one.code for one in plan.overrides]) == ((), ["crossed-states"])
    assert len(plan.hazards) == 3
    case.settings, case.states = build_settings(), []
    assert case.codes(inventory=inventory) == []  # where nothing moves, nothing is lost


# Some stacks only


def test_stacks_that_one_file_serves_cut_over_together(case):
    with_backend(case, "attic")
    with_backend(case, "attic", "runners", path="common/backend.tf")
    (group,) = case.plan().groups
    assert group.stacks == ("attic", "runners")
    case.selected = ("attic",)
    (blocker,) = case.plan().blockers
    assert (blocker.code, blocker.where) == ("shared-reference", "common/backend.tf:1")
    assert blocker.hint == "add --stack runners, or leave --stack out"
    case.selected = ("attic", "runners")
    assert case.codes() == []
    assert [file.path for file in case.plan().files] == ["common/backend.tf", BACKEND_FILE]


def test_a_reference_that_serves_no_stack_belongs_to_the_last_stage(case):
    with_backend(case, "attic")
    with_backend(case, path="templates/backend.tf")
    assert [file.path for file in case.plan().files] == [BACKEND_FILE, "templates/backend.tf"]
    case.selected = ("attic",)
    assert [file.path for file in case.plan().files] == [BACKEND_FILE]


def test_a_selected_stack_that_does_not_exist(case):
    case.selected = ("attik",)
    (blocker,) = case.plan().blockers
    assert (blocker.code, blocker.hint) == ("unknown-stack", "known stacks: attic, runners")


def test_equal_facts_give_equal_plans_in_any_order(case):
    with_backend(case, "attic")
    with_backend(case, "attic", "runners", path="common/backend.tf")
    digest = digest_of_plan(case.plan())
    case.states.reverse()
    case.references.reverse()
    assert digest_of_plan(case.plan()) == digest
    case.states[0] = replace(case.states[0], sha256="c" * 64)
    assert digest_of_plan(case.plan()) != digest


def test_an_acknowledgement_of_nothing_is_told(case):
    case.settings = build_settings(acknowledge=(Acknowledgement(code="unsafe-targte", reason="a test bench"),))
    (blocker,) = case.plan().blockers
    assert (blocker.code, "unsafe-targte" in blocker.where) == ("unknown-acknowledgement", True)


@pytest.mark.parametrize("name", ["team/attic-dev", "é" * 101])
def test_style_partial_needs_state_names_that_can_be_file_names(case, name):
    with_target(case, style="partial")
    case.states = [observed(name)]
    case.stacks = (replace(case.stacks[0], states=(replace(case.stacks[0].states[0], name=name),)),)
    assert case.codes() == ["unsafe-file-name"]
