"""Repository -> Audit. Sorted and deterministic: one tree and one set of rules give one audit."""

from migrator.audit.contradictions import find_contradictions
from migrator.audit.model import Audit
from migrator.audit.reading import Reading
from migrator.audit.rules import Rules
from migrator.audit.surfaces import report_surface
from migrator.inventory.discover import discover_inventory
from migrator.inventory.tree import RepositoryTree


def discover_audit(tree: RepositoryTree, rules: Rules) -> Audit:
    """Return what the files of the repository show of each surface, and where they contradict each other.

    Raises: ConfigurationError as ``discover_inventory``.
    """
    inventory = discover_inventory(tree)
    reading = Reading(tree, inventory, rules)
    reports = {surface.id: report_surface(reading, surface) for surface in rules.surface}
    return Audit(
        revision=inventory.revision,
        surfaces=tuple(reports.values()),
        contradictions=find_contradictions(reading, reports),
    )
