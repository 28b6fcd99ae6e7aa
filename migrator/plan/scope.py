"""PURE: lines that would be cut over although a state that they lead to does not move.

After cut-over such a line names an empty key: the next apply there would create everything again. Documents are passed
over: what they show are examples. A project that stands in a variable is not known here and not compared.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote

from migrator.inventory.model import Reference
from migrator.plan.facts import Facts
from migrator.plan.model import Finding, PlannedFile, Project
from migrator.rewrite.reference import WORDS, Disposition, ReferenceKind

_PROJECT = re.compile(r"/projects/(?P<project>\d+|[\w.%-]+)/terraform/state\b")
_DOCUMENTS = (".md", ".markdown", ".rst", ".adoc", ".txt")


def find_named_projects(references: Iterable[Reference], texts: Callable[[str], str | None]) -> list[str]:
    """Return the projects that addresses in working lines spell out (ids, or paths), the most frequent first."""
    named = Counter(name for reference in references for name in _named_projects(reference, texts))
    return [name for name, _ in named.most_common()]


def check_projects(facts: Facts, references: Iterable[Reference]) -> list[Finding]:
    """Return the lines whose address spells out another project than the one whose states move."""
    return [
        Finding(
            code="foreign-project",
            where=str(reference.place),
            message=f"this address names project {name}, and the states that move are those of {_describe(facts.project)}",
            hint="correct the address or source.project; or leave that stack out with --stack; or acknowledge "
            "foreign-project in migrator.toml, if both are the same project",
        )
        for reference in references
        for name in sorted(set(_named_projects(reference, facts.texts)))
        if not _is_named(facts.project, name)
    ]


def check_left_behind(facts: Facts, files: Iterable[PlannedFile]) -> list[Finding]:
    """Return the excluded states whose stack would be cut over all the same."""
    words = {kind.value for kind in WORDS}
    working = {
        stack: file.path
        for file in files
        if any(edit.kind not in words for edit in file.edits)
        for stack in file.stacks
    }
    taken = {(state.stack.name, state.environment) for state in facts.bound.states}
    return [
        Finding(
            code="left-behind-state",
            where=state.observed.name,
            message=f"it is excluded, and {working[state.stack.name]}, which leads to it (stack {state.stack.name}, "
            f"environment {state.environment}), would be cut over: an apply there would find no state",
            hint="move it too, or leave its stack out with --stack; or acknowledge left-behind-state in migrator.toml, "
            "if nobody applies it any more",
        )
        for state in facts.bound.excluded
        if state.stack.name in working and (state.stack.name, state.environment) not in taken
    ]


def check_remote_states(facts: Facts, references: Iterable[Reference]) -> list[Finding]:
    """Return the reads of a state that stays at the source, which would be pointed at the target all the same."""
    return [
        Finding(
            code="left-behind-state",
            where=str(reference.place),
            message=f"this reads the state {reference.located.state}, which stays at the source; cut over, it would find none",
            hint="move that state too; or acknowledge left-behind-state in migrator.toml, if nothing reads it any more",
        )
        for reference in references
        if reference.kind is ReferenceKind.REMOTE_STATE
        and reference.disposition is Disposition.REWRITE
        and reference.located.state in facts.bound.staying
    ]


def _named_projects(reference: Reference, texts: Callable[[str], str | None]) -> Iterator[str]:
    path = reference.place.path
    if reference.disposition is not Disposition.REWRITE or reference.kind in WORDS or path.endswith(_DOCUMENTS):
        return
    text = texts(path)
    for found in _PROJECT.finditer(reference.located.span.of(text) if text else ""):
        yield unquote(found["project"])


def _is_named(project: Project, name: str) -> bool:
    return name == str(project.id) if name.isdecimal() else name.casefold() == project.path.casefold()


def _describe(project: Project) -> str:
    return f"project {project.id}, {project.path}"
