"""just: what takes the place of references to the source."""

from migrator.rewrite.reference import Located, TargetCoordinates
from migrator.rewrite.replacements.wording import CannotReplaceError


def build_replacement(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return the text that takes the place of ``located.span``.

    Raises: CannotReplaceError.
    """
    raise CannotReplaceError(f"{located.kind} has no replacement in just")
