"""Small repositories made by hand, in real git."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from migrator.inventory.tree import RepositoryTree, discover_tree

MakeTree = Callable[[Mapping[str, str | bytes]], RepositoryTree]


@pytest.fixture
def make_tree(tmp_path: Path) -> MakeTree:
    """Write the files, put them under git, and return the tree."""

    def make(files: Mapping[str, str | bytes]) -> RepositoryTree:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        for path, content in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        return discover_tree(tmp_path)

    return make
