"""The repository as the tool sees it: tracked files, their bytes and digests.

Tracked files plus untracked ones that git does not ignore (a stack may not be committed yet); outside of git every
file below the root. ``.git``, ``.migrator`` and ``.terraform`` never belong to it. Symbolic links are not followed: a
link is not a file of its own. Reads lazily and keeps what it read, so that one command sees one version of each file.
"""

import os
import stat
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from migrator.errors import ConfigurationError, RefusedError
from migrator.inventory.git import ask_git

_HOME = ".migrator/"
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

    Raises: ConfigurationError when ``root`` is not a directory, or is the top of everything; RefusedError when git tracks
    plans and runs in it.
    """
    if not root.is_dir():
        raise ConfigurationError(f"{root} is not a directory", hint="migrator --repo DIR ...")
    if root == Path(root.anchor):
        raise ConfigurationError(f"{root} is no repository", where="--repo", hint="migrator --repo DIR ...")
    listed = ask_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    candidates = _walk(root) if listed is None else [name for name in listed.split("\0") if name]
    if any(name.startswith(_HOME) for name in candidates):
        _check_home(root)
    revision = ask_git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return RepositoryTree(
        root=root,
        paths=tuple(sorted(path for path in candidates if _is_file(root, path))),
        revision=revision.strip() if revision else None,
    )


def discover_root(start: Path) -> Path:
    """Return the top of the work tree that holds ``start``, or ``start`` itself outside of git."""
    start = start.resolve()
    top = ask_git(start, "rev-parse", "--show-toplevel")
    root = Path(top.removesuffix("\n")) if top else start
    # A repository's configuration may name a work tree anywhere; one that does not hold us is none of ours.
    return root if start.is_relative_to(root) else start


def read_repository_identity(root: Path) -> str | None:
    """Return the ID of the first commit (clones share it, other repositories do not), None where there is none, or where a
    shallow clone, as pipelines make them, does not have it.
    """
    if is_shallow(root):
        return None
    roots = ask_git(root, "rev-list", "--max-parents=0", "HEAD")
    return min(roots.split()) if roots and roots.split() else None


def is_shallow(root: Path) -> bool:
    """Return whether this clone lacks the beginning of the history, and so the repository's identity."""
    answer = ask_git(root, "rev-parse", "--is-shallow-repository")
    return answer is not None and answer.strip() == "true"


def _check_home(root: Path) -> None:
    """Plans and runs that came with the repository are somebody else's: they say where credentials go and what is written."""
    tracked = ask_git(root, "ls-files", "-z", "--cached", "--", _HOME)
    if tracked:
        raise RefusedError(
            f"git tracks {_HOME}, which holds plans, runs and state documents of one machine",
            where=tracked.split("\0")[0],
            now="nothing was touched, and nothing there was believed",
            hint=f"git rm -r --cached {_HOME}; and remove the directory, too, unless this program made it here",
        )


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
