"""Entry points of GitLab pipelines: what each job runs, with the variables that it inherits. PURE.

GitLab expands ``$NAME`` and ``${NAME}`` in variables; ``${NAME:-default}`` it does not, so such a value is no state's name.
"""

import re
from collections.abc import Iterator

from migrator.inventory.entry_points import EntryPoint
from migrator.inventory.pipelines import GitLabPipelines, PlacedVariable
from migrator.inventory.shell_regions import read_regions
from migrator.inventory.values import Lookup, Unknown, Value, build_value, expand

_WORKS = re.compile(r"\b(?:init|plan|apply|destroy)\b")
STATE_VARIABLES = ("TF_STATE_NAME", "STATE_NAME", "GITLAB_TOFU_STATE_NAME")


def read_gitlab_entry_points(pipelines: GitLabPipelines) -> Iterator[EntryPoint]:
    """Yield the entry points of every job that can run."""
    for _, job in pipelines.jobs():
        source = pipelines.script(job)
        if not any(_WORKS.search(line) for line in source.lines):
            continue
        # The http backend reads TF_HTTP_ADDRESS whenever it works, so a job that takes the init of another one from an
        # artifact works on the state that its own variables name.
        regions = [region for region in read_regions(source) if region.initializes or region.works_on_state]
        outside = build_variable_lookup(pipelines.variables(job)) if regions else _nothing
        areas = (*pipelines.areas(job), *source.areas()) if regions else ()
        for region in regions:
            yield EntryPoint(base="", region=region, outside=outside, areas=areas, environment=job.environment)


def build_variable_lookup(variables: dict[str, PlacedVariable]) -> Lookup:
    """Return what ``$NAME`` means to a job with these variables, as GitLab expands them."""
    resolving: list[str] = []

    def look_up(language: str, name: str) -> tuple[Value, ...]:
        variable = variables.get(name) if language == "shell" else None
        if variable is None or name in resolving:
            return ()
        if ":-" in variable.value:
            return (build_value([Unknown(name)]),)
        resolving.append(name)
        try:
            values = expand(variable.value, look_up)
        finally:
            resolving.pop()
        return tuple(value.with_place(variable.place) for value in values)

    return look_up


def _nothing(language: str, name: str) -> tuple[Value, ...]:
    return ()
