"""PURE: where a plan may reach: files of the repository, never git's own, ours, or OpenTofu's, and nothing outside; and
which names of states may stand in one.

A plan is handed about and reviewed by eye. Its digest finds damage, not malice: whoever makes up a plan makes up its
digest. So what no plan of this program names is refused before anything of it is believed.
"""

import re
import unicodedata
from typing import Any

from migrator.errors import RefusedError
from migrator.plan.model import Plan

_OTHERWISE = "spells a letter in a way that looks like another name (it is not in Unicode's form NFC)"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NEVER = {".git", ".migrator", ".terraform"}


def check_bounds(plan: Plan, *, where: str) -> None:
    """Check every path and every name of a state in a plan.

    Raises: RefusedError that tells the first that no plan may hold.
    """
    directories = [state.directory for state in plan.states if state.directory not in ("", ".")]
    for path in (*(file.path for file in plan.files), *directories):
        if problem := find_path_problem(path):
            raise _build_error(f"{path}, which {problem}", where)
    for state in plan.states:
        if problem := find_name_problem(state.name):
            raise _build_error(f"the state {state.name!r}, whose name {problem}", where)
    digests = [*(state.sha256 for state in plan.states), *(file.pre_sha256 for file in plan.files)]
    for digest in (*(one for one in digests if one is not None), *(file.post_sha256 for file in plan.files)):
        if not is_digest(digest):
            raise _build_error(f"{digest!r} as a digest, which is none", where)


def _build_error(what: str, where: str) -> RefusedError:
    return RefusedError(
        f"the plan names {what}: it was not made by this program",
        where=where,
        now="nothing was touched",
        hint="find out who made it; then: migrator plan",
    )


def is_digest(value: Any) -> bool:
    """Return whether this is a sha256 as this program writes it."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def find_path_problem(path: str) -> str | None:
    """Return why a path relative to the repository may not be written, None when it may."""
    parts = path.split("/")
    if path.startswith("/") or {"", ".", ".."} & set(parts) or "\0" in path:
        return "leads out of the repository"
    inside = _NEVER & {_fold(part) for part in parts}
    return f"lies in {min(inside)}" if inside else None


def find_name_problem(name: str) -> str | None:
    """Return what makes the name of a state at the source dangerous, None when nothing does."""
    if name in (".", ".."):
        return "is one that no URL can name"
    if not name.isprintable():
        return "holds a character that cannot be seen"
    return None if is_plainly_spelt(name) else _OTHERWISE


def is_plainly_spelt(name: str) -> bool:
    """Return whether a name is in Unicode's form NFC: two names that differ only in that look alike and are two names."""
    return unicodedata.is_normalized("NFC", name)


def _fold(part: str) -> str:
    """Return the name as file systems read it that ignore case, invisible characters, or what ends a name."""
    return "".join(letter for letter in part if unicodedata.category(letter) != "Cf").casefold().rstrip(". ")
