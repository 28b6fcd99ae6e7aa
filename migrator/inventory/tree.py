"""The repository as the tool sees it: tracked files, their bytes and digests.

Tracked files plus untracked ones that git does not ignore (a stack may not be committed yet); outside of git every
file below the root. ``.git``, ``.migrator`` and ``.terraform`` never belong to it. Symbolic links are not followed: a
link is not a file of its own. Reads lazily and keeps what it read, so that one command sees one version of each file.
"""

import os
import stat
import subprocess
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from migrator.errors import ConfigurationError

_NEVER = {".git", ".migrator", ".terraform"}


@dataclass(slots=True)
class RepositoryTree:
    """Files below ``root``, by path relative to it with ``/``."""

    root: Path
    paths: tuple[str, ...]
    revision: str | None
    path_set: frozenset[str] = field(init=False)
    _bytes: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path_set = frozenset(self.paths)

    def read_bytes(self, path: str) -> bytes:
        """Return the content of a file of the tree.

        Raises: ConfigurationError when it cannot be read.
        """
        if path not in self._bytes:
            try:
                self._bytes[path] = (self.root / path).read_bytes()
            except OSError as error:
                raise ConfigurationError(f"cannot read {path}: {error.strerror}", where=path) from None
        return self._bytes[path]

    def read_bytes_or_nothing(self, path: str) -> bytes:
        """Return the content of a file of the tree, nothing when it cannot be read."""
        try:
            return self.read_bytes(path)
        except ConfigurationError:
            return b""

    def read_text(self, path: str) -> str | None:
        """Return the content as text with its newlines kept, None when it is not UTF-8 or holds NUL (binary)."""
        data = self.read_bytes(path)
        if b"\0" in data:
            return None
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return None

    def read_text_or_nothing(self, path: str) -> str | None:
        """Return the content as ``read_text`` does, None also when the file cannot be read."""
        try:
            return self.read_text(path)
        except ConfigurationError:
            return None

    def sha256(self, path: str) -> str:
        """Return the digest of a file, lower-case hex."""
        return sha256(self.read_bytes(path)).hexdigest()


def discover_tree(root: Path) -> RepositoryTree:
    """Return the tree of the repository whose top is ``root``.

    Raises: ConfigurationError when ``root`` is not a directory, or is the top of everything.
    """
    if not root.is_dir():
        raise ConfigurationError(f"{root} is not a directory", hint="migrator --repo DIR ...")
    if root == Path(root.anchor):
        raise ConfigurationError(f"{root} is no repository", where="--repo", hint="migrator --repo DIR ...")
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    candidates = _walk(root) if listed is None else [name for name in listed.split("\0") if name]
    revision = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return RepositoryTree(
        root=root,
        paths=tuple(sorted(path for path in candidates if _is_file(root, path))),
        revision=revision.strip() if revision else None,
    )


def discover_root(start: Path) -> Path:
    """Return the top of the work tree that holds ``start``, or ``start`` itself outside of git."""
    top = _git(start, "rev-parse", "--show-toplevel")
    return Path(top.strip()) if top and top.strip() else start.resolve()


def read_repository_identity(root: Path) -> str | None:
    """Return the ID of the first commit (clones share it, other repositories do not), None where there is none."""
    roots = _git(root, "rev-list", "--max-parents=0", "HEAD")
    return min(roots.split()) if roots and roots.split() else None


def is_shallow(root: Path) -> bool:
    """Return whether this clone lacks the beginning of the history, and so the repository's identity."""
    answer = _git(root, "rev-parse", "--is-shallow-repository")
    return answer is not None and answer.strip() == "true"


def _git(directory: Path, *arguments: str) -> str | None:
    # Optional locks off: reading must not write to the index.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(directory), "-c", "core.quotepath=off", "-c", "core.fsmonitor=false", *arguments]
    try:
        result = subprocess.run(command, capture_output=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return os.fsdecode(result.stdout)


def _is_file(root: Path, path: str) -> bool:
    if any(part in _NEVER for part in path.split("/")):
        return False
    try:
        return stat.S_ISREG((root / path).lstat().st_mode)
    except OSError:
        return False


def _walk(root: Path) -> list[str]:
    """Return every file below ``root``, without leaving its file system: /proc and the like only look like files."""
    found: list[str] = []
    device = root.stat().st_dev
    for directory, subdirectories, names in os.walk(root):
        subdirectories[:] = sorted(
            name for name in subdirectories if name not in _NEVER and Path(directory, name).lstat().st_dev == device
        )
        relative = Path(directory).relative_to(root)
        found += [(relative / name).as_posix() for name in names]
    return found
