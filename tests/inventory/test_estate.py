"""The inventory of the sample estate against its answer sheet, row by row."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrator.inventory.codec import encode_inventory
from migrator.inventory.discover import discover_inventory
from migrator.inventory.groups import build_cut_over_groups
from migrator.inventory.model import Inventory, Place, Reference
from migrator.inventory.tree import RepositoryTree, discover_tree
from migrator.rehearsal.estate import assemble_sample_estate
from migrator.rewrite.reference import Disposition, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements import build_edits
from migrator.rewrite.spans import apply_edits

SHEET = Path(__file__).parents[2] / "fixtures" / "estate-references.md"
ROW = re.compile(r"\| `([^`]+)` \| (\d+)(?:-(\d+))? \| ([\w-]+) \| (rewrite|report|keep) \| (.*) \|")
TARGET = TargetCoordinates(
    endpoint="https://rustfs.example.internal:9000",
    bucket="tofu-state",
    region="us-east-1",
    key="acme/infra/{state}/terraform.tfstate",
    path_style=True,
    style="inline",
)
# Claims in comments are a kind of their own in code, and prose in documents: the sheet calls both by what they say.
CLAIMS = {ReferenceKind.PROSE.value, ReferenceKind.BACKEND_COMMENT.value}


@dataclass(frozen=True)
class Row:
    path: str
    start: int
    end: int
    kind: str
    disposition: str

    def covers(self, place: Place) -> bool:
        return place.path == self.path and place.start_line <= self.end and self.start <= place.end_line

    def __str__(self) -> str:
        return f"{self.path}:{self.start}-{self.end}"


def read_rows() -> list[Row]:
    found = [ROW.fullmatch(line) for line in SHEET.read_text("utf-8").split("\n")]
    rows = [Row(one[1], int(one[2]), int(one[3] or one[2]), one[4], one[5]) for one in found if one]
    assert len(rows) > 250
    return rows


ROWS = read_rows()
BY_DISPOSITION = {
    "hazard": [row for row in ROWS if row.kind == "hazard"],
    **{
        name: [row for row in ROWS if row.disposition == name and row.kind != "hazard"]
        for name in ("rewrite", "report", "keep")
    },
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> RepositoryTree:
    destination = tmp_path_factory.mktemp("estate") / "infra"
    assemble_sample_estate(destination)
    return discover_tree(destination)


@pytest.fixture(scope="module")
def inventory(tree: RepositoryTree) -> Inventory:
    return discover_inventory(tree)


@pytest.fixture(scope="module")
def rewritten(tree: RepositoryTree, inventory: Inventory) -> dict[str, list[str]]:
    """The lines of every file after its edits."""
    by_path: dict[str, list[Reference]] = defaultdict(list)
    for reference in inventory.references:
        by_path[reference.place.path].append(reference)
    lines: dict[str, list[str]] = {}
    for path, references in by_path.items():
        text = tree.read_text(path)
        assert text is not None
        edits = build_edits([reference.located for reference in references], text, TARGET)
        lines[path] = apply_edits(text, edits).split("\n")
    return lines


def lines_of(tree: RepositoryTree, row: Row) -> list[str]:
    text = tree.read_text(row.path)
    assert text is not None
    return text.split("\n")[row.start - 1 : row.end]


def unpadded(line: str) -> str:
    """A row of a table without the padding of its cells: formatters want columns aligned after another row changed."""
    return re.sub(r" *\| *|-{3,}", "|", line) if line.startswith("|") else line


def is_claim(kind: str) -> bool:
    return kind in CLAIMS


def is_settled_as_kept(found: list[Reference], row: Row) -> bool:
    """An assignment that feeds the source's address is listed and kept, dead or not: ``just --evaluate`` may ask for it."""
    kinds = {(one.kind, one.disposition) for one in found}
    return row.kind == "source-setting" and kinds == {(ReferenceKind.SOURCE_SETTING, Disposition.KEEP)}


@pytest.mark.parametrize("row", BY_DISPOSITION["hazard"], ids=str)
def test_hazards(inventory: Inventory, row: Row):
    assert [hazard.code for hazard in inventory.hazards if row.covers(hazard.place)]


@pytest.mark.parametrize("row", BY_DISPOSITION["rewrite"], ids=str)
def test_what_is_rewritten(tree: RepositoryTree, inventory: Inventory, rewritten: dict[str, list[str]], row: Row):
    found = [one for one in inventory.references if row.covers(one.place)]
    if is_settled_as_kept(found, row):
        return
    kinds = {one.kind.value for one in found if one.disposition is Disposition.REWRITE}
    if is_claim(row.kind) and not kinds:
        # A claim in words that no rule knows is reported with a proposed sentence, never half rewritten.
        assert [
            one for one in found if one.disposition is Disposition.REPORT and re.search("proposal:|read it", one.reason)
        ]
        return
    assert row.kind in kinds or (is_claim(row.kind) and kinds), kinds
    assert lines_of(tree, row) != [line for line in lines_of(tree, row) if line in rewritten[row.path]]


@pytest.mark.parametrize("row", BY_DISPOSITION["report"], ids=str)
def test_what_is_reported(inventory: Inventory, row: Row):
    found = [one for one in inventory.references if row.covers(one.place)]
    assert [one for one in found if one.disposition is not Disposition.KEEP] or is_settled_as_kept(found, row)


@pytest.mark.parametrize("row", BY_DISPOSITION["keep"], ids=str)
def test_what_is_kept(tree: RepositoryTree, rewritten: dict[str, list[str]], row: Row):
    if row.path in rewritten:
        after = {unpadded(line) for line in rewritten[row.path]}
        assert [line for line in lines_of(tree, row) if unpadded(line) not in after] == []


def test_nothing_is_rewritten_that_was_not_planted(inventory: Inventory):
    wanted = BY_DISPOSITION["rewrite"] + BY_DISPOSITION["report"]
    strays = [
        str(one.place)
        for one in inventory.references
        if one.disposition is Disposition.REWRITE and not any(row.covers(one.place) for row in wanted)
    ]
    # Steps that read state need credentials of their own once init no longer saves them: a line is added to a job.
    assert [place for place in strays if not place.startswith(".github/workflows/deploy-arc-runners.yml")] == []


def test_the_four_stacks_and_their_states(inventory: Inventory):
    names = {stack.name: {(one.environment, one.name) for one in stack.states} for stack in inventory.stacks}
    assert names == {
        "arc-runners": {("dev", "arc-runners-dev"), ("prod", "arc-runners-prod"), (None, "arc-runners-{environment}")},
        "attic": {
            ("dev", "attic-dev"),
            ("prod", "attic-prod"),
            ("review", "attic-review"),
            ("staging", "attic-staging"),
            ("production", "attic-production"),
            (None, "attic-{environment}"),
        },
        "gitlab-runners": {
            ("dev", "gitlab-runners-dev"),
            ("dev", "runners-dev"),
            ("prod", "gitlab-runners-prod"),
            (None, "gitlab-runners-{environment}"),
        },
        "runner-dashboard": {
            ("dev", "runner-dashboard-dev"),
            ("prod", "runner-dashboard-prod"),
            (None, "runner-dashboard-{environment}"),
        },
    }


def test_names_in_comments_are_no_states(inventory: Inventory):
    names = {state.name for stack in inventory.stacks for state in stack.states}
    assert not names & {"runners-prod", "dashboard-staging", "attic-canary"}


def test_the_root_recipe_binds_all_four_stacks(inventory: Inventory):
    (group,) = build_cut_over_groups(inventory.references)
    assert group.stacks == ("arc-runners", "attic", "gitlab-runners", "runner-dashboard")
    assert "Justfile" in {binding.path for binding in group.bindings}


def test_the_same_tree_gives_the_same_bytes(tree: RepositoryTree, inventory: Inventory):
    again = discover_inventory(discover_tree(tree.root))
    assert encode_inventory(again) == encode_inventory(inventory)


def test_after_the_cut_over_nothing_names_the_source_with_certainty(
    tmp_path: Path, tree: RepositoryTree, rewritten: dict[str, list[str]]
):
    assemble_sample_estate(tmp_path / "infra")
    for path, lines in rewritten.items():
        (tmp_path / "infra" / path).write_bytes("\n".join(lines).encode())
    after = discover_inventory(discover_tree(tmp_path / "infra"))
    assert {stack.backend.type for stack in after.stacks if stack.backend} == {"s3"}
    assert after.hazards == ()
    # Without a stack in GitLab nothing is called rewrite any more: what would have been says so in its reason.
    certain = [one for one in after.references if "no stack here has its state in GitLab" in one.reason]
    assert [(str(one.place), one.reason) for one in certain if one.disposition is not Disposition.KEEP] == []


def test_a_stack_that_was_rewritten_by_hand_is_left_alone(tmp_path: Path):
    assemble_sample_estate(tmp_path / "infra")
    block = tmp_path / "infra" / "stacks" / "arc-runners" / "backend.tf"
    block.write_text('terraform {\n  backend "s3" {}\n}\n', "utf-8")
    half = discover_inventory(discover_tree(tmp_path / "infra"))
    rewrites = [one for one in half.references if one.disposition is Disposition.REWRITE]
    assert {stack for one in rewrites for stack in one.stacks} == {"attic", "gitlab-runners", "runner-dashboard"}
    assert [stack.states for stack in half.stacks if stack.name == "arc-runners"] == [()]
    theirs = ("stacks/arc-runners/", ".github/workflows/deploy-arc-runners.yml")
    assert [str(one.place) for one in rewrites if one.place.path.startswith(theirs)] == []
