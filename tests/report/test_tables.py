"""Tables: they fit, they break words only where nothing else helps, and they show cells as they are."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from migrator.report.tables import build_count, build_size, build_table, fit_columns

CELLS = st.text(st.sampled_from("ab/ -.長é"), max_size=30)
ROWS = st.integers(1, 5).flatmap(lambda count: st.lists(st.lists(CELLS, min_size=count, max_size=count), min_size=1))


def draw(table, width=80):
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, highlight=False).print(table)
    return stream.getvalue().splitlines()


@given(rows=ROWS, width=st.integers(40, 120))
def test_every_line_fits_and_nothing_is_lost(rows, width):
    lines = draw(build_table([""] * len(rows[0]), rows), width)
    assert all(cell_len(line) <= width for line in lines)
    assert not any(line.endswith(" ") for line in lines)
    shown, given_ = "".join(lines), "".join(cell for row in rows for cell in row)
    assert sorted(shown.replace(" ", "")) == sorted(given_.replace(" ", ""))


@given(rows=ROWS, width=st.integers(40, 120))
def test_columns_are_no_wider_than_needed(rows, width):
    widths = fit_columns(rows, width)
    natural = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    assert all(given_ <= wanted for given_, wanted in zip(widths, natural, strict=True))
    if 2 + sum(natural) + 2 * (len(natural) - 1) <= width:
        assert widths == natural


def test_words_stay_whole_while_there_is_room_for_them():
    table = build_table(("place", "why"), [(".github/workflows/deploy-arc-runners.yml:25", "a floating image " * 6)])
    lines = draw(table, 60)
    assert lines[1].startswith("  .github/workflows/deploy-arc-runners.yml:25  a floating")


def test_a_path_is_broken_after_a_slash():
    table = build_table(("", ""), [(".github/workflows/deploy-arc-runners.yml", "conditional-writes-are-ignored")])
    assert [line.split("  ")[1] for line in draw(table, 60)] == [".github/workflows/", "deploy-arc-runners.yml"]


def test_cells_are_never_read_as_markup():
    assert draw(build_table(("a",), [("[red]x[/red] [/]",)]))[1] == "  [red]x[/red] [/]"


def test_counts_and_sizes():
    assert (build_count(1, "file"), build_count(0, "file"), build_count(2, "key", "keys")) == (
        "1 file",
        "0 files",
        "2 keys",
    )
    assert [build_size(size) for size in (0, 1023, 1024, 50 << 20, 3 << 40)] == [
        "0 B", "1023 B", "1.0 KiB", "50.0 MiB", "3072.0 GiB",
    ]  # fmt: skip
