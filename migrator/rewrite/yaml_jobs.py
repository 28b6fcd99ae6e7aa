"""The job graph of a CI file: what each job inherits, which variables it sees and which scripts it runs.

GitLab CI (hidden jobs, ``extends``, merge keys, ``!reference``, ``default``, globals) and GitHub workflows (three levels
of ``env``, steps, composite actions). A graph may span files: every function that resolves takes the pipelines of the
other files too. Nothing is expanded in the text and no CI variable is evaluated: values stay as written.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from migrator.rewrite.spans import Span
from migrator.rewrite.yaml_tree import (
    YamlMapping,
    YamlNode,
    YamlPair,
    YamlScalar,
    YamlSequence,
    YamlTree,
    read_yaml_tree,
)

SECTIONS = ("before_script", "script", "after_script")
_GLOBAL = frozenset({"stages", "include", "variables", "default", "workflow", "image", "services", "cache", "spec"})
# Keys at the top of compose files, Kubernetes manifests and other CI systems, some of which have stages too.
_FOREIGN = frozenset({"apiVersion", "version", "services", "pool", "steps", "trigger", "vars", "tasks"})
_DEEPEST = 12  # GitLab allows eleven levels of extends
_REFERENCES = 10  # and ten of nested !reference
_EXPORT = re.compile(
    r"^\s*(?:export\s+)?(?P<name>[A-Z]\w*)=(?P<quote>[\"']?)(?P<value>\S*/terraform/state/\S+?)(?P=quote)\s*$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CiVariable:
    """One variable as written; ``value`` is None when it is not a scalar. ``span`` covers key and value."""

    name: str
    value: str | None
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class CiReference:
    """``!reference [job, key, ...]``."""

    path: tuple[str, ...]
    span: Span


ScriptItem = YamlScalar | CiReference


@dataclass(frozen=True, slots=True, kw_only=True)
class CiStep:
    """A step of a GitHub job; ``run`` is None for an action."""

    span: Span
    variables: Mapping[str, CiVariable]
    run: YamlScalar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CiJob:
    """A job as written in one file: nothing inherited is in it, except by YAML merge keys.

    ``scripts`` maps a section (``before_script`` ...) to its items, aliases resolved; a section that is absent inherits.
    ``environment`` is the name of the deployment environment, ``needs`` are job names.
    """

    name: str
    span: Span
    extends: tuple[str, ...] = ()
    variables: Mapping[str, CiVariable] = field(default_factory=dict)
    scripts: Mapping[str, tuple[ScriptItem, ...]] = field(default_factory=dict)
    steps: tuple[CiStep, ...] = ()
    environment: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def hidden(self) -> bool:
        """Templates begin with a dot and never run themselves."""
        return self.name.startswith(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One CI file. ``dialect`` is ``gitlab``, ``github`` or ``other`` (then only ``dialect`` means something).

    ``includes`` are the local paths and components that GitLab merges in, as written.
    """

    dialect: str
    variables: Mapping[str, CiVariable] = field(default_factory=dict)
    default: CiJob | None = None
    jobs: Mapping[str, CiJob] = field(default_factory=dict)
    includes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRun:
    """A job that runs a script, with the variables that the script then sees.

    ``missing`` are the templates that it extends and that no file here holds: they may set more.
    """

    job: str
    hidden: bool
    variables: Mapping[str, str]
    missing: tuple[str, ...] = ()


def read_yaml_jobs(text: str) -> Pipeline:
    """Text of a CI file -> Pipeline.

    Raises: UnparsableError with line and column.
    """
    tree = read_yaml_tree(text)
    reader = _JobReader(tree)
    pairs = [pair for root in tree.documents if isinstance(root, YamlMapping) for pair in reader.merged(root)]
    root = {pair.name: tree.resolve(pair.value) for pair in pairs if pair.name}
    if isinstance(root.get("jobs"), YamlMapping) or (isinstance(root.get("runs"), YamlMapping)):
        return reader.github(root)
    if _is_gitlab(pairs, tree):
        return reader.gitlab(pairs)
    return Pipeline(dialect="other")


def resolve_variables(job: CiJob, pipelines: Sequence[Pipeline]) -> dict[str, str]:
    """Return what a GitLab job sees: globals, then each ``extends`` in order, then its own; last wins.

    ``pipelines`` are the files of one configuration, in the order in which GitLab merges them.
    """
    seen: dict[str, str] = {}
    for pipeline in pipelines:
        seen |= _values(pipeline.variables)
    for ancestor in _lineage(job, pipelines):
        seen |= _values(ancestor.variables)
    return seen


def resolve_scripts(job: CiJob, pipelines: Sequence[Pipeline]) -> Iterator[YamlScalar]:
    """Yield the scripts that a GitLab job runs, inherited ones and references included, in the order of execution."""
    sections: dict[str, tuple[ScriptItem, ...]] = {}
    for pipeline in pipelines:
        if pipeline.default:
            sections |= pipeline.default.scripts
    for ancestor in _lineage(job, pipelines):
        sections |= ancestor.scripts
    for section in SECTIONS:
        yield from _expand(sections.get(section, ()), pipelines, depth=0)


def collect_script_runs(pipeline: Pipeline, others: Sequence[Pipeline]) -> dict[Span, list[ScriptRun]]:
    """Return, for each script of ``pipeline``, which jobs (of any file) run it and what they see.

    Templates count as jobs only for scripts that no real job runs.
    """
    if pipeline.dialect == "github":
        return _github_runs(pipeline)
    pipelines = [*(one for one in others if one.dialect == "gitlab"), pipeline]
    own = {id(scalar): scalar.span for scalar in _own_scripts(pipeline)}
    runs: dict[Span, list[ScriptRun]] = {}
    for one in pipelines:
        for job in one.jobs.values():
            variables = resolve_variables(job, pipelines)
            missing = tuple(_missing(job, pipelines))
            for scalar in resolve_scripts(job, pipelines):
                if id(scalar) in own:
                    run = ScriptRun(job=job.name, hidden=job.hidden, variables=variables, missing=missing)
                    runs.setdefault(scalar.span, []).append(run)
                # The items of a job run in one shell: what one exports, the next ones see.
                variables = variables | {found["name"]: found["value"] for found in _EXPORT.finditer(scalar.value)}
    return {span: [run for run in found if not run.hidden] or found for span, found in runs.items()}


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


def _find(name: str, pipelines: Sequence[Pipeline]) -> CiJob | None:
    return next((one.jobs[name] for one in reversed(pipelines) if name in one.jobs), None)


def _lineage(job: CiJob, pipelines: Sequence[Pipeline], *, depth: int = 0) -> Iterator[CiJob]:
    """Yield ancestors before descendants, so that a later one overrides."""
    if depth > _DEEPEST:
        return
    for name in job.extends:
        parent = _find(name, pipelines)
        if parent is not None and parent is not job:
            yield from _lineage(parent, pipelines, depth=depth + 1)
    yield job


def _missing(job: CiJob, pipelines: Sequence[Pipeline]) -> Iterator[str]:
    for ancestor in _lineage(job, pipelines):
        yield from (name for name in ancestor.extends if _find(name, pipelines) is None)


def _expand(items: tuple[ScriptItem, ...], pipelines: Sequence[Pipeline], *, depth: int) -> Iterator[YamlScalar]:
    for item in items:
        if isinstance(item, YamlScalar):
            yield item
        elif depth < _REFERENCES and len(item.path) == 2:
            job = _find(item.path[0], pipelines)
            if job is not None:
                yield from _expand(job.scripts.get(item.path[1], ()), pipelines, depth=depth + 1)


def _is_gitlab(pairs: list[YamlPair], tree: YamlTree) -> bool:
    names = {pair.name for pair in pairs if pair.name}
    if names & _FOREIGN:
        return False
    if names & {"stages", "include", "workflow", "before_script"} or names == {"variables"}:
        return True
    values = {pair.name: value for pair in pairs if isinstance(value := tree.resolve(pair.value), YamlMapping)}
    if any(name and name.startswith(".") for name in values):
        return True
    return any(value.pair(key) for value in values.values() for key in ("script", "extends", "before_script"))


class _JobReader:
    def __init__(self, tree: YamlTree) -> None:
        self._tree = tree

    def merged(self, mapping: YamlMapping, *, depth: int = 0) -> list[YamlPair]:
        """Return the pairs of a mapping with merge keys (``<<``) resolved: what is merged in stands first."""
        own: list[YamlPair] = []
        inherited: list[YamlPair] = []
        for pair in mapping.pairs:
            if pair.name != "<<" or depth > _DEEPEST:
                own.append(pair)
                continue
            value = self._tree.resolve(pair.value)
            for source in value.items if isinstance(value, YamlSequence) else (value,):
                merged = self._tree.resolve(source)
                inherited += self.merged(merged, depth=depth + 1) if isinstance(merged, YamlMapping) else []
        return inherited + own

    def gitlab(self, pairs: list[YamlPair]) -> Pipeline:
        values = {pair.name: self._tree.resolve(pair.value) for pair in pairs if pair.name}
        jobs: dict[str, CiJob] = {}
        for pair in pairs:
            value = self._tree.resolve(pair.value)
            if not pair.name or pair.name in _GLOBAL:
                continue
            if isinstance(value, YamlMapping):
                jobs[pair.name] = self._gitlab_job(pair.name, pair.span, value)
            elif isinstance(value, (YamlScalar, YamlSequence)) and pair.name.startswith("."):
                # An anchored script: no job, but a place to which aliases lead.
                jobs[pair.name] = CiJob(name=pair.name, span=pair.span, scripts={"script": tuple(self._items(value))})
        default = self._default(pairs, values)
        return Pipeline(
            dialect="gitlab",
            variables=self._variables(values.get("variables")),
            default=default,
            jobs=jobs,
            includes=tuple(self._includes(values.get("include"))),
        )

    def _default(self, pairs: list[YamlPair], values: Mapping[str, YamlNode | None]) -> CiJob | None:
        scripts = {name: tuple(self._items(values[name])) for name in SECTIONS if values.get(name) is not None}
        default = values.get("default")
        span = pairs[0].span
        if isinstance(default, YamlMapping):
            span = default.span
            scripts |= self._gitlab_job("default", default.span, default).scripts
        return CiJob(name="default", span=span, scripts=scripts) if scripts else None

    def _gitlab_job(self, name: str, span: Span, mapping: YamlMapping) -> CiJob:
        values = {pair.name: self._tree.resolve(pair.value) for pair in self.merged(mapping) if pair.name}
        return CiJob(
            name=name,
            span=span,
            extends=tuple(self._texts(values.get("extends"))),
            variables=self._variables(values.get("variables")),
            scripts={key: tuple(self._items(values[key])) for key in SECTIONS if key in values},
            environment=self._named(values.get("environment"), "name"),
            needs=tuple(self._texts(values.get("needs"), key="job")),
        )

    def github(self, root: Mapping[str, YamlNode | None]) -> Pipeline:
        jobs: dict[str, CiJob] = {}
        mapping = root.get("jobs")
        if isinstance(mapping, YamlMapping):
            for pair in mapping.pairs:
                value = self._tree.resolve(pair.value)
                if pair.name and isinstance(value, YamlMapping):
                    jobs[pair.name] = self._github_job(pair.name, pair.span, value)
        runs = root.get("runs")
        if isinstance(runs, YamlMapping):
            jobs["runs"] = self._github_job("runs", runs.span, runs)
        return Pipeline(dialect="github", variables=self._variables(root.get("env")), jobs=jobs)

    def _github_job(self, name: str, span: Span, mapping: YamlMapping) -> CiJob:
        steps = self._tree.resolve(mapping.get("steps"))
        items = steps.items if isinstance(steps, YamlSequence) else ()
        return CiJob(
            name=name,
            span=span,
            variables=self._variables(mapping.get("env")),
            steps=tuple(self._step(item) for item in items if isinstance(item, YamlMapping)),
            environment=self._named(mapping.get("environment"), "name"),
            needs=tuple(self._texts(mapping.get("needs"))),
        )

    def _step(self, mapping: YamlMapping) -> CiStep:
        run = self._tree.resolve(mapping.get("run"))
        return CiStep(
            span=mapping.span,
            variables=self._variables(mapping.get("env")),
            run=run if isinstance(run, YamlScalar) else None,
        )

    def _variables(self, node: YamlNode | None) -> dict[str, CiVariable]:
        mapping = self._tree.resolve(node)
        if not isinstance(mapping, YamlMapping):
            return {}
        found: dict[str, CiVariable] = {}
        for pair in self.merged(mapping):
            if pair.name:
                value = self._named(self._tree.resolve(pair.value), "value")
                found[pair.name] = CiVariable(name=pair.name, value=value, span=pair.span)
        return found

    def _named(self, node: YamlNode | None, key: str) -> str | None:
        """Return a scalar's text, or that of ``key`` where a mapping says more (``{value: x, description: y}``)."""
        found = self._tree.resolve(node)
        if isinstance(found, YamlMapping):
            found = self._tree.resolve(found.get(key))
        return found.value if isinstance(found, YamlScalar) else None

    def _texts(self, node: YamlNode | None, *, key: str = "job") -> Iterator[str]:
        found = self._tree.resolve(node)
        if found is None:
            return
        for item in found.items if isinstance(found, YamlSequence) else (found,):
            text = self._named(item, key)
            if text is not None:
                yield text

    def _items(self, node: YamlNode | None, *, depth: int = 0) -> Iterator[ScriptItem]:
        found = self._tree.resolve(node)
        if isinstance(found, YamlScalar):
            yield found
        elif isinstance(found, YamlSequence) and found.tag == "!reference":
            yield CiReference(path=tuple(self._texts(found)), span=found.span)
        elif isinstance(found, YamlSequence) and depth < _DEEPEST:
            for item in found.items:
                yield from self._items(item, depth=depth + 1)

    def _includes(self, node: YamlNode | None) -> Iterator[str]:
        found = self._tree.resolve(node)
        if found is None:
            return
        for item in found.items if isinstance(found, YamlSequence) else (found,):
            for key in ("local", "component", "remote", "template", "file"):
                text = self._named(item, key)
                if text is not None:
                    yield text.lstrip("/") if key != "remote" else text
                    break
