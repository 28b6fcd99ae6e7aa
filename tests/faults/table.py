"""The matrix run whole or in part, in processes, and printed as a table. ``scripts/fault-matrix`` says how to use it.

Exit code 0: every cell was run and ended as the tables say. 1: a cell that did not, or a gap in the tables.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.faults.document import build_document
from tests.faults.matrix import FAULTS, Benches, find_gaps, run_row

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
NAMES = [fault.name for fault in FAULTS]
COLUMNS = ("fault", "how long", "command", "cells", "as stated")


@dataclass(frozen=True, slots=True)
class Result:
    """One row that was run: how many cells, and what was wrong."""

    fault: str
    duration: str
    command: str
    cells: int
    wrong: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, print it, write the document where that is asked for, and judge."""
    options = _parse(arguments)
    began = time.monotonic()
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(run_fault, options.only))
    results = [result for results, _ in found for result in results]
    gaps = [gap for _, gaps in found for gap in gaps]
    print(build_table(results))
    cells, wrong = sum(result.cells for result in results), [one for result in results for one in result.wrong]
    print(f"\n{cells} cells, {cells - len(wrong)} as stated, in {time.monotonic() - began:.0f} s")
    for text in (*gaps, *wrong):
        print(text, file=sys.stderr)
    if gaps or wrong:
        return 1
    if options.write:
        benches = Benches()
        try:
            DOCUMENT.write_text(build_document(benches))
        finally:
            benches.close()
    return 0


_benches = Benches()


def run_fault(name: str) -> tuple[list[Result], list[str]]:
    """Run every cell of one fault in this process; its benches stay for the next."""
    fault = FAULTS[NAMES.index(name)]
    results = []
    for row in fault.rows():
        cells = list(run_row(_benches, row))
        wrong = tuple(f"{row.name}, {cell.step.name}: {cell.wrong}" for cell in cells if cell.wrong)
        results.append(Result(fault.name, row.duration, row.command, len(cells), wrong))
    return results, list(find_gaps(_benches, fault))


def build_table(results: Sequence[Result]) -> str:
    lines = [COLUMNS]
    for result in results:
        kept = result.cells - len(result.wrong)
        lines.append((result.fault, result.duration, result.command, str(result.cells), str(kept)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fault-matrix")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="FAULT")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.write and options.only:
        parser.error("--write shows the whole matrix: without --only")
    options.only = options.only or NAMES
    return options
