"""The inventory as a table for people."""

from collections import Counter
from collections.abc import Sequence

from rich.console import RenderableType

from migrator.inventory.model import Inventory, Reference, Stack
from migrator.report.tables import build_count, build_heading, build_table
from migrator.rewrite.reference import Disposition

_TITLES = (
    (Disposition.REWRITE, "References that are rewritten"),
    (Disposition.REPORT, "References that a person decides about"),
)


def build_inventory_report(inventory: Inventory, *, everything: bool) -> list[RenderableType]:
    """Return the parts of the report; ``everything`` shows the references that are kept, too."""
    if not inventory.stacks and not inventory.references:
        return ["nothing to migrate: no stack and no line that names GitLab's state backend"]
    parts: list[RenderableType] = [build_heading("Stacks", len(inventory.stacks))]
    parts.append(build_table(("stack", "backend", "states"), (_stack_row(stack) for stack in inventory.stacks)))
    titles = (*_TITLES, (Disposition.KEEP, "References that are kept")) if everything else _TITLES
    for disposition, title in titles:
        found = [reference for reference in inventory.references if reference.disposition is disposition]
        if found:
            parts += [build_heading(title, len(found)), _reference_table(found)]
    if inventory.hazards:
        parts.append(build_heading("Hazards", len(inventory.hazards)))
        rows = ((hazard.code, hazard.place, hazard.message) for hazard in inventory.hazards)
        parts.append(build_table(("code", "place", "what"), rows))
    return [*parts, "\n" + build_summary(inventory)]


def build_summary(inventory: Inventory) -> str:
    """Return one line of counts."""
    counts = Counter(reference.disposition for reference in inventory.references)
    files = {reference.place.path for reference in inventory.references if reference.disposition is Disposition.REWRITE}
    return (
        f"{build_count(len(inventory.stacks), 'stack')}, "
        f"{build_count(counts[Disposition.REWRITE], 'reference')} to rewrite in {build_count(len(files), 'file')}, "
        f"{counts[Disposition.REPORT]} to decide, {counts[Disposition.KEEP]} kept, "
        f"{build_count(len(inventory.hazards), 'hazard')}"
    )


def _stack_row(stack: Stack) -> Sequence[object]:
    backend = f"{stack.backend.type} at {stack.backend.place}" if stack.backend else "none"
    names = sorted({state.name for state in stack.states})
    return stack.name, backend, ", ".join(names) or "none found"


def _reference_table(references: Sequence[Reference]) -> RenderableType:
    rows = ((one.jump, one.kind.value, ", ".join(one.stacks) or "-", one.reason) for one in references)
    return build_table(("place", "kind", "serves", "why"), rows)
