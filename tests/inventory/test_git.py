"""A repository whose git runs programs: none of them runs, whatever this program asks git there."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from migrator.errors import RefusedError
from migrator.inventory.git import ask_git, run_git
from migrator.inventory.tree import discover_root, discover_tree, is_shallow, read_repository_identity
from migrator.rehearsal.checkout import copy_repository, read_fingerprint

IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@example.com"]


def git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(directory), *IDENTITY, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


class Trap:
    """A program that tells when it ran, and with which of our secrets."""

    def __init__(self, directory: Path) -> None:
        self._told = directory / "told"
        self.program = directory / "trap"
        self.program.write_text(f'#!/bin/sh\necho "$0 ${{GITLAB_TOKEN-}}" >> "{self._told}"\nexit 1\n')
        self.program.chmod(0o755)

    @property
    def told(self) -> str:
        return self._told.read_text() if self._told.exists() else ""


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


@pytest.fixture
def hostile(tmp_path: Path, trap: Trap) -> Path:
    """A repository as a hostile archive would bring it, ``.git`` included."""
    root = tmp_path / "hostile"
    root.mkdir()
    git(root, "init", "-q")
    (root / "main.tf").write_text('terraform {\n  backend "http" {}\n}\n')
    (root / ".gitattributes").write_text("*.tf filter=evil diff=evil\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    for name in ("post-index-change", "post-checkout", "reference-transaction", "pre-auto-gc"):
        hook = root / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_bytes(trap.program.read_bytes())
        hook.chmod(0o755)
    for key, value in {
        "core.fsmonitor": str(trap.program),
        "core.hooksPath": str(root / ".git" / "hooks"),
        "core.sshCommand": str(trap.program),
        "core.pager": str(trap.program),
        "core.editor": str(trap.program),
        "core.alternateRefsCommand": str(trap.program),
        "core.askPass": str(trap.program),
        "credential.helper": f"!{trap.program}",
        "filter.evil.clean": str(trap.program),
        "filter.evil.smudge": str(trap.program),
        "filter.evil.process": str(trap.program),
        "diff.evil.command": str(trap.program),
        "diff.external": str(trap.program),
        "uploadpack.packObjectsHook": str(trap.program),
        "protocol.ext.allow": "always",
        "remote.origin.url": f"ext::{trap.program}",
        "remote.origin.promisor": "true",
        "remote.origin.uploadpack": str(trap.program),
        "extensions.partialClone": "origin",
    }.items():
        git(root, "config", key, value)
    # What is asked for is missing, so a lazy fetch would be due.
    os.utime(root / "main.tf", (1, 1))
    return root


def lose_the_first_commit(root: Path) -> None:
    commit = git(root, "rev-parse", "HEAD")
    loose = root / ".git" / "objects" / commit[:2] / commit[2:]
    loose.chmod(stat.S_IRUSR | stat.S_IWUSR)
    loose.unlink()


def test_the_trap_works(hostile: Path, trap: Trap) -> None:
    """The control: git on its own falls into it."""
    subprocess.run(["git", "-C", str(hostile), "status"], check=False, capture_output=True)
    assert "trap" in trap.told or "fsmonitor" in trap.told


@pytest.mark.parametrize("missing", [False, True], ids=["whole", "objects to fetch"])
def test_reading_a_hostile_repository_runs_nothing(
    hostile: Path, trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, missing: bool
) -> None:
    monkeypatch.setenv("GITLAB_TOKEN", "t-secret")
    if missing:
        lose_the_first_commit(hostile)
    assert discover_tree(hostile).paths == (".gitattributes", "main.tf")
    assert discover_root(hostile) == hostile
    read_repository_identity(hostile)
    is_shallow(hostile)
    ask_git(hostile, "remote", "get-url", "origin")
    if not missing:
        copy_repository(hostile, tmp_path / "copy")
        read_fingerprint(tmp_path / "copy")
        assert (tmp_path / "copy" / "main.tf").is_file()
    assert trap.told == ""


def test_a_work_tree_elsewhere_is_not_believed(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    git(hostile, "config", "core.worktree", str(tmp_path / "home"))
    assert discover_root(hostile) == hostile


def test_a_directory_that_looks_like_a_bare_repository_is_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare")
    assert ask_git(tmp_path / "bare", "rev-parse", "--git-dir") is None


def test_git_sees_no_credential_and_no_other_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q", "here")
    git(tmp_path, "init", "-q", "there")
    for name, value in {
        "GITLAB_TOKEN": "t-secret",
        "AWS_SECRET_ACCESS_KEY": "s-secret",
        "GIT_DIR": str(tmp_path / "there" / ".git"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "alias.tell",
        "GIT_CONFIG_VALUE_0": "!env",
    }.items():
        monkeypatch.setenv(name, value)
    done = run_git(tmp_path / "here", "tell")
    assert done is not None
    assert done.returncode == 0, done.stderr
    assert b"secret" not in done.stdout
    assert discover_root(tmp_path / "here") == tmp_path / "here"


def test_plans_and_runs_that_came_with_the_repository_are_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".migrator").mkdir()
    (tmp_path / ".migrator" / "plan.json").write_text("{}")
    assert discover_tree(tmp_path).paths == ()
    git(tmp_path, "add", "-f", ".migrator")
    with pytest.raises(RefusedError, match="git tracks") as refusal:
        discover_tree(tmp_path)
    assert refusal.value.where == ".migrator/plan.json"
