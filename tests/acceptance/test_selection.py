"""``--stack``: what shares a line cuts over together; what shares nothing can go alone."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.estate_lab import Lab
from tests.support.s3_servers import S3Server

PAIR = ("dns", "network")


def test_a_stack_that_shares_lines_is_refused_and_the_lines_are_named(
    moto: S3Server, make_lab: Callable[..., Lab]
) -> None:
    lab = make_lab(moto)
    refused = lab.migrator("plan", "--stack", "attic", expect=4)
    assert "shared-reference" in refused.text
    for name in ("arc-runners", "gitlab-runners", "runner-dashboard"):
        assert f"--stack {name}" in refused.text
    document = lab.migrator("plan", "--stack", "attic", "--json", expect=4).document()
    (shared,) = [one for one in document["blockers"] if one["code"] == "shared-reference"]
    named = dict(place.split(":") for place in shared["where"].split(", "))
    assert {"Justfile", ".gitlab/ci/templates/tofu-base.yml", ".env.example"} <= named.keys()
    # Each place is a range of lines that has something to say about the state.
    for path, lines in named.items():
        first, _, last = lines.partition("-")
        text = (lab.repository / path).read_text().splitlines()[int(first) - 1 : int(last or first)]
        assert re.search(r"TF_HTTP|GitLab|state|token", "\n".join(text)), (path, text)
    lab.migrator("migrate", "--yes", expect=4)
    lab.check_untouched()
    all_of_them = [
        flag for name in ("arc-runners", "attic", "gitlab-runners", "runner-dashboard") for flag in ("--stack", name)
    ]
    lab.migrator("plan", *all_of_them)


def test_an_unknown_stack_is_refused(moto: S3Server, make_lab: Callable[..., Lab]) -> None:
    refused = make_lab(moto).migrator("plan", "--stack", "atic", expect=4)
    assert "attic" in refused.text


# --- two stacks that share nothing ------------------------------------------------------------------------------------


def build_document(stack: str, serial: int) -> bytes:
    outputs = {"name": {"value": stack, "type": "string"}}
    lineage = f"00000000-0000-4000-8000-{len(stack):012d}"
    head = {"version": 4, "terraform_version": "1.12.6", "serial": serial, "lineage": lineage}
    return json.dumps({**head, "outputs": outputs, "resources": [], "check_results": None}).encode() + b"\n"


JUSTFILE = """\
# Recipes of this stack

tofu_bin := env_var_or_default("TOFU", "tofu")

# Initialize
init:
    {{{{tofu_bin}}}} init -reconfigure \\
      -backend-config="address=https://gitlab.example.com/api/v4/projects/84/terraform/state/{stack}-prod" \\
      -backend-config="lock_address=https://gitlab.example.com/api/v4/projects/84/terraform/state/{stack}-prod/lock" \\
      -backend-config="unlock_address=https://gitlab.example.com/api/v4/projects/84/terraform/state/{stack}-prod/lock" \\
      -backend-config="lock_method=POST" \\
      -backend-config="unlock_method=DELETE" \\
      -backend-config="username=tofu" \\
      -backend-config="password=${{TF_HTTP_PASSWORD}}"
"""


def build_pair(destination: Path) -> None:
    """A repository of two stacks, each with everything of its own."""
    for stack in PAIR:
        directory = destination / "stacks" / stack
        directory.mkdir(parents=True)
        (directory / "backend.tf").write_text('terraform {\n  backend "http" {}\n}\n')
        (directory / "main.tf").write_text(f'output "name" {{\n  value = "{stack}"\n}}\n')
        (directory / "Justfile").write_text(JUSTFILE.format(stack=stack))
    (destination / ".gitignore").write_text(".terraform/\n")
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        [*who, "commit", "--quiet", "-m", "Two stacks"],
    ):
        subprocess.run(["git", *command], cwd=destination, check=True)


def bind_pair(text: str) -> str:
    tables = (f'[[state]]\nname = "{stack}-prod"\nstack = "{stack}"\nenvironment = "prod"\n' for stack in PAIR)
    return text.partition("[[state]]")[0] + "\n".join(tables)


def test_one_of_two_independent_stacks_moves_and_the_other_stays(minio: S3Server, make_lab: Callable[..., Lab]) -> None:
    states = {f"{stack}-prod": [build_document(stack, 3)] for stack in PAIR}
    lab = make_lab(minio, build=build_pair, settings=bind_pair, states=states)
    for stack in PAIR:
        path = lab.repository / "stacks" / stack / "Justfile"
        path.write_text(path.read_text().replace("https://gitlab.example.com", lab.gitlab.url))
    lab.commit("stacks")
    lab.files = lab.snapshot()

    lab.migrator("plan", "--stack", "network")
    lab.migrator("migrate", "--yes")
    assert lab.documents() == {"network-prod": lab.newest()["network-prod"]}
    assert lab.gitlab.locked() == ["network-prod"]
    assert lab.changed_files() == {"stacks/network/backend.tf", "stacks/network/Justfile"}
    lab.migrator("verify")
    left = lab.migrator("inventory", "--check", expect=3)
    assert "stacks/dns/" in left.text
    check_pair(lab, moved=["network"])

    # What moved before stays out of it: its source is sealed by the first run.
    lab.migrator("plan", "--stack", "dns")
    lab.migrator("migrate", "--yes")
    lab.check_migrated()
    lab.migrator("inventory", "--check")
    check_pair(lab, moved=["network", "dns"])

    first, second = (run.name for run in lab.run_directories())
    lab.migrator("rollback", "--yes", first)
    assert lab.gitlab.locked() == ["dns-prod"]
    check_pair(lab, moved=["dns"])
    lab.migrator("rollback", "--yes", second)
    lab.check_untouched()


def check_pair(lab: Lab, *, moved: list[str]) -> None:
    for stack in PAIR:
        directory = lab.repository / "stacks" / stack
        credentials = "target" if stack in moved else "source"
        lab.run(["just", "init"], directory=directory, credentials=credentials)
        lab.run([str(lab.client), "plan", "-detailed-exitcode"], directory=directory, credentials=credentials)
