"""Runs that do not go straight: each ends with the exit code of the interface, a message that is true, and a way on."""

import json
import os
import signal
import time
import urllib.request

import pytest

from tests.cli.lab import STATES, TOKEN, document
from tests.cli.test_bad_input import TFLOCK, check_told, write_at_source
from tests.support.fault_proxy import Effect, Fault, FaultProxy
from tests.support.s3_servers import S3Server
from tests.support.unconditional_s3 import Flaw, FlawedS3

KEY = "acme/infra/{}/terraform.tfstate"
SECONDS = 60


def keys_of(names=STATES):
    return {KEY.format(name) for name in names}


# -- states that are special -------------------------------------------------------------------------------------------


def test_an_empty_state_moves_its_authority_only(make_lab):
    """A name with a row and no version: what a lock on an unknown name, or an init without apply, leaves behind."""
    lab = make_lab(states={"beta-dev": [document(1)]}, rows=[{"project": 84, "name": "alpha-dev", "versions": []}])
    before = lab.world()
    assert "no document" in lab.plan().out
    assert lab.run("migrate", "--yes").code == 0
    assert set(lab.objects()) == keys_of(["beta-dev"])
    assert lab.lock_at_source("alpha-dev") is not None
    assert lab.run("verify").code == 0
    assert lab.run("rollback", "--yes").code == 0
    assert lab.world() == before


def test_a_state_that_destroy_has_emptied_moves_like_any_other(make_lab):
    emptied = [document(4), document(5, outputs={}, resources=[])]
    lab = make_lab(states={"alpha-dev": emptied, "beta-dev": [document(1)]})
    lab.migrate()
    assert lab.objects()[KEY.format("alpha-dev")] == emptied[-1]


def test_only_the_newest_version_moves_byte_for_byte(make_lab):
    versions = [document(number) for number in (2, 5, 9)]
    lab = make_lab(states={"alpha-dev": versions, "beta-dev": [document(1)]})
    lab.migrate()
    assert lab.objects()[KEY.format("alpha-dev")] == versions[-1]
    assert lab.run("rollback", "--yes").code == 0
    assert list(lab.truth("alpha-dev").versions.values()) == versions


@pytest.mark.parametrize("name", ["team/alpha", "v1.2", "alpha dev", "grün-日本", "a+b&c=d%2F"])
def test_any_name_that_gitlab_allows_goes_there_and_back(make_lab, name):
    bindings = f'\n[[state]]\nname = {json.dumps(name)}\nstack = "alpha"\nenvironment = "dev"\n'
    lab = make_lab(states={name: [document(3)]}, bindings=bindings)
    before = lab.world()
    lab.migrate()
    assert lab.objects() == {KEY.format(name): document(3)}
    assert lab.run("verify").code == 0
    assert lab.run("status", "--json").document["states"][0]["name"] == name
    assert lab.run("rollback", "--yes").code == 0
    assert lab.world() == before


@pytest.mark.parametrize("name", ["a/../b", "/alpha", "alpha/"])
def test_a_name_that_would_leave_its_place_in_the_bucket_is_refused(make_lab, name):
    bindings = f'\n[[state]]\nname = {json.dumps(name)}\nstack = "alpha"\nenvironment = "dev"\n'
    lab = make_lab(states={name: [document(3)]}, bindings=bindings)
    before = lab.world()
    check_told(lab.run("plan"), code=4, what="cannot be carried out", where=name)
    assert lab.world() == before


# -- an unsafe target --------------------------------------------------------------------------------------------------


@pytest.fixture
def flawed_lab(make_lab):
    with FlawedS3(Flaw.IGNORES_CONDITIONS) as store:
        server = S3Server(name="flawed", endpoint=store.url, stop=lambda: None)
        lab = make_lab(server)
        lab.objects = lambda: {
            key.removeprefix(f"{lab.bucket}/"): data
            for key, data in store.objects.items()
            if "/.migrator/" not in f"/{key}"
        }
        yield lab


def test_a_target_that_ignores_if_none_match_is_refused(flawed_lab):
    before = flawed_lab.world()
    check_told(flawed_lab.run("probe"), code=4, what="promises that a lock needs", where="s3://", now="scratch keys")
    check_told(flawed_lab.run("plan"), code=4, what="one blocker", where="unsafe-target", now="nothing was touched")
    check_told(flawed_lab.run("migrate", "--yes"), code=4, what="1 blocker", where="unsafe-target")
    assert flawed_lab.world() == before


def test_an_acknowledged_unsafe_target_is_accepted_and_recorded(flawed_lab):
    flawed_lab.write_settings(more='\n[[acknowledge]]\ncode = "unsafe-target"\nreason = "a lab of one person"\n')
    done = flawed_lab.run("plan")
    assert done.code == 0, done.err
    assert "a lab of one person" in done.out
    assert "conditional writes unsafe" in done.out
    assert flawed_lab.run("migrate", "--yes").code == 0
    assert set(flawed_lab.objects()) == keys_of()
    status = flawed_lab.run("status", "--json").document
    assert status["overrides"] == ["unsafe-target"]
    assert "acknowledged: unsafe-target" in flawed_lab.run("status").out
    kept = json.loads((flawed_lab.runs()[0] / "plan.json").read_bytes())
    assert kept["overrides"] == [{"code": "unsafe-target", "reason": "a lab of one person"}]
    assert flawed_lab.run("rollback", "--yes").code == 0
    assert flawed_lab.objects() == {}


def test_a_weaker_proof_is_shown_by_every_later_command(lab):
    text = "proof by plan: off"
    assert "NOT proved by OpenTofu" in lab.plan().out
    assert text in lab.run("migrate", "--yes").out
    assert text in lab.run("status").out
    assert lab.run("verify", "--json").document["proof"] == "off"


# -- interrupted, and two at once --------------------------------------------------------------------------------------


def start_and_stop_within(lab, number, command=("migrate", "--yes"), *, slow="POST"):
    """Start ``command`` against a source that is slow to lock, and send the signal while it waits."""
    with FaultProxy(lab.url) as proxy:
        lab.write_settings((lab.url, proxy.url))
        lab.plan()
        proxy.inject(Fault(Effect.SLOW, method=slow, path="/lock$", seconds=2.0, times=1))
        child = lab.spawn(*command)
        end = time.monotonic() + SECONDS
        while proxy.count(slow, "/lock$") == 0:
            assert time.monotonic() < end
            assert child.poll() is None, child.communicate()
            time.sleep(0.01)
        child.send_signal(number)
        out, err = child.communicate(timeout=SECONDS)
        code = child.returncode
        resumed = lab.run("migrate", "--yes") if code == 130 else None
        if resumed is not None:
            assert resumed.code == 0, resumed.err
            assert "(resumed)" in resumed.out
            assert lab.run("verify").code == 0
            assert lab.run("rollback", "--yes").code == 0
    return code, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupt_ends_between_two_steps_and_the_next_command_resumes(lab, number):
    code, _, err = start_and_stop_within(lab, number)
    assert code == 130, err
    assert "error: interrupted" in err
    assert "now:   phase planned, 0 of 3 files cut over; the journal is intact" in err
    assert "next:  migrator migrate" in err
    assert "Traceback" not in err
    assert lab.objects() == {}
    assert not any(lab.lock_at_source(name) for name in STATES)


def test_an_interrupt_before_a_run_changes_nothing(lab):
    before = lab.world()
    with FaultProxy(lab.url) as proxy:
        lab.write_settings((lab.url, proxy.url))
        proxy.inject(Fault(Effect.SLOW, path="/api/v4/projects/84$", seconds=5.0))
        child = lab.spawn("plan", "--json")
        while proxy.count("GET") == 0:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=SECONDS)
        lab.write_settings()
    assert child.returncode == 130
    assert json.loads(out)["message"] == "interrupted"
    assert lab.world() == before


def test_a_second_migrate_at_the_same_time_is_refused(lab):
    with FaultProxy(lab.url) as proxy:
        lab.write_settings((lab.url, proxy.url))
        lab.plan()
        proxy.inject(Fault(Effect.SLOW, method="POST", path="/lock$", seconds=2.0, times=2))
        first = lab.spawn("migrate", "--yes")
        end = time.monotonic() + SECONDS
        while proxy.count("POST", "/lock$") == 0:
            assert time.monotonic() < end
            time.sleep(0.01)
        for command in (["migrate", "--yes"], ["rollback", "--yes"]):
            done = lab.run(*command)
            check_told(
                done,
                code=4,
                what=f"process {first.pid}",
                where=".migrator/lock",
                now="did nothing",
                then="migrator status",
            )
        assert lab.run("status").code == 0
        assert first.communicate(timeout=SECONDS)[1] == ""
        assert first.returncode == 0
        assert lab.run("verify").code == 0
    assert len(lab.runs()) == 1


def test_a_run_directory_is_locked_too(lab, tmp_path):
    """A run that is named by its directory is protected also against a command that works from another repository."""
    import fcntl

    lab.migrate()
    with (lab.runs()[0] / "lock").open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        check_told(lab.run("rollback", "--yes"), code=4, what="this run", where="/lock", now="did nothing")
    assert lab.run("rollback", "--yes").code == 0


# -- the local disk ----------------------------------------------------------------------------------------------------

# A mount namespace of its own: root may make one, others may within a user namespace.
UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]


def test_a_read_only_work_tree_is_found_before_the_first_lock(lab):
    """A read-only mount refuses root, too: seen only from inside of a mount namespace of its own."""
    lab.plan()
    before = lab.world()
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    wrapper = [*UNSHARE, "sh", "-c", script, "sh", str(lab.repo / "stacks")]
    done = lab.spawn_and_wait("migrate", "--yes", wrapper=wrapper)
    check_told(done, code=4, what="read-only", where="stacks/", now="nothing", then="make the work tree writable")
    assert lab.world() == before
    whole = [*UNSHARE, "sh", "-c", script, "sh", str(lab.repo)]
    for command in (["plan"], ["migrate", "--yes"]):
        done = lab.spawn_and_wait(*command, wrapper=whole)
        check_told(done, code=2, what="Read-only file system", where=".migrator", now="nothing was touched")
    assert lab.world() == before


def small_disk(lab, kib):
    """Put ``.migrator`` on a disk of its own size, in a mount namespace that the command is started in."""
    home = lab.repo / ".migrator"
    home.mkdir(exist_ok=True, mode=0o700)
    keep = lab.directory / "kept"
    script = (
        f'mount -t tmpfs -o size={kib}k,mode=700 tmpfs "$1" && cp -a "$2/." "$1/" && home=$1 keep=$2 && shift 2; '
        '"$@"; code=$?; cp -a "$home/." "$keep/"; exit $code'
    )
    keep.mkdir(exist_ok=True)
    return [*UNSHARE, "sh", "-c", script, "sh", str(home), str(keep)], keep


def test_a_full_disk_before_the_run_touches_nothing(lab):
    before = lab.world()
    wrapper, _ = small_disk(lab, 4)
    done = lab.spawn_and_wait("plan", wrapper=wrapper)
    check_told(done, code=2, what="No space left on device", where=".migrator", now="nothing")
    assert lab.world() == before


@pytest.mark.parametrize("kib", [28, 32, 36, 40, 44])
def test_a_disk_that_fills_up_in_mid_run_stops_it_and_loses_nothing(make_lab, kib):
    lab = make_lab(
        states={name: [document(1, outputs={"pad": {"value": "x" * 6000, "type": "string"}})] for name in STATES}
    )
    before = lab.world()
    assert lab.run("plan", "-o", "../plan.json").code == 0
    wrapper, keep = small_disk(lab, kib)
    done = lab.spawn_and_wait("migrate", "../plan.json", "--yes", wrapper=wrapper)
    if done.code == 0:
        return  # it fitted: the larger sizes of the row are there to cross the border wherever it lies
    assert done.code in {2, 5}, done.err
    check_told(done, code=done.code)
    assert "space" in done.err
    for path in sorted(keep.rglob("*"), reverse=True):
        target = lab.repo / ".migrator" / path.relative_to(keep)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            path.replace(target)
    if done.code == 2:
        assert lab.world() == before
        return
    back = lab.run("migrate", "../plan.json", "--yes")
    assert back.code == 0, back.err
    assert lab.run("verify").code == 0
    assert lab.run("rollback", "--yes").code == 0
    assert lab.world() == before


# -- after the migration -----------------------------------------------------------------------------------------------


def unlock_at_source(lab, name):
    """What a maintainer does who forces a lock open."""
    import urllib.request

    url = f"{lab.url}/api/v4/projects/84/terraform/state/{name}/lock"
    request = urllib.request.Request(url, method="DELETE", headers={"PRIVATE-TOKEN": TOKEN})
    assert urllib.request.urlopen(request).status == 200


def test_finalize_needs_the_name_of_the_bucket(lab):
    lab.migrate()
    before = lab.world()
    for arguments in ([], ["--confirm", "other"], ["--confirm", ""]):
        done = lab.run("finalize", *arguments)
        check_told(
            done, code=4, what="does not name", now="nothing was touched", then=f"finalize --confirm {lab.bucket}"
        )
    assert lab.world() == before
    assert lab.run("rollback", "--yes").code == 0


def test_finalize_is_for_a_run_that_is_complete(lab):
    lab.migrate("--until", "checked")
    done = lab.run("finalize", "--confirm", lab.bucket)
    check_told(done, code=4, what="only a migrated run", now="nothing was touched", then="migrator status")
    assert lab.run("rollback", "--yes").code == 0


def test_rollback_after_finalize_is_refused(lab):
    lab.migrate()
    assert lab.run("finalize", "--confirm", lab.bucket).code == 0
    before = lab.world()
    done = lab.run("rollback", "--yes")
    check_told(done, code=4, what="finalized", then="migrator status")
    assert lab.world() == before
    assert lab.run("status").out.rstrip().endswith("next: nothing: the run is finalized")


def test_shredding_removes_every_document_from_this_machine(lab):
    lab.migrate()
    blobs = lab.runs()[0] / "blobs"
    assert any(path.read_bytes() == document(1) for path in blobs.iterdir())
    kept = lab.run("finalize", "--confirm", lab.bucket)
    assert "are kept in" in kept.out
    check_told(lab.run("finalize", "--shred-blobs"), code=4, what="does not name", where="--confirm")
    again = lab.run("finalize", "--confirm", lab.bucket, "--shred-blobs")
    assert (again.code, "blobs removed" in again.out) == (0, True)
    assert list(blobs.iterdir()) == []


def test_shredding_with_finalize(lab):
    lab.migrate()
    done = lab.run("finalize", "--confirm", lab.bucket, "--shred-blobs", "--json")
    assert done.document["shredded"] >= 1
    assert list((lab.runs()[0] / "blobs").iterdir()) == []
    assert lab.run("verify").code == 0


def test_finalize_is_refused_while_the_target_is_not_known_to_be_good(lab):
    lab.migrate()
    lab.server.client().delete_object(Bucket=lab.bucket, Key=KEY.format("alpha-dev"))
    done = lab.run("finalize", "--confirm", lab.bucket)
    check_told(done, code=4, what="verify fail", where="alpha-dev: target-document, missing", then="migrator verify")


def verify_failure(lab):
    before = lab.world()
    done = lab.run("verify")
    assert lab.world() == before
    check_told(done, code=3, what="fail", now="nothing was changed", then="migrator")
    return done.told["where"]


def test_verify_sees_a_lifted_seal(lab):
    lab.migrate()
    unlock_at_source(lab, "beta-dev")
    assert verify_failure(lab) == "beta-dev: source-sealed, open: the seal was lifted"


@pytest.mark.parametrize(
    ("protection", "seal", "said"),
    [
        (True, "lock and protection rule", "seal of 2 states: lock and protection rule\n"),
        (
            False,
            "lock",
            "seal of 2 states: lock (this GitLab has no protection rules for states, or the feature is off)",
        ),
    ],
)
def test_status_says_what_the_seal_is_and_why(make_lab, *, protection, seal, said):
    lab = make_lab(protection=protection)
    lab.migrate()
    assert said in lab.run("status").out
    told = json.loads(lab.run("status", "--json").out)
    assert {state["seal"] for state in told["states"]} == {seal}
    shown = lab.run("verify", "-v").out
    assert ("source-protected" in shown) is protection
    lab.run("rollback", "--yes")
    assert lab.gitlab.rules(84) == []
    assert "seal of" not in lab.run("status").out


def test_verify_sees_a_foreign_write_at_the_source(lab):
    lab.migrate()
    unlock_at_source(lab, "beta-dev")
    write_at_source(lab, "beta-dev", document(2))
    assert verify_failure(lab).startswith("beta-dev: source-")
    assert "both sides have moved" in lab.run("verify").out
    before = lab.world()
    done = lab.run("rollback", "--yes")
    check_told(done, code=4, what="past the seal", where="beta-dev", now="nothing was touched", then="runbook")
    assert lab.world() == before


def test_verify_sees_an_edited_file_and_a_missing_object(lab):
    lab.migrate()
    with (lab.repo / "stacks/alpha/backend.tf").open("a") as stream:
        stream.write("# edited\n")
    assert verify_failure(lab).startswith("stacks/alpha/backend.tf: file")
    lab.server.client().delete_object(Bucket=lab.bucket, Key=KEY.format("alpha-dev"))
    assert verify_failure(lab) == "alpha-dev: target-document, missing"


def test_rollback_with_an_edited_file_is_refused_and_goes_on_when_it_is_undone(lab):
    original = lab.world()
    lab.migrate()
    path = lab.repo / "stacks/alpha/backend.tf"
    cut_over = path.read_text()
    path.write_text(cut_over + "# edited\n")
    before = lab.world()
    done = lab.run("rollback", "--yes")
    check_told(done, code=4, what="edited after the cut-over", where="stacks/alpha/backend.tf", now="nothing was touched",
               then="keep the edit elsewhere (git diff), then: git checkout")  # fmt: skip
    assert lab.world() == before
    path.write_text(cut_over)
    assert lab.run("rollback", "--yes").code == 0
    assert lab.world() == original


def test_rollback_carries_a_newer_state_back(lab):
    lab.migrate()
    lab.put(KEY.format("alpha-dev"), document(2))
    assert lab.run("verify").code == 0
    done = lab.run("rollback", "--yes", "--json")
    assert done.document["carried"] == [{"name": "alpha-dev", "serial_before": 1, "serial_after": 2}]
    assert lab.truth("alpha-dev").content == document(2)
    assert lab.truth("alpha-dev").lock is None
    assert lab.objects() == {}


def test_rollback_waits_for_a_lock_at_the_target(lab):
    lab.migrate()
    lab.put(KEY.format("beta-dev") + ".tflock", json.dumps(TFLOCK).encode())
    before = lab.world()
    done = lab.run("rollback", "--yes")
    check_told(
        done, code=4, what="eve@laptop", where="beta-dev", now="nothing was touched", then="then: migrator rollback"
    )
    assert lab.world() == before


def test_a_journal_with_a_changed_byte_stops_everything(lab):
    lab.migrate()
    journal = lab.runs()[0] / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"alpha-dev", b"alpha-prd", 1))
    before = lab.world()
    for command in (["status"], ["verify"], ["rollback", "--yes"], ["migrate", "--yes"]):
        check_told(lab.run(*command), code=3, what="journal", where="journal.jsonl:", now="nothing", then="backup")
    assert lab.world() == before


def test_a_target_that_goes_away_in_mid_run_stops_it_and_the_next_command_resumes(lab):
    with FaultProxy(lab.server.endpoint) as proxy:
        lab.write_settings((lab.server.endpoint, proxy.url))
        lab.plan()
        proxy.inject(Fault(Effect.ANSWER, method="PUT", path="tfstate$", status=503, times=1000))
        done = lab.run("migrate", "--yes")
        check_told(done, code=5, where="PUT", now="the journal is intact", then="migrator migrate")
        assert not set(lab.objects()) & keys_of()
        with proxy._mutex:
            proxy._faults.clear()
        assert lab.run("migrate", "--yes").code == 0
        assert lab.run("verify").code == 0


def test_a_plan_after_a_migration_knows_its_own_seal(lab):
    lab.migrate()
    planned = lab.run("plan")
    assert planned.code == 0, planned.err
    assert "moved already by run" in planned.out
    assert "nothing to migrate" in planned.out


def test_a_plan_of_nothing_does_not_hide_the_run_that_can_be_rolled_back(lab):
    lab.migrate()
    runs = lab.runs()
    lab.run("plan")
    done = lab.run("migrate", "--yes")
    assert (done.code, "nothing to migrate" in done.out) == (0, True)
    assert lab.run("migrate", "--yes", "--json").document["run"] is None
    assert lab.runs() == runs
    assert lab.run("rollback", "--yes").code == 0
    assert lab.run("status", "--json").document["run"] == runs[0].name


def test_a_lock_of_somebody_else_is_not_taken_for_our_seal(lab):
    lab.migrate()
    assert lab.run("rollback", "--yes").code == 0
    lock = {**TFLOCK, "Path": ""}
    url = f"{lab.gitlab.base_url}/api/v4/projects/84/terraform/state/alpha-dev/lock"
    headers = {"PRIVATE-TOKEN": TOKEN, "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(lock).encode(), headers)):
        pass
    assert lab.run("plan").code == 4


def test_the_latest_run_is_the_latest_although_the_clock_went_back(lab, monkeypatch):
    lab.migrate()
    assert lab.run("rollback", "--yes").code == 0
    monkeypatch.setattr("migrator.cli.migrate.read_clock", lambda: "2001-02-03T04:05:06.000007Z")
    for _ in range(2):
        lab.migrate()
        status = lab.run("status", "--json").document
        assert status["phase"] == "migrated"
        assert lab.run("rollback", "--yes").code == 0
        assert lab.run("status", "--json").document["run"] == status["run"]
    assert len(lab.runs()) == 3
    assert lab.objects() == {}
