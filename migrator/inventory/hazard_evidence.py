"""What the detectors of hazards look at."""

from collections.abc import Iterator
from dataclasses import dataclass

from migrator.inventory.file_kinds import FileKind, find_kind
from migrator.inventory.history import is_history
from migrator.inventory.model import Place, Reference, Stack
from migrator.inventory.stacks import is_gitlab_backend
from migrator.inventory.survey import Survey
from migrator.inventory.tree import RepositoryTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The repository with what was found in it so far."""

    tree: RepositoryTree
    stacks: tuple[Stack, ...]
    references: tuple[Reference, ...]
    survey: Survey

    @property
    def gitlab_stacks(self) -> tuple[Stack, ...]:
        """The stacks whose state is in GitLab."""
        return tuple(stack for stack in self.stacks if is_gitlab_backend(stack))

    def texts(self, *marks: bytes, kinds: frozenset[FileKind] | None = None) -> Iterator[tuple[str, str]]:
        """Yield path and text of each file that holds one of ``marks`` and is no history, of these kinds or any."""
        for path in self.tree.paths:
            data = self.tree.read_bytes_or_nothing(path)
            if not any(mark in data for mark in marks) or is_history(path):
                continue
            if kinds is None or find_kind(path, data) in kinds:
                text = self.tree.read_text(path)
                if text is not None:
                    yield path, text


def build_line(path: str, line: int, end: int | None = None) -> Place:
    """Return the place of a line, or of the lines up to ``end``."""
    return Place(path=path, start_line=line, end_line=end or line)
