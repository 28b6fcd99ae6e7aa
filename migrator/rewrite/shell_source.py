"""A part of a text, parsed as bash, with positions in the whole text.

The part may be indented (a just recipe, a YAML block scalar), carry another language's interpolations (``{{...}}`` of
just, ``${{...}}`` of GitHub) and any characters. Before parsing, the indentation is taken off (a heredoc ends only at
column 0), interpolations are masked by words of equal length, and each character outside of ASCII becomes one
underscore: so bytes of the parsed text are code points, and one table leads from there to the whole text.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from migrator.rewrite.spans import Span

if TYPE_CHECKING:
    from tree_sitter import Node

Mask = Callable[[str], str]

_JUST_INTERPOLATION = re.compile(r"(?<!\{)\{\{(?!\{)(?:'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`|[^{}'\"`\n]|\{[^{}\n]*\})*\}\}")
_GITHUB_EXPRESSION = re.compile(r"\$\{\{(?:'[^'\n]*'|[^'}\n]|\}(?!\}))*\}\}")
# A comment line between the continued lines of a command, as snippets have it. It ends the command, which is never meant.
_COMMENT_IN_COMMAND = re.compile(
    r"(?<=\\\n)(?:[ \t]*#[^\n]*\n)+(?=[ \t]*[\"']?-backend-config)|(?<=\\\r\n)(?:[ \t]*#[^\n]*\n)+(?=[ \t]*[\"']?-backend-config)"
)
# <token> in snippets: where a value is expected, no file is redirected.
_PLACEHOLDER = re.compile(r"(?<=[=/:\"'])<[A-Za-z][\w -]*>(?=[\s/\"'-]|$)")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def mask_nothing(text: str) -> str:
    """Return ``text``: plain shell."""
    return text


def mask_just(text: str) -> str:
    """Return ``text`` with every ``{{...}}`` of just masked by a word of equal length."""
    return _JUST_INTERPOLATION.sub(lambda found: "J" * len(found.group()), text)


def mask_expressions(text: str) -> str:
    """Return ``text`` with every ``${{...}}`` of GitHub workflows masked by a word of equal length."""
    return _GITHUB_EXPRESSION.sub(lambda found: "G" * len(found.group()), text)


class ShellSource:
    """The parsed part: ``root`` is its syntax tree; ``span`` and ``text`` lead from a node back to the whole text."""

    def __init__(self, whole: str, *, region: Span, indent: int, mask: Mask) -> None:
        self.whole = whole
        self.region = region
        self._offsets, parsed = _take_off_indent(whole, region, indent, mask)
        self.root = _parse(parsed)

    def span(self, node: "Node") -> Span:
        """Return where ``node`` stands in the whole text."""
        return self.between(node.start_byte, node.end_byte)

    def between(self, start: int, end: int) -> Span:
        """Return where bytes ``start`` to ``end`` of the parsed part stand in the whole text."""
        first = self._offsets[min(start, len(self._offsets) - 1)]
        return Span(first, first) if end <= start else Span(first, self._offsets[end - 1] + 1)

    def text(self, node: "Node") -> str:
        """Return the text of ``node`` as it stands in the whole text, unmasked."""
        return self.span(node).of(self.whole)

    def line_of(self, position: int) -> int:
        """Return the line of the whole text, counted from 1, in which ``position`` lies."""
        return bisect_right(self._line_starts, position)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.whole))]

    def words(self, node: "Node") -> list[Span]:
        """Return the words of a command or an array; the grammar cuts some words (``$A/x/$1``) into adjacent nodes."""
        found: list[Span] = []
        end = -1
        for child in node.named_children:
            if child.type in {"variable_assignment", "file_redirect", "comment"}:
                continue
            span = self.span(child)
            if found and child.start_byte == end:
                found[-1] = Span(found[-1].start, span.end)
            else:
                found.append(span)
            end = child.end_byte
        return found

    @cached_property
    def nodes(self) -> Sequence["Node"]:
        """Every named node in order of position, outer ones first."""
        found: list[Node] = []
        pending = [self.root]
        while pending:
            node = pending.pop()
            found.append(node)
            pending.extend(reversed(node.named_children))
        return found


def _take_off_indent(whole: str, region: Span, indent: int, mask: Mask) -> tuple[list[int], bytes]:
    masked = mask(region.of(whole))
    if len(masked) != region.end - region.start:
        raise ValueError("a mask must keep the length")
    masked = _PLACEHOLDER.sub(lambda found: "P" * len(found.group()), masked)
    masked = _COMMENT_IN_COMMAND.sub(_continue, _NOT_ASCII.sub("_", masked).replace("\x00", "_"))
    offsets: list[int] = []
    pieces: list[str] = []
    position = region.start
    for line in re.findall(r"[^\n]*\n|[^\n]+", masked):
        blank = len(line) - len(line.lstrip(" \t"))
        taken = min(indent, blank)
        kept = line[taken:-2] + "\n" if line.endswith("\r\n") and taken < len(line) - 1 else line[taken:]
        if kept:
            pieces.append(kept)
            offsets += range(position + taken, position + taken + len(kept) - 1)
            offsets.append(position + len(line) - 1)
        position += len(line)
    offsets.append(region.end)
    return offsets, "".join(pieces).replace("\r", " ").encode("ascii")


def _continue(found: re.Match[str]) -> str:
    return re.sub(r"#[^\r\n]*", lambda comment: " " * (len(comment.group()) - 1) + "\\", found.group())


def _parse(parsed: bytes) -> "Node":
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language())).parse(parsed).root_node


def ancestors(node: "Node") -> Iterator["Node"]:
    """Yield the nodes around ``node``, innermost first."""
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def is_statement(node: "Node") -> bool:
    """Tell whether ``node`` stands where a statement stands, so that another statement may stand before it."""
    parent = node.parent
    if parent is None:
        return False
    if parent.type in {"if_statement", "elif_clause", "while_statement"}:
        return any(before.type in {"then", "do"} for before in parent.children if before.end_byte <= node.start_byte)
    return parent.type in {"program", "do_group", "compound_statement", "subshell", "else_clause", "case_item"}


def is_broken(node: "Node") -> bool:
    """Tell whether the parser is unsure about ``node``: an error in it or around it (the whole part excepted)."""
    return node.has_error or any(one.type == "ERROR" for one in ancestors(node))
