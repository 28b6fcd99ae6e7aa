"""What several parts of the inventory ask about the repository: its pipeline and its entry points, read once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migrator.inventory.entry_points import EntryPoint, find_stacks
from migrator.inventory.entry_sources import read_entry_points
from migrator.inventory.model import Place, Stack
from migrator.inventory.pipelines import GitLabPipelines, read_gitlab_pipelines
from migrator.inventory.tree import RepositoryTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """``served`` maps a file to the areas in it that an entry point runs, each with the names of its stacks."""

    pipelines: GitLabPipelines
    entry_points: tuple[EntryPoint, ...]
    served: Mapping[str, tuple[tuple[Place, frozenset[str]], ...]]

    def stacks_at(self, place: Place) -> frozenset[str]:
        """Return the stacks of every entry point that runs a line of ``place``."""
        found: set[str] = set()
        for area, names in self.served.get(place.path, ()):
            if area.start_line <= place.end_line and place.start_line <= area.end_line:
                found |= names
        return frozenset(found)

    def stacks_in(self, path: str) -> frozenset[str]:
        """Return the stacks of every entry point that runs lines of the file."""
        return frozenset().union(*(names for _, names in self.served.get(path, ())))


def read_survey(tree: RepositoryTree, stacks: Iterable[Stack]) -> Survey:
    """Return the survey of the repository with these stacks."""
    stacks = tuple(stacks)
    pipelines = read_gitlab_pipelines(tree)
    entry_points = tuple(read_entry_points(tree, pipelines))
    served: dict[str, list[tuple[Place, frozenset[str]]]] = defaultdict(list)
    for entry in entry_points:
        names = frozenset(find_stacks(entry, stacks))
        if names:
            for area in entry.areas:
                served[area.path].append((area, names))
    return Survey(
        pipelines=pipelines,
        entry_points=entry_points,
        served={path: tuple(areas) for path, areas in served.items()},
    )
