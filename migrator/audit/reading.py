"""What an audit reads of a repository: lines of code, sentences of documents, and which modules are instantiated."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from migrator.audit.prose import Sentence, read_comment_sentences, read_sentences
from migrator.audit.rules import Rules, compile_rule
from migrator.inventory.file_kinds import FileKind, find_kind
from migrator.inventory.history import is_history
from migrator.inventory.model import Inventory, Place, build_place
from migrator.inventory.survey import Survey, read_survey
from migrator.inventory.tree import RepositoryTree
from migrator.rewrite.outline import OutlineError, read_literal, read_outline

_DOCUMENT = re.compile(r"\.(?:md|markdown|mdx|rst|adoc|txt)$|(?:^|/)README[^/]*$", re.IGNORECASE)
_EXAMPLE = re.compile(r"\.(?:example|sample|template|dist)(?:\.|$)|(?:^|[/._-])examples?[/.]", re.IGNORECASE)
_COMMENT_MARK = re.compile(r"[ \t]*(?:#|//|--|\*|;|<!--|%)")
_DATA = re.compile(r"\.(?:tfstate(?:\.backup)?|lock|lock\.json|sum|svg|map|min\.js|csv)$|(?:^|/)package-lock\.json$")
_MODULE_FILE = (".tf", ".tofu")
_LARGEST = 2 * 1024 * 1024  # bytes; what is larger was written by no person


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCall:
    """A ``module`` block: where it stands, in which directory, and the directory or address that it names."""

    place: Place
    directory: str
    source: str


@dataclass
class Reading:
    """One repository as an audit sees it; files that tell what was are left out."""

    tree: RepositoryTree
    inventory: Inventory
    rules: Rules
    texts: dict[str, str] = field(init=False)
    calls: tuple[ModuleCall, ...] = field(init=False)  # every ``module`` block with a literal source
    modules: Mapping[str, str] = field(init=False)  # directories of HCL that are no stack, with their main file
    instantiated: frozenset[str] = field(init=False)  # directories of modules that a stack reaches

    def __post_init__(self) -> None:
        own = compile_rule(self.rules.history)
        self.texts = {}
        for path in self.tree.paths:
            if (
                is_history(path)
                or _DATA.search(path)
                or own.search(path)
                or len(self.tree.read_bytes_or_nothing(path)) > _LARGEST
            ):
                continue
            text = self.tree.read_text_or_nothing(path)
            if text is not None:
                self.texts[path] = text
        self.calls = tuple(
            call
            for path, text in self.texts.items()
            if path.endswith(_MODULE_FILE) and "module" in text
            for call in _read_calls(path, text)
        )
        self.modules = _find_modules(self.tree, {stack.directory for stack in self.inventory.stacks})
        self.instantiated = _follow(self.calls, [stack.directory for stack in self.inventory.stacks])

    def code(self) -> Iterator[tuple[str, str]]:
        """Yield path and text of each file that is no document."""
        return ((path, text) for path, text in self.texts.items() if not _DOCUMENT.search(path))

    @cached_property
    def survey(self) -> Survey:
        """The entry points; read when a line has to be placed, which few repositories need."""
        return read_survey(self.tree, self.inventory.stacks)

    @cached_property
    def sentences(self) -> tuple[tuple[str, Sentence, bool], ...]:
        """What documents and comments say near the name of any surface, and whether it stands in a document."""
        named = compile_rule("|".join(f"(?:{one.named})" for one in self.rules.surface if one.named))
        return tuple(
            (path, sentence, document)
            for path, text in self.texts.items()
            if named.search(" ".join(text.split()))
            for document in [find_kind(path, b"") is FileKind.MARKDOWN or _DOCUMENT.search(path) is not None]
            for sentence in (read_sentences(text) if document else read_comment_sentences(text))
            if named.search(sentence.paragraph) or named.search(sentence.heading)
        )

    def proves(self, path: str) -> bool:
        """Whether a file can prove anything: what no stack instantiates, and what is an example, runs nowhere."""
        directory = posixpath.dirname(path)
        idle = directory in self.modules and directory not in self.instantiated
        return not idle and _EXAMPLE.search(path) is None


def find_uses(text: str, pattern: str) -> Iterator[re.Match[str]]:
    """Yield each match that does not begin in a comment of its own line."""
    for found in compile_rule(pattern).finditer(text):
        line = text.rfind("\n", 0, found.start()) + 1
        if not _COMMENT_MARK.match(text, line):
            yield found


def _find_modules(tree: RepositoryTree, stacks: set[str]) -> Mapping[str, str]:
    directories: dict[str, str] = {}
    for path in tree.paths:
        directory = posixpath.dirname(path)
        main = directory not in directories or path.endswith("/main.tf")
        if path.endswith(_MODULE_FILE) and directory and directory not in stacks and main:
            directories[directory] = path
    return directories


def _follow(calls: Iterable[ModuleCall], stacks: Iterable[str]) -> frozenset[str]:
    targets: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        targets[call.directory].add(call.source)
    reached: set[str] = set()
    ahead = list(stacks)
    while ahead:
        for source in targets[ahead.pop()] - reached:
            reached.add(source)
            ahead.append(source)
    return frozenset(reached)


def _read_calls(path: str, text: str) -> Iterator[ModuleCall]:
    directory = posixpath.dirname(path) or "."
    try:
        blocks = [block for block in read_outline(text).blocks if block.type == "module"]
        for block in blocks:
            span = read_outline(text, block.body).attributes.get("source")
            source = read_literal(text, span) if span else None
            if source is not None:
                local = source.startswith(("./", "../"))
                target = posixpath.normpath(posixpath.join(directory, source)) if local else source
                yield ModuleCall(place=build_place(path, text, block.span), directory=directory, source=target)
    except OutlineError:
        return  # the inventory reports the file
