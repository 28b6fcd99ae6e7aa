"""Every row of the matrix, the document that shows it, and that the matrix itself can fail."""

from dataclasses import replace
from pathlib import Path

import pytest

from migrator.backends.base import Removed
from migrator.backends.s3 import S3Target
from tests.faults import store
from tests.faults.document import build_document
from tests.faults.local import FAULTS as LOCAL
from tests.faults.matrix import FAULTS, find_gaps, run_row
from tests.faults.model import Fault

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
ROWS = [row for fault in FAULTS for row in fault.rows()]
LETTERS = "abcdefghijklmn"


def pick(name: str, faults: tuple[Fault, ...] = store.FAULTS) -> Fault:
    return next(fault for fault in faults if fault.name == name)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_whatever_goes_wrong_ends_as_the_table_says(benches, row):
    steps = benches.steps(row)
    cells = list(run_row(benches, row))
    assert [cell.step for cell in cells] == steps
    assert {cell.step.name: cell.wrong for cell in cells if cell.wrong} == {}


@pytest.mark.slow
def test_every_step_has_an_expectation_and_every_expectation_a_step(benches):
    assert [gap for fault in FAULTS for gap in find_gaps(benches, fault)] == []


@pytest.mark.slow
def test_the_document_is_what_the_tables_say(benches):
    assert DOCUMENT.read_text() == build_document(benches), "run scripts/fault-matrix --write"


def test_every_mode_of_the_stand_in_has_a_row():
    titles = [fault.title for fault in FAULTS]
    assert [letter for letter in LETTERS if not any(title.startswith(f"({letter}) ") for title in titles)] == []
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_no_command_deletes_a_state(benches):
    """Mode (d) has a row without a cell: it can strike nowhere."""
    for command in ("migrate", "rollback"):
        assert [step for step in benches.trace("plain", command, command) if step.request == "DELETE state"] == []


# -- the matrix can fail -----------------------------------------------------------------------------------------------


def test_a_wrong_expectation_is_found(benches):
    row = replace(pick("slow-down").rows()[0], expected={"*": 5})
    cell = next(run_row(benches, row))
    assert cell.wrong == "exit 0, not 5: it completed"


def test_a_step_without_expectation_and_an_expectation_without_step_are_found(benches):
    fault = replace(pick("slow-down"), once={"migrate": {"look/*": 0, "nowhere/*": 5}}, lasting={})
    gaps = list(find_gaps(benches, fault))
    assert any("nothing is expected at captured/" in gap for gap in gaps)
    assert any("no step is nowhere/*" in gap for gap in gaps)
    assert any("no row for look/GET tflock 1 of rollback" in gap for gap in gaps)


def test_a_fault_that_does_not_strike_is_found(benches):
    fault = pick("slow-down")
    row = replace(fault.rows()[0], fault=replace(fault, strike=replace(fault.strike, path="no such path")))
    trace = benches.trace("plain", "migrate", "migrate")
    assert benches.steps(row) == []
    elsewhere = replace(row, fault=replace(fault, strike=_Blind(trace[0])))
    assert next(run_row(benches, elsewhere)).wrong == "the fault did not strike"


class _Blind:
    """A strike that claims a step and does nothing."""

    def __init__(self, step):
        self._step = step

    def find_steps(self, bench, base, trace):
        return [self._step]

    def arm(self, bench, trace, step, *, lasting):
        return lambda: 0


def test_a_wrong_success_and_a_broken_invariant_are_found(benches, monkeypatch):
    """The seeded faults: a rollback that believes its removals, and one that forgets the newer document."""
    row = next(row for row in pick("clock-back", LOCAL).rows() if row.command == "rollback")
    assert [cell.wrong for cell in run_row(benches, row)] == [""]
    with monkeypatch.context() as patched:
        patched.setattr(S3Target, "remove_state", lambda *_, **__: Removed.REMOVED)
        assert [bool(cell.wrong) for cell in run_row(benches, row)] == [True]
    monkeypatch.setattr("migrator.engine.rollback.read_newer", lambda *_: None)
    monkeypatch.setattr(S3Target, "remove_state", _remove_whatever_stands_there)
    (cell,) = run_row(benches, row)
    assert "newest" in cell.wrong


def _remove_whatever_stands_there(target, key, *, sha256):
    target.bucket.delete(key)
    return Removed.REMOVED
