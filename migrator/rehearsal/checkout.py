"""Copies of the repository, and the comparison of one with what it was.

The original is only read: no lock of git's index is taken there, and a clone shares no file with it. A copy holds what git
tracks and what it does not ignore, as it stands in the work tree, committed or not, plus values files that OpenTofu
reads although git ignores them. Symbolic links stay links.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrator.errors import ConfigurationError
from migrator.inventory.git import run_git

# Never part of a copy, and never compared: git's own, ours, and what OpenTofu keeps for one checkout.
_NEVER = frozenset({".git", ".migrator", ".terraform"})
_VALUES = ("*.tfvars", "*.tfvars.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Every file of a work tree: mode and digest by path. ``status`` is git's account, None outside of git."""

    files: Mapping[str, str]
    status: str | None


def copy_repository(root: Path, destination: Path) -> None:
    """Copy the repository at ``root`` to ``destination``, which does not exist; a git repository stays one.

    Raises: ConfigurationError.
    """
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", optional=True)
    if listed is None:
        destination.mkdir()
        copy_files(root, list_files(root), destination)
        return
    # No hard links: git would share the objects' inodes with the original. No hooks, no way back to the original.
    _git(root, "clone", "--quiet", "--no-hardlinks", "--no-checkout", "--template=", str(root), str(destination))
    _git(destination, "remote", "remove", "origin")
    _git(destination, "read-tree", "HEAD", optional=True)  # there is no HEAD before the first commit
    names = [name for name in listed.split("\0") if name]
    stacks = {path.parent for path in (Path(name) for name in names) if path.suffix in (".tf", ".tofu", ".json")}
    values = [
        file.relative_to(root).as_posix() for stack in stacks for glob in _VALUES for file in (root / stack).glob(glob)
    ]
    copy_files(root, sorted({*names, *values}), destination)


def copy_files(root: Path, paths: Iterable[str], destination: Path) -> None:
    """Copy files by path relative to ``root``, modes and links as they are; what is no file or link is left out."""
    for path in paths:
        source = root / path
        if _NEVER.intersection(Path(path).parts) or not (source.is_symlink() or source.is_file()):
            continue
        copy = destination / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy, follow_symlinks=False)


def list_files(root: Path) -> Sequence[str]:
    """Return every file and link below ``root`` by path with ``/``, sorted, but those that never belong to a copy."""
    found: list[str] = []
    for directory, subdirectories, names in os.walk(root):
        relative = Path(directory).relative_to(root)
        links = [name for name in subdirectories if (root / relative / name).is_symlink()]
        subdirectories[:] = [name for name in subdirectories if name not in _NEVER and name not in links]
        found += [(relative / name).as_posix() for name in (*names, *links) if name not in _NEVER]
    return sorted(found)


def read_fingerprint(root: Path) -> Fingerprint:
    """Return what the work tree at ``root`` holds now."""
    return Fingerprint(
        files={path: _describe(root / path) for path in list_files(root)},
        status=_git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all", optional=True),
    )


def compare_fingerprints(before: Fingerprint, after: Fingerprint) -> tuple[str, ...]:
    """Return the paths that differ, sorted. Pure."""
    names = sorted({*before.files, *after.files})
    return tuple(name for name in names if before.files.get(name) != after.files.get(name))


def _describe(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"link to {path.readlink()}"
    if not stat.S_ISREG(mode):
        return "special file"
    return f"{stat.S_IMODE(mode):o} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _git(directory: Path, *arguments: str, optional: bool = False) -> str | None:
    """Run git; with ``optional`` a failure is None.

    Raises: ConfigurationError.
    """
    result = run_git(directory, *arguments, protocols=("file",))
    if result is not None and result.returncode == 0:
        return os.fsdecode(result.stdout)
    if optional:
        return None
    if result is None:
        raise ConfigurationError("git is not installed", hint="install git, or put it on PATH")
    reason = result.stderr.decode(errors="replace").strip().splitlines()
    raise ConfigurationError(
        f"the repository cannot be copied: git {arguments[0]}: {reason[-1] if reason else 'no reason given'}",
        where=str(directory),
        now="nothing was touched",
    )
