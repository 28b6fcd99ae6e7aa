import json
import re
from pathlib import Path

import pytest

from migrator.inventory.codec import build_document, encode_inventory
from migrator.inventory.discover import discover_inventory
from migrator.inventory.formats import format_codequality, format_markdown, format_sarif
from migrator.inventory.model import Backend, Hazard, Inventory, Place, Reference, Stack, StateName
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span
from tests.inventory.conftest import MakeTree

GOLDEN = Path(__file__).parents[2] / "fixtures" / "wire" / "inventory-1.json"


def place(path: str, start: int, end: int) -> Place:
    return Place(path=path, start_line=start, end_line=end)


def reference(where: Place, kind: ReferenceKind, disposition: Disposition, stacks: tuple[str, ...]) -> Reference:
    reason = {
        Disposition.REWRITE: "http backend flags of tofu init",
        Disposition.REPORT: "a row | that a person reads: état",
        Disposition.KEEP: "history: says what was true when it was written",
    }[disposition]
    located = Located(kind=kind, span=Span(0, 1), disposition=disposition, reason=reason)
    return Reference(place=where, kind=kind, disposition=disposition, stacks=stacks, reason=reason, located=located)


INVENTORY = Inventory(
    revision="0123456789abcdef0123456789abcdef01234567",
    stacks=(
        Stack(
            name="attic",
            directory="stacks/attic",
            backend=Backend(type="http", place=place("stacks/attic/backend.tf", 30, 42)),
            states=(
                StateName(environment="dev", name="attic-dev", evidence=(place("Justfile", 74, 74),)),
                StateName(
                    environment=None,
                    name="attic-{environment}",
                    evidence=(place("Justfile", 19, 19), place("Justfile", 74, 74)),
                ),
            ),
        ),
        Stack(name="local", directory="stacks/local", backend=None, states=()),
    ),
    references=(
        reference(place("CHANGELOG.md", 3, 3), ReferenceKind.PROSE, Disposition.KEEP, ()),
        reference(place("Justfile", 236, 243), ReferenceKind.INIT_FLAGS, Disposition.REWRITE, ("attic", "local")),
        reference(place("docs/a b.md", 7, 7), ReferenceKind.PROSE, Disposition.REPORT, ("attic",)),
    ),
    hazards=(Hazard(code="empty-state-branch", place=place(".gitlab/ci/apply.yml", 96, 127), message="looks empty"),),
)
NOTHING = Inventory(revision=None, stacks=(), references=(), hazards=())


def test_the_wire_format_is_frozen():
    assert encode_inventory(INVENTORY) == GOLDEN.read_bytes()


def test_the_document_has_the_shape_that_binds():
    document = json.loads(encode_inventory(INVENTORY))
    assert document["format"] == "migrator.inventory/1"
    assert document["repository"] == {"root": ".", "revision": INVENTORY.revision}
    assert document["stacks"][0]["backend"] == {
        "type": "http",
        "path": "stacks/attic/backend.tf",
        "start_line": 30,
        "end_line": 42,
    }
    assert document["stacks"][0]["states"][0]["evidence"] == [{"path": "Justfile", "line": 74}]
    assert document["stacks"][1]["backend"] is None
    assert [one["stack"] for one in document["references"]] == [None, None, "attic"]
    assert set(document["hazards"][0]) == {"code", "path", "start_line", "end_line", "message"}
    assert build_document(NOTHING) == {
        "format": "migrator.inventory/1",
        "repository": {"root": ".", "revision": None},
        "stacks": [],
        "references": [],
        "hazards": [],
    }


@pytest.mark.parametrize("inventory", [INVENTORY, NOTHING])
def test_sarif_has_what_its_schema_requires(inventory: Inventory):
    log = json.loads(format_sarif(inventory, version="0.1.0"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    rules = [rule["id"] for rule in driver["rules"]]
    assert driver["name"] == "migrator"
    assert len(rules) == len(set(rules))
    assert len(run["results"]) == len(inventory.references) + len(inventory.hazards)
    for result in run["results"]:
        assert result["ruleId"] in rules
        assert result["message"]["text"]
        assert result["level"] in {"none", "note", "warning", "error"}
        # SARIF 2.1.0, 3.27.10: a level other than none asks for kind "fail", which is the default.
        assert (result["level"] == "none") == (result.get("kind", "fail") != "fail")
        physical = result["locations"][0]["physicalLocation"]
        assert re.fullmatch(r"[\w./%-]+", physical["artifactLocation"]["uri"])
        region = physical["region"]
        assert 1 <= region["startLine"] <= region["endLine"]
        assert all(region.get(name, 1) >= 1 for name in ("startColumn", "endColumn"))


def test_code_quality_has_what_gitlab_requires():
    issues = json.loads(format_codequality(INVENTORY))
    assert [issue["check_name"] for issue in issues] == ["init-flags", "prose", "empty-state-branch"]
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)
    for issue in issues:
        assert issue["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert issue["location"]["lines"]["begin"] >= 1
        assert not issue["location"]["path"].startswith("./")
    assert json.loads(format_codequality(NOTHING)) == []


def test_markdown_tables_keep_their_columns():
    text = format_markdown(INVENTORY)
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert "a row \\| that a person reads" in text
    for row in rows:
        assert len(re.split(r"(?<!\\)\|", row)) in {5, 6}
    assert format_markdown(NOTHING).count("None.") == 5


def test_a_reference_can_be_jumped_to(make_tree: MakeTree) -> None:
    text = 'terraform {\n  backend "http" {}\n}\n# é: backend "http" {}\n'
    found = discover_inventory(make_tree({"stacks/mail/backend.tf": text}))
    (block, *_) = found.references
    assert block.jump == "stacks/mail/backend.tf:2:3"
    assert (block.start_column, block.end_column) == (3, 20)
