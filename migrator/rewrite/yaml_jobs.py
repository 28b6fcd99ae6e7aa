"""Read CI files as jobs: GitLab CI (hidden jobs, merge keys, ``!reference``, ``default``) and GitHub workflows.

Each job holds what its own lines say; what it inherits over ``extends`` and files is resolved by ``job_graph``.
"""

from collections.abc import Iterator, Mapping

from migrator.rewrite.ci_model import (
    SECTIONS,
    CiJob,
    CiReference,
    CiStep,
    CiVariable,
    Pipeline,
    ScriptItem,
    ScriptRun,
)
from migrator.rewrite.job_graph import collect_script_runs, resolve_scripts, resolve_variables
from migrator.rewrite.spans import Span, line_of
from migrator.rewrite.unparsable import UnparsableError
from migrator.rewrite.yaml_tree import (
    YamlMapping,
    YamlNode,
    YamlPair,
    YamlScalar,
    YamlSequence,
    YamlTree,
    read_yaml_tree,
)

__all__ = [
    "CiJob",
    "CiReference",
    "CiStep",
    "CiVariable",
    "Pipeline",
    "ScriptRun",
    "collect_script_runs",
    "read_yaml_jobs",
    "resolve_scripts",
    "resolve_variables",
]

_GLOBAL = frozenset({"stages", "include", "variables", "default", "workflow", "image", "services", "cache", "spec"})
# Keys at the top of compose files, Kubernetes manifests and other CI systems, some of which have stages too.
_FOREIGN = frozenset({"apiVersion", "version", "services", "pool", "steps", "trigger", "vars", "tasks"})
_MOST_ITEMS = 10_000
_DEEPEST = 12  # of merge keys and lists in lists; real files stay below 3


def read_yaml_jobs(text: str) -> Pipeline:
    """Text of a CI file -> Pipeline.

    Raises: UnparsableError with line and column.
    """
    tree = read_yaml_tree(text)
    reader = _JobReader(tree, text)
    pairs = [pair for root in tree.documents if isinstance(root, YamlMapping) for pair in reader.merged(root)]
    root = {pair.name: tree.resolve(pair.value) for pair in pairs if pair.name}
    if isinstance(root.get("jobs"), YamlMapping) or (isinstance(root.get("runs"), YamlMapping)):
        return reader.github(root)
    if _is_gitlab(pairs, tree):
        return reader.gitlab(pairs)
    return Pipeline(dialect="other")


def _is_gitlab(pairs: list[YamlPair], tree: YamlTree) -> bool:
    names = {pair.name for pair in pairs if pair.name}
    if any(pair.name in _FOREIGN and not _is_job(tree.resolve(pair.value)) for pair in pairs):
        return False
    if names & {"stages", "include", "workflow", "before_script"} or names == {"variables"}:
        return True
    values = {pair.name: value for pair in pairs if isinstance(value := tree.resolve(pair.value), YamlMapping)}
    if any(name and name.startswith(".") for name in values):
        return True
    return any(value.pair(key) for value in values.values() for key in ("script", "extends", "before_script"))


def _is_job(node: YamlNode | None) -> bool:
    """Tell whether a value is a job: it may have any name, that of another system's key too."""
    if isinstance(node, YamlMapping):
        return any(node.pair(key) for key in ("script", "extends", "trigger", "stage"))
    return False


class _JobReader:
    def __init__(self, tree: YamlTree, text: str) -> None:
        self._tree, self._text = tree, text

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
                jobs[pair.name] = CiJob(name=pair.name, span=pair.span, scripts={"script": self._script(value)})
        default = self._default(pairs, values)
        return Pipeline(
            dialect="gitlab",
            variables=self._variables(values.get("variables")),
            default=default,
            jobs=jobs,
            includes=tuple(self._includes(values.get("include"))),
        )

    def _default(self, pairs: list[YamlPair], values: Mapping[str, YamlNode | None]) -> CiJob | None:
        scripts = {name: self._script(values[name]) for name in SECTIONS if values.get(name) is not None}
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
            scripts={key: self._script(values[key]) for key in SECTIONS if key in values},
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

    def _script(self, node: YamlNode | None) -> tuple[ScriptItem, ...]:
        """Return the items of a script, lists in it unfolded.

        Raises: UnparsableError when aliases of aliases make more of it than anybody can have meant.
        """
        items: list[ScriptItem] = []
        pending, seen = [(node, 0)], 0
        while pending:
            one, depth = pending.pop()
            seen += 1
            if seen > _MOST_ITEMS:
                line = line_of(self._text, node.span.start) if node is not None else 1
                raise UnparsableError(line, 1, f"aliases make a script of more than {_MOST_ITEMS} items of this")
            found = self._tree.resolve(one)
            if isinstance(found, YamlScalar):
                items.append(found)
            elif isinstance(found, YamlSequence) and found.tag == "!reference":
                items.append(CiReference(path=tuple(self._texts(found)), span=found.span))
            elif isinstance(found, YamlSequence) and depth < _DEEPEST:
                pending += [(item, depth + 1) for item in reversed(found.items)]
        return tuple(items)

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
