"""PURE: everything that was read for a plan, and what follows from it alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from migrator.inventory.model import Inventory
from migrator.plan.bind import Bound, BoundState
from migrator.plan.model import ObservedKey, PlannedRepository, ProbeResult, Project
from migrator.rewrite.reference import TargetCoordinates
from migrator.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was read for a plan. ``keys`` by object key; ``texts`` gives a file's text by path."""

    settings: Settings
    inventory: Inventory
    project: Project
    bound: Bound
    keys: Mapping[str, ObservedKey]
    probe: ProbeResult
    texts: Callable[[str], str | None]
    repository: PlannedRepository
    tofu: str
    created: str
    tool_version: str
    selected: Sequence[str] = ()


def build_key(settings: Settings, project: Project, state: BoundState) -> str:
    """Return the object key of a state."""
    return format_key(
        settings.target.key,
        project,
        stack=state.stack.name,
        environment=state.environment,
        state=state.observed.name,
    )


def format_key(template: str, project: Project, *, stack: str, environment: str, state: str) -> str:
    """Return the object key that a template gives."""
    return template.format(
        project_path=project.path, project_id=project.id, stack=stack, environment=environment, state=state
    )


def build_coordinates(settings: Settings, project: Project) -> TargetCoordinates:
    """Return the target in the terms that files are written in."""
    key = settings.target.key.replace("{project_path}", project.path).replace("{project_id}", str(project.id))
    return TargetCoordinates(
        endpoint=settings.target.endpoint,
        bucket=settings.target.bucket,
        region=settings.target.region,
        key=key,
        path_style=settings.target.path_style,
        style=settings.target.style,
    )
