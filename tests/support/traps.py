"""The traps of the estate as small repositories: ``fixtures/traps/<number>-<name>.toml``, one file each.

    trap = 19                                  # its number in the list of traps
    title = "..."                              # what is dangerous, one line
    outcome = "..."                            # what this tool does about it, one sentence
    states = ["dns-dev"]                       # what the source lists; default: none
    found = ["stacks/dns/backend.tf:1-8 rewrite"]     # every place that the inventory names, with its disposition
    hazards = ["crossed-states ci.yml:4"]      # every hazard
    blockers = ["crossed-states"]              # every blocker of the plan
    names = ["dns dev dns-dev"]                # stack, environment ("-": not known offline), name, for every stack's state
    [files]
    "stacks/dns/backend.tf" = '''...'''
    [after]                                    # every file that the plan changes, whole
    "stacks/dns/backend.tf" = '''...'''

What is not named is not found, and not changed: each list is complete.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator.inventory.discover import discover_inventory
from migrator.inventory.model import Inventory
from migrator.inventory.tree import RepositoryTree
from migrator.plan.bind import bind_states
from migrator.plan.build import build_plan
from migrator.plan.facts import Facts
from migrator.plan.model import ObservedState, Plan, PlannedRepository, ProbeResult, Project
from migrator.rewrite.spans import Edit, Span, apply_edits
from migrator.settings import FORMAT, Settings, SourceSettings, TargetSettings
from tests.support.trees import write_tree

FIXTURES = Path(__file__).parents[2] / "fixtures" / "traps"
PROJECT = Project(id=84, path="acme/infra")
NOW = "2026-01-02T03:04:05Z"


@dataclass(frozen=True, kw_only=True)
class Trap:
    """One file of ``fixtures/traps``."""

    name: str
    trap: int
    title: str
    outcome: str
    files: Mapping[str, str]
    states: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    hazards: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    after: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the tool says of a trap, in the words of its file."""

    found: tuple[str, ...]
    hazards: tuple[str, ...]
    blockers: tuple[str, ...]
    names: tuple[str, ...]
    after: Mapping[str, str]


def read_traps() -> list[Trap]:
    """Return every trap, by number."""
    traps = [_read(path) for path in sorted(FIXTURES.glob("*.toml"))]
    return sorted(traps, key=lambda trap: (trap.trap, trap.name))


def _read(path: Path) -> Trap:
    told: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    lists = {key: tuple(value) for key, value in told.items() if isinstance(value, list)}
    return Trap(**{"name": path.stem, **told, **lists})


def look(trap: Trap, root: Path) -> Seen:
    """Write the repository below ``root``, and say what inventory and plan find in it."""
    tree = write_tree(root, trap.files)
    inventory = discover_inventory(tree)
    plan = _plan(trap, tree, inventory)
    return Seen(
        found=tuple(f"{one.place} {one.disposition}" for one in inventory.references),
        hazards=tuple(f"{one.code} {one.place}" for one in inventory.hazards),
        blockers=tuple(sorted(one.code for one in plan.blockers)),
        names=tuple(
            f"{stack.name} {state.environment or '-'} {state.name}"
            for stack in inventory.stacks
            for state in stack.states
        ),
        after={
            file.path: apply_edits(
                tree.read_text_or_nothing(file.path) or "",
                [Edit(span=Span(start=edit.start, end=edit.end), text=edit.text) for edit in file.edits],
            )
            for file in plan.files
        },
    )


def _plan(trap: Trap, tree: RepositoryTree, inventory: Inventory) -> Plan:
    settings = Settings(
        format=FORMAT,
        source=SourceSettings(url="https://gitlab.example.com", project=PROJECT.id),
        target=TargetSettings(endpoint="https://s3.example.com", bucket="tofu-state", key="infra/{state}.tfstate"),
    )
    states = [
        ObservedState(
            name=name,
            listed_serial=1,
            locked_by=None,
            deleted=False,
            sha256="a" * 64,
            serial=1,
            lineage="l",
            size=1,
            resource_count=1,
        )
        for name in trap.states
    ]
    return build_plan(
        Facts(
            settings=settings,
            inventory=inventory,
            project=PROJECT,
            bound=bind_states(settings, inventory, states, paths=frozenset(tree.paths)),
            keys={},
            probe=ProbeResult(verdict="safe", reasons=(), probed_at=NOW),
            texts=tree.read_text_or_nothing,
            repository=PlannedRepository(identity="c0ffee", revision=None),
            tofu="tofu",
            created=NOW,
            tool_version="0",
        )
    )
