"""PURE: where a plan may reach: files of the repository, never git's own, ours, or OpenTofu's, and nothing outside.

A plan is handed about and reviewed by eye. Its digest finds damage, not malice: whoever makes up a plan makes up its
digest. So what no plan of this program names is refused before anything of it is believed.
"""

import unicodedata

from migrator.errors import RefusedError
from migrator.plan.model import Plan

_NEVER = {".git", ".migrator", ".terraform"}


def check_bounds(plan: Plan, *, where: str) -> None:
    """Check every path of a plan.

    Raises: RefusedError that names the first path that no plan may name.
    """
    directories = [state.directory for state in plan.states if state.directory not in ("", ".")]
    for path in (*(file.path for file in plan.files), *directories):
        if problem := find_path_problem(path):
            raise RefusedError(
                f"the plan names {path}, which {problem}: it was not made by this program",
                where=where,
                now="nothing was touched",
                hint="find out who made it; then: migrator plan",
            )


def find_path_problem(path: str) -> str | None:
    """Return why a path relative to the repository may not be written, None when it may."""
    parts = path.split("/")
    if path.startswith("/") or {"", ".", ".."} & set(parts) or "\0" in path:
        return "leads out of the repository"
    inside = _NEVER & {_fold(part) for part in parts}
    return f"lies in {min(inside)}" if inside else None


def _fold(part: str) -> str:
    """Return the name as file systems read it that ignore case, invisible characters, or what ends a name."""
    return "".join(letter for letter in part if unicodedata.category(letter) != "Cf").casefold().rstrip(". ")
