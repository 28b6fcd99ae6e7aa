"""docs/coverage.md from the fixtures of the traps and what the program says of each.

Deliberately not done: nothing is taken on trust. Whatever a fixture says and the program does not is told in the table.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from migrator.inventory.formats import build_markdown_table
from tests.support.traps import Seen, Trap, look, read_traps

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
_HEAD = """<!-- Written by scripts/docs from fixtures/traps. Do not edit. -->

# Traps of a real repository

Forty things in the first estate that lead a migration astray. Each is a small repository of its own in `fixtures/traps`, with
everything that has to be found in it, every hazard, and the whole text of every file that changes; a test compares all of it, in
both directions, so that what is not named there is neither found nor changed. *Found* counts places: those that the tool changes,
those that it reports for a person, those that it recognises and keeps. Codes: [hazards.md](hazards.md),
[blockers.md](blockers.md).

"""
_HEADER = ("trap", "what is dangerous", "what the tool does", "found", "codes", "as stated")
_WORDS = (("rewrite", "changed"), ("report", "reported"), ("keep", "kept"))


def build_document() -> str:
    """Return the text of docs/coverage.md."""
    rows = []
    for trap in read_traps():
        with tempfile.TemporaryDirectory(prefix="trap-") as root:
            rows.append(_build_row(trap, look(trap, Path(root))))
    return _HEAD + "\n".join(build_markdown_table(_HEADER, rows)) + "\n"


def _build_row(trap: Trap, seen: Seen) -> tuple[str, ...]:
    counted = Counter(one.rpartition(" ")[2] for one in seen.found)
    found = ", ".join(f"{counted[word]} {name}" for word, name in _WORDS if counted[word]) or "nothing"
    codes = sorted({one.partition(" ")[0] for one in seen.hazards} | set(seen.blockers))
    as_stated = all(
        getattr(seen, name) == getattr(trap, name) for name in ("found", "names", "hazards", "blockers", "after")
    )
    return (
        f"[{trap.trap}](../fixtures/traps/{trap.name}.toml)",
        trap.title,
        trap.outcome,
        found,
        ", ".join(f"`{code}`" for code in codes),
        "yes" if as_stated else "**no**",
    )
