"""Documented values: commands in documents, scripts and pipelines that set the environment of a ``just`` recipe.

``ENV=prod just tofu-init attic`` and ``just env=prod tofu-init attic`` say that ``prod`` is a value that is in use. A
placeholder (``<stack>``) stands for every stack. Comments do not count, and neither do history files.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from migrator.inventory.history import is_history
from migrator.inventory.model import Place, Stack
from migrator.inventory.tree import RepositoryTree

_SETTING = re.compile(
    r"(?<![\w$-])(?P<name>env|environment)=(?P<quote>[\"']?)(?P<value>[A-Za-z0-9][\w.-]*)(?P=quote)", re.IGNORECASE
)
_JUST = re.compile(r"(?<![\w./-])just(?=\s)")
_PLACEHOLDER = re.compile(r"<stack>|\{stack\}|\$\{?stack\}?", re.IGNORECASE)
_COMMENT = re.compile(r"\s*(?:#|//)")


@dataclass(frozen=True, slots=True)
class Usage:
    """``place`` runs just with ``variable`` set to ``value`` for these stacks."""

    variable: str
    value: str
    stacks: frozenset[str]
    place: Place

    def sets(self, name: str) -> bool:
        """Return whether this sets the variable ``name``: just's ``env`` is commonly fed from ``ENV``."""
        return self.variable.lower() == name.lower()


def read_usages(tree: RepositoryTree, stacks: tuple[Stack, ...]) -> tuple[Usage, ...]:
    """Return the documented values in the repository, by place."""
    found: list[Usage] = []
    for path in tree.paths:
        if not path.endswith((".md", ".sh", ".yml", ".yaml")) or is_history(path):
            continue
        data = tree.read_bytes_or_nothing(path)
        if b"just" in data and b"=" in data and (text := tree.read_text(path)):
            found += _read_file(text, path, stacks)
    return tuple(found)


def read_mentions(tree: RepositoryTree, names: Collection[str]) -> Iterator[tuple[str, Place]]:
    """Yield where documents write one of these names of states."""
    if not names:
        return
    pattern = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, sorted(names)))})(?![\w-])")
    for path in tree.paths:
        if not path.endswith(".md") or is_history(path):
            continue
        # A name like gitlab-runners-prod can be a namespace too: only documents about state count.
        data = tree.read_bytes_or_nothing(path)
        about_state = any(mark in data for mark in (b"TF_HTTP", b"terraform/state", b"tofu-init", b"tofu init"))
        text = tree.read_text(path) if about_state else None
        for number, line in enumerate((text or "").split("\n"), 1):
            for found in pattern.finditer(line):
                yield found[0], Place(path=path, start_line=number, end_line=number)


def _read_file(text: str, path: str, stacks: tuple[Stack, ...]) -> Iterator[Usage]:
    for number, line in enumerate(text.split("\n"), 1):
        if "just" not in line or not _JUST.search(line) or _COMMENT.match(line):
            continue
        for setting in _SETTING.finditer(line):
            named = frozenset(_find_stacks(line, path, stacks))
            if named:
                yield Usage(
                    setting["name"],
                    setting["value"],
                    named,
                    Place(path=path, start_line=number, end_line=number),
                )


def _find_stacks(line: str, path: str, stacks: tuple[Stack, ...]) -> Iterator[str]:
    everyone = _PLACEHOLDER.search(line) is not None
    for stack in stacks:
        named = re.search(rf"(?<![\w-]){re.escape(stack.name)}(?![\w-])", line)
        if everyone or named or path.startswith(f"{stack.directory}/"):
            yield stack.name
