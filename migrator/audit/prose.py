"""What a document says, sentence by sentence: paragraphs, list items, headings and rows of tables; nothing of code. PURE.

A sentence may be broken over lines. Comments of code say things too: groups of them are read as paragraphs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from migrator.rewrite.locate_markdown import read_markdown_blocks

_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d+[.)])[ \t]+|[ \t]*>[ \t]?|[ \t]*#{1,6}[ \t]+")
_SAID = frozenset(
    {"inline", "html_block", "code_block"}
)  # all but fences; in other formats than Markdown people indent
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
    heading, columns, cells, around, line = "", list[str](), list[str](), "", 1
    for token in read_markdown_blocks(text):
        if token.type in {"heading_open", "thead_open", "tbody_open"}:
            around = token.type
        elif token.type in {"heading_close", "tbody_close"}:
            around = ""
        elif token.type == "tr_open" and token.map is not None:
            cells, line = [], token.map[0] + 1
        elif token.type == "tr_close":
            columns = cells if around == "thead_open" else columns
            kept = [cell for cell, head in zip_longest(cells, columns, fillvalue="") if not _DENIES.search(head)]
            yield from _split([f"| {' | '.join(kept)} |"], line, heading)
        elif token.type in _SAID and around in {"thead_open", "tbody_open"}:
            cells.append(token.content)
        elif token.type in _SAID and token.map is not None:
            heading = token.content if around == "heading_open" else heading
            yield from _split(token.content.rstrip("\n").split("\n"), token.map[0] + 1, heading)


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
