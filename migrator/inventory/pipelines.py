"""The GitLab pipeline of a repository across its files: what each job inherits, sees and runs, with places.

Files are the root file, what it includes from the repository, and every other YAML file below ``.gitlab`` (child
pipelines). What a job means in one file is ``rewrite.yaml_jobs``; here the files are put together.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from migrator.inventory.model import Place, build_place
from migrator.inventory.shell_regions import Source, build_source
from migrator.inventory.tree import RepositoryTree
from migrator.rewrite.job_graph import JobGraph
from migrator.rewrite.spans import Span, line_of
from migrator.rewrite.unparsable import UnparsableError
from migrator.rewrite.yaml_jobs import CiJob, CiVariable, Pipeline, read_yaml_jobs
from migrator.rewrite.yaml_tree import YamlMapping, YamlPair, YamlScalar, read_yaml_tree

ROOT = ".gitlab-ci.yml"
_DEEPEST = 12
_MOST_FILES = 500
_DECLARATION = "stages: []"


@dataclass(frozen=True, slots=True)
class PlacedVariable:
    """The value of a CI variable as written, and where."""

    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class GitLabPipelines:
    """The files of one configuration in the order in which GitLab merges them (the root file last)."""

    files: Mapping[str, Pipeline]
    texts: Mapping[str, str]
    _graph: JobGraph = field(init=False, repr=False, compare=False)
    _owners: Mapping[int, str] = field(init=False, repr=False, compare=False)
    _jobs: Mapping[str, tuple[str, CiJob]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the files once: everything below is asked for each job."""
        object.__setattr__(self, "_graph", JobGraph(tuple(self.files.values())))
        object.__setattr__(self, "_owners", self._script_owners())
        found = {name: (path, job) for path, pipeline in self.files.items() for name, job in pipeline.jobs.items()}
        object.__setattr__(self, "_jobs", found)

    def jobs(self) -> Iterator[tuple[str, CiJob]]:
        """Yield the path and the job for each job that can run: not hidden, and the last of its name."""
        for path, pipeline in self.files.items():
            for job in pipeline.jobs.values():
                if not job.hidden and self._find(job.name) == (path, job):
                    yield path, job

    def variables(self, job: CiJob) -> dict[str, PlacedVariable]:
        """Return what the job sees: globals, then each ancestor, then its own; the last wins."""
        seen: dict[str, PlacedVariable] = {}
        for path, pipeline in self.files.items():
            seen |= self._placed(path, pipeline.variables)
        for path, ancestor in self._lineage(job, 0):
            seen |= self._placed(path, ancestor.variables)
        return seen

    def script(self, job: CiJob) -> Source:
        """Return what the job runs, with where each line stands."""
        source = Source()
        for scalar in self._graph.resolve_scripts(job):
            path = self._owners.get(id(scalar))
            if path is not None:
                source += self._source(path, scalar)
        return source

    def areas(self, job: CiJob) -> tuple[Place, ...]:
        """Return the lines of the job and of everything that it extends."""
        return tuple(build_place(path, self.texts[path], one.span) for path, one in self._lineage(job, 0))

    def key(self, job: CiJob, name: str) -> tuple[str, YamlPair | None]:
        """Return the pair that gives the job this key, its own or the nearest inherited one, and its file."""
        for path, one in reversed(list(self._lineage(job, 0))):
            for root in read_yaml_tree(self.texts[path]).documents:
                pair = root.pair(one.name) if isinstance(root, YamlMapping) else None
                if pair and isinstance(pair.value, YamlMapping) and (found := pair.value.pair(name)):
                    return path, found
        return "", None

    def place(self, path: str, span: Span) -> Place:
        """Return the lines of a span in one of the files."""
        return build_place(path, self.texts[path], span)

    def _source(self, path: str, scalar: YamlScalar) -> Source:
        line = line_of(self.texts[path], scalar.span.start)
        is_block = scalar.style in {"literal", "folded"}
        return build_source(
            scalar.value,
            path=path,
            first_line=line + 1 if is_block else line,
            is_one_line=scalar.style != "literal",
        )

    def _script_owners(self) -> dict[int, str]:
        return {
            id(item): path
            for path, pipeline in self.files.items()
            for job in (*pipeline.jobs.values(), *((pipeline.default,) if pipeline.default else ()))
            for items in job.scripts.values()
            for item in items
        }

    def _find(self, name: str) -> tuple[str, CiJob] | None:
        return self._jobs.get(name)

    def _lineage(self, job: CiJob, depth: int) -> Iterator[tuple[str, CiJob]]:
        for name in job.extends if depth < _DEEPEST else ():
            parent = self._find(name)
            if parent is not None and parent[1] is not job:
                yield from self._lineage(parent[1], depth + 1)
        found = self._find(job.name)
        if found is not None:
            yield found[0], job

    def _placed(self, path: str, variables: Mapping[str, CiVariable]) -> dict[str, PlacedVariable]:
        placed: dict[str, PlacedVariable] = {}
        for name, variable in variables.items():
            if variable.value is not None:
                line = line_of(self.texts[path], variable.span.start)
                placed[name] = PlacedVariable(variable.value, Place(path=path, start_line=line, end_line=line))
        return placed


def read_gitlab_pipelines(tree: RepositoryTree) -> GitLabPipelines:
    """Return the pipeline of the repository; files that cannot be read or parsed are left out (references report them)."""
    files: dict[str, Pipeline] = {}
    texts: dict[str, str] = {}
    others = [path for path in tree.paths if re.search(r"(?:^|/)\.gitlab/.*\.ya?ml$|\.gitlab-ci\.ya?ml$", path)]
    waiting = [path for path in (ROOT, *others) if path in tree.path_set]
    while waiting and len(files) < _MOST_FILES:
        path = waiting.pop(0)
        if path in files or (text := tree.read_text_or_nothing(path)) is None:
            continue
        try:
            pipeline = read_yaml_jobs(text)
            if pipeline.dialect != "gitlab":
                # A file of variables alone does not look like a pipeline, but it is included in one: say so at its end.
                pipeline = read_yaml_jobs(f"{text}\n{_DECLARATION}\n")
        except UnparsableError:
            continue
        files[path], texts[path] = pipeline, text
        waiting += _included(tree, pipeline)
    # GitLab merges included files first, so that the root file overrides them.
    ordered = sorted(files, key=lambda path: path == ROOT)
    return GitLabPipelines({path: files[path] for path in ordered}, texts)


def _included(tree: RepositoryTree, pipeline: Pipeline) -> Iterator[str]:
    for include in pipeline.includes:
        if include in tree.path_set:
            yield include
        elif "*" in include:
            yield from (path for path in tree.paths if fnmatchcase(path, include))
