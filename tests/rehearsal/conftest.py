"""Repositories that are not the sample estate, and ways to run the program as an operator does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rehearsal.repositories import GIT, Runner, build_environment, commit, write_stack


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two offline stacks, no migrator.toml, a recipe that serves both, an uncommitted change and ignored values."""
    root = tmp_path / "work" / "Net Works"
    write_stack(root, "network")
    write_stack(root, "dns")
    (root / ".gitignore").write_text("*.tfvars\n.terraform/\n")
    (root / "Justfile").write_text(
        'env := env_var_or_default("ENV", "dev")\n\n'
        "# Initialize a stack\n"
        "tofu-init stack:\n"
        "    cd infra/{{stack}} && tofu init -reconfigure \\\n"
        '      -backend-config="address=https://gitlab.example.com/api/v4/projects/7/terraform/state/{{stack}}-{{env}}" \\\n'
        '      -backend-config="lock_address=https://gitlab.example.com/api/v4/projects/7/terraform/state/{{stack}}-{{env}}/lock" \\\n'
        '      -backend-config="unlock_address=https://gitlab.example.com/api/v4/projects/7/terraform/state/{{stack}}-{{env}}/lock" \\\n'
        '      -backend-config="lock_method=POST" \\\n'
        '      -backend-config="unlock_method=DELETE" \\\n'
        '      -backend-config="username=tofu" \\\n'
        '      -backend-config="password=${TF_HTTP_PASSWORD:-}"\n'
    )
    (root / "run.sh").write_text("#!/bin/sh\necho run\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("run.sh")
    commit(root)
    (root / "infra" / "dns" / "dev.tfvars").write_text("size = 5\n")  # ignored, and read by OpenTofu
    (root / "run.sh").write_text("#!/bin/sh\necho changed\n")  # not committed
    return root


@pytest.fixture
def migrator(tmp_path: Path) -> Runner:
    """Run the program with nothing of this machine but PATH, in an empty directory, with a private TMPDIR."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "migrator", *map(str, arguments)],
            cwd=tmp_path,
            env=build_environment(tmp_path) | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def without_tofu(tmp_path: Path) -> str:
    """A PATH with git and nothing else of use."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").symlink_to(GIT)
    return str(programs)


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    """Recorded states for the two stacks, as the state's owner recorded them."""
    root = tmp_path / "recorded"
    for name in ("network-dev", "dns-dev"):
        (root / name).mkdir(parents=True)
        (root / name / "4.tfstate").write_text(
            f'{{"version": 4, "terraform_version": "1.11.4", "serial": 4, "lineage": "lineage-of-{name}", '
            f'"outputs": {{}}, "resources": [], "check_results": null}}\n'
        )
    return root
