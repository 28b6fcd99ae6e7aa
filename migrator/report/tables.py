"""Small tables without boxes: they can be read, copied and compared.

A table fits the width that it is given: columns shrink to their longest word before a word is broken, and a path is
broken after a slash before it is broken anywhere. Lines carry no trailing space.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.text import Text

_INDENT = "  "
_GAP = "  "
# A space, or a run of characters up to the next place where a line may end: after a slash that is not the last one.
_PIECES = re.compile(r"\s+|[^\s/]*/+|[^\s/]+")


@dataclass(frozen=True, slots=True)
class PlainTable:
    """Rows of text below an optional header; laid out for whatever width it is printed at."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the table for this console."""
        widths = fit_columns([self.header, *self.rows], options.max_width)
        if any(self.header):
            for line in _lay_out(self.header, widths):
                yield Text(line, style="dim", no_wrap=True)
        for row in self.rows:
            for line in _lay_out(row, widths):
                yield Text(line, no_wrap=True)


def build_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> PlainTable:
    """Return a table; cells are shown as they are, never read as markup. Long cells fold instead of being cut."""
    return PlainTable(tuple(header), tuple(tuple(str(cell) for cell in row) for row in rows))


def fit_columns(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the width of each column so that a whole line fits ``width``, words unbroken where that is possible."""
    columns = list(zip(*rows, strict=True))
    free = max(len(columns), width - len(_INDENT) - len(_GAP) * (len(columns) - 1))
    natural = [_longest(column, str.splitlines) for column in columns]
    # Whole words if they fit; else what stands between slashes; else anything.
    choices = ([_longest(column, split) for column in columns] for split in (str.split, _PIECES.findall))
    least = next((choice for choice in choices if sum(choice) <= free), [1] * len(columns))
    level = next(level for level in range(free, 0, -1) if sum(_at_level(natural, least, level)) <= free or level == 1)
    widths = _at_level(natural, least, level)
    for number, wanted in enumerate(natural):
        widths[number] += min(wanted - widths[number], max(0, free - sum(widths)))
    return widths


def shorten(items: Sequence[object], limit: int = 3) -> str:
    """Return the first ``limit`` items in a line, and how many more there are."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(str(item) for item in items[:limit]) + more


def build_heading(title: str, count: int | None = None) -> str:
    """Return a heading with a count, as markup."""
    return f"\n[bold]{escape(title)}[/bold]" + ("" if count is None else f" ({count})")


def build_count(number: int, singular: str, plural: str | None = None) -> str:
    """Return "1 file" or "3 files"."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def build_size(size: int) -> str:
    """Return a size for people: bytes below 1 KiB, then one decimal."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024 or unit == "GiB":
            break
    return f"{value:.1f} {unit}"


def _longest(column: Iterable[str], split: Callable[[str], list[str]]) -> int:
    return max((cell_len(part) for cell in column for part in split(cell)), default=0)


def _at_level(natural: Sequence[int], least: Sequence[int], level: int) -> list[int]:
    """Return the widths when no column gets more than it needs, nor more than ``level`` unless a word needs it."""
    return [min(wanted, max(needed, level)) for wanted, needed in zip(natural, least, strict=True)]


def _lay_out(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    cells = [_fold(cell, width) for cell, width in zip(row, widths, strict=True)]
    for number in range(max(len(lines) for lines in cells)):
        parts = (lines[number] if number < len(lines) else "" for lines in cells)
        padded = (part + " " * (width - cell_len(part)) for part, width in zip(parts, widths, strict=True))
        yield (_INDENT + _GAP.join(padded)).rstrip()


def _fold(cell: str, width: int) -> list[str]:
    return [line for paragraph in cell.splitlines() or [""] for line in _fold_paragraph(paragraph, max(1, width))]


def _fold_paragraph(text: str, width: int) -> list[str]:
    if cell_len(text) <= width:
        return [text]
    lines: list[str] = [""]
    for piece in _PIECES.findall(text):
        if cell_len(lines[-1] + piece) <= width:
            lines[-1] += piece
        elif not piece.isspace():
            lines += chop_cells(piece, width)
    return [line.rstrip() for line in lines if line.strip()]
