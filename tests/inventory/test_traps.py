"""The traps of the estate, one fixture each: what is found, what is dangerous, what the files become; nothing else."""

from pathlib import Path

import pytest

from tests.support.traps import Trap, look, read_traps

TRAPS = read_traps()


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_what_is_found_and_what_becomes_of_it(trap: Trap, tmp_path: Path) -> None:
    seen = look(trap, tmp_path)
    assert seen.found == trap.found
    assert seen.names == trap.names
    assert seen.hazards == trap.hazards
    assert seen.blockers == trap.blockers
    assert seen.after == trap.after


def test_every_trap_has_a_fixture() -> None:
    assert [trap.trap for trap in TRAPS] == list(range(1, 41))
    assert all(trap.name.startswith(f"{trap.trap:02}-") for trap in TRAPS)
