"""What a document says, sentence by sentence: paragraphs, list items, headings and rows of tables; nothing of code. PURE.

A sentence may be broken over lines. Comments of code say things too: groups of them are read as paragraphs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d+[.)])[ \t]+|[ \t]*>[ \t]?|[ \t]*#{1,6}[ \t]+")
_RULER = re.compile(r"[ \t|:=-]*")
_COMMENT = re.compile(r"[ \t]*(?:#+!?|//+|--|;+|\*)[ \t]?")
_END = re.compile(r"(?<=[.!?])[)\"'*_`]*\s+(?=[A-Z`*_\"'(\[]|$)")
_DENIES = re.compile(r"\b(?:not|never|non-?goals?|no|isn't|nor)\b", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|no|incl)\.$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence with the lines it stands on, counted from 1, its heading, and its paragraph."""

    text: str
    start_line: int
    end_line: int
    heading: str = ""
    paragraph: str = ""


def read_sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of a Markdown document. A column of what is *not* so belongs to no row's sentence."""
    heading, columns, last = "", list[str](), 0
    for first, lines in _paragraphs(text):
        if lines[0].lstrip().startswith("#"):
            heading = lines[0].lstrip("# \t").strip()
        if lines[0].lstrip().startswith("|"):
            cells = _cells(lines[0])
            if first > last + 2:  # a ruler stands between the head and the first row
                columns = cells
            kept = [
                cell
                for cell, head in zip_longest(cells, columns[: len(cells)], fillvalue="")
                if not _DENIES.search(head)
            ]
            lines = [f"| {' | '.join(kept)} |"]  # noqa: PLW2901 - the row as it is read
            last = first
        yield from _split(lines, first, heading)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def read_comment_sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of the whole-line comments of a text."""
    group: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        mark = _COMMENT.match(line) if line.strip() else None
        said = line[mark.end() :] if mark else ""
        if mark and said.strip(" \t=-#*"):
            group.append(said)
            continue
        if group:
            yield from _split(group, number - len(group), "")
        group = []


def _paragraphs(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each paragraph with the number of its first line; an item, a heading and a row of a table are paragraphs."""
    lines = text.split("\n")
    number = _skip_front_matter(lines)
    found: list[str] = []
    fenced = False
    for number, line in enumerate(lines[number:], number + 1):  # noqa: B020 - it goes on from there
        starts = _ITEM.match(line) or line.lstrip().startswith("|")
        if found and (fenced or not line.strip() or starts or _FENCE.match(line)):
            yield number - len(found), found
            found = []
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and line.strip() and not _RULER.fullmatch(line):
            found.append(line)
    if found:
        yield number - len(found) + 1, found


def _skip_front_matter(lines: list[str]) -> int:
    if lines[0].strip() != "---":
        return 0
    return next((number for number, line in enumerate(lines[1:], 2) if line.strip() == "---"), 0)


def _split(lines: list[str], first: int, heading: str) -> Iterator[Sentence]:
    parts = [_ITEM.sub("", line, count=1) if index == 0 else line for index, line in enumerate(lines)]
    joined, starts = "", []
    for part in parts:
        starts.append(len(joined))
        joined += part.strip() + " "
    position = 0
    for end in [*_ends(joined), len(joined)]:
        said = joined[position:end].strip()
        if said:
            begin = position + len(joined[position:end]) - len(joined[position:end].lstrip())
            last = begin + len(said) - 1
            yield Sentence(
                text=said,
                start_line=first + sum(start <= begin for start in starts) - 1,
                end_line=first + sum(start <= last for start in starts) - 1,
                heading=heading,
                paragraph=joined,
            )
        position = end


def _ends(text: str) -> Iterator[int]:
    for end in _END.finditer(text):
        if not _ABBREVIATION.search(text[: end.start()].rstrip(")\"'*_`")):
            yield end.end()
