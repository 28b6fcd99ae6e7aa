"""Sum up the JUnit files of several pytest runs in one line: `N passed, N failed, N skipped`.

Usage: python3 -m scripts.lib.tally FILE...

Errors (of fixtures, of collection) count as failed. Exits 1 when something failed or when no test passed at all: a run
that tested nothing is not a success.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree


def count_outcomes(documents: Iterable[str]) -> tuple[int, int, int]:
    """Return how many tests passed, failed and were skipped in JUnit documents."""
    passed = failed = skipped = 0
    for document in documents:
        # Written by our own pytest a moment ago: not a stranger's XML.
        for case in ElementTree.fromstring(document).iter("testcase"):  # noqa: S314
            outcomes = {child.tag for child in case}
            if outcomes & {"failure", "error"}:
                failed += 1
            elif "skipped" in outcomes:
                skipped += 1
            else:
                passed += 1
    return passed, failed, skipped


def main(arguments: list[str]) -> int:
    """Print the sum of the files named."""
    passed, failed, skipped = count_outcomes(Path(argument).read_text() for argument in arguments)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
