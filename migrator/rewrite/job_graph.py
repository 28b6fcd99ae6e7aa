"""The job graph of one GitLab configuration: what jobs inherit over ``extends`` and files, and who runs which script.

Nothing is expanded in a text and no CI variable is evaluated: values stay as written. Hostile files end: the number of
levels and of ancestors is bounded.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from migrator.rewrite.ci_model import SECTIONS, CiJob, CiVariable, Pipeline, ScriptItem, ScriptRun
from migrator.rewrite.spans import Span
from migrator.rewrite.yaml_tree import YamlScalar

_DEEPEST = 12  # GitLab allows eleven levels of extends
_ANCESTORS = 500
_REFERENCES = 10  # GitLab allows ten levels of !reference
_EXPORT = re.compile(
    r"^\s*(?:export\s+)?(?P<name>[A-Z]\w*)=(?P<quote>[\"']?)(?P<value>\S*/terraform/state/\S+?)(?P=quote)\s*$",
    re.MULTILINE,
)


class JobGraph:
    """The files of one configuration, in the order in which GitLab merges them: of two jobs, the later one counts."""

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self._jobs = {name: job for one in pipelines for name, job in one.jobs.items()}
        self._variables = {name: value for one in pipelines for name, value in _values(one.variables).items()}
        self._default = {name: items for one in pipelines if one.default for name, items in one.default.scripts.items()}

    def resolve_variables(self, job: CiJob) -> dict[str, str]:
        """Return what a job sees: globals, then each ``extends`` in order, then its own; the last one wins."""
        seen = dict(self._variables)
        for ancestor in self._lineage(job):
            seen |= _values(ancestor.variables)
        return seen

    def resolve_scripts(self, job: CiJob) -> Iterator[YamlScalar]:
        """Yield what a job runs, inherited scripts and references included, in the order of execution."""
        sections = dict(self._default)
        for ancestor in self._lineage(job):
            sections |= ancestor.scripts
        for section in SECTIONS:
            yield from self._expand(sections.get(section, ()), depth=0)

    def missing_templates(self, job: CiJob) -> tuple[str, ...]:
        """Return the names that a job extends and that no file holds."""
        return tuple(name for one in self._lineage(job) for name in one.extends if name not in self._jobs)

    def may_run(self, job: CiJob, pipeline: Pipeline) -> bool:
        """Tell, cheaply, whether a job can run a script of ``pipeline``: most jobs of other files cannot."""
        if pipeline.default is not None:
            return True
        return any(one.name in pipeline.jobs or _has_reference(one) for one in self._lineage(job))

    def _lineage(self, job: CiJob) -> list[CiJob]:
        """Return ancestors before descendants, so that a later one overrides."""
        found: list[CiJob] = []
        self._climb(job, found, depth=0)
        return found

    def _climb(self, job: CiJob, found: list[CiJob], *, depth: int) -> None:
        for name in job.extends:
            parent = self._jobs.get(name)
            if parent is not None and parent is not job and depth < _DEEPEST and len(found) < _ANCESTORS:
                self._climb(parent, found, depth=depth + 1)
        found.append(job)

    def _expand(self, items: tuple[ScriptItem, ...], *, depth: int) -> Iterator[YamlScalar]:
        for item in items:
            if isinstance(item, YamlScalar):
                yield item
            elif depth < _REFERENCES and len(item.path) == 2 and item.path[0] in self._jobs:
                yield from self._expand(self._jobs[item.path[0]].scripts.get(item.path[1], ()), depth=depth + 1)


def resolve_variables(job: CiJob, pipelines: Sequence[Pipeline]) -> dict[str, str]:
    """Return what a GitLab job of a configuration sees. For many jobs, make one ``JobGraph``."""
    return JobGraph(pipelines).resolve_variables(job)


def resolve_scripts(job: CiJob, pipelines: Sequence[Pipeline]) -> Iterator[YamlScalar]:
    """Yield what a GitLab job of a configuration runs. For many jobs, make one ``JobGraph``."""
    return JobGraph(pipelines).resolve_scripts(job)


def collect_script_runs(pipeline: Pipeline, others: Sequence[Pipeline]) -> dict[Span, list[ScriptRun]]:
    """Return, for each script of ``pipeline``, which jobs (of any file) run it and what they see.

    Templates count as jobs only for scripts that no real job runs.
    """
    if pipeline.dialect == "github":
        return _github_runs(pipeline)
    pipelines = [*(one for one in others if one.dialect == "gitlab"), pipeline]
    graph = JobGraph(pipelines)
    own = {id(scalar): scalar.span for scalar in _own_scripts(pipeline)}
    runs: dict[Span, list[ScriptRun]] = {}
    for job in (job for one in pipelines for job in one.jobs.values()):
        if not graph.may_run(job, pipeline):
            continue
        scripts = list(graph.resolve_scripts(job))
        if not any(id(scalar) in own for scalar in scripts):
            continue
        variables, missing = graph.resolve_variables(job), graph.missing_templates(job)
        for scalar in scripts:
            if id(scalar) in own:
                run = ScriptRun(job=job.name, hidden=job.hidden, variables=variables, missing=missing)
                runs.setdefault(scalar.span, []).append(run)
            # The items of a job run in one shell: what one exports, the next ones see.
            variables = variables | {found["name"]: found["value"] for found in _EXPORT.finditer(scalar.value)}
    return {span: [run for run in found if not run.hidden] or found for span, found in runs.items()}


def _has_reference(job: CiJob) -> bool:
    return any(not isinstance(item, YamlScalar) for items in job.scripts.values() for item in items)


def _own_scripts(pipeline: Pipeline) -> Iterator[YamlScalar]:
    jobs = [*pipeline.jobs.values(), *([pipeline.default] if pipeline.default else [])]
    for job in jobs:
        for items in job.scripts.values():
            yield from (item for item in items if isinstance(item, YamlScalar))


def _github_runs(pipeline: Pipeline) -> dict[Span, list[ScriptRun]]:
    runs: dict[Span, list[ScriptRun]] = {}
    for job in pipeline.jobs.values():
        for step in job.steps:
            if step.run is not None:
                variables = _values(pipeline.variables) | _values(job.variables) | _values(step.variables)
                runs.setdefault(step.run.span, []).append(ScriptRun(job=job.name, hidden=False, variables=variables))
    return runs


def _values(variables: Mapping[str, CiVariable]) -> dict[str, str]:
    return {name: one.value for name, one in variables.items() if one.value is not None}
