"""Places in documents, settings files and other recipes that depend on what a Justfile does with the source.

A locator sees one file. Here a Justfile's settings for the source's address, and its recipes that list or unlock states,
are followed to where other files set, override or recommend them. Such a place is always reported: what a person should
read instead follows from what the recipe becomes.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from migrator.inventory.file_kinds import FileKind, find_kind
from migrator.inventory.history import is_history
from migrator.inventory.model import Place, Reference
from migrator.inventory.tree import RepositoryTree
from migrator.rewrite.locate_just import read_just
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span, line_of

_ENVIRONMENT_NAME = re.compile(r"[\"']([A-Z][A-Z0-9_]+)[\"']")
_ASSIGNED = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w-]*)\s*:=")
_READ_IN = frozenset({FileKind.MARKDOWN, FileKind.DOTENV, FileKind.JUST})


@dataclass(frozen=True, slots=True)
class _Consumed:
    """What to look for, and why a place that has it matters."""

    kind: ReferenceKind
    reason: str


def locate_consumers(tree: RepositoryTree, references: Iterable[Reference]) -> Iterator[tuple[str, str, Located]]:
    """Yield path, text and reference for each line that depends on a Justfile's use of the source and is not covered."""
    references = tuple(references)
    wanted = _read_wanted(tree, references)
    if not wanted:
        return
    pattern = re.compile("|".join(f"(?:{one})" for one in wanted))
    covered: dict[str, list[Place]] = defaultdict(list)
    for one in references:
        covered[one.place.path].append(one.place)
    for path in tree.paths:
        if is_history(path) or find_kind(path, b"") not in _READ_IN:
            continue
        text = tree.read_text_or_nothing(path)
        for found in pattern.finditer(text or ""):
            line = line_of(text or "", found.start())
            if text and not any(place.start_line <= line <= place.end_line for place in covered[path]):
                covered[path].append(Place(path=path, start_line=line, end_line=line))
                yield path, text, _build(found, next(wanted[one] for one in wanted if re.fullmatch(one, found[0])))


def _read_wanted(tree: RepositoryTree, references: Iterable[Reference]) -> Mapping[str, _Consumed]:
    """Return patterns of what depends on the Justfiles' references, with the kind and the reason of a report."""
    wanted: dict[str, _Consumed] = {}
    for reference in references:
        path = reference.place.path
        text = tree.read_text_or_nothing(path)
        if text is None or find_kind(path, b"") is not FileKind.JUST:
            continue
        span = reference.located.span
        if reference.kind is ReferenceKind.SOURCE_SETTING and (assigned := _ASSIGNED.match(span.of(text))):
            reason = f"about {assigned[1]}, from which a Justfile builds the address of the source: read it"
            consumed = _Consumed(ReferenceKind.SOURCE_SETTING, reason)
            wanted.setdefault(rf"\b{assigned[1]}=\S*", consumed)
            wanted.setdefault(rf"`{assigned[1]}`", consumed)
            wanted.setdefault(rf"(?i:\bstate\b)[^\n]*\{{\{{\s*{assigned[1]}\s*\}}\}}", consumed)
            for name in _ENVIRONMENT_NAME.findall(span.of(text)):
                if not name.startswith("TF_HTTP_"):
                    wanted.setdefault(rf"\b{name}\b", consumed)
        elif reference.kind in {ReferenceKind.STATE_UNLOCK, ReferenceKind.STATE_LIST}:
            for recipe in read_just(text).recipes:
                if recipe.body_span.start <= span.start < recipe.body_span.end:
                    reason = f"recommends the recipe {recipe.name} of {path}, which takes or shows something else at the target"
                    wanted.setdefault(rf"\bjust {re.escape(recipe.name)}\b", _Consumed(reference.kind, reason))
    return wanted


def _build(found: re.Match[str], consumed: _Consumed) -> Located:
    return Located(kind=consumed.kind, span=Span(*found.span()), disposition=Disposition.REPORT, reason=consumed.reason)
