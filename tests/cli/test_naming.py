"""Which run a command is about: the name that was typed, or the latest one, wherever it is."""

import pytest

from tests.cli.lab import MIRROR
from tests.cli.test_bad_input import check_told
from tests.support.forged import latest

COMMANDS = ("status", "verify", "rollback", "finalize")
NO_NAMES = ["", " ", "nope", "*", "-", "..", "../..", "runs/", "x" * 5000, "2026\x00", "\x1b[2J", "\udcff", "é", "a\nb"]


@pytest.fixture
def migrated(lab):
    lab.migrate()
    lab.commit()
    return lab


@pytest.mark.parametrize("command", COMMANDS)
def test_without_any_run_it_says_where_it_looked_and_how_to_begin(lab, command):
    told = {"what": "there is no run yet", "where": f".migrator/runs; s3://{lab.bucket}/.migrator/runs/"}
    check_told(lab.run(command), code=2, **told, then="migrator plan")
    lab.plan()
    check_told(lab.run(command), code=2, **told, then="migrator migrate")
    assert lab.runs() == []


@pytest.mark.parametrize("more", ['run_prefix = ""\n'])
def test_without_a_mirror_only_this_machine_is_named(lab, more):
    lab.write_settings(("[proof]", f"{more}\n[proof]"))
    done = lab.run("rollback", "--yes")
    check_told(done, code=2, what="there is no run yet", where=".migrator/runs")
    assert "s3://" not in done.err


def test_without_settings_only_this_machine_is_asked(lab):
    (lab.repo / "migrator.toml").unlink()
    check_told(lab.run("rollback", "--yes"), code=2, what="there is no run yet", then="migrator plan")


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_name_that_no_run_has(migrated, name, place):
    lab = migrated if place == "here" else migrated.clone()
    before = lab.world(), lab.mirrored()
    for command in (["status"], ["rollback", "--yes"]):
        done = lab.run(*command, "--", name)
        check_told(done, code=2, what="no run is called", then=f"name one of: {latest(lab)[0].split('/')[1]}")
        assert "\x1b" not in done.err
        assert len(done.err) < 1500
    assert (lab.world(), lab.mirrored()) == before


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_run_is_named_by_its_id_or_by_what_only_its_id_begins_with(migrated, place):
    name = latest(migrated)[0].split("/")[1]
    lab = migrated if place == "here" else migrated.clone()
    for typed in (name, name[:12], name[0]):
        assert lab.run("status", typed, "--json").document["run"] == name


def test_a_beginning_that_several_runs_share_is_told(migrated):
    first = latest(migrated)[0].split("/")[1]
    assert migrated.run("rollback", "--yes").code == 0
    migrated.git("checkout", "-q", "HEAD~1", "--", ".")
    migrated.migrate()
    second = latest(migrated)[0].split("/")[1]
    migrated.commit()
    for lab in (migrated, migrated.clone()):
        done = lab.run("rollback", "--yes", "20")
        check_told(done, code=2, what="2 runs begin with 20", then=f"name one of: {first}, {second}")
        assert lab.run("status", "--json").document["run"] == second


def test_a_run_that_another_machine_only_began_to_mirror_is_none(migrated):
    """Its plan is there and no record: nothing was done."""
    stem, mirrored = latest(migrated)
    migrated.put(f"{MIRROR}runs/29990101T000000Z-0badcafe/plan.json", mirrored[f"{stem}plan.json"])
    assert "would bring 2 states back" in migrated.clone().run("rollback", "--dry-run").out
    assert "would bring 2 states back" in migrated.run("rollback", "--dry-run").out


def test_the_next_command_of_a_refused_question_names_the_same_run(migrated):
    name = latest(migrated)[0].split("/")[1]
    done = migrated.clone().run("rollback", name)
    check_told(done, code=2, what="not confirmed", then=f"migrator rollback {name} --yes")
