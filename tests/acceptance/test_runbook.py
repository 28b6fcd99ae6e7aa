"""The runbook and the quick start, followed to the letter: what is typed here is read from the documents.

Capitals in their command lines stand for values; ``fill`` puts those of the lab there.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.support.estate_lab import STATES, Finished, Lab
from tests.support.programs import OUR_CODE, require_program
from tests.support.s3_servers import S3Server
from tests.test_docs import FENCE, read_sections

RUNBOOK = "docs/runbook.md"
TARGET_KEY = "acme/infra/attic-dev/terraform.tfstate"


class Shell:
    """A terminal in the lab's work tree: `migrator`, `tofu` and `just` are on PATH, credentials are set, questions are answered."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.bin = lab.directory / "bin"
        self.bin.mkdir()
        settings = " ".join(f'{name}="{value}"' for name, value in OUR_CODE.items())
        self._add("migrator", f'exec env {settings} "{sys.executable}" -m migrator "$@"')
        self._add("tofu", f'exec "{lab.client}" "$@"')
        self._add("just", f'exec "{require_program("just")}" "$@"')

    def _add(self, name: str, line: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def type(self, text: str, *, expect: int = 0, directory: Path | None = None) -> Finished:
        variables = {
            "PATH": f"{self.bin}{os.pathsep}{self.lab.environment()['PATH']}",
            "MIGRATOR_YES": "1",
            "GIT_EDITOR": "sed -i 1iCut-over",
            **{
                f"GIT_{who}_{what}": "operator@example.com"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        command = ["bash", "-euo", "pipefail", "-c", text]
        return self.lab.run(command, credentials="both", directory=directory, expect=expect, variables=variables)


def find_blocks(section: str) -> list[str]:
    """The shell blocks of a section, without the indentation of the list that they stand in."""
    found = [match for match in FENCE.finditer(section) if match["language"] == "sh"]
    return [re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE) for match in found]


def find_block(section: str, part: str) -> str:
    (block,) = [block for block in find_blocks(section) if part in block]
    return block


def fill(text: str, **values: str) -> str:
    for name, value in values.items():
        text = re.sub(rf"\b{name}\b", lambda _, value=value: value, text)
    return text


def section(title: str) -> str:
    return read_sections(RUNBOOK)[title]


@pytest.fixture
def shell(minio: S3Server, make_lab: Callable[..., Lab]) -> Shell:
    return Shell(make_lab(minio))


@pytest.fixture
def migrated(minio: S3Server, make_lab: Callable[..., Lab]) -> Shell:
    """After a migration whose files were committed; its proof is shown elsewhere."""
    shell = Shell(make_lab(minio, settings=lambda text: text + '\n[proof]\nplan = "off"\n'))
    shell.type("migrator plan >&2 && migrator migrate && git commit --all --quiet")
    return shell


def locks_at_target(lab: Lab) -> list[str]:
    return [key for key in lab.objects() if key.endswith(".tflock")]


def apply_at_target(shell: Shell) -> None:
    extra = shell.lab.repository / "stacks/attic/incident.tf"
    extra.write_text('resource "terraform_data" "incident" {\n  input = "made at the target"\n}\n')
    shell.type("just tofu-init attic && tofu -chdir=stacks/attic apply -auto-approve")
    extra.unlink()


def check_rolled_back(lab: Lab) -> None:
    assert lab.gitlab.locked() == []
    assert lab.objects() == {}
    assert lab.changed_files() == set()


def test_staged_migration(shell: Shell) -> None:
    lab = shell.lab
    steps = re.findall(r"^\| \d \| `(migrator [^`]+)` \|", section("Staged migration"), re.MULTILINE)
    assert len(steps) == 6
    assert "Blockers" not in shell.type(steps[0]).out
    assert lab.gitlab.locked() == []

    shell.type(steps[1])
    assert lab.gitlab.locked() == sorted(STATES)
    assert len(locks_at_target(lab)) == len(STATES)
    assert all(lab.objects()[lab.key(state)] == lab.gitlab.document(state) for state in STATES)
    shell.type(steps[2])
    assert lab.changed_files() == set()

    shell.type(steps[3])
    assert "stacks/attic/backend.tf" in lab.changed_files()
    assert len(locks_at_target(lab)) == len(STATES)
    shell.type(steps[4])
    assert locks_at_target(lab) == []
    assert lab.gitlab.locked() == sorted(STATES)
    shell.type(steps[5])


def test_a_file_edited_between_two_stages(shell: Shell) -> None:
    shell.type("migrator plan >&2 && migrator migrate --until checked")
    justfile = shell.lab.repository / "Justfile"
    before = justfile.read_text()
    justfile.write_text(before + "# edited\n")
    shell.type("migrator migrate --until cut-over", expect=3)
    assert shell.lab.gitlab.locked() == sorted(STATES)
    justfile.write_text(before)
    shell.type("migrator migrate && migrator verify")


def test_incident_rollback(migrated: Shell) -> None:
    lab = migrated.lab
    apply_at_target(migrated)
    status, rollback, check = find_blocks(section("Incident rollback"))
    shown = json.loads(migrated.type(f"{status.strip()} --json").out)
    assert {state["authority"] for state in shown["states"]} == {"target"}
    done = migrated.type(rollback)
    (carried,) = re.findall(r"carried back: attic-dev, serial \d+ -> \d+", done.out)
    assert carried in section("Incident rollback")
    check_rolled_back(lab)
    # The change is in the state and not in the code: taking it away is all that a plan finds.
    assert "0 to add, 0 to change, 1 to destroy" in migrated.type(check).out
    migrated.type("git commit --all --quiet")


def test_rollback_after_a_committed_edit(migrated: Shell) -> None:
    cut = migrated.lab.git("rev-parse", "HEAD").strip()
    justfile = migrated.lab.repository / "Justfile"
    justfile.write_text(justfile.read_text() + "# edited\n")
    migrated.type("git commit --all --quiet")
    assert "Justfile was edited" in migrated.type("migrator rollback", expect=4).err
    block = find_block(section("Rollback is blocked"), "git apply")
    migrated.type(fill(block, CUT=cut, FILE="Justfile"))
    assert migrated.lab.gitlab.locked() == []
    assert migrated.lab.changed_files() == {"Justfile"}
    assert justfile.read_bytes() == migrated.lab.files["Justfile"][0] + b"# edited\n"


def test_rollback_after_an_edit_that_was_not_committed(migrated: Shell) -> None:
    justfile = migrated.lab.repository / "Justfile"
    justfile.write_text(justfile.read_text() + "# edited\n")
    keep, restore = re.findall(r"`((?:cp|git checkout --) [^`]*FILE[^`]*)`", section("Rollback is blocked"))
    migrated.type("migrator rollback", expect=4)
    migrated.type(fill(f"{keep}\n{restore}\nmigrator rollback\nrm FILE.mine", FILE="Justfile"))
    check_rolled_back(migrated.lab)


def find_blob(migrated: Shell, state: str) -> tuple[str, str]:
    """The run and the digest of a captured document, found as the runbook says."""
    run = json.loads(migrated.type("migrator status --json").out)["run"]
    lines = find_block(section("Rollback is blocked"), "python3").splitlines()
    digest = migrated.type(fill("\n".join(lines[:2]), RUN=run, STATE=state)).out.strip()
    assert lines[2].startswith("aws ")
    return run, digest


def test_rollback_after_the_state_was_deleted_at_the_target(migrated: Shell) -> None:
    lab = migrated.lab
    lab.s3.delete_object(Bucket=lab.bucket, Key=TARGET_KEY)
    refused = migrated.type("migrator rollback", expect=4)
    assert "no longer holds the state" in refused.err
    assert TARGET_KEY in refused.err
    run, digest = find_blob(migrated, "attic-dev")
    blob = lab.repository / ".migrator/runs" / run / "blobs" / digest
    lab.s3.put_object(Bucket=lab.bucket, Key=TARGET_KEY, Body=blob.read_bytes())
    migrated.type("migrator rollback")
    check_rolled_back(lab)


def test_rollback_over_a_state_that_somebody_pushed(migrated: Shell) -> None:
    lab = migrated.lab
    migrated.type("just tofu-init attic")
    lab.s3.put_object(Bucket=lab.bucket, Key=TARGET_KEY, Body=lab.gitlab.document("attic-prod"))
    assert "is unrelated to" in migrated.type("migrator rollback", expect=4).err
    run, digest = find_blob(migrated, "attic-dev")
    push, rollback = find_block(section("Rollback is blocked"), "state push").splitlines()
    push = push.replace("tofu ", "tofu -chdir=stacks/attic ").replace(".migrator", "../../.migrator")
    migrated.type(fill(f"{push}\n{rollback}", RUN=run, SHA256=digest))
    check_rolled_back(lab)
    lineage = json.loads(lab.states["attic-dev"][-1])["lineage"]
    assert json.loads(lab.gitlab.document("attic-dev"))["lineage"] == lineage


def test_both_sides_moved(migrated: Shell) -> None:
    lab = migrated.lab
    state = json.loads(lab.gitlab.document("attic-dev"))
    state["serial"] += 1
    address = "/api/v4/projects/84/terraform/state/attic-dev"
    send(lab, "DELETE", f"{address}/lock")
    send(lab, "POST", address, json.dumps(state).encode())
    assert "changed past the seal: both sides have moved" in migrated.type("migrator verify", expect=3).out
    assert "'both sides moved'" in migrated.type("migrator rollback", expect=4).err

    block = find_block(section("Both sides moved"), "curl")
    (path,) = re.findall(r'curl -X DELETE .*"\$URL(/[^"]+)"', block)
    send(lab, "DELETE", fill(path, ID="84", STATE="attic-dev", SERIAL=str(state["serial"])))
    failing = [line for line in migrated.type("migrator verify", expect=3).out.splitlines() if "FAILS" in line]
    assert len(failing) == 1
    assert "open: the seal was lifted" in failing[0]
    migrated.type("migrator rollback")
    check_rolled_back(lab)
    (lab.directory / "source.tfstate").write_text(json.dumps(state))
    migrated.type(f"just tofu-init attic && tofu -chdir=stacks/attic state push {lab.directory}/source.tfstate")
    assert lab.gitlab.serials()["attic-dev"] > state["serial"] - 1


def send(lab: Lab, method: str, path: str, body: bytes | None = None) -> None:
    headers = {"PRIVATE-TOKEN": lab.gitlab.token, "Content-Type": "application/json"}
    request = Request(lab.gitlab.url + path, body, headers, method=method)
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        assert answer.status < 300


def test_another_machine(migrated: Shell) -> None:
    lab = migrated.lab
    block = fill(find_block(section("Another machine"), "git clone"), REPOSITORY=str(lab.repository))
    other = lab.directory / "elsewhere"
    other.mkdir()
    assert "fetching" in migrated.type(block, directory=other).out
    assert lab.gitlab.locked() == []
    assert lab.objects() == {}


def test_finalize(migrated: Shell) -> None:
    migrated.type(fill(find_block(section("Finalize"), "finalize"), BUCKET=migrated.lab.bucket))
    assert "given up" in migrated.type("migrator rollback", expect=4).err
    assert migrated.lab.gitlab.locked() == sorted(STATES)


def find_quick_start() -> Iterator[str]:
    """The shell lines of the quick start, block by block, but for those that name the operator's directory and secrets."""
    for title, text in read_sections("docs/quick-start.md").items():
        assert "```sh" in text, title
        for block in find_blocks(text):
            yield "\n".join(line for line in block.splitlines() if not line.startswith(("export ", "cd ")))


def test_quick_start(shell: Shell) -> None:
    lab = shell.lab
    path = lab.repository / "migrator.toml"
    settings = path.read_bytes()
    for block in find_quick_start():
        if "migrator init" not in block:
            shell.type(block)
            continue
        first, _, rest = block.partition("\n")
        path.unlink()
        shell.type(first)
        assert b'format = "migrator.config/1"' in path.read_bytes()
        path.write_bytes(settings)  # filled in, for the lab's own GitLab and store
        shell.type(rest)
    assert lab.gitlab.locked() == sorted(STATES)
    assert locks_at_target(lab) == []
    assert lab.git("status", "--porcelain") == ""
