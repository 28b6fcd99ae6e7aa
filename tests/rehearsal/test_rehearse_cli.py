"""``migrator rehearse`` as an operator runs it: on a repository that is not the sample, whole, broken, and interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from tests.rehearsal.repositories import Runner, build_environment, commit, git, read_everything, write_stack

EVERY_PROOF = [
    "inventory", "plan", "migrate", "proof-by-plan", "references", "verify", "stale-checkout", "target-lock", "change",
    "rollback", "files-restored", "states-restored", "target-emptied", "plan-at-source",
]  # fmt: skip
BY_TOFU = {"proof-by-plan", "stale-checkout", "target-lock", "plan-at-source"}


def outcomes(document: dict) -> dict[str, str]:
    return {proof["name"]: proof["outcome"] for proof in document["proofs"]}


@pytest.mark.acceptance
def test_a_repository_without_configuration_is_rehearsed_by_applying_its_stacks(
    repository: Path, migrator: Runner, tmp_path: Path
) -> None:
    before, status = read_everything(repository), git(repository, "status", "--porcelain")
    done = migrator("--repo", repository, "rehearse", "--json", "--junit", tmp_path / "junit.xml")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["format"] == "migrator.rehearsal/1"
    assert document["ok"] is True
    assert document["states"] == 2
    assert outcomes(document) == dict.fromkeys(EVERY_PROOF, "made")
    assert "dns-dev" in done.stderr
    # The original: bytes, modes, modification times and git's own files, all as before.
    assert read_everything(repository) == before
    assert git(repository, "status", "--porcelain") == status
    assert list((tmp_path / "tmp").iterdir()) == []
    cases = ElementTree.parse(tmp_path / "junit.xml").getroot().findall("testsuite/testcase")
    assert [case.get("name") for case in cases] == EVERY_PROOF
    assert not [case for case in cases if case.find("failure") is not None or case.find("skipped") is not None]


def test_without_tofu_recorded_states_tell_the_story_and_what_was_left_out(
    repository: Path, migrator: Runner, without_tofu: str, fixtures: Path, tmp_path: Path
) -> None:
    before = read_everything(repository)
    done = migrator("--repo", repository, "rehearse", "--fixtures", fixtures, PATH=without_tofu, TOFU="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ change" in done.stdout
    assert "serial 4 to 5 at the target, written as OpenTofu would" in done.stdout
    for name in BY_TOFU:
        assert f"– {name}" in done.stdout
    assert "10 proofs made, 4 left out, 0 failed" in done.stdout
    assert "left out: no tofu and no terraform was found" in done.stdout
    assert "\x1b[" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100 + len(str(repository))
    assert read_everything(repository) == before


def test_without_tofu_and_without_states_nothing_begins(
    repository: Path, migrator: Runner, without_tofu: str, tmp_path: Path
) -> None:
    done = migrator("--repo", repository, "rehearse", PATH=without_tofu, TOFU="")
    assert done.returncode == 2
    assert "there are no states to rehearse with" in done.stderr
    assert "--fixtures DIR" in done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_outside_of_git_and_with_an_own_configuration(
    migrator: Runner, without_tofu: str, fixtures: Path, tmp_path: Path
) -> None:
    root = tmp_path / "plain"
    write_stack(root, "network")
    write_stack(root, "dns")
    (root / "migrator.toml").write_text(
        'format = "migrator.config/1"\n[source]\nurl = "https://gitlab.example.com"\nproject = "acme/net"\n'
        'token_env = "ACME_TOKEN"\nusername = "somebody"\n[target]\nendpoint = "https://s3.example.com"\n'
        'bucket = "acme-states"\nkey = "{project_path}/{stack}/{environment}.tfstate"\nprofile = "acme"\n'
        'access_key_env = "ACME_ACCESS"\nsecret_key_env = "ACME_SECRET"\n'
        + "".join(
            f'[[state]]\nname = "{name}-dev"\nstack = "{name}"\nenvironment = "dev"\n' for name in ("network", "dns")
        )
        + '[[state]]\nname = "network-prod"\nstack = "network"\nenvironment = "prod"\n'
    )
    kept = tmp_path / "kept"
    before = read_everything(root)
    done = migrator("--repo", root, "rehearse", "--fixtures", fixtures, "--keep", kept, PATH=without_tofu, TOFU="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_everything(root) == before
    assert kept.stat().st_mode & 0o777 == 0o700
    assert "holds state documents" in " ".join(done.stdout.split())
    plan = json.loads((kept / "plain" / ".migrator" / "plan.json").read_text())
    assert {state["key"] for state in plan["states"]} == {"acme/net/network/dev.tfstate", "acme/net/dns/dev.tfstate"}
    assert plan["target"]["bucket"] == "acme-states"
    assert plan["target"]["endpoint"].startswith("http://127.0.0.1:")
    assert plan["source"]["url"].startswith("http://127.0.0.1:")
    assert plan["source"]["token_env"] == "ACME_TOKEN"
    again = migrator("--repo", root, "rehearse", "--fixtures", fixtures, "--keep", kept, PATH=without_tofu, TOFU="")
    assert again.returncode == 2
    assert "must be absent or empty" in again.stderr


def test_a_plan_that_is_refused_fails_the_rehearsal_with_its_reason(
    repository: Path, migrator: Runner, without_tofu: str, fixtures: Path
) -> None:
    (fixtures / "network-dev").rename(fixtures / "somebody-elses")
    done = migrator("--repo", repository, "rehearse", "--fixtures", fixtures, "--json", PATH=without_tofu, TOFU="")
    assert done.returncode == 3
    found = outcomes(json.loads(done.stdout))
    assert found["plan"] == "failed"
    assert found["migrate"] == found["rollback"] == found["change"] == "left-out"
    assert found["files-restored"] == found["states-restored"] == found["target-emptied"] == "made"
    assert "unbound-state: somebody-elses" in done.stderr


def test_a_file_that_cannot_be_rewritten_fails_the_rehearsal_and_names_the_line(
    migrator: Runner, without_tofu: str, fixtures: Path, tmp_path: Path
) -> None:
    root = tmp_path / "broken"
    write_stack(root, "network")
    write_stack(root, "dns")
    (root / "infra" / "dns" / "broken.tf").write_text('terraform {\n  backend "http" {\n')
    commit(root)
    before = read_everything(root)
    done = migrator("--repo", root, "rehearse", "--fixtures", fixtures, PATH=without_tofu, TOFU="")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "infra/dns/broken.tf" in done.stdout
    assert "do not migrate yet" in done.stdout
    assert read_everything(root) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from-source", "--fixtures", "."], "exclude each other"),
        (["--fixtures", "absent"], "no directory of recorded states"),
        (["--fixtures", "."], "there is no recorded state"),
        (["--from-source"], "migrator.toml"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    repository: Path, migrator: Runner, tmp_path: Path, arguments: list[str], says: str
) -> None:
    before = read_everything(repository)
    done = migrator("--repo", repository, "rehearse", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert read_everything(repository) == before
    assert list((tmp_path / "tmp").iterdir()) == []


def test_fixtures_that_are_no_state_are_named(repository: Path, migrator: Runner, fixtures: Path) -> None:
    (fixtures / "dns-dev" / "5.tfstate").write_text("<html>a page</html>")
    done = migrator("--repo", repository, "rehearse", "--fixtures", fixtures)
    assert done.returncode == 2
    assert "5.tfstate" in done.stderr


def test_the_real_source_is_read_and_not_touched(
    repository: Path, migrator: Runner, without_tofu: str, tmp_path: Path
) -> None:
    from migrator.standin import Standin, parse_configuration

    def state(name: str, serial: int) -> dict:
        text = f'{{"version": 4, "serial": {serial}, "lineage": "real-{name}", "resources": []}}'
        return {"project": 7, "name": name, "versions": [{"text": text}]}

    configuration = parse_configuration(
        {
            "format": "gitlab-standin/1",
            "projects": [{"id": 7, "path": "acme/real"}],
            "tokens": [
                {"value": "glpat-real", "kind": "pat", "user": "m", "scopes": ["api"], "roles": {"7": "maintainer"}}
            ],
            "states": [
                state("network-dev", 40),
                {**state("dns-dev", 2), "locked_by": {"user": "colleague", "id": "someone"}},
            ],
        }
    )
    kept = tmp_path / "kept"
    with Standin(configuration) as real:
        (repository / "migrator.toml").write_text(
            f'format = "migrator.config/1"\n[source]\nurl = "{real.base_url}"\nproject = 7\n'
            '[target]\nendpoint = "https://s3.example.com"\nbucket = "states"\n'
        )
        truth = real.truth()
        done = migrator(
            "--repo", repository, "rehearse", "--from-source", "--keep", kept,
            PATH=without_tofu, TOFU="", GITLAB_TOKEN="glpat-real",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert real.truth() == truth
        writes = [one for one in real.exchanges() if one.method not in ("GET", "HEAD") and "graphql" not in one.path]
        assert writes == []
    assert "the lock of dns-dev, held by colleague" in done.stdout
    plan = json.loads(next(kept.glob("*/.migrator/plan.json")).read_text())
    assert {(one["name"], one["serial"], one["lineage"]) for one in plan["states"]} == {
        ("network-dev", 40, "real-network-dev"),
        ("dns-dev", 2, "real-dns-dev"),
    }
    assert plan["source"]["project_path"] == "acme/real"
    assert "glpat-real" not in "".join(
        path.read_text(errors="replace") for path in kept.rglob("*") if path.is_file() and ".git" not in path.parts
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_leaves_no_server_and_no_directory(
    repository: Path, fixtures: Path, without_tofu: str, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "tmp").mkdir()
    environment = build_environment(tmp_path) | {"PATH": without_tofu, "TOFU": ""}
    command = [sys.executable, "-m", "migrator", "--repo", str(repository), "rehearse", "--fixtures", str(fixtures)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        servers = wait_for_servers(process.pid)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert [server for server in servers if server.is_running() and server.status() != psutil.STATUS_ZOMBIE] == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_rehearsal_that_is_killed_leaves_no_server(
    repository: Path, fixtures: Path, without_tofu: str, tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir()
    environment = build_environment(tmp_path) | {"PATH": without_tofu, "TOFU": ""}
    command = [sys.executable, "-m", "migrator", "--repo", str(repository), "rehearse", "--fixtures", str(fixtures)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        servers = wait_for_servers(process.pid)
        os.kill(process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(servers, timeout=20)
    assert alive == []


def wait_for_servers(parent: int) -> list[psutil.Process]:
    """The two server processes, once both listen."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        children = psutil.Process(parent).children()
        servers = [child for child in children if "migrator.rehearsal.server" in child.cmdline()]
        if len(servers) == 2 and all(server.net_connections() for server in servers):
            return servers
        time.sleep(0.05)
    pytest.fail("the servers did not start")
