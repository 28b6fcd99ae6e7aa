"""Small repositories made by hand, in real git."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from migrator.inventory.tree import RepositoryTree
from tests.support.trees import write_tree

MakeTree = Callable[[Mapping[str, str | bytes]], RepositoryTree]


@pytest.fixture
def make_tree(tmp_path: Path) -> MakeTree:
    """Write the files, put them under git, and return the tree."""
    return partial(write_tree, tmp_path)
