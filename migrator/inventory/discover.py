"""Repository -> Inventory. Sorted and deterministic: one tree gives one inventory."""

from migrator.inventory.hazard_evidence import Evidence
from migrator.inventory.hazards import discover_hazards
from migrator.inventory.model import Inventory
from migrator.inventory.references import discover_references
from migrator.inventory.stacks import discover_stacks
from migrator.inventory.states import discover_states
from migrator.inventory.survey import read_survey
from migrator.inventory.tree import RepositoryTree


def discover_inventory(tree: RepositoryTree) -> Inventory:
    """Return everything that the files of the repository say about stacks, states, references and hazards."""
    bare = discover_stacks(tree)
    survey = read_survey(tree, bare)
    stacks = discover_states(tree, bare, survey)
    references = discover_references(tree, stacks, survey=survey)
    hazards = discover_hazards(Evidence(tree=tree, stacks=stacks, references=references, survey=survey))
    return Inventory(revision=tree.revision, stacks=stacks, references=references, hazards=hazards)
