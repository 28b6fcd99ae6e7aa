"""The interface that others hold in their hands: exit codes, files and modes, JSON documents, formats that stay readable."""

import json
import re
import stat
from pathlib import Path

import pytest

from migrator import errors
from migrator.cli.overview import OVERVIEW
from migrator.journal.fold import fold
from migrator.journal.home import Home
from migrator.journal.log import read_log
from migrator.plan.codec import decode_plan, digest_of_plan, encode_plan
from tests.cli.lab import CHECKOUT, STATES
from tests.cli.record_wire import RUN, WIRE

CODES = {
    errors.InternalError: 1,
    errors.UsageError: 2,
    errors.ConfigurationError: 2,
    errors.CheckFailedError: 3,
    errors.StalePlanError: 3,
    errors.RefusedError: 4,
    errors.ForeignLockError: 4,
    errors.ForeignObjectError: 4,
    errors.UnsafeTargetError: 4,
    errors.StoppedError: 5,
    errors.BackendError: 6,
    errors.BackendUnreachableError: 6,
    errors.CredentialsRefusedError: 6,
    errors.InterruptedRunError: 130,
}


def test_exit_codes_are_those_of_the_interface():
    assert {kind: kind.exit_code for kind in CODES} == CODES
    classes = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MigratorError)
    ]
    assert {kind.exit_code for kind in classes} == set(CODES.values())
    shown = OVERVIEW.split("Exit codes:")[1].split("Example:")[0]
    assert {int(code) for code in re.findall(r"(?:^|\s)(\d+) ", shown)} == {0, *CODES.values()}


def test_an_internal_error_is_1_and_shows_a_traceback_only_with_v(lab, monkeypatch):
    def burst(self):
        raise ValueError("glpat-small-lab")

    monkeypatch.setattr("migrator.cli.invocation.Invocation.discover_tree", burst)
    done = lab.run("inventory")
    assert done.code == 1
    assert done.told["what"] == "this is a bug: ValueError"
    assert "-v" in done.told["next"]
    assert re.fullmatch(r"test_interface.py:\d+", done.told["where"])
    assert "Traceback" not in done.err
    assert "glpat-small-lab" not in done.err
    told = lab.run("inventory", "-v").err
    assert "Traceback" in told
    assert "glpat-small-lab" not in told
    assert lab.run("inventory", "--json").document["exit_code"] == 1


def test_the_run_leaves_exactly_the_files_of_the_interface(lab):
    lab.migrate()
    home = lab.repo / ".migrator"
    found = {path.relative_to(home).as_posix() for path in home.rglob("*")}
    run = f"runs/{lab.runs()[0].name}"
    blobs = {name for name in found if name.startswith(f"{run}/blobs/")}
    assert found - blobs == {".gitignore", "lock", "plan.json", "runs", run, f"{run}/plan.json", f"{run}/journal.jsonl",
                             f"{run}/lock", f"{run}/holder", f"{run}/blobs"}  # fmt: skip
    assert all(re.fullmatch(r"[0-9a-f]{64}", Path(name).name) for name in blobs)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (home, *home.rglob("*")) if path.is_dir()}
    assert modes == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*") if path.is_file()} == {0o600}
    assert (home / ".gitignore").read_text() == "*\n"


def test_modes_do_not_depend_on_the_umask(lab):
    done = lab.spawn_and_wait("plan", umask=0)
    assert done.code == 0
    assert stat.S_IMODE((lab.repo / ".migrator").stat().st_mode) == 0o700
    assert stat.S_IMODE((lab.repo / ".migrator/plan.json").stat().st_mode) == 0o600


def test_a_cut_over_file_keeps_its_mode(lab):
    path = lab.repo / "Justfile"
    path.chmod(0o755)
    lab.migrate()
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


@pytest.mark.parametrize("command", ["inventory", "plan", "status", "verify", "probe"])
def test_documents_name_their_format_and_hold_relative_paths_only(lab, command):
    lab.migrate()
    if command == "plan":
        lab.run("rollback", "--yes")
    text = lab.run(command, "--json").out
    assert json.loads(text)["format"] == f"migrator.{command}/1"
    assert str(lab.directory) not in text


def test_the_plan_file_and_the_plan_document_say_the_same(lab):
    shown = lab.run("plan", "--json").document
    kept = json.loads((lab.repo / ".migrator/plan.json").read_bytes())
    assert shown == kept


def test_a_run_says_how_each_state_stands_at_every_barrier(lab):
    lab.plan()
    seen = []
    for barrier in ("checked", "cut-over", None):
        until = ("--until", barrier) if barrier else ()
        assert lab.run("migrate", "--yes", *until).code == 0
        status = lab.run("status", "--json").document
        seen.append((status["phase"], {(s["authority"], s["source_lock"], s["target_lock"]) for s in status["states"]}))
        assert [state["name"] for state in status["states"]] == list(STATES)
    assert seen == [
        ("checked", {("source", "held", "held")}),
        ("cut-over", {("target", "held", "held")}),
        ("migrated", {("target", "held", "free")}),
    ]


# -- formats that stay readable ----------------------------------------------------------------------------------------


def holds(recorded, document):
    """Whether a document says all that the recorded one says: keys may be added, none may go or change."""
    if isinstance(recorded, dict):
        return isinstance(document, dict) and all(
            key in document and holds(item, document[key]) for key, item in recorded.items()
        )
    if isinstance(recorded, list):
        return len(recorded) == len(document) and all(map(holds, recorded, document))
    return recorded == document


def shape(value):
    """The keys of a document, all the way down; a list is the shape of all its members."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [json.loads(text) for text in sorted({json.dumps(shape(item), sort_keys=True) for item in value})]
    return ""


def test_a_plan_of_format_1_is_read_and_keeps_its_bytes():
    data = (WIRE / "plan-1.json").read_bytes()
    plan = decode_plan(data, where="plan-1.json")
    assert encode_plan(plan) == data
    assert json.loads(data)["digest"] == digest_of_plan(plan)


def test_a_journal_of_format_1_is_read():
    view = fold(read_log(WIRE / "journal-1.jsonl"))
    assert (view.run_id, view.outcome) == (RUN, "rolled-back")
    assert view.plan_digest == digest_of_plan(decode_plan((WIRE / "plan-1.json").read_bytes(), where=""))


def test_status_of_a_recorded_run_says_what_it_said_then(lab):
    run = Home(lab.repo).path / "runs" / RUN
    run.mkdir(parents=True)
    for name, source in (("plan.json", "plan-1.json"), ("journal.jsonl", "journal-1.jsonl")):
        (run / name).write_bytes((WIRE / source).read_bytes())
    assert holds(json.loads((WIRE / "status-1.json").read_bytes()), lab.run("status", "--json").document)


def test_documents_of_today_have_every_key_of_the_recorded_ones(lab):
    lab.migrate()
    written = {
        "plan": json.loads((lab.repo / ".migrator/plan.json").read_bytes()),
        "verify": lab.run("verify", "--json").document,
        "status": lab.run("status", "--json").document,
    }
    for name, document in written.items():
        recorded = shape(json.loads((WIRE / f"{name}-1.json").read_bytes()))
        assert holds(recorded, shape(document)), f"{name}: a key was removed or renamed: is it format 2?"


def test_a_document_that_lacks_or_changes_something_is_found_out():
    recorded = {"a": [{"b": 1}], "c": "x"}
    assert holds(recorded, {"a": [{"b": 1, "new": 2}], "c": "x", "d": 3})
    for other in ({"a": [{"b": 1}]}, {"a": [{}], "c": "x"}, {"a": [], "c": "x"}, {"a": [{"b": 1}], "c": "y"}):
        assert not holds(recorded, other)


def test_wire_fixtures_hold_nothing_of_the_machine_that_recorded_them():
    for path in WIRE.iterdir():
        assert not re.search(rf"127\.0\.0\.1|localhost|{re.escape(str(CHECKOUT))}|/tmp/", path.read_text()), path.name
