"""Bad input before a run: each row with its exit code, a message in four parts, and a world in which nothing has changed."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.cli.lab import DEVELOPER_TOKEN, TOKEN, Lab, document, make_repository
from tests.support.fault_proxy import Effect, Fault, FaultProxy
from tests.support.s3_servers import free_port

PARTS = ("what", "where", "now", "next")


def check_told(done, *, code, what="", where="", now="", then=""):
    """Check exit code and message; each argument is a part of what must be said there."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert TOKEN not in done.err + done.out
    told = done.told
    assert set(told) == set(PARTS), done.err
    assert all(told.values()), done.err
    for part, text in zip(PARTS, (what, where, now, then), strict=True):
        assert text in told[part], f"{part}: {told[part]}"


@dataclass(frozen=True)
class Row:
    """``change`` damages the lab and returns further environment; then ``command`` is run."""

    name: str
    change: Callable[[Lab], dict[str, str] | None]
    code: int
    what: str
    where: str = ""
    now: str = "nothing"
    then: str = ""
    command: tuple[str, ...] = ("plan",)


def settings(*changes, more=""):
    return lambda lab: lab.write_settings(*changes, more=more)


def environment(**values):
    return lambda lab: values


def write(path, text):
    def change(lab):
        file = lab.repo / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return change


def dead_address():
    return f"http://127.0.0.1:{free_port()}"


def replace_by_directory(lab):
    (lab.repo / "migrator.toml").unlink()
    (lab.repo / "migrator.toml").mkdir()


CONFIGURATION = [
    Row(
        "missing",
        lambda lab: (lab.repo / "migrator.toml").unlink(),
        2,
        "there is no migrator.toml",
        "migrator.toml",
        then="migrator init",
    ),
    Row(
        "syntax",
        settings(("project = 84", "project = = 84")),
        2,
        "not valid TOML",
        "migrator.toml",
        then="correct the file",
    ),
    Row("syntax-line", settings(("project = 84", "project = = 84")), 2, "line 5"),
    Row(
        "not-utf-8",
        lambda lab: (lab.repo / "migrator.toml").write_text("§", encoding="latin-1") and None,
        2,
        "cannot be read",
        "migrator.toml",
    ),
    Row(
        "directory",
        replace_by_directory,
        2,
        "migrator.toml",
    ),
    Row(
        "unknown-key",
        settings(("project = 84", "proyect = 84")),
        2,
        "unknown setting `proyect` in [source]",
        "migrator.toml",
        then="did you mean `project`?",
    ),
    Row(
        "unknown-table",
        settings(more="[proofs]\nplan = 'off'\n"),
        2,
        "unknown setting `proofs`",
        then="did you mean `proof`?",
    ),
    Row(
        "unknown-key-in-a-list",
        settings(('stack = "alpha"', 'stak = "alpha"')),
        2,
        "`stak` in [state number 1]",
        then="did you mean `stack`?",
    ),
    Row("wrong-type", settings(("bucket = ", "region = 5 # ")), 2, "region", "migrator.toml", then="correct the file"),
    Row("missing-setting", settings(("bucket = ", 'region = "x" # ')), 2, "missing setting `bucket`", "migrator.toml"),
    Row("bad-choice", settings(('plan = "off"', 'plan = "never"')), 2, "never", "migrator.toml"),
    Row("other-format", settings(("migrator.config/1", "migrator.config/9")), 2, "migrator.config/9", "migrator.toml"),
    Row("not-an-address", settings(('endpoint = "http', 'endpoint = "ftp')), 2, "`target.endpoint`"),
    Row("key-without-state", settings(("[proof]", 'key = "one"\n[proof]')), 2, "several states would share one key"),
    Row("exclude-without-reason", settings(more='[[exclude]]\nstate = "x"\nreason = " "\n'), 2, "needs a reason"),
]

CREDENTIALS = [
    Row("token-not-set", environment(GITLAB_TOKEN=""), 2, "GITLAB_TOKEN is not set", "environment",
        then="export GITLAB_TOKEN"),
    Row("three-not-set", environment(GITLAB_TOKEN="", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""), 2,
        "GITLAB_TOKEN and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"),
    Row("probe-without-keys", environment(AWS_ACCESS_KEY_ID=""), 2, "AWS_ACCESS_KEY_ID is not set", command=("probe",)),
    *(
        Row(f"strange-{name}-{value!a}", environment(**{name: value}), 2, f"{name} holds a character that no key",
            "environment", then="line break", command=command)
        for name, value, command in (
            ("AWS_ACCESS_KEY_ID", "key\n", ("probe",)),
            ("AWS_SECRET_ACCESS_KEY", " key", ("probe",)),
            ("AWS_ACCESS_KEY_ID", "ké", ("plan",)),
            ("GITLAB_TOKEN", "token\n", ("plan",)),
        )
    ),
    Row("wrong-token", environment(GITLAB_TOKEN="glpat-wrong"), 6, "401", "GET /api/v4/projects/84",
        then="source.token_env"),
    Row("wrong-bucket", settings(('bucket = "small', 'bucket = "other')), 6, "the bucket does not exist", "s3://other",
        then="target.bucket"),
    Row("wrong-bucket-probe", settings(('bucket = "small', 'bucket = "other')), 6, "the bucket does not exist",
        "s3://other", then="target.bucket", command=("probe",)),
]  # fmt: skip

REPOSITORY = [
    Row("unparsable-backend", write("stacks/alpha/backend.tf", 'terraform {\n  backend "http" {\n'), 4,
        "cannot be carried out", "unparsable-file: stacks/alpha/backend.tf", then="correct the file"),
    Row("not-a-repository", environment(MIGRATOR_REPO="/nowhere"), 2, "/nowhere is not a directory"),
    Row("plan-into-no-directory", environment(MIGRATOR_OUT="none/plan.json"), 2, "the plan cannot be written: No such file",
        "none/plan.json", then="migrator plan -o"),
    Row("unknown-stack", environment(MIGRATOR_STACK="gamma"), 4, "stands", "unknown-stack: --stack gamma",
        then="known stacks: alpha, beta"),
    Row("no-client", settings(('plan = "off"', 'plan = "required"'), more='[tools]\ntofu = "/none/tofu"\n'), 2,
        "the proof by plan needs /none/tofu", "[tools] tofu", then="install OpenTofu"),
    Row("migrator-directory-is-a-link", lambda lab: (lab.repo / ".migrator").symlink_to(lab.directory) and None, 2,
        ".migrator is a symbolic link", ".migrator", then="remove the link"),
]  # fmt: skip


@pytest.mark.parametrize("row", [*CONFIGURATION, *CREDENTIALS, *REPOSITORY], ids=lambda row: row.name)
def test_bad_input_is_told_and_touches_nothing(lab, row):
    more = row.change(lab) or {}
    before = lab.world()
    done = lab.run(*row.command, **more)
    check_told(done, code=row.code, what=row.what, where=row.where, now=row.now, then=row.then)
    assert lab.world() == before
    assert lab.runs() == []


@pytest.mark.parametrize("command", ["verify", "status", "rollback", "finalize"])
def test_a_run_that_does_not_exist(lab, command):
    check_told(
        lab.run(command), code=2, what="there is no run yet", where=".migrator/runs; s3://", then="migrator plan"
    )
    check_told(
        lab.run(command, "2020"), code=2, what="no run is called '2020'", then="there is no run yet: migrator plan"
    )


def test_init_never_overwrites(lab):
    before = lab.world()
    check_told(lab.run("init"), code=4, what="exists already", where="migrator.toml", now="left as it is")
    assert lab.world() == before


# -- plans -------------------------------------------------------------------------------------------------------------


def damage(change):
    def apply(lab):
        path = lab.repo / ".migrator/plan.json"
        path.write_bytes(change(path.read_bytes()))

    return apply


PLANS = [
    Row("missing", lambda lab: (lab.repo / ".migrator/plan.json").unlink(), 2, "the plan cannot be read: No such file",
        ".migrator/plan.json", then="migrator plan"),
    Row("changed-byte", damage(lambda data: data.replace(b'"size": ', b'"size": 1', 1)), 3, "the plan was changed",
        ".migrator/plan.json", then="migrator plan"),
    Row("changed-digest", damage(lambda data: data.replace(b'"digest": "', b'"digest": "0', 1)), 3, "the plan was changed",
        then="migrator plan"),
    Row("added-key", damage(lambda data: data.replace(b"{", b'{"more": 1,', 1)), 3, "the plan was changed",
        then="migrator plan"),
    Row("not-json", damage(lambda data: data[:-9]), 2, "the plan is not JSON", ".migrator/plan.json",
        then="migrator plan"),
    Row("not-a-plan", damage(lambda data: b"[]"), 2, "not a plan", then="migrator plan"),
    Row("other-format", damage(lambda data: data.replace(b"migrator.plan/1", b"migrator.plan/9")), 2, "migrator.plan/9",
        then="migrator plan"),
    Row("wrong-type", damage(lambda data: data.replace(b'"states": [', b'"states": [7,')), 2, "cannot be read",
        then="migrator plan"),
    Row("empty", damage(lambda data: b""), 2, "the plan is not JSON"),
]  # fmt: skip


@pytest.mark.parametrize("row", PLANS, ids=lambda row: row.name)
def test_a_bad_plan_is_told_and_touches_nothing(lab, row):
    lab.plan()
    row.change(lab)
    before = lab.world()
    done = lab.run("migrate", "--yes")
    check_told(done, code=row.code, what=row.what, where=row.where, now="nothing", then=row.then)
    assert lab.world() == before
    assert lab.runs() == []


def test_a_plan_of_another_repository(lab, tmp_path):
    lab.plan()
    other = tmp_path / "other"
    (other / "stacks/alpha").mkdir(parents=True)
    (other / "main.tf").write_text("")
    make_repository(other)
    before = lab.world()
    done = lab.run("migrate", str(lab.repo / ".migrator/plan.json"), "--yes", "--repo", str(other))
    check_told(done, code=3, what="another repository", where="first commit", then="migrator plan")
    assert lab.world() == before
    assert not (other / ".migrator").exists()


def test_a_plan_with_a_blocker_is_never_carried_out(make_lab):
    lab = make_lab(bindings="", states={"who-knows": [document(1)]})
    assert lab.run("plan").code == 4
    before = lab.world()
    check_told(
        lab.run("migrate", "--yes"), code=4, what="1 blocker", where="unbound-state: who-knows", then="migrator plan"
    )
    assert lab.world() == before


def test_a_file_edited_between_plan_and_migrate(lab):
    lab.plan()
    with (lab.repo / "Justfile").open("a") as stream:
        stream.write("# one more line\n")
    before = lab.world()
    done = lab.run("migrate", "--yes")
    check_told(done, code=3, what="Justfile changed after the plan", where="Justfile", then="migrator plan")
    assert lab.world() == before
    assert lab.runs() == []


@pytest.mark.parametrize("path", ["stacks/alpha", "stacks", "Justfile"])
def test_a_link_put_in_place_between_plan_and_migrate(lab, path):
    lab.plan()
    outside = lab.directory / "outside"
    (lab.repo / path).rename(outside)
    (lab.repo / path).symlink_to(outside)
    read = {file: file.read_bytes() for file in [outside, *outside.rglob("*")] if file.is_file()}
    check_told(lab.run("migrate", "--yes"), code=4, what="symbolic link", where=path, now="nothing was touched")
    assert {file: file.read_bytes() for file in read} == read
    assert lab.runs() == []
    assert lab.objects() == {}


def test_a_file_removed_between_plan_and_migrate(lab):
    lab.plan()
    (lab.repo / "stacks/beta/backend.tf").unlink()
    check_told(lab.run("migrate", "--yes"), code=3, what="stacks/beta/backend.tf", then="migrator plan")


def test_a_state_that_advanced_between_plan_and_migrate(lab):
    lab.plan()
    write_at_source(lab, "beta-dev", document(2))
    before = lab.world()
    done = lab.run("migrate", "--yes")
    check_told(done, code=3, what="beta-dev is at serial 2", where="beta-dev", then="migrator plan")
    assert lab.world() == before
    assert lab.run("status", "--json").document["phase"] in {"planned", "refused"}
    assert lab.run("plan").code == 0
    assert lab.run("migrate", "--yes").code == 0


def write_at_source(lab, name, data):
    """Write to the source as a stale checkout would that holds no lock; the stand-in answers like GitLab."""
    url = f"{lab.url}/api/v4/projects/84/terraform/state/{name}"
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "--data-binary", "@-"]
    headers = ["-H", f"PRIVATE-TOKEN: {TOKEN}", "-H", "Content-Type: application/json"]
    done = subprocess.run([*command, *headers, url], input=data, capture_output=True, check=True)
    assert done.stdout == b"200"


# -- servers -----------------------------------------------------------------------------------------------------------


def test_an_unreachable_source(lab):
    lab.plan()
    lab.gitlab.stop()
    files, objects = lab.files(), lab.objects()
    for command in (["plan"], ["migrate", "--yes"]):
        done = lab.run(*command)
        check_told(
            done, code=6, what="no connection to http://127.0.0.1", where="GET /api/v4/projects/84", now="nothing"
        )
    assert (lab.files(), lab.objects()) == (files, objects)


def test_an_unreachable_target(lab):
    lab.write_settings((lab.server.endpoint, dead_address()))
    before = lab.world()
    for command in ("plan", "probe"):
        done = lab.run(command)
        check_told(done, code=6, what="no connection to http://127.0.0.1", where="PUT s3://", then="target.endpoint")
    assert lab.world() == before


@pytest.mark.parametrize("status", [200, 400, 403, 404, 409, 500])
@pytest.mark.parametrize(
    "body", [b"[" * 60_000, b"[" * 200_000, b"\xff\xfe\x00", b'{"message": "\\ud800"}', b"1" * 5000]
)
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_server_that_answers_what_nobody_can_read(lab, side, status, body):
    """Deeply nested, no text, half a character, a number of thousands of digits: told, and never a bug of ours."""
    upstream = lab.url if side == "source" else lab.server.endpoint
    answer = {"status": status, "headers": {"Content-Type": "application/json", "ETag": '"x"'}, "body": body}
    lab.migrate()
    with FaultProxy(upstream) as proxy:
        lab.write_settings((upstream, proxy.url))
        proxy.inject(Fault(Effect.ANSWER, times=10_000, **answer))
        done = lab.run("plan")
    assert done.code in (4, 6), done.err
    assert "this is a bug" not in done.err


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_proxy_that_answers_html(lab, side):
    page = Fault(
        Effect.ANSWER, times=1000, status=200, headers={"Content-Type": "text/html"}, body=b"<html>please log in</html>"
    )
    upstream = lab.url if side == "source" else lab.server.endpoint
    with FaultProxy(upstream) as proxy:
        proxy.inject(page)
        lab.write_settings((upstream, proxy.url))
        before = lab.world()
        done = lab.run("plan")
        assert done.code in {4, 6}, done.err
        check_told(done, code=6 if side == "source" else done.code)
        assert lab.world() == before


def test_credentials_that_lapse_between_plan_and_migrate(lab):
    lab.plan()
    before = lab.world()
    done = lab.run("migrate", "--yes", GITLAB_TOKEN="glpat-expired")
    check_told(done, code=6, what="401", where="/api/", now="nothing", then="token_env")
    assert lab.world() == before
    assert lab.run("migrate", "--yes").code == 0


# -- states that stand in the way --------------------------------------------------------------------------------------

LOCKED = {"project": 84, "name": "alpha-dev", "versions": [{"text": document(1).decode()}], "locked_by": "somebody"}
LOST = {"project": 84, "name": "alpha-dev", "versions": [{"text": document(1).decode()}], "missing_file": True}
TFLOCK = {"ID": "their-lock", "Operation": "OperationTypeApply", "Info": "", "Who": "eve@laptop", "Version": "1.12.6",
          "Created": "2026-01-02T03:04:05Z", "Path": "x"}  # fmt: skip


def check_blocked(lab, code, where):
    before = lab.world()
    done = lab.run("plan", "--json")
    assert done.code == 4
    assert [(one["code"], where in one["where"]) for one in done.document["blockers"]] == [(code, True)]
    check_told(lab.run("plan"), code=4, what="one blocker stands", where=f"{code}: ")
    check_told(lab.run("migrate", "--yes"), code=4, what="1 blocker", where=code, now="nothing was touched")
    assert lab.world() == before
    assert lab.runs() == []


def test_an_unbound_state(make_lab):
    states = {"alpha-dev": [document(1)], "beta-dev": [document(1)], "who-knows": [document(1)]}
    check_blocked(make_lab(states=states), "unbound-state", "who-knows")


def test_a_doubly_bound_state(make_lab):
    lab = make_lab(bindings="", states={"shared-dev": [document(1)]})
    for name in ("alpha", "beta"):
        (lab.repo / f"stacks/{name}/backend.tf").write_text(
            'terraform {\n  backend "http" {\n    address = '
            f'"{lab.url}/api/v4/projects/84/terraform/state/shared-dev"\n  }}\n}}\n'
        )
    done = lab.run("plan", "--json")
    assert done.code == 4
    assert [(one["code"], one["where"]) for one in done.document["blockers"]] == [("doubly-bound-state", "shared-dev")]


def test_two_states_for_one_stack_and_environment(make_lab):
    bindings = "".join(
        f'\n[[state]]\nname = "{name}"\nstack = "alpha"\nenvironment = "dev"\n' for name in ("alpha-dev", "beta-dev")
    )
    check_blocked(make_lab(bindings=bindings), "two-states-for-one-stack", "alpha-dev, beta-dev")


def test_a_lock_held_at_the_source(make_lab):
    lab = make_lab(states={"beta-dev": [document(1)]}, rows=[LOCKED])
    check_blocked(lab, "held-lock", "alpha-dev")
    assert lab.lock_at_source("alpha-dev") is not None


def test_a_lock_held_at_the_target(lab):
    lab.put("acme/infra/alpha-dev/terraform.tfstate.tflock", json.dumps(TFLOCK).encode())
    check_blocked(lab, "held-lock", "alpha-dev, key acme/infra/alpha-dev/terraform.tfstate")
    assert "eve@laptop" in lab.run("plan").out


def test_a_lock_taken_between_plan_and_migrate(lab):
    lab.plan()
    lab.put("acme/infra/beta-dev/terraform.tfstate.tflock", json.dumps(TFLOCK).encode())
    before = lab.world()
    done = lab.run("migrate", "--yes")
    check_told(done, code=4, what="eve@laptop", where="beta-dev", now="nothing")
    assert lab.world() == before


def test_an_occupied_key(lab):
    lab.put("acme/infra/beta-dev/terraform.tfstate", document(7, "l-other"))
    check_blocked(lab, "occupied-key", "beta-dev")


def test_a_key_occupied_between_plan_and_migrate(lab):
    lab.plan()
    key = "acme/infra/beta-dev/terraform.tfstate"
    lab.put(key, document(7, "l-other"))
    before = lab.world()
    done = lab.run("migrate", "--yes")
    assert done.code in {4, 5}, done.err
    check_told(done, code=done.code, where="beta-dev")
    assert lab.objects()[key] == document(7, "l-other")
    if done.code == 5:
        assert lab.run("rollback", "--yes").code == 0
    assert lab.world() == before


def test_an_object_with_exactly_our_bytes_is_adopted_and_never_removed(lab):
    key = "acme/infra/beta-dev/terraform.tfstate"
    lab.put(key, document(1))
    before = lab.world()
    assert "already there, identical" in lab.plan().out
    assert lab.run("migrate", "--yes").code == 0
    assert lab.run("rollback", "--yes").code == 0
    assert lab.world() == before


def test_204_where_a_version_is_listed(make_lab):
    check_blocked(make_lab(states={"beta-dev": [document(1)]}, rows=[LOST]), "missing-document", "alpha-dev")


def test_a_document_that_is_none(make_lab):
    states = {"beta-dev": [document(1)], "alpha-dev": [b'{"serial": 1, "lineage": "l-1"}']}
    done = make_lab(states=states).run("plan", "--json")
    assert done.code == 4
    assert done.document["blockers"][0]["where"] == "alpha-dev"


def test_a_token_that_may_not_lock(lab):
    before = lab.world()
    lab.plan()
    done = lab.run("migrate", "--yes", GITLAB_TOKEN=DEVELOPER_TOKEN)
    assert done.code == 6
    assert "nothing was locked and nothing was written" in done.told["now"]
    assert lab.world() == before
    assert lab.run("migrate", "--yes").code == 0
