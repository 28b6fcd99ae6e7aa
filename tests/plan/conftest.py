"""Facts of an invented repository, built through the models that the inventory gives."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from migrator.inventory.model import Backend, Inventory, Place, Reference, Stack, StateName
from migrator.plan.bind import bind_states
from migrator.plan.build import build_plan
from migrator.plan.facts import Facts
from migrator.plan.model import ObservedKey, ObservedState, Plan, PlannedRepository, ProbeResult, Project
from migrator.rewrite.locate_hcl import locate_hcl
from migrator.rewrite.reference import Disposition
from migrator.settings import FORMAT, Binding, Settings, SourceSettings, TargetSettings

PROJECT = Project(id=84, path="acme/infra")
BACKEND = """terraform {
  backend "http" {
    address = "https://gitlab.example.com/api/v4/projects/84/terraform/state/attic-dev"
  }
}
"""


def place(path: str = "Justfile", line: int = 1) -> Place:
    return Place(path=path, start_line=line, end_line=line)


def stack(name: str, **states: str) -> Stack:
    """A stack with its state names by environment; ``any`` makes the name a template."""
    directory = f"stacks/{name}"
    return Stack(
        name=name,
        directory=directory,
        backend=Backend(type="http", place=place(f"{directory}/backend.tf")),
        states=tuple(
            StateName(environment=None if environment == "any" else environment, name=state, evidence=(place(),))
            for environment, state in states.items()
        ),
    )


def observed(name: str, **changes: Any) -> ObservedState:
    known = {"listed_serial": 7, "serial": 7, "lineage": "l-1", "sha256": "a" * 64, "size": 100, "resource_count": 1}
    return ObservedState(**({"name": name, "locked_by": None, "deleted": False} | known | changes))


def reference(path: str, stacks: tuple[str, ...], text: str = BACKEND, **changes: Any) -> Reference:
    located = next(one for one in locate_hcl(text) if one.disposition is Disposition.REWRITE)
    return Reference(
        **(
            {
                "place": place(path),
                "kind": located.kind,
                "disposition": located.disposition,
                "stacks": stacks,
                "reason": located.reason,
                "located": located,
            }
            | changes
        )
    )


def build_settings(**changes: Any) -> Settings:
    settings = Settings(
        format=FORMAT,
        source=SourceSettings(url="https://gitlab.example.com", project=84),
        target=TargetSettings(endpoint="https://s3.example.com", bucket="tofu-state"),
    )
    return replace(settings, **changes)


class Case:
    """What a plan is made from; each part may be changed before ``plan`` is called."""

    def __init__(self) -> None:
        self.settings = build_settings()
        self.stacks = (
            stack("attic", dev="attic-dev", prod="attic-prod"),
            stack("runners", any="runners-{environment}"),
        )
        self.states = [observed("attic-dev"), observed("attic-prod", sha256="b" * 64, serial=3)]
        self.references: list[Reference] = []
        self.texts: dict[str, str] = {}
        self.keys: list[ObservedKey] = []
        self.probe = ProbeResult(verdict="safe", reasons=(), probed_at="2026-01-02T03:04:05Z")
        self.selected: tuple[str, ...] = ()

    def bind(self):
        inventory = Inventory(revision="r", stacks=self.stacks, references=tuple(self.references), hazards=())
        return bind_states(self.settings, inventory, self.states, selected=self.selected)

    def plan(self, **changes: Any) -> Plan:
        facts = Facts(
            settings=self.settings,
            inventory=Inventory(revision="r", stacks=self.stacks, references=tuple(self.references), hazards=()),
            project=PROJECT,
            bound=self.bind(),
            keys={key.key: key for key in self.keys},
            probe=self.probe,
            texts=self.texts.get,
            repository=PlannedRepository(identity="c0ffee", revision="r"),
            tofu="tofu",
            created="2026-01-02T03:04:05Z",
            tool_version="0.1.0",
            selected=self.selected,
        )
        return build_plan(replace(facts, **changes))

    def codes(self, **changes: Any) -> list[str]:
        return [blocker.code for blocker in self.plan(**changes).blockers]


@pytest.fixture
def case() -> Case:
    return Case()


@pytest.fixture
def binding() -> Callable[..., Binding]:
    return lambda name, stack, environment: Binding(name=name, stack=stack, environment=environment)
