"""The outline of an HCL body: its blocks and attributes with their positions, and nothing inside of expressions.

A tokenizer for HCL's nesting (strings with templates, heredocs, comments, brackets), so that which blocks a file holds is
known at a few milliseconds for the largest file; a full parse of every ``.tf`` file would cost seconds. Deliberately does
not evaluate: an expression is its source text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from migrator.rewrite.spans import Span, line_of

_BLANK = re.compile(r"(?:\s+|\ufeff|#[^\n]*|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_HEADER = re.compile(r'([^\W\d][\w-]*|"[^"\n]*")((?:[ \t]+(?:"[^"\n]*"|[^\W\d][\w-]*))*)[ \t]*(\{|=)')
_STRUCTURE = re.compile(r'["{}\[\]()\n#]|//|/\*|<<[-~]?[A-Za-z_]')
_IN_STRING = re.compile(r'["\n]|\\.|\$\$\{|%%\{|[$%]\{', re.DOTALL)
_HEREDOC = re.compile(r"<<[-~]?([A-Za-z_][\w-]*)")
_LABEL = re.compile(r'"([^"\n]*)"|([^\W\d][\w-]*)')
_DEEPEST = 100
_OPENING, _CLOSING = frozenset("{[("), frozenset("}])")


class OutlineError(ValueError):
    """The text is not HCL; ``line`` counts from 1."""

    def __init__(self, text: str, offset: int, what: str) -> None:
        self.line = line_of(text, offset)
        super().__init__(f"line {self.line}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """``type "label" { body }``; ``span`` covers all of it, ``body`` what stands between the braces."""

    type: str
    labels: tuple[str, ...]
    span: Span
    body: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The blocks of a body in order, and the span of each attribute's expression."""

    blocks: tuple[Block, ...]
    attributes: Mapping[str, Span]


def read_outline(text: str, span: Span | None = None) -> Body:
    """Return the outline of ``text``, or of the block body at ``span`` in it.

    Raises: OutlineError.
    """
    position, end = (span.start, span.end) if span else (0, len(text))
    blocks: list[Block] = []
    attributes: dict[str, Span] = {}
    while (position := _skip_blank(text, position, end)) < end:
        header = _HEADER.match(text, position, end)
        if header is None:
            raise OutlineError(text, position, "expected a block or an attribute")
        name = header[1].strip('"')
        stop = _find_end(text, header.end(), end, stop_at_newline=header[3] == "=")
        if header[3] == "=":
            attributes[name] = Span(header.end(), stop)
            position = stop
            continue
        if stop >= end or text[stop] != "}":
            raise OutlineError(text, header.start(), "a block that does not end")
        labels = tuple(quoted or bare for quoted, bare in _LABEL.findall(header[2]))
        blocks.append(Block(type=name, labels=labels, span=Span(position, stop + 1), body=Span(header.end(), stop)))
        position = stop + 1
    return Body(blocks=tuple(blocks), attributes=attributes)


def read_literal(text: str, span: Span) -> str | None:
    """Return the value of an expression that is one string without templates or escapes, None for any other."""
    found = re.fullmatch(r'\s*"([^"\\\n]*)"\s*(?:(?:#|//)[^\n]*)?', span.of(text))
    return found[1] if found and "${" not in found[1] and "%{" not in found[1] else None


def read_template(text: str, span: Span) -> str:
    """Return an expression as written; of one that is a single string, what stands between its quotes."""
    start = _skip_blank(text, span.start, span.end)
    if not text.startswith('"', start):
        return re.sub(r"\s*(?:#|//).*", "", span.of(text)).strip()
    end = _skip_string(text, start + 1, span.end, 0)
    alone = _skip_blank(text, end, span.end) >= span.end
    return text[start + 1 : end - 1] if alone else span.of(text).strip()


def _skip_blank(text: str, position: int, end: int) -> int:
    blank = _BLANK.match(text, position, end)
    return blank.end() if blank else position


def _find_end(text: str, position: int, end: int, *, stop_at_newline: bool, nesting: int = 0) -> int:
    """Return where the first closing bracket of the level around ``position`` stands, or the newline asked for."""
    if nesting > _DEEPEST:
        raise OutlineError(text, position, f"templates nested deeper than {_DEEPEST}")
    depth = 0
    while found := _STRUCTURE.search(text, position, end):
        mark, position = found[0], found.end()
        if mark == '"':
            position = _skip_string(text, position, end, nesting)
        elif mark in {"#", "//"}:
            newline = text.find("\n", position, end)
            position = end if newline < 0 else newline
        elif mark == "/*":
            position = _find_after(text, "*/", position, end)
        elif mark.startswith("<<"):
            position = _skip_heredoc(text, found.start(), end)
        elif mark in _OPENING:
            depth += 1
        elif mark in _CLOSING:
            if depth == 0:
                return found.start()
            depth -= 1
        elif stop_at_newline and depth == 0:
            return found.start()
    if depth:
        raise OutlineError(text, position, "a bracket that is not closed")
    return end


def _skip_string(text: str, position: int, end: int, nesting: int) -> int:
    start = position
    while found := _IN_STRING.search(text, position, end):
        mark, position = found[0], found.end()
        if mark == '"':
            return position
        if mark == "\n":
            break
        if mark in {"${", "%{"}:
            position = _find_end(text, position, end, stop_at_newline=False, nesting=nesting + 1) + 1
    raise OutlineError(text, start, "a string that does not end")


def _skip_heredoc(text: str, start: int, end: int) -> int:
    opening = _HEREDOC.match(text, start, end)
    assert opening is not None  # _STRUCTURE found the same beginning
    closing = re.compile(rf"^[ \t]*{re.escape(opening[1])}[ \t]*\r?$", re.MULTILINE)
    found = closing.search(text, opening.end(), end)
    if found is None:
        raise OutlineError(text, start, f"a heredoc without its {opening[1]}")
    return found.end()


def _find_after(text: str, closing: str, position: int, end: int) -> int:
    found = text.find(closing, position, end)
    if found < 0:
        raise OutlineError(text, position, "a comment that does not end")
    return found + len(closing)
