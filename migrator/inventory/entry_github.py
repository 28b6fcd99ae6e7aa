"""Entry points of GitHub workflows and composite actions: the steps that run a script. PURE.

Variables come from ``env`` on three levels; ``inputs`` with options are closed lists; a matrix gives every value.
"""

from collections.abc import Iterator

from migrator.inventory.entry_points import EntryPoint
from migrator.inventory.model import Place, build_place
from migrator.inventory.shell_regions import build_source, read_regions
from migrator.inventory.values import Lookup, Unknown, Value, build_value, expand
from migrator.rewrite.spans import line_of
from migrator.rewrite.yaml_tree import YamlMapping, YamlNode, YamlPair, YamlScalar, YamlSequence, read_yaml_tree

_Variables = dict[str, tuple[str, Place]]


def read_github_entry_points(text: str, path: str) -> Iterator[EntryPoint]:
    """Yield the entry points of a workflow.

    Raises: UnparsableError.
    """
    for root in read_yaml_tree(text).documents:
        if isinstance(root, YamlMapping):
            yield from _Workflow(text, path, root).entry_points()


class _Workflow:
    def __init__(self, text: str, path: str, root: YamlMapping) -> None:
        self._text, self._path, self._root = text, path, root
        self._inputs = dict(_read_inputs(root))

    def entry_points(self) -> Iterator[EntryPoint]:
        jobs = [pair.value for pair in _pairs(self._root, "jobs")] or [self._root.get("runs")]
        for job in jobs:
            steps = job.get("steps") if isinstance(job, YamlMapping) else None
            for step in steps.items if isinstance(steps, YamlSequence) else ():
                if isinstance(job, YamlMapping) and isinstance(step, YamlMapping):
                    yield from self._read_step(job, step)

    def _read_step(self, job: YamlMapping, step: YamlMapping) -> Iterator[EntryPoint]:
        run = step.get("run")
        if not isinstance(run, YamlScalar) or "init" not in run.value:
            return
        line = line_of(self._text, run.span.start)
        is_literal = run.style == "literal"
        source = build_source(
            run.value,
            path=self._path,
            first_line=line + (run.style in {"literal", "folded"}),
            is_one_line=not is_literal,
        )
        variables: _Variables = {}
        for level in (self._root, job, step):
            variables |= self._read_env(level)
        lookup = self._build_lookup(job, variables)
        directory = _text(step, "working-directory") or _default_directory(job) or _default_directory(self._root)
        for region in read_regions(source):
            if region.initializes:
                yield EntryPoint(
                    base="",
                    region=region,
                    outside=lookup,
                    directories=expand(directory, lookup) if directory else (),
                    areas=(build_place(self._path, self._text, job.span),),
                    environment=_text(job, "environment"),
                )

    def _read_env(self, level: YamlMapping) -> _Variables:
        found: _Variables = {}
        for pair in _pairs(level, "env"):
            if pair.name and isinstance(pair.value, YamlScalar):
                line = line_of(self._text, pair.span.start)
                found[pair.name] = (pair.value.value, Place(path=self._path, start_line=line, end_line=line))
        return found

    def _build_lookup(self, job: YamlMapping, variables: _Variables) -> Lookup:
        strategy = job.get("strategy")
        matrix = dict(_read_matrix(strategy)) if isinstance(strategy, YamlMapping) else {}
        resolving: list[str] = []

        def look_up(language: str, name: str) -> tuple[Value, ...]:
            context, _, field = name.removeprefix("github.event.").partition(".")
            if language == "github" and context == "inputs" and field in self._inputs:
                return (build_value([self._inputs[field]]),)
            if language == "github" and context == "matrix" and field in matrix:
                return tuple(build_value([value]) for value in matrix[field])
            variable = name if language == "shell" else field if context == "env" else ""
            if variable not in variables or variable in resolving:
                return ()
            text, place = variables[variable]
            resolving.append(variable)
            try:
                return tuple(value.with_place(place) for value in expand(text, look_up))
            finally:
                resolving.pop()

        return look_up


def _read_inputs(root: YamlMapping) -> Iterator[tuple[str, Unknown]]:
    """Yield the inputs of the workflow: an option list is closed, a default is only a default."""
    triggers = [pair.value for pair in _pairs(root, "on") if pair.name in {"workflow_dispatch", "workflow_call"}]
    for trigger in (*triggers, root):
        for pair in _pairs(trigger, "inputs"):
            if pair.name and isinstance(pair.value, YamlMapping):
                options = pair.value.get("options")
                items = options.items if isinstance(options, YamlSequence) else ()
                choices = tuple(item.value for item in items if isinstance(item, YamlScalar))
                yield pair.name, Unknown(f"inputs.{pair.name}", default=_text(pair.value, "default"), choices=choices)


def _read_matrix(strategy: YamlMapping) -> Iterator[tuple[str, tuple[str, ...]]]:
    for pair in _pairs(strategy, "matrix"):
        if pair.name and isinstance(pair.value, YamlSequence):
            yield pair.name, tuple(item.value for item in pair.value.items if isinstance(item, YamlScalar))


def _default_directory(level: YamlMapping) -> str | None:
    defaults = level.get("defaults")
    run = defaults.get("run") if isinstance(defaults, YamlMapping) else None
    return _text(run, "working-directory") if isinstance(run, YamlMapping) else None


def _pairs(node: YamlNode | None, key: str) -> tuple[YamlPair, ...]:
    value = node.get(key) if isinstance(node, YamlMapping) else None
    return value.pairs if isinstance(value, YamlMapping) else ()


def _text(node: YamlMapping, key: str) -> str | None:
    value = node.get(key)
    if isinstance(value, YamlMapping):
        value = value.get("name")
    return value.value if isinstance(value, YamlScalar) else None
