"""Every entry point of the repository, whatever file it stands in, and the files that say a state's name outright."""

import posixpath
import re
from collections.abc import Iterator

from migrator.inventory.entry_github import read_github_entry_points
from migrator.inventory.entry_gitlab import read_gitlab_entry_points
from migrator.inventory.entry_just import read_just_entry_points
from migrator.inventory.entry_points import Claim, EntryPoint, read_state_name
from migrator.inventory.file_kinds import FileKind, find_kind
from migrator.inventory.history import is_history
from migrator.inventory.model import Place, Stack
from migrator.inventory.pipelines import GitLabPipelines
from migrator.inventory.shell_regions import build_source, read_regions
from migrator.inventory.tree import RepositoryTree
from migrator.inventory.values import Lookup, Value, build_value
from migrator.rewrite.outline import OutlineError, read_literal, read_outline
from migrator.rewrite.spans import Span, line_of
from migrator.rewrite.unparsable import UnparsableError

_FENCE = re.compile(
    r"^(?P<mark>[ \t>]*(?:```+|~~~+))[ \t]*(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^[ \t>]*(?:```+|~~~+)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_SHELL_FENCES = frozenset({"", "bash", "sh", "shell", "console", "zsh"})
_VARIABLE = re.compile(r"\$\{(?:var|local)\.([A-Za-z_]\w*)\}")


def read_entry_points(tree: RepositoryTree, pipelines: GitLabPipelines) -> Iterator[EntryPoint]:
    """Yield the entry points: recipes, jobs, workflow steps, scripts, and commands that documents show."""
    yield from read_gitlab_entry_points(pipelines)
    for path in tree.paths:
        data = tree.read_bytes_or_nothing(path)
        if b"init" not in data or is_history(path):
            continue
        kind = find_kind(path, data)
        text = tree.read_text(path) if kind in _READERS else None
        if text is not None:
            yield from _READERS[kind](text, path)


def read_file_claims(tree: RepositoryTree, stacks: tuple[Stack, ...]) -> Iterator[Claim]:
    """Yield the names in backend blocks and in backend files (``*.tfbackend``, ``*.hcl``) beside a stack's files."""
    for stack in stacks:
        lookup = _build_tfvars_lookup(tree, stack)
        if stack.backend and stack.backend.address:
            address = _VARIABLE.sub(r"${\1}", stack.backend.address)
            for name in read_state_name(address, lookup):
                if name.pieces:
                    yield Claim(stack=stack.name, name=name.with_place(stack.backend.place))
        for path in _files_of(tree, stack, (".tfbackend", ".hcl")):
            for address, place in _read_attribute(tree, path, "address"):
                for name in read_state_name(address, lookup):
                    yield Claim(stack=stack.name, name=name.with_place(place))


def _read_shell(text: str, path: str) -> Iterator[EntryPoint]:
    yield from _build_entry_points(text, path, first_line=1, base=posixpath.dirname(path))


def _read_markdown(text: str, path: str) -> Iterator[EntryPoint]:
    for fence in _FENCE.finditer(text):
        if fence["language"].lower() in _SHELL_FENCES and "init" in fence["body"]:
            line = line_of(text, fence.start("body"))
            yield from _build_entry_points(fence["body"], path, first_line=line, base=posixpath.dirname(path))


def _read_workflow(text: str, path: str) -> Iterator[EntryPoint]:
    if "/workflows/" in f"/{path}" or path.endswith(("action.yml", "action.yaml")):
        try:
            yield from read_github_entry_points(text, path)
        except UnparsableError:
            return  # references.py reports the file


def _build_entry_points(text: str, path: str, *, first_line: int, base: str) -> Iterator[EntryPoint]:
    source = build_source(text, path=path, first_line=first_line)
    # A script may be started from the top or from its own directory.
    bases = tuple(build_value([one]) for one in dict.fromkeys(("", base)))
    for region in read_regions(source):
        if region.initializes:
            yield EntryPoint(base=base, region=region, outside=_nothing, directories=bases, areas=source.areas())


_READERS = {
    FileKind.JUST: read_just_entry_points,
    FileKind.SHELL: _read_shell,
    FileKind.MARKDOWN: _read_markdown,
    FileKind.YAML: _read_workflow,
}


def _build_tfvars_lookup(tree: RepositoryTree, stack: Stack) -> Lookup:
    """Return what a variable of the stack is: each value that a tfvars file gives it."""

    def look_up(language: str, name: str) -> tuple[Value, ...]:
        found = [
            build_value([value], frozenset([place]))
            for path in _files_of(tree, stack, (".tfvars",))
            for value, place in _read_attribute(tree, path, name)
        ]
        return tuple(found) if language == "shell" else ()

    return look_up


def _files_of(tree: RepositoryTree, stack: Stack, suffixes: tuple[str, ...]) -> Iterator[str]:
    prefix = "" if stack.directory == "." else f"{stack.directory}/"
    for path in tree.paths:
        if path.endswith(suffixes) and path.startswith(prefix) and not path.endswith(".terraform.lock.hcl"):
            yield path


def _read_attribute(tree: RepositoryTree, path: str, name: str) -> Iterator[tuple[str, Place]]:
    text = tree.read_text_or_nothing(path)
    if text is None or name not in text:
        return
    try:
        span = read_outline(text).attributes.get(name, Span(0, 0))
    except OutlineError:
        return  # references.py reports the file
    value = read_literal(text, span)
    if value is not None:
        line = line_of(text, span.start)
        yield value, Place(path=path, start_line=line, end_line=line)


def _nothing(language: str, name: str) -> tuple[Value, ...]:
    return ()
