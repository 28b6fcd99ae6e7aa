"""What a call imports: completions, prompts and CI jobs ask for the version and the help often."""

import os
import subprocess
import sys

import pytest

from tests.cli.lab import CHECKOUT
from tests.support.programs import OUR_CODE

HEAVY = ("boto3", "botocore", "requests", "rich", "hcl2", "typer", "msgspec", "tree_sitter", "markdown_it")
CLIENTS = ("boto3", "botocore", "requests", "urllib3")
# Runs the real entry point and then tells on stderr which of the named modules were imported.
PROBE = """
import sys
from migrator.__main__ import main
names = sys.argv.pop(1).split(",")
try:
    main()
finally:
    sys.stderr.write("imported: " + " ".join(name for name in names if name in sys.modules) + "\\n")
"""


def imported(names, *arguments, cwd=CHECKOUT, environment=None):
    command = [sys.executable, "-c", PROBE, ",".join(names), *arguments]
    done = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **OUR_CODE, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    line = done.stderr.splitlines()[-1]
    assert line.startswith("imported:"), done.stderr
    return done.returncode, line.removeprefix("imported:").split()


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["--help"], 0), (["-h"], 0), ([], 2)])
def test_version_and_overview_import_nothing_heavy(arguments, code):
    assert imported(HEAVY, *arguments) == (code, [])


def test_the_probe_would_see_a_heavy_import():
    assert "typer" in imported(HEAVY, "status", "--help")[1]


@pytest.mark.parametrize(
    "command", ["inventory", "init", "plan", "migrate", "verify", "status", "rollback", "finalize"]
)
def test_help_of_a_command_imports_no_client(command):
    assert imported(CLIENTS, command, "--help") == (0, [])


def test_offline_commands_import_no_client(lab):
    assert imported(CLIENTS, "inventory", cwd=lab.repo, environment=lab.environment) == (0, [])
    lab.migrate()
    assert imported(CLIENTS, "status", cwd=lab.repo, environment=lab.environment) == (0, [])
    assert imported(CLIENTS, "verify", cwd=lab.repo, environment=lab.environment)[1] == list(CLIENTS)
