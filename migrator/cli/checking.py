"""Every check that ``verify`` and ``finalize`` make: those of the engine, and the question to the inventory."""

from typing import TYPE_CHECKING

from migrator.cli.working import Working
from migrator.engine.verify import Check, Evidence, verify
from migrator.engine.work_tree import LocalWorkTree
from migrator.inventory.discover import discover_inventory
from migrator.journal.fold import RunView

if TYPE_CHECKING:
    from migrator.cli.wiring import Secrets


def check_run(working: Working, view: RunView, secrets: "Secrets") -> list[Check]:
    """Return every check, the question to the inventory included."""
    from migrator.cli.wiring import build_source, build_target

    evidence = Evidence(
        source=build_source(working.plan.source, secrets.token),
        target=build_target(working.plan.target, secrets),
        work_tree=LocalWorkTree(working.tree.root),
        blobs=working.run.blobs,
        run=view,
    )
    return [*verify(working.plan, evidence), *_check_inventory(working, view)]


def _check_inventory(working: Working, view: RunView) -> list[Check]:
    if view.outcome != "migrated":
        return []
    stacks = {state.stack for state in working.plan.states}
    left = [
        reference
        for reference in discover_inventory(working.tree).references
        if reference.leads_to_source and (not reference.stacks or stacks & set(reference.stacks))
    ]
    found = f"{len(left)} left, first {left[0].place}" if left else "none left"
    return [Check(name="references-to-source", subject="repository", ok=not left, found=found)]
