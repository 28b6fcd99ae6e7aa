"""git, asked about a repository that nobody vouches for: reading it must run nothing that it names.

A repository's own ``.git/config`` can name programs (a file system monitor, hooks, a transport that fetches what is
missing). All are switched off here in ways that it cannot switch on again, and a directory that only looks like a
repository without a work tree is none. git gets what it needs of the environment, so none of the credentials.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "LD_LIBRARY_PATH", "SUDO_UID")
# The operator's own configuration, safe.directory among it. GIT_DIR and its like would lead to another repository.
_KEPT_BEGINNINGS = ("GIT_CONFIG", "GIT_CEILING_", "GIT_DISCOVERY_")
_SAFE = (
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "safe.bareRepository=explicit"),
    *("-c", "core.quotePath=off"),
)


def run_git(
    directory: Path, *arguments: str, protocols: Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes] | None:
    """Return how git ended in ``directory``, None where there is no git. Only ``protocols`` may be used to fetch."""
    environment = {
        name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)
    } | {
        "GIT_ALLOW_PROTOCOL": ":".join(protocols),  # the only setting that no configuration overrides
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",  # reading must not write to the index
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    command = ["git", "-C", str(directory), *_SAFE, *arguments]
    try:
        return subprocess.run(command, capture_output=True, env=environment, stdin=subprocess.DEVNULL, check=False)
    except OSError:
        return None


def ask_git(directory: Path, *arguments: str) -> str | None:
    """Return what git says, None where it fails: outside of a repository, or without git."""
    done = run_git(directory, *arguments)
    return None if done is None or done.returncode else os.fsdecode(done.stdout)
