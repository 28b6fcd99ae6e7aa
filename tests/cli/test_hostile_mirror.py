"""Whoever may write to the bucket may put a run there: whatever it is, it is told or passed over, and nothing is touched."""

from dataclasses import replace

import pytest

from tests.cli.lab import MIRROR
from tests.cli.test_bad_input import check_told
from tests.support.forged import change, forge, latest

LATER = "runs/29990101T000000000000Z-0badcafe"
EVIL = "evil\x1b[2J\x1b]0;x\x07"


@pytest.fixture
def there(lab):
    """A fresh clone beside the machine that migrated."""
    lab.migrate()
    lab.commit()
    return lab.clone()


def see(lab):
    """Everything, what is local of a run included."""
    home = lab.repo / ".migrator"
    kept = {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and path.name != "lock"}
    return lab.world(), lab.mirrored(), kept


def state(**changes):
    return lambda plan: replace(plan, states=(replace(plan.states[0], **changes), *plan.states[1:]))


def target(**changes):
    return lambda plan: replace(plan, target=replace(plan.target, **changes))


def source(**changes):
    return lambda plan: replace(plan, source=replace(plan.source, **changes))


PLANS = {
    "key": (state(key="other/terraform.tfstate"), "it has the key 'other/terraform.tfstate' for alpha-dev"),
    "name": (state(name="gamma"), "it has the key 'acme/infra/alpha-dev/terraform.tfstate' for gamma"),
    "place": (state(environment="prod"), "it has alpha-dev in alpha, prod, and migrator.toml binds it to alpha, dev"),
    "template": (target(key="{state}"), "it was made with target.key = '{state}'"),
    "one key twice": (lambda plan: replace(plan, states=(plan.states[0],) * 2), "it names the state 'alpha-dev' twice"),
    "one file twice": (lambda plan: replace(plan, files=(plan.files[0],) * 2), "it names the file 'Justfile' twice"),
    "region": (target(region="elsewhere"), "it was made with target.region = 'elsewhere'"),
    "certificates": (source(ca_bundle="/etc/shadow"), "it was made with source.ca_bundle = '/etc/shadow'"),
    "variable": (source(token_env="HOME"), "it was made with source.token_env = 'HOME'"),
    "session": (target(session_token_env="HOME"), "it was made with target.session_token_env = 'HOME'"),
    "profile": (target(profile="root"), "it was made with target.profile = 'root'"),
    "prefix": (target(run_prefix="x"), "it was made with target.run_prefix = 'x'"),
    "path of the project": (source(project_path="evil/x"), "target.key gives 'evil/x/alpha-dev/terraform.tfstate'"),
}


@pytest.mark.parametrize("case", PLANS)
def test_a_plan_that_does_not_fit_this_repository(there, case):
    make, told = PLANS[case]
    forge(there, plan=make)
    before = see(there)
    for command in (
        ("rollback", "--yes"),
        ("rollback", "--dry-run"),
        ("finalize", "--confirm", there.bucket),
        ("verify",),
    ):
        done = there.run(*command)
        check_told(done, code=4, what=told, where="s3://", now="nothing there was believed", then="migrator.toml")
    assert see(there) == before


@pytest.mark.parametrize("make", [
    source(project_id=85), source(url="http://127.0.0.1:9"), target(bucket="other"), target(endpoint="http://127.0.0.1:9"),
    lambda plan: replace(plan, repository=replace(plan.repository, identity="c0ffee")),
])  # fmt: skip
def test_a_run_of_somebody_else_is_none_of_ours(there, make):
    forge(there, plan=make)
    before = see(there)
    check_told(
        there.run("rollback", "--yes"), code=2, what="there is no run yet", where="; s3://", then="migrator plan"
    )
    name = latest(there)[0].split("/")[1]
    check_told(there.run("rollback", "--yes", name), code=4, what="it is of another repository")
    assert see(there) == before


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".git/config", "a/../../x", ".migrator/plan.json"])
def test_a_plan_that_leads_out_of_the_repository(there, path):
    forge(there, plan=lambda plan: replace(plan, files=(replace(plan.files[0], path=path), *plan.files[1:])))
    before = see(there)
    done = there.run("rollback", "--yes", latest(there)[0].split("/")[1])
    check_told(done, code=3, what=f"the plan names {path}", where="s3://", now="nothing was touched")
    assert see(there) == before


def test_a_file_behind_a_symbolic_link(there):
    outside = there.directory / "outside"
    (there.repo / "stacks/alpha").rename(outside)
    (there.repo / "stacks/alpha").symlink_to(outside)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}, there.gitlab.truth(), there.objects()
    check_told(there.run("rollback", "--yes"), code=4, what="symbolic link")
    assert before == (
        {path.name: path.read_bytes() for path in outside.iterdir()},
        there.gitlab.truth(),
        there.objects(),
    )


def rename(before, after):
    return lambda records: [replace(one, unit=after) if one.unit == before else one for one in records]


RECORDS = {
    "another key": (change("intent", "publish", key="other"), "publish of alpha-dev has another key than it must"),
    "another file": (change("intent", "cut_over_file", pre_sha256="0" * 64), "Justfile has another pre_sha256"),
    "a digest that is a path": (
        change("done", "capture", sha256="../../plan.json"),
        "-dev has another sha256 than it must",  # of whichever state was captured first
    ),
    "an ID that is none": (
        change("intent", "lock_source", lock_id=[1]),
        "lock_source of alpha-dev has another lock_id",
    ),
    "no ID": (
        lambda records: [replace(one, body={}) if one.step == "unlock_target" else one for one in records],
        "unlock_target of alpha-dev has another lock_id than it must",
    ),
    "a state that the plan has not": (rename("alpha-dev", EVIL), "which its plan does not know"),
    "a step that nobody knows": (
        lambda records: [replace(one, step="evil") if one.step == "publish" else one for one in records],
        "there is no step 'evil'",
    ),
    "a stage that is not done": (
        lambda records: [one for one in records if (one.step, one.unit) != ("publish", "alpha-dev")],
        "it says checked, and publish of alpha-dev is not done",
    ),
    "a rule that is none": (change("done", "protect_source", rule="x"), "protect_source of alpha-dev has another rule"),
    "nothing in any body": (
        lambda records: [replace(one, body={}) for one in records],
        "it was begun under another id",
    ),
    "no beginning": (lambda records: records[1:], "a journal begins with the record of its run"),
    "two beginnings": (lambda records: [records[0], *records], "a journal begins with the record of its run"),
    "another run": (change("run", "", run="other"), "it was begun under another id"),
    "an end that is none": (change("outcome", "", outcome=EVIL), "it names no end that a run can have"),
    "a phase that is none": (change("barrier", "", barrier=EVIL), "it names no phase"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_journal_that_does_not_fit_its_plan(there, case):
    make, told = RECORDS[case]
    forge(there, records=make)
    before = see(there)
    for command in (("rollback", "--yes"), ("finalize", "--confirm", there.bucket), ("verify",), ("status",)):
        done = there.run(*command)
        check_told(
            done, code=3, what=told, where="s3://", now="nothing there was believed", then="work from the machine"
        )
        assert "\x1b" not in done.err + done.out
    assert see(there) == before


@pytest.mark.parametrize("case", RECORDS)
def test_a_mirror_that_does_not_fit_is_never_adopted(lab, case):
    """The machine that holds the run keeps its journal, and says what stands in the bucket."""
    lab.migrate()
    forge(lab, records=lambda records: RECORDS[case][0](change("intent", "lock_target", more=1)(records)))
    before = see(lab)
    check_told(lab.run("rollback", "--yes"), code=3, what=RECORDS[case][1], where="s3://")
    holders = {path for path in see(lab)[2] if path.name == "holder"}
    assert {path: data for path, data in see(lab)[2].items() if path not in holders} == {
        path: data for path, data in before[2].items() if path not in holders
    }
    assert see(lab)[0] == before[0]


GARBAGE = {
    "deeply nested": b"[" * 200_000,
    "a page": b"<html><body>Sign in</body></html>",
    "UTF-16": '{"format": "migrator.plan/1"}'.encode("utf-16"),
    "no text": bytes(range(256)),
    "half a surrogate": b'{"format": "migrator.plan/1", "created": "\\ud800"}',
    "an escape": b'{"format": "\\u001b[2J"}',
    "nothing": b"",
    "a list": b"[]",
    "too large": b" " * (64 * 1024 * 1024 + 1),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_what_is_no_plan_does_not_hide_the_run(there, case):
    """It stands where a later run would, and is passed over; named, it is told."""
    there.put(f"{MIRROR}{LATER}/plan.json", GARBAGE[case])
    done = there.run("rollback", "--dry-run")
    assert done.code == 0, done.err
    assert "would bring 2 states back" in done.out
    assert f"passed over run {LATER.split('/')[1]} in the bucket" in done.out
    assert "\x1b" not in done.out + done.err
    check_told(there.run("rollback", "--yes", LATER.split("/")[1]), code=3, where="s3://", now="nothing was touched")


@pytest.mark.parametrize("case", GARBAGE)
def test_what_is_no_journal_is_told(there, case):
    stem, mirrored = latest(there)
    first = min(name for name in mirrored if name.startswith(stem + "journal/"))
    there.put(MIRROR + first, GARBAGE[case] + b"\n" * mirrored[first].count(b"\n"))
    before = see(there)
    for command in (("rollback", "--yes"), ("verify",), ("status",)):
        check_told(there.run(*command), code=3, where="s3://", now="nothing was touched")
    assert see(there) == before


NAMES = [
    "runs/plan.json", "runs//plan.json", "runs/../plan.json", "runs/9..Z/plan.json", f"runs/9{EVIL}/plan.json",
    "runs/99990101T000000Z-aa/deeper/plan.json", "runs/99990101T000000Z-aa/journal/00000001.jsonl", "plan.json",
    f"runs/{'9' * 129}/plan.json", "runs/99990101T000000Z-aa", "runs/99990101T000000Z-aa/plan.json/",
]  # fmt: skip


def test_names_that_no_run_has_are_none(there):
    made = [name for name in NAMES if put(there, name)]
    assert len(made) >= 6
    done = there.run("rollback", "--dry-run")
    assert done.code == 0, done.err
    assert "passed over" not in done.out


def put(lab, name):
    """Put an object under a name, if the store takes it."""
    try:
        lab.put(MIRROR + name, b"{}")
    except Exception:  # noqa: BLE001 - moto refuses some names, each in its own way
        return False
    return MIRROR + name in {MIRROR + found for found in lab.mirrored()}


def test_among_very_many_runs_of_others_ours_must_be_named(lab, monkeypatch):
    monkeypatch.setattr("migrator.cli.naming._MOST_READ", 20)
    lab.migrate()
    lab.commit()
    there = lab.clone()
    name = latest(there)[0].split("/")[1]
    for number in range(19):
        there.put(f"{MIRROR}runs/3{number:03}/plan.json", b"{}")
    done = there.run("rollback", "--dry-run")
    assert done.code == 0, done.err
    assert "passed over 16 more in the bucket" in done.out
    there.put(f"{MIRROR}runs/3999/plan.json", b"{}")
    check_told(there.run("rollback", "--yes"), code=2, what="none of the latest 20 of 21 runs", then="name the run")
    assert there.run("rollback", "--yes", name).code == 0


def test_blobs_that_no_record_names_are_not_fetched(there):
    stem, _ = latest(there)
    there.put(f"{MIRROR}{stem}blobs/{'0' * 64}", b"x")
    there.put(f"{MIRROR}{stem}blobs/../../evil", b"x")
    assert there.run("rollback", "--yes").code == 0
    assert not [path for path in there.directory.rglob("*") if path.name in ("0" * 64, "evil")]


def test_a_blob_with_other_bytes_stops_before_anything_is_touched(there):
    stem, mirrored = latest(there)
    blob = min(name for name in mirrored if name.startswith(stem + "blobs/"))
    there.put(MIRROR + blob, b"other")
    before = there.world()
    check_told(there.run("rollback", "--yes"), code=3, what="is damaged", where=blob, now="nothing was touched")
    assert there.world() == before
    assert there.runs() == [] or not any((run / "journal.jsonl").exists() for run in there.runs())


@pytest.mark.parametrize("side", ["state", "run"])
@pytest.mark.parametrize(
    "data",
    [b"[" * 200_000, b"", b"\xff\xfe", b'{"ID": 5}', b" " * 3_000_000],
    ids=["nested", "empty", "no text", "no ID", "large"],
)
def test_a_lock_that_nobody_can_read(lab, side, data):
    lab.migrate("--until", "checked")
    key = "acme/infra/alpha-dev/terraform.tfstate.tflock" if side == "state" else f"{MIRROR}{latest(lab)[0]}lock"
    lab.put(key, data)
    done = lab.run("rollback", "--yes")
    check_told(done, code=4 if side == "run" else done.code)
    assert done.code in (4, 5)
    if side == "run":
        assert "somebody whose lock nobody can read" in done.err
        # What is no lock by its size alone is for a person to look at.
        assert lab.run("rollback", "--yes", "--take-over").code == (4 if len(data) > 1024 * 1024 else 0)
