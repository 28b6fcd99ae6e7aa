"""Spans and edits: the only way that this program changes a text.

Laws (property-tested): ``apply_edits(t, ()) == t`` and ``apply_edits(apply_edits(t, e), invert_edits(t, e)) == t``.
Offsets are code points of the decoded text, never bytes; newlines are kept as they are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open range ``[start, end)`` of code points."""

    start: int
    end: int

    def shift(self, offset: int) -> "Span":
        """Return the span moved by ``offset``."""
        return Span(self.start + offset, self.end + offset)

    def of(self, text: str) -> str:
        """Return the text that the span covers."""
        return text[self.start : self.end]


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Replace what stands in ``span`` by ``text``."""

    span: Span
    text: str

    @staticmethod
    def at(start: int, end: int, text: str) -> "Edit":
        """Return the edit that replaces ``[start, end)`` by ``text``."""
        return Edit(Span(start, end), text)


class OverlappingEditsError(ValueError):
    """Two edits touch the same text, or an edit lies outside of it."""


def sort_edits(text: str, edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return the edits in order of position.

    Raises: OverlappingEditsError.
    """
    ordered = tuple(sorted(edits))
    position = 0
    for edit in ordered:
        if edit.span.start < position or edit.span.end < edit.span.start or edit.span.end > len(text):
            raise OverlappingEditsError(f"edit at {edit.span.start}-{edit.span.end} overlaps or leaves the text")
        position = edit.span.end
    starts = [edit.span.start for edit in ordered]
    if len(set(starts)) != len(starts):
        raise OverlappingEditsError("two edits start at the same place")
    return ordered


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """Return ``text`` with every edit made; positions refer to ``text`` as given.

    Raises: OverlappingEditsError.
    """
    pieces: list[str] = []
    position = 0
    for edit in sort_edits(text, edits):
        pieces += (text[position : edit.span.start], edit.text)
        position = edit.span.end
    pieces.append(text[position:])
    return "".join(pieces)


def invert_edits(text: str, edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return the edits that turn ``apply_edits(text, edits)`` back into ``text``.

    Raises: OverlappingEditsError.
    """
    inverse: list[Edit] = []
    drift = 0
    for edit in sort_edits(text, edits):
        span, text_before = Span(edit.span.start + drift, edit.span.start + drift + len(edit.text)), edit.span.of(text)
        if inverse and inverse[-1].span.end == span.start:
            # Touching edits become one: two removals side by side would both begin at the same place.
            previous = inverse.pop()
            span, text_before = Span(previous.span.start, span.end), previous.text + text_before
        inverse.append(Edit(span, text_before))
        drift += len(edit.text) - (edit.span.end - edit.span.start)
    return tuple(inverse)


def line_of(text: str, offset: int) -> int:
    """Return the line, counted from 1, in which ``offset`` lies."""
    return text.count("\n", 0, offset) + 1


def column_of(text: str, offset: int) -> int:
    """Return the column, counted from 1 in code points, in which ``offset`` lies."""
    return offset - text.rfind("\n", 0, offset)
