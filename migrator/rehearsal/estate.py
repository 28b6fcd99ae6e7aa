"""The sample estate: a repository of four stacks, and the states that its source would hold.

The data is the same in a checkout of this project and in the installed package. Assembling writes below its destination
only, and gives the same commit id every time and everywhere: author, dates and file modes are fixed, and no
configuration of the user's git takes part. Nothing here knows a backend, a plan or a network.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from migrator.errors import ConfigurationError

# What OpenTofu leaves in a stack directory that somebody worked in: no part of the sample.
_LEFTOVERS = shutil.ignore_patterns(
    ".terraform", ".terraform.lock.hcl", "*.tfstate*", "tfplan", "terraform.tfvars", "__pycache__", "node_modules"
)
_MOMENT = "2026-04-15T09:00:00+00:00"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Acme Infrastructure",
    "GIT_AUTHOR_EMAIL": "infrastructure@example.com",
    "GIT_AUTHOR_DATE": _MOMENT,
    "GIT_COMMITTER_NAME": "Acme Infrastructure",
    "GIT_COMMITTER_EMAIL": "infrastructure@example.com",
    "GIT_COMMITTER_DATE": _MOMENT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedVersion:
    """One version of a state: ``path`` is a file with its exact bytes."""

    serial: int
    path: Path


def sample_root() -> Path:
    """Return the directory that holds ``stacks`` and ``fixtures`` of the sample, in the package or in the checkout.

    Raises: ConfigurationError if neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "_sample", package.parent):
        if (root / "stacks").is_dir() and (root / "fixtures" / "estate").is_dir():
            return root
    raise ConfigurationError(
        "the sample estate is not part of this installation",
        where=str(package / "_sample"),
        hint="install tofu-state-migrator again, or run from a checkout",
    )


def assemble_sample_estate(destination: Path) -> None:
    """Make ``destination``, absent or empty, a git repository of the sample estate: branch main, one commit.

    Raises: ConfigurationError if it is not empty, if the sample is missing, or if git is missing or fails.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ConfigurationError("the sample estate needs an empty directory", where=str(destination))
    root = sample_root()
    destination.mkdir(parents=True, exist_ok=True)
    for source, target in ((root / "stacks", destination / "stacks"), (root / "fixtures" / "estate", destination)):
        shutil.copytree(source, target, copy_function=_copy_file, ignore=_LEFTOVERS, dirs_exist_ok=True)
    _git(destination, "init", "--quiet", "--template=", "--initial-branch=main")
    _git(destination, "add", "--all", "--force")
    _git(destination, "commit", "--quiet", "--no-verify", "--message", "Acme infrastructure")


def recorded_states(root: Path) -> dict[str, tuple[RecordedVersion, ...]]:
    """Map each state name to its versions, by rising serial, from files ``<root>/<state name>/<serial>.tfstate``.

    A name that no directory can have is percent-encoded. Other files, and directories without a version, are left out.

    Raises: ConfigurationError if ``root`` is not a directory.
    """
    if not root.is_dir():
        raise ConfigurationError("there is no directory of recorded states", where=str(root))
    recorded: dict[str, tuple[RecordedVersion, ...]] = {}
    for directory in sorted(path for path in root.iterdir() if path.is_dir()):
        files = (path for path in directory.glob("*.tfstate") if path.stem.isascii() and path.stem.isdecimal())
        versions = sorted((RecordedVersion(serial=int(path.stem), path=path) for path in files), key=_by_serial)
        if versions:
            recorded[unquote(directory.name)] = tuple(versions)
    return recorded


def _by_serial(version: RecordedVersion) -> int:
    return version.serial


def _copy_file(source: str, target: str) -> None:
    """Copy bytes and whether the file is executable; a read-only installation must not give a read-only estate."""
    shutil.copyfile(source, target)
    executable = Path(source).stat().st_mode & 0o100
    Path(target).chmod(0o755 if executable else 0o644)


def _git(directory: Path, *arguments: str) -> None:
    # No HOME: with it, git would still read the user's ignore and attribute files.
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(directory.resolve().parent),
        **_IDENTITY,
    }
    command = ["git", "-c", "core.autocrlf=false", "-c", "core.fileMode=true", *arguments]
    try:
        subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise ConfigurationError("git is not installed", hint="install git, or put it on PATH") from None
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(f"git {arguments[0]} failed: {error.stderr.strip()}", where=str(directory)) from None
