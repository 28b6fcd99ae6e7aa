"""Which files are history: they record what was true once, so they claim nothing about today and are never changed."""

import re

_HISTORY = re.compile(
    r"(?:^|/)(?:changelog|changes|history|news|release[-_]?notes)(?:\.[^/]*)?$"
    r"|(?:^|/)(?:research|release-notes|releases|changelogs?)/"
    r"|\.(?:tex|bib)$",
    re.IGNORECASE,
)


def is_history(path: str) -> bool:
    """Return whether the file is a changelog, release text, research note or paper."""
    return _HISTORY.search(path) is not None
