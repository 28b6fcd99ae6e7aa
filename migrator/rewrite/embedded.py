r"""A text of one language inside a text of another: a script in a YAML scalar, a snippet in a Markdown fence.

The inner text is decoded to exactly what its reader gets (no indentation, escapes resolved, folded lines joined,
newlines as ``\n``), located as a text of its own, and its references are carried back to the outer text. When one is
replaced, the inner text is decoded again and the new text is encoded for the place: indented, escaped, or refused.
Law: ``value[i]`` comes from ``outer[offsets[i]]``. Embedding nests: shell in YAML in Markdown.

``detail["embedded"]`` of a carried reference is JSON: the layers from the outermost inwards.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from migrator.rewrite.reference import Located
from migrator.rewrite.spans import Span

_BLOCKS = ("literal", "folded", "lines", "console")  # styles in which the inner text keeps its own lines
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """``value``: the inner text; ``offsets``: where each of its characters stands outside, and one more for its end.

    ``style`` is a YAML scalar style or ``lines`` (each line of the outer text after ``prefix``); ``span`` is the outer
    place; ``prefix`` is what stands before each line and belongs to the outer language.
    """

    value: str
    offsets: tuple[int, ...]
    style: str
    span: Span
    prefix: str


_Piece = tuple[str, int]  # a character and its offset outside


def decode_scalar(text: str, span: Span, *, style: str, prefix: str = "") -> Embedded:
    """Decode the scalar (or the lines) at ``span``: never raises for a span that the grammar called a scalar."""
    if style in _BLOCKS:
        pieces, end = _decode_block(text, span, style=style, prefix=prefix)
    else:
        pieces, end = _decode_flow(text, span, style=style)
    value = "".join(character for character, _ in pieces)
    return Embedded(value=value, offsets=(*(o for _, o in pieces), end), style=style, span=span, prefix=prefix)


def embed(located: Located, outer: str, embedded: Embedded, *, language: str) -> Located:
    """Return an inner reference as one of the outer text, to be replaced by the builder of ``language``."""
    span = _outer_span(located.span, outer, embedded)
    layer = [
        embedded.style, embedded.prefix, embedded.span.start, embedded.span.end,
        located.span.start, located.span.end, located.detail.get("language", ""),
    ]  # fmt: skip
    layers = [layer, *json.loads(located.detail.get("embedded", "[]"))]
    detail = {**located.detail, "language": language, "embedded": json.dumps(layers)}
    return replace(located, span=span, detail=detail)


def _outer_span(inner: Span, outer: str, embedded: Embedded) -> Span:
    start, end = embedded.offsets[inner.start], embedded.offsets[inner.end]
    if inner.end > inner.start:
        last = inner.end - 1
        end = embedded.offsets[last] + _width(outer, embedded, last)
    if is_whole_lines(inner, embedded):
        start = outer.rfind("\n", 0, start) + 1
    return Span(start, max(start, end))


def _width(outer: str, embedded: Embedded, index: int) -> int:
    """Return how many outer characters the inner character at ``index`` is written with."""
    position = embedded.offsets[index]
    if outer.startswith("\r\n", position) and embedded.value[index] == "\n":
        return 2
    if embedded.style == "double" and outer[position] == "\\":
        return 2 + _HEX_ESCAPES.get(outer[position + 1], 0)
    if embedded.style == "single" and outer[position] == "'":
        return 2
    return 1


def is_whole_lines(inner: Span, embedded: Embedded) -> bool:
    """Say whether an inner span begins with a line and ends with one, in a style that keeps lines."""
    if embedded.style not in ("literal", "lines", "console") or inner.end == inner.start:
        return False
    begins = inner.start == 0 or embedded.value[inner.start - 1] == "\n"
    return begins and (ends_line(inner, embedded) or inner.end == len(embedded.value))


def ends_line(inner: Span, embedded: Embedded) -> bool:
    """Say whether an inner span ends with the break of a line."""
    return inner.end > 0 and embedded.value[inner.end - 1] == "\n"


def _decode_block(text: str, span: Span, *, style: str, prefix: str) -> tuple[list[_Piece], int]:
    start = span.start
    if style not in ("lines", "console"):
        header_end = text.find("\n", span.start, span.end)
        if header_end < 0:
            return [], span.end
        start = header_end + 1
    end = span.end + len(_line_break(text, span.end)) if style not in ("lines", "console") else span.end
    lines = [list(_strip_prefix(text, line, prefix)) for line in _lines(text, start, end)]
    joined = [piece for line in lines for piece in line] if style != "folded" else _fold_block(lines)
    return joined, end


def _line_break(text: str, offset: int) -> str:
    return next((mark for mark in ("\r\n", "\n") if text.startswith(mark, offset)), "")


def _lines(text: str, start: int, end: int) -> Iterator[Span]:
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop + 1
        yield Span(start, stop)
        start = stop


def _strip_prefix(text: str, line: Span, prefix: str) -> Iterator[_Piece]:
    """Yield the line without its prefix; a shorter one (a blank line, a lazy quote) loses what it has of it."""
    start = line.start
    for expected in prefix:
        if start >= line.end or text[start] != expected:
            break
        start += 1
    for position in range(start, line.end):
        if text[position] == "\r" and text.startswith("\r\n", position):
            yield "\n", position
            return
        yield text[position], position


def _fold_block(lines: list[list[_Piece]]) -> list[_Piece]:
    """Join lines as ``>`` does: a break between two text lines is a space, blank and deeper lines keep theirs."""
    pieces: list[_Piece] = []
    for index, line in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else None
        if following is None or not _is_text(line) or not _has_break(line):
            pieces += line
        elif _is_text(following):
            pieces += [*line[:-1], (" ", line[-1][1])]
        elif _is_deeper(next((one for one in lines[index + 1 :] if not _is_blank(one)), [])):
            pieces += line  # lines that are deeper keep every break around them
        else:  # the break before blank lines is theirs
            pieces += line[:-1]
    return pieces


def _has_break(line: list[_Piece]) -> bool:
    return bool(line) and line[-1][0] == "\n"


def _is_text(line: list[_Piece]) -> bool:
    return bool(line) and not line[0][0].isspace()


def _is_blank(line: list[_Piece]) -> bool:
    return not line or line[0][0] == "\n"


def _is_deeper(line: list[_Piece]) -> bool:
    return bool(line) and line[0][0] in " \t"


def _decode_flow(text: str, span: Span, *, style: str) -> tuple[list[_Piece], int]:
    quotes = 0 if style == "plain" else 1
    start, end = span.start + quotes, max(span.start + quotes, span.end - quotes)
    pieces: list[_Piece] = []
    position = start
    while position < end:
        character = text[position]
        if character in "\r\n":
            position = _fold_flow(text, position, end, pieces)
        elif style == "double" and character == "\\":
            position = _unescape(text, position, end, pieces)
        else:
            pieces.append((character, position))
            position += 2 if style == "single" and text.startswith("''", position) else 1
    return pieces, end


def _fold_flow(text: str, position: int, end: int, pieces: list[_Piece]) -> int:
    while pieces and pieces[-1][0] in " \t":
        pieces.pop()
    found = re.compile(r"(?:\r?\n[ \t]*)+|\r").match(text, position, end)
    assert found is not None
    breaks = max(found.group().count("\n"), 1)
    pieces += [(" ", position)] if breaks == 1 else [("\n", position)] * (breaks - 1)
    return found.end()


def _unescape(text: str, position: int, end: int, pieces: list[_Piece]) -> int:
    mark = text[position + 1 : position + 2]
    if mark in ("\n", "\r"):  # a line that goes on
        found = re.compile(r"\\\r?\n?[ \t]*").match(text, position, end)
        return found.end() if found else position + 1
    width = _HEX_ESCAPES.get(mark, 0)
    digits = text[position + 2 : min(position + 2 + width, end)]
    if width and re.fullmatch(rf"[0-9A-Fa-f]{{{width}}}", digits) and int(digits, 16) < 0x110000:
        pieces.append((chr(int(digits, 16)), position))
        return position + 2 + width
    pieces.append((_ESCAPES.get(mark, mark), position))
    return position + 2
