"""Environment files: the two S3 credentials where the GitLab password stood, and comments."""

import re

from migrator.rewrite.reference import Located, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements.comments import build_comment
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY, CannotReplaceError


def build_replacement(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return the text that takes the place of ``located.span``.

    Raises: CannotReplaceError.
    """
    if located.kind is ReferenceKind.BACKEND_COMMENT:
        return build_comment(located, text, target)
    if located.kind is ReferenceKind.DOTENV_VARIABLE:
        return _build_variables(located.span.of(text))
    raise CannotReplaceError(f"{located.kind} has no replacement in an environment file")


def _build_variables(run: str) -> str:
    """Return the credentials in the form of the password's line; nothing where no line sets the password."""
    found = re.search(
        r"^(?P<before>[ \t]*(?:#[ \t]*)?(?:export[ \t]+)?)TF_HTTP_PASSWORD(?P<equals>[ \t]*=[ \t]*)(?P<value>[^\n\r]*)",
        run,
        re.MULTILINE,
    )
    if found is None:
        return ""
    newline = "\r\n" if "\r\n" in run else "\n"
    quote = found["value"][:1] if found["value"][:1] in {'"', "'"} else ""
    shown = "..." if found["value"].strip("\"' \t") else ""
    value = f"{found['equals'].rstrip() if not shown else found['equals']}{quote}{shown}{quote}"
    lines = newline.join(f"{found['before']}{name}{value}" for name in (ACCESS_KEY, SECRET_KEY))
    return lines + (newline if run.endswith("\n") else "")
