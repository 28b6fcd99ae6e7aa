"""What moto does not check, on a real S3 server: a secret that is wrong, a state of 50 MB and the memory that it takes."""

import json
import subprocess
import sys

import pytest

from tests.cli.lab import STATES, document
from tests.cli.test_bad_input import check_told
from tests.support.programs import OUR_CODE, require_program
from tests.support.s3_servers import start_minio

pytestmark = pytest.mark.acceptance
MEGABYTE = 1_000_000


@pytest.fixture(scope="session")
def minio(tmp_path_factory):
    server = start_minio(require_program("minio"), tmp_path_factory.mktemp("minio") / "disk")
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("name", "advice"),
    [("AWS_ACCESS_KEY_ID", "target.access_key_env"), ("AWS_SECRET_ACCESS_KEY", "check the secret key")],
)
def test_wrong_keys_of_the_target_are_told_and_never_shown(make_lab, minio, name, advice):
    lab = make_lab(minio)
    before = lab.world()
    for command in ("plan", "probe"):
        done = lab.run(command, **{name: "wrong-and-not-to-be-shown"})
        check_told(done, code=6, where="PUT s3://", now="nothing", then=advice)
        assert "wrong-and-not-to-be-shown" not in done.err
    assert lab.world() == before


def test_keys_that_lapse_between_plan_and_migrate(make_lab, minio):
    lab = make_lab(minio)
    lab.plan()
    before = lab.world()
    done = lab.run("migrate", "--yes", AWS_SECRET_ACCESS_KEY="lapsed")
    check_told(done, code=6, where="s3://", now="nothing")
    assert lab.world() == before
    assert lab.run("migrate", "--yes").code == 0


def test_there_and_back_on_a_real_server(make_lab, minio):
    lab = make_lab(minio)
    before = lab.world()
    lab.migrate()
    assert set(lab.objects()) == {f"acme/infra/{name}/terraform.tfstate" for name in STATES}
    assert lab.run("verify").code == 0
    assert lab.run("rollback", "--yes").code == 0
    assert lab.world() == before


# Runs the program and says on stderr how much memory it had at most, in KiB; the baseline imports what it imports. VmHWM and
# not getrusage: that counts what the parent had when it forked.
MEASURE = r"""
import re, sys
from pathlib import Path
from migrator.cli.app import run
import migrator.cli.wiring, migrator.rewrite.locate_hcl, migrator.rewrite.locate_markdown, migrator.rewrite.locate_yaml
code = run(sys.argv[1:]) if sys.argv[1:] else 0
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]
sys.stderr.write(f"\npeak {peak}\n")
sys.exit(code)
"""


def measure(lab, *arguments):
    """The peak memory of one command, in bytes."""
    environment = {**lab.environment, **OUR_CODE}
    command = [sys.executable, "-c", MEASURE, *arguments]
    done = subprocess.run(command, cwd=lab.repo, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.rsplit("peak ", 1)[1]) * 1024


def test_a_state_of_50_mb_takes_at_most_four_times_its_size(make_lab, minio, record_property):
    big = document(1, outputs={"pad": {"value": "x" * 50 * MEGABYTE, "type": "string"}})
    lab = make_lab(minio, states={"alpha-dev": [big], "beta-dev": [document(1)]})
    base = measure(lab)
    figures = {"base": base}
    for command in (["plan"], ["migrate", "--yes"], ["verify"], ["rollback", "--yes"]):
        figures[command[0]] = measure(lab, *command) - base
        if command[0] == "migrate":
            assert lab.objects()["acme/infra/alpha-dev/terraform.tfstate"] == big
    times = {name: round(figure / len(big), 2) for name, figure in figures.items()}
    record_property("memory", json.dumps(times))
    print(
        f"\nbase {base / MEGABYTE:.0f} MB; times the state of {len(big) / MEGABYTE:.0f} MB: {times}",
        file=sys.__stderr__,
    )
    assert all(figure <= 4 * len(big) for name, figure in figures.items() if name != "base"), times
    assert lab.objects() == {}
    assert lab.truth("alpha-dev").content == big
