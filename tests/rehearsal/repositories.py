"""Making repositories, looking at every byte of them, and the environment that the program is run with."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
Runner = Callable[..., subprocess.CompletedProcess[str]]
GIT = shutil.which("git") or "git"


def read_everything(root: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, modification time and digest of every file and directory below a root, .git included."""
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, digest)
    return found


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0"}
    command = [GIT, "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def write_stack(root: Path, name: str, *, backend: str = 'backend "http" {}', body: str = "") -> Path:
    stack = root / "infra" / name
    stack.mkdir(parents=True)
    (stack / "backend.tf").write_text(f"# State lives in GitLab.\nterraform {{\n  {backend}\n}}\n")
    (stack / "main.tf").write_text(
        f'variable "size" {{\n  type    = number\n  default = 3\n}}\n\n'
        f'resource "terraform_data" "{name}" {{\n  input = "{name} of ${{var.size}}"\n}}\n{body}'
    )
    return stack


def commit(root: Path) -> None:
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "two stacks")


def build_environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "TOFU", "PYTHONPYCACHEPREFIX") if name in os.environ}
    return {**kept, "PYTHONPATH": str(TOP), "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
