"""Small tables without boxes: they can be read, copied and compared."""

from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table
from rich.text import Text


def build_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table; cells are shown as they are, never read as markup. Long cells fold instead of being cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("", width=1)
    for number, name in enumerate(header):
        # The first column names the thing: it is never broken, so that it can be copied and searched for.
        table.add_column(name, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row("", *(Text(str(cell)) for cell in row))
    return table


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
