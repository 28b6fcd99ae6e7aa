"""Words and pieces that several languages share: the key of a state, the s3 arguments, the credentials' names."""

import re

from migrator.rewrite.reference import TargetCoordinates

ACCESS_KEY = "AWS_ACCESS_KEY_ID"
SECRET_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - a name, not a secret


class CannotReplaceError(ValueError):
    """The reference cannot be rewritten with certainty; the text says why, for a person to read."""


def build_key(
    target: TargetCoordinates, state: str, *, stack: str | None = None, environment: str | None = None
) -> str:
    """Return the object key for a state, where ``state`` may be an expression of the language around it.

    Raises: CannotReplaceError when the key template asks for a stack or an environment that is not known here.
    """
    for field, value in (("{stack}", stack), ("{environment}", environment)):
        if field in target.key and value is None:
            raise CannotReplaceError(
                f"the key template needs {field}, which nothing here says; {{state}} is known everywhere"
            )
    values = {"{state}": state, "{stack}": stack or "", "{environment}": environment or ""}
    # One pass: an expression for the state may hold {environment} itself.
    return re.sub(r"\{(?:state|stack|environment)\}", lambda found: values[found.group()], target.key)


def build_backend_file_name(state: str) -> str:
    """Return the name of the backend file of a state (style ``partial``), beside the stack's ``.tf`` files."""
    return f"{state}.s3.tfbackend"


def build_setting(
    target: TargetCoordinates, state: str, *, stack: str | None = None, environment: str | None = None
) -> str:
    """Return what follows ``-backend-config=``: the key of a state, or its backend file.

    Raises: CannotReplaceError as ``build_key`` does.
    """
    if target.style == "partial":
        return build_backend_file_name(state)
    return f"key={build_key(target, state, stack=stack, environment=environment)}"
