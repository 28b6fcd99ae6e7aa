"""Another machine: a fresh clone, a copy of ``.migrator``, two machines that take turns, a work tree on another branch."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from migrator.journal.record import RecordKind
from migrator.plan.codec import decode_plan
from tests.cli.lab import MIRROR
from tests.cli.test_bad_input import check_told
from tests.cli.test_terminal import Terminal
from tests.support.forged import forge, latest

OFFLINE = {"GITLAB_TOKEN": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
PLANNED_FILES = ("Justfile", "stacks/alpha/backend.tf", "stacks/beta/backend.tf")


@pytest.fixture
def begun(lab):
    """A machine with a plan, and everything committed."""
    lab.commit()
    lab.plan()
    return lab


def run_id(lab):
    return latest(lab)[0].split("/")[1]


def finish(lab, *command):
    done = lab.run(*command)
    assert done.code == 0, done.err
    return done


def servers(lab):
    """Both servers, without the work tree and the mirror."""
    return lab.gitlab.truth(), lab.objects()


def authority(lab):
    """Documents and who holds what, without IDs and times."""
    rows = {name: (row.versions, row.lock is not None) for (_, name), row in lab.gitlab.truth().items()}
    return rows, lab.objects()


def hold(lab, who="ops@elsewhere"):
    """A process on a third machine holds the run."""
    lock = json.dumps({"ID": "other", "Who": who, "Created": "2026-01-02T03:04:05Z"}).encode()
    lab.put(f"{MIRROR}{latest(lab)[0]}lock", lock)


# -- every command finds the run --------------------------------------------------------------------------------------


def test_every_command_works_in_a_fresh_clone(begun):
    before = authority(begun), begun.files()
    finish(begun, "migrate", "--yes", "--until", "checked")
    there = begun.clone()
    assert finish(there, "status", "--json").document["phase"] == "checked"
    finish(there, "migrate", "--yes")
    assert "migrated" in finish(there, "status").out
    finish(there, "verify")
    third = begun.clone("third")
    assert finish(third, "rollback", "--yes")
    assert (authority(third), third.files()) == before
    finish(third, "verify")


def test_finalize_in_a_fresh_clone_and_what_the_others_learn(begun):
    finish(begun, "migrate", "--yes")
    begun.commit()
    there, third = begun.clone(), begun.clone("third")
    finish(there, "finalize", "--confirm", begun.bucket)
    before = servers(begun)
    for machine in (begun, there, third):
        for flags in (["--dry-run"], ["--yes"]):
            done = machine.run("rollback", *flags)
            check_told(done, code=4, what="finalized: the way back was given up", now="nothing was touched")
    assert servers(begun) == before


def test_finalize_is_final_from_its_intent_on(begun):
    """The process was killed right after it: nobody, on whatever machine, rolls back what somebody gave up."""
    finish(begun, "migrate", "--yes")
    begun.commit()
    there = begun.clone()
    finish(begun, "finalize", "--confirm", begun.bucket)
    forge(begun, records=lambda records: records[: [one.step for one in records].index("finalize") + 1])
    check_told(there.run("rollback", "--yes"), code=4, what="finalized: the way back was given up")
    assert finish(there, "status", "--json").document["phase"] == "finalized"
    finish(there, "finalize", "--confirm", begun.bucket, "--shred-blobs")
    assert not any("/blobs/" in name for name in begun.mirrored())


def test_finalize_says_which_files_here_still_name_gitlab(begun):
    there = begun.clone()
    finish(begun, "migrate", "--yes")
    done = finish_or_refused(there)
    for path in PLANNED_FILES:
        assert path in done.out + done.err


def finish_or_refused(there):
    """References to the source that are left refuse it; with none left it ends, and names the files all the same."""
    done = there.run("finalize", "--confirm", there.bucket)
    assert done.code in (0, 4), done.err
    if done.code == 4:
        assert "references-to-source" in done.err
        there.git("fetch", "-q")
        done = there.run("verify")
        assert "as before the cut-over" in done.out
    return done


@pytest.mark.parametrize("command", ["rollback", "migrate", "finalize"])
def test_who_holds_the_run_is_told_and_taken_over_by_the_same_command(begun, command):
    finish(begun, "migrate", "--yes", *(["--until", "checked"] if command == "migrate" else []))
    begun.commit()
    there = begun.clone()
    hold(begun)
    typed = {
        "rollback": ("rollback", "--yes"),
        "migrate": ("migrate", "--yes"),
        "finalize": ("finalize", "--confirm", begun.bucket),
    }[command]
    before = servers(begun)
    again = " ".join(("migrator", *typed)).replace(" --yes", "")
    check_told(there.run(*typed), code=4, what="ops@elsewhere", now="did nothing", then=f"{again} --take-over")
    assert servers(begun) == before
    finish(there, *typed, "--take-over")
    assert not any(name.endswith("/lock") for name in begun.mirrored())


def test_a_question_says_which_run_it_is_about(begun):
    finish(begun, "migrate", "--yes", "--until", "checked")
    there = begun.clone()
    before = servers(begun), begun.mirrored()
    for command, asked in (("migrate", "Go on with run"), ("rollback", "Roll back run")):
        terminal = Terminal(there, command, columns=400)
        terminal.wait_for("[y/N]")
        question = " ".join(terminal.text.split())
        assert re.search(rf"{asked} {run_id(begun)} \(begun \S+Z by \S+@\S+, read from s3://{begun.bucket}/", question)
        terminal.type("n\n")
        assert terminal.end() == 2
    assert (servers(begun), begun.mirrored()) == before
    assert not (there.repo / ".migrator").exists()


# -- nothing is written by what only looks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("status",), ("verify",), ("rollback", "--dry-run"), ("rollback", "--without-target", "--dry-run"),
        ("migrate", "--dry-run"), ("rollback",), ("finalize",), ("finalize", "--confirm", "wrong"), ("status", "nope"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_only_looks_or_is_not_confirmed_writes_nothing(begun, command):
    finish(begun, "migrate", "--yes")
    begun.commit()
    there = begun.clone()
    before = there.world(), there.mirrored()
    done = there.run(*command)
    assert done.code in (0, 2, 4), done.err
    assert not (there.repo / ".migrator").exists()
    assert (there.world(), there.mirrored()) == before


def test_what_the_local_run_tells_needs_no_network(begun):
    finish(begun, "migrate", "--yes")
    assert finish(begun, "status", "--json").document == begun.run("status", "--json", **OFFLINE).document
    assert begun.run("migrate", "--yes", **OFFLINE).code == 0
    finish(begun, "rollback", "--yes")
    done = begun.run("rollback", "--yes", **OFFLINE)
    assert (done.code, "rolled-back already; nothing to do" in done.out) == (0, True)


def test_no_run_here_and_no_keys_to_look_elsewhere(begun):
    finish(begun, "migrate", "--yes")
    there = begun.clone()
    for command in ("status", "rollback", "verify"):
        done = there.run(command, **OFFLINE)
        check_told(done, code=2, what="the bucket was not asked: AWS_ACCESS_KEY_ID", then="export AWS_ACCESS_KEY_ID")
    assert there.run("status", GITLAB_TOKEN="").code == 0, "whoever only looks needs no token"


def test_a_plan_in_a_fresh_clone_knows_the_seal_of_a_run_of_another_machine(begun):
    """ "Wait until that operation ends" would be for ever."""
    finish(begun, "migrate", "--yes")
    begun.commit()
    there = begun.clone()
    done = finish(there, "plan")
    assert done.out.count(f"moved already by run {run_id(begun)}") == 2
    assert not there.runs()


# -- two machines ------------------------------------------------------------------------------------------------------


def test_a_machine_that_was_left_behind_says_what_the_other_one_did(begun):
    finish(begun, "migrate", "--yes")
    begun.commit()
    there = begun.clone()
    finish(there, "rollback", "--yes")
    after = authority(begun)
    behind = begun.run("verify")
    assert "another machine went on with this run" in behind.out
    assert "as after the cut-over" in behind.out
    assert "source-sealed" not in behind.out, "what is no longer so must not be missed"
    assert "rolled-back already" in finish(begun, "rollback", "--dry-run").out
    back = finish(begun, "rollback", "--yes")
    assert "rolled back:" not in back.out, "it was not this machine"
    assert "is rolled-back already; no backend was touched" in back.out
    assert "brought along: " + ", ".join(PLANNED_FILES) in back.out
    assert authority(begun) == after
    finish(begun, "verify")
    assert begun.files() == there.files()
    check_told(begun.run("finalize", "--confirm", begun.bucket), code=4, what="this one is rolled-back")


def test_a_later_run_of_another_machine_is_the_latest(begun):
    """In an incident "nothing to do" would be the worst of answers."""
    finish(begun, "migrate", "--yes")
    begun.commit()
    there = begun.clone()
    finish(begun, "rollback", "--yes")
    first = run_id(begun)
    finish(there, "status")
    finish(there, "rollback", "--yes")
    begun.commit()
    begun.plan()
    finish(begun, "migrate", "--yes")
    assert run_id(begun) != first
    assert "would bring 2 states back" in finish(there, "rollback", "--dry-run").out
    finish(there, "rollback", "--yes")
    assert [run.name for run in there.runs()] == [first, run_id(begun)]
    assert not there.objects()


@pytest.mark.parametrize("end", ["refused", "rolled-back"])
def test_a_later_run_of_another_machine_that_is_over_hides_none_that_stands(begun, end):
    """Whoever asks in an incident asks about the run that holds the states."""
    finish(begun, "migrate", "--yes")
    first = run_id(begun)
    begun.commit()
    stem, mirrored = latest(begun)
    later = "29990101T000000000000Z-0badcafe"
    for name, data in mirrored.items():
        if "/blobs/" not in name:
            begun.put(f"{MIRROR}{name.replace(stem, f'runs/{later}/')}", data)

    def end_it(records):
        ended = replace(records[-1], kind=RecordKind.OUTCOME, body={"outcome": end})
        return [replace(records[0], body={**records[0].body, "run": later}), ended]

    forge(begun, records=end_it)
    for machine in (begun, begun.clone()):
        assert machine.run("verify", "--json").document["run"] == first
        assert "would bring 2 states back" in finish(machine, "rollback", "--dry-run").out
    finish(begun.clone("third"), "rollback", "--yes")


def test_an_older_run_brings_no_files_along_that_a_later_one_changed(begun):
    finish(begun, "migrate", "--yes")
    first = run_id(begun)
    finish(begun, "rollback", "--yes")
    begun.plan()
    finish(begun, "migrate", "--yes")
    files = begun.files()
    assert "nothing to do" in finish(begun, "rollback", "--yes", first).out
    assert begun.files() == files


def test_the_plan_of_a_run_of_another_machine_is_not_begun_a_second_time(begun):
    finish(begun, "migrate", "--yes", "--until", "checked")
    there = begun.clone()
    (there.repo / ".migrator").mkdir()
    shutil.copy(begun.repo / ".migrator/plan.json", there.repo / ".migrator/plan.json")
    finish(there, "migrate", "--yes")
    assert [run.name for run in there.runs()] == [run_id(begun)]


def test_a_copied_home_is_another_machine(begun):
    """``cp -r``: both have the same files, and only one may work."""
    finish(begun, "migrate", "--yes", "--until", "checked")
    there = begun.clone()
    shutil.copytree(begun.repo / ".migrator", there.repo / ".migrator")
    ours, theirs = (machine.runs()[0].joinpath("holder") for machine in (begun, there))
    assert ours.read_bytes() == theirs.read_bytes()
    holder = f"{ours.read_text().strip()}-{ours.stat().st_ino}"
    lock = json.dumps({"ID": holder, "Who": "ops@first", "Created": "2026-01-02T03:04:05Z"}).encode()
    begun.put(f"{MIRROR}{latest(begun)[0]}lock", lock)
    check_told(there.run("rollback", "--yes"), code=4, what="worked on from another place by ops@first")
    finish(begun, "migrate", "--yes")  # its own lock, as if it had been killed
    finish(there, "rollback", "--yes")
    assert "rolled-back already" in finish(begun, "rollback", "--yes").out
    assert begun.files() == there.files()


def test_a_renamed_run_directory_is_no_second_run(begun):
    finish(begun, "migrate", "--yes")
    (run,) = begun.runs()
    copied = begun.directory / "backup"
    shutil.copytree(run, copied)
    done = begun.run("rollback", "--yes", str(copied))
    check_told(
        done, code=3, what=f"this is the directory of run {run.name}", then="give the directory the name of its run"
    )


def test_blobs_that_were_lost_here_come_back_from_the_bucket(begun):
    before = begun.world()
    finish(begun, "migrate", "--yes")
    for blob in (begun.runs()[0] / "blobs").iterdir():
        blob.write_bytes(b"damaged")
    finish(begun, "rollback", "--yes")
    assert begun.files() == before["files"]


def test_a_run_that_another_command_here_fetched_meanwhile(begun):
    """Two terminals, two questions, two times yes."""
    finish(begun, "migrate", "--yes")
    begun.commit()
    there = begun.clone()
    terminal = Terminal(there, "rollback")
    terminal.wait_for("[y/N]")
    finish(there, "rollback", "--yes")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert "rolled-back already; nothing to do" in " ".join(terminal.text.split())


@pytest.mark.parametrize("shallow", ["the first", "the second", "both"])
def test_a_shallow_clone_as_pipelines_make_it(begun, shallow):
    """It does not have the first commit, by which a repository is known."""
    begun.commit()
    pipeline = shallow_clone(begun) if shallow != "the second" else begun
    pipeline.plan()
    finish(pipeline, "migrate", "--yes")
    pipeline.git("push", "-q", "origin", "HEAD:refs/heads/work") if pipeline is not begun else pipeline.commit()
    there = begun.clone() if shallow == "the first" else shallow_clone(begun, "other")
    finish(there, "verify") if pipeline is begun else None
    finish(there, "rollback", "--yes")
    assert not there.objects()


def shallow_clone(lab, name="pipeline"):
    there = lab.clone(name)
    shutil.rmtree(there.repo)
    lab.git("clone", "-q", "--depth", "1", f"file://{lab.repo}", str(there.repo))
    return there


def test_a_plan_of_a_full_clone_is_carried_out_in_a_shallow_one(begun):
    begun.commit()
    begun.plan()
    there = shallow_clone(begun)
    plan = str(begun.repo / ".migrator/plan.json")
    finish(there, "migrate", plan, "--yes", "--until", "checked")
    finish(there, "migrate", plan, "--yes")


# -- files that are not as the run left them ---------------------------------------------------------------------------


def follow(lab, hint):
    """Type what a hint says, word for word, up to the command of ours."""
    parts = re.split(r", then: |, (?=git checkout|rm |cp )|: (?=git checkout|rm |cp )", hint)
    commands = [part for part in parts if part.startswith(("git checkout", "rm ", "cp "))]
    assert commands, hint
    for command in commands:
        subprocess.run(command, shell=True, cwd=lab.repo, check=True, capture_output=True)  # noqa: S602 - it is what people do


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("paths", [PLANNED_FILES[:1], PLANNED_FILES])
def test_edited_files_are_all_named_and_the_advice_leads_on(begun, paths, committed):
    before = authority(begun)
    finish(begun, "migrate", "--yes")
    begun.commit()
    for path in paths:
        with (begun.repo / path).open("a") as stream:
            stream.write("# edited\n")
    if committed:
        begun.commit()
    there = begun.clone() if committed else begun
    refused = there.run("rollback", "--yes")
    check_told(refused, code=4, what=", ".join(paths), now="nothing was touched", then="then: migrator rollback")
    follow(there, refused.told["next"])
    finish(there, "rollback", "--yes")
    assert authority(there) == before


@pytest.mark.parametrize("how", ["deleted", "another branch", "half of them", "all of them", "none of them"])
def test_any_state_of_the_files_of_a_clone_leads_to_the_end(begun, how):
    before = authority(begun), begun.files()
    finish(begun, "migrate", "--yes")
    begun.commit()
    there = begun.clone()
    if how == "deleted":
        (there.repo / "Justfile").unlink()
    elif how == "another branch":
        (there.repo / "Justfile").write_text("# everything is different here\n")
        there.git("checkout", "-q", "-b", "other")
        there.commit()
    else:
        paths = {"half of them": PLANNED_FILES[:2], "all of them": PLANNED_FILES, "none of them": ()}[how]
        for path in paths:
            there.git("checkout", "HEAD~1", "--", path)
        there.commit()
    done = there.run("rollback", "--yes")
    if how in ("deleted", "another branch"):
        check_told(done, code=4, what="Justfile was edited", now="nothing was touched")
        follow(there, done.told["next"])
        done = there.run("rollback", "--yes")
    assert done.code == 0, done.err
    assert (authority(there), there.files()) == before


@pytest.mark.parametrize("known", [True, False], ids=["planned from a commit", "planned from edits"])
def test_a_lost_copy_of_a_file_is_advised_on_so_that_the_advice_works(lab, known):
    """Neither here nor in the bucket. What ``git checkout`` would bring was looked at before it is advised."""
    if known:
        lab.commit()
    else:
        with (lab.repo / "Justfile").open("a") as stream:
            stream.write("# not committed\n")
    original = (lab.repo / "Justfile").read_bytes()
    lab.migrate()
    lab.commit()
    file = next(
        one for one in decode_plan((lab.runs()[0] / "plan.json").read_bytes(), where="").files if one.path == "Justfile"
    )
    (lab.runs()[0] / "blobs" / file.pre_sha256).unlink()
    lab.server.client().delete_object(Bucket=lab.bucket, Key=f"{MIRROR}{latest(lab)[0]}blobs/{file.pre_sha256}")
    refused = lab.run("rollback", "--yes")
    check_told(refused, code=4, what="the copy of Justfile that this run kept is missing", now="nothing was touched")
    if known:
        follow(lab, refused.told["next"])
    else:
        assert f"find the version of Justfile with the sha256 {file.pre_sha256}" in refused.told["next"]
        (lab.repo / "Justfile").write_bytes(original)
    finish(lab, "rollback", "--yes")
    assert (lab.repo / "Justfile").read_bytes() == original


def test_a_run_that_goes_on_in_a_clone_cuts_its_files_over_too(begun):
    """The machine that cut its files over is gone, and never committed them."""
    finish(begun, "migrate", "--yes", "--until", "cut-over")
    there = begun.clone()
    done = finish(there, "migrate", "--yes")
    assert "brought along: " + ", ".join(PLANNED_FILES) in done.out
    assert {path: there.files()[path] for path in PLANNED_FILES} == {
        path: begun.files()[path] for path in PLANNED_FILES
    }
    finish(there, "verify")


def test_a_clone_without_the_cut_over_is_told_so(begun):
    finish(begun, "migrate", "--yes")
    there = begun.clone()
    done = finish(there, "migrate", "--yes")
    assert "this plan was carried out already" in done.out
    assert "still as before the cut-over in this work tree, and left so: " + ", ".join(PLANNED_FILES) in done.out
    assert there.run("verify").code == 3


def test_a_journal_with_a_step_taken_back_twice_is_in_doubt_again():
    from migrator.journal.fold import StepState, fold
    from migrator.journal.record import Record

    def record(number, kind):
        return Record(number=number, at="t", kind=kind, step="publish", unit="a", body={"n": number})

    kinds = (RecordKind.INTENT, RecordKind.DONE, RecordKind.UNDO_INTENT, RecordKind.UNDONE)
    records = [record(number, kind) for number, kind in enumerate(kinds, 1)]
    assert fold(records).step("publish", "a").state is StepState.UNDONE
    again = [*records, record(5, RecordKind.UNDO_INTENT)]
    assert fold(again).step("publish", "a").state is StepState.UNDO_IN_DOUBT
    settled = fold([*again, replace(record(6, RecordKind.UNDONE), number=6)]).step("publish", "a")
    assert (settled.state, settled.undo_evidence) == (StepState.UNDONE, {"n": 6})
