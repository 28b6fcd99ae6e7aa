"""Every case of ``fixtures/audit``: a small repository, the standing of each surface in it, and every contradiction.

standing = { gitlab-state = "implemented" }               # what is not named is absent
contradictions = ["docs/state.md:3 migration-not-shown"]  # complete
[files]
"docs/state.md" = '''...'''
"""

import tomllib
from pathlib import Path

import pytest

from migrator.audit.discover import discover_audit
from migrator.audit.model import Standing
from migrator.audit.rules import read_rules
from tests.support.trees import write_tree

FIXTURES = Path(__file__).parents[2] / "fixtures" / "audit"
CASES = sorted(FIXTURES.glob("*.toml"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_standing_and_contradictions(case: Path, tmp_path: Path) -> None:
    told = tomllib.loads(case.read_text("utf-8"))
    found = discover_audit(write_tree(tmp_path, told["files"]), read_rules(None))
    standing = {one.surface: one.standing.value for one in found.surfaces if one.standing is not Standing.ABSENT}
    assert standing == told.get("standing", {})
    assert [f"{one.place} {one.code}" for one in found.contradictions] == told.get("contradictions", [])


def test_the_cases_show_every_contradiction_and_every_standing() -> None:
    told = [tomllib.loads(case.read_text("utf-8")) for case in CASES]
    codes = {one.partition(" ")[2] for case in told for one in case.get("contradictions", [])}
    rules = read_rules(None)
    assert codes == {claim.code for claim in rules.claim} | {"half-moved", "coordinates-differ"}
    shown = {(surface, how) for case in told for surface, how in case.get("standing", {}).items()}
    assert {(one.id, "implemented") for one in rules.surface} <= shown
