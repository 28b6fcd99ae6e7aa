"""Justfiles: comments outside of recipes. What stands in a recipe is shell; assignments are kept."""

from migrator.rewrite.reference import Located, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements.comments import build_comment
from migrator.rewrite.replacements.wording import CannotReplaceError


def build_replacement(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return the text that takes the place of ``located.span``.

    Raises: CannotReplaceError.
    """
    if located.kind is ReferenceKind.BACKEND_COMMENT:
        return build_comment(located, text, target)
    raise CannotReplaceError(f"{located.kind} has no replacement in a Justfile")
