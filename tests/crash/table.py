"""The whole matrix as a table, in several processes. ``scripts/crash-matrix`` says how to use it.

Exit code 0: every cell was run and nothing was violated. 1: a violation, or a cell that was not run.
"""

import argparse
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.crash.directions import DIRECTIONS
from tests.crash.matrix import Row, Scene, join_rows, run_matrix
from tests.support.s3_servers import S3Server, start_moto

PARTS = 4
MEMORY = Path("/dev/shm")
COLUMNS = ("direction", "effects", "kills", "worlds", "resumed", "back", "violations")


@dataclass(frozen=True, slots=True)
class Job:
    """A part of one direction, for one process."""

    direction: str
    part: tuple[int, int]
    share: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, print it, and judge."""
    options = _parse(arguments)
    jobs = [Job(name, (number, PARTS), not options.every) for name in options.only for number in range(1, PARTS + 1)]
    began = time.monotonic()
    rows = join_rows(_run_jobs(jobs, options.workers))
    seconds = time.monotonic() - began
    if options.json:
        print(json.dumps(build_document(rows, seconds), indent=2))
    else:
        print(build_table(rows))
        print(f"\n{sum(len(row.cells) for row in rows)} kills in {seconds:.0f} s, {options.workers} processes")
    for row in rows:
        for violation in row.violations:
            print(f"violation: {violation}", file=sys.stderr)
        for kill in row.missing:
            print(f"not run: {row.direction}, {kill.moment} effect {kill.effect}", file=sys.stderr)
    return judge(rows)


def judge(rows: Sequence[Row]) -> int:
    """The exit code."""
    return 1 if not rows or any(row.violations or row.missing or not row.cells for row in rows) else 0


def build_document(rows: Sequence[Row], seconds: float) -> Mapping[str, object]:
    return {
        "format": "migrator.crash-matrix/1",
        "seconds": round(seconds, 1),
        "directions": [
            {
                "direction": row.direction,
                "effects": row.effects,
                "kills": len(row.cells),
                "worlds": row.points,
                "again": dict(Counter(cell.again for cell in row.cells if cell.again)),
                "back": dict(Counter(cell.turned for cell in row.cells if cell.turned)),
                "missing": [f"{kill.moment} {kill.effect}" for kill in row.missing],
                "violations": list(row.violations),
            }
            for row in rows
        ],
    }


def build_table(rows: Sequence[Row]) -> str:
    lines = [COLUMNS]
    for row in rows:
        again, turned = (Counter(getattr(cell, way) for cell in row.cells) for way in ("again", "turned"))
        lines.append(
            (
                row.direction,
                str(row.effects),
                str(len(row.cells)) + (f" of {len(row.expected)}" if row.missing else ""),
                str(row.points),
                _count(again),
                _count(turned),
                str(len(row.violations)),
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _count(words: Counter[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in words.most_common() if word)


def _run_jobs(jobs: Sequence[Job], workers: int) -> list[Row]:
    if workers == 1:
        return [run_job(job) for job in jobs]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(run_job, jobs))


_servers: list[S3Server] = []


def run_job(job: Job) -> Row:
    """Run one part in this process; its server stays for the next."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    if not _servers:
        _servers.append(start_moto())
    direction = DIRECTIONS[job.direction]
    # In memory: a kill loses nothing that was written, so nothing is gained by waiting for a disk.
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        lab = direction.build(Path(directory), _servers[0])
        try:
            return run_matrix(Scene(direction=direction, lab=lab), part=job.part, share=job.share)
        finally:
            lab.close()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/crash-matrix")
    parser.add_argument("--only", action="append", choices=list(DIRECTIONS))
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    options.only = options.only or list(DIRECTIONS)
    return options
