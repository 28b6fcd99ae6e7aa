"""Small repositories made by hand, in real git."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from migrator.inventory.tree import RepositoryTree, discover_tree


def write_tree(root: Path, files: Mapping[str, str | bytes]) -> RepositoryTree:
    """Write the files below ``root``, put it under git, and return the tree."""
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return discover_tree(root)
