"""Repository -> Inventory. Sorted and deterministic: one tree gives one inventory."""

from migrator.errors import ConfigurationError
from migrator.inventory.hazard_evidence import Evidence
from migrator.inventory.hazards import discover_hazards
from migrator.inventory.model import Inventory
from migrator.inventory.references import discover_references
from migrator.inventory.stacks import discover_stacks
from migrator.inventory.states import discover_states
from migrator.inventory.survey import read_survey
from migrator.inventory.tree import RepositoryTree


def discover_inventory(tree: RepositoryTree) -> Inventory:
    """Return everything that the files of the repository say about stacks, states, references and hazards.

    Raises: ConfigurationError when one of these has a path that no document could name.
    """
    bare = discover_stacks(tree)
    survey = read_survey(tree, bare)
    stacks = discover_states(tree, bare, survey)
    references = discover_references(tree, stacks, survey=survey)
    hazards = discover_hazards(Evidence(tree=tree, stacks=stacks, references=references, survey=survey))
    found = Inventory(revision=tree.revision, stacks=stacks, references=references, hazards=hazards)
    _check_names(found)
    return found


def _check_names(found: Inventory) -> None:
    """JSON holds no name that is not UTF-8, and a plan that spelt it otherwise would mean another file."""
    paths = {one.place.path for one in found.references} | {one.place.path for one in found.hazards}
    for path in sorted(paths | {stack.directory for stack in found.stacks}):
        try:
            path.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(
                "the name of a file that matters here is not UTF-8", where=path, hint="rename it (git mv)"
            ) from None
