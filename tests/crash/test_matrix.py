"""The whole matrix, a part of each direction at a time; and that the matrix itself can fail."""

from dataclasses import replace

import pytest

from migrator.engine.steps.publish import Publish
from tests.crash.directions import DIRECTIONS
from tests.crash.effects import Kill, Moment
from tests.crash.matrix import Row, Scene, join_rows, span
from tests.crash.table import PARTS, Job, build_document, build_table, judge, run_job
from tests.support.programs import CHECKOUT

# In parts, so that the processes of the suite share them; the short ones whole.
SHORT = ("finalize", "refused migrate", "rollback of checked")
JOBS = [
    Job(name, (number, parts), share=True)
    for name in DIRECTIONS
    for parts in [1 if name in SHORT else PARTS]
    for number in range(1, parts + 1)
]
# What a direction must have among its effects, or it is not the direction that it says it is.
WITNESSES = {
    "migrate": {"POST source state/alpha-dev/lock", "POST source state_protection_rules", "rename .Justfile~"},
    "rollback of checked": {
        "DELETE target acme/infra/alpha-dev/terraform.tfstate",
        "DELETE source state/alpha-dev/lock",
    },
    "rollback of migrated": {"PUT target acme/infra/alpha-dev/terraform.tfstate.tflock", "rename .Justfile~"},
    "rollback with carry-back": {"POST source state/alpha-dev", "DELETE source state_protection_rules/1"},
    "rollback from another machine": {"PUT target .migrator/runs/RUN/lock", "POST source state/alpha-dev"},
    "finalize": {"GET source state/alpha-dev", "write .migrator/runs/RUN/journal.jsonl"},
    "migrate adopted": {"PUT target acme/infra/alpha-dev/terraform.tfstate"},
    "refused migrate": {"POST source state/alpha-dev/lock", "DELETE source state/alpha-dev/lock"},
}


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job.direction.replace(' ', '-')}-{job.part[0]}of{job.part[1]}")
def test_every_effect_is_a_place_to_die(job):
    row = run_job(job)
    assert row.violations == ()
    assert row.missing == ()
    killed = {(cell.effect, cell.moment): cell.name for cell in row.cells}
    assert {kill.effect for kill in row.expected} == {effect for effect, _ in killed}
    # A part may have no local write that can be torn.
    moments = {moment for _, moment in killed} | {Moment.TORN}
    assert moments == {*DIRECTIONS[job.direction].moments, Moment.TORN}
    assert {effect for effect, _ in killed} == set(span(row.effects, job.part))


@pytest.mark.parametrize("name", WITNESSES)
def test_a_direction_is_what_it_says(name, tmp_path, moto):
    direction = DIRECTIONS[name]
    lab = direction.build(tmp_path, moto)
    scene = Scene(direction=direction, lab=lab)
    lab.close()
    assert WITNESSES[name] <= set(scene.names)


def test_a_step_that_is_not_taken_back_is_found(monkeypatch):
    """The seeded fault: rollback believes that it removed the object, and leaves it."""
    monkeypatch.setattr(Publish, "undo", lambda *_: {"removed": "removed"})
    row = run_job(Job("migrate", (8, 12), share=True))
    assert any("turned: open: alpha-dev" in violation for violation in row.violations)
    assert judge([row]) == 1
    assert "violations" in build_table([row])


def test_a_cell_that_was_not_run_is_found():
    kill = Kill(1, Moment.BEFORE)
    whole = run_job(Job("finalize", (1, 30), share=True))
    assert (judge([whole]), whole.missing) == (0, ())
    less = replace(whole, cells=tuple(cell for cell in whole.cells if Kill(cell.effect, cell.moment) != kill))
    assert (judge([less]), less.missing) == (1, (kill,))
    assert build_document([less], 1.0)["directions"][0]["missing"] == ["before 1"]
    assert judge([]) == judge([Row(direction="x", effects=0, expected=(), cells=())]) == 1


def test_parts_are_a_whole():
    parts = [run_job(Job("finalize", (number, 3), share=True)) for number in (1, 2, 3)]
    (whole,) = join_rows(parts)
    assert [cell.effect for cell in whole.cells] == sorted(cell.effect for cell in whole.cells)
    assert {cell.effect for cell in whole.cells} == set(range(1, whole.effects + 1))
    with pytest.raises(AssertionError, match="had"):
        join_rows([parts[0], replace(parts[1], effects=1)])


def test_every_direction_is_in_the_document():
    lines = (CHECKOUT / "docs" / "crash-matrix.md").read_text().splitlines()
    told = {line.split("  ")[0] for line in lines if "  " in line}
    assert set(DIRECTIONS) <= told
