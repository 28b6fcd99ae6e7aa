"""Which states the stacks of a repository shall get when they are applied for a rehearsal. Decides; applies nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from migrator.inventory.model import Inventory, Stack
from migrator.inventory.stacks import is_gitlab_backend
from migrator.settings import Binding, Settings

_PLACEHOLDER = "{environment}"
_ENVIRONMENT = "dev"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A state that a stack shall get by being applied."""

    name: str
    stack: str
    directory: str
    environment: str
    var_files: tuple[str, ...] = ()

    @property
    def binding(self) -> Binding:
        """What ``migrator.toml`` says of it."""
        return Binding(name=self.name, stack=self.stack, environment=self.environment, var_files=self.var_files)


def build_wanted_states(
    own: Settings | None, inventory: Inventory, *, has_file: Callable[[str], bool]
) -> tuple[Wanted, ...]:
    """Return the states that the stacks shall get by being applied. Pure but for ``has_file``.

    The repository's own bindings come first. For a stack without one: the names that its files spell out, else its
    template with environment ``dev``, else ``<stack>-dev``.
    """
    stacks = {stack.name: stack for stack in inventory.stacks}
    bound = [] if own is None else [binding for binding in own.state if binding.stack in stacks]
    excluded = () if own is None else own.exclude
    wanted = [
        Wanted(
            name=binding.name,
            stack=binding.stack,
            directory=stacks[binding.stack].directory,
            environment=binding.environment,
            var_files=binding.var_files,
        )
        for binding in bound
    ]
    with_binding = {binding.stack for binding in bound}
    for stack in inventory.stacks:
        if stack.name not in with_binding and is_gitlab_backend(stack):
            wanted += _want_by_files(stack, has_file)
    return tuple(one for one in wanted if not any(exclusion.matches(one.name) for exclusion in excluded))


def _want_by_files(stack: Stack, has_file: Callable[[str], bool]) -> list[Wanted]:
    spelled = {state.environment: state.name for state in stack.states if state.environment is not None}
    templates = [state.name for state in stack.states if state.environment is None and _PLACEHOLDER in state.name]
    first = templates[0] if templates else f"{stack.name}-{_PLACEHOLDER}"
    names = spelled or {_ENVIRONMENT: first.replace(_PLACEHOLDER, _ENVIRONMENT)}
    return [
        Wanted(
            name=name,
            stack=stack.name,
            directory=stack.directory,
            environment=environment,
            var_files=tuple(file for file in (f"{environment}.tfvars",) if has_file(f"{stack.directory}/{file}")),
        )
        for environment, name in sorted(names.items())
    ]
