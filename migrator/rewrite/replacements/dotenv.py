"""Environment files: the two S3 credentials where the GitLab password stood, and comments."""

import re

from migrator.rewrite.reference import Located, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements.comments import build_comment
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY, CannotReplaceError, build_setting

_VARIABLE = re.compile(
    r"^(?P<before>[ \t]*(?:#[ \t]*)?(?:export[ \t]+)?)TF_HTTP_(?P<name>\w+)(?P<equals>[ \t]*=[ \t]*)(?P<value>[^\n\r]*)",
    re.MULTILINE,
)


def build_replacement(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return the text that takes the place of ``located.span``.

    Raises: CannotReplaceError.
    """
    if located.kind is ReferenceKind.BACKEND_COMMENT:
        return build_comment(located, text, target)
    if located.kind is ReferenceKind.DOTENV_VARIABLE:
        return _build_variables(located, text, target)
    raise CannotReplaceError(f"{located.kind} has no replacement in an environment file")


def _build_variables(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return what takes the place of a run, line by line: the key as an argument of init, and the credentials.

    The s3 backend takes no key from the environment, OpenTofu takes arguments of init from it (TF_CLI_ARGS_init).
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    run = located.span.of(text)
    lines = [one for found in _VARIABLE.finditer(run) for one in _build_variable(found, located, target)]
    return newline.join(lines) + (newline if lines and run.endswith("\n") else "")


def _build_variable(found: re.Match[str], located: Located, target: TargetCoordinates) -> list[str]:
    before, equals, value = found["before"], found["equals"], found["value"]
    quote = value[:1] if value[:1] in {'"', "'"} else ""
    if found["name"] == "ADDRESS":
        flag = f"-backend-config={build_setting(target, located.state or '<state>')}"
        return [f"{before}TF_CLI_ARGS_init{equals}{quote}{flag}{quote}"]
    if found["name"] != "PASSWORD":
        return []
    shown = "..." if value.strip("\"' \t") else ""
    written = f"{equals if shown else equals.rstrip()}{quote}{shown}{quote}"
    return [f"{before}{name}{written}" for name in (ACCESS_KEY, SECRET_KEY)]
