"""(reference, target) -> new text: the only place that the words of rewritten files live.

One module per language around the reference (``Located.detail["language"]``). Each gives
``build_replacement(located, text, target) -> str``: the text that takes the place of ``located.span``; it is pure, keeps
the indentation, quoting and newline style that stand there, and raises ``CannotReplaceError`` with a reason when the
certainty that the locator had does not hold for this target.
"""

from collections.abc import Iterable

from migrator.rewrite.reference import Disposition, Located, TargetCoordinates
from migrator.rewrite.replacements import dotenv, hcl, just, prose, shell, yaml
from migrator.rewrite.replacements.wording import CannotReplaceError
from migrator.rewrite.spans import Edit

_BUILDERS = {
    "hcl": hcl.build_replacement,
    "shell": shell.build_replacement,
    "just": just.build_replacement,
    "dotenv": dotenv.build_replacement,
    "yaml": yaml.build_replacement,
    "prose": prose.build_replacement,
}

__all__ = ["CannotReplaceError", "build_edit", "build_edits"]


def build_edit(located: Located, text: str, target: TargetCoordinates) -> Edit:
    """Return the edit that makes one reference name the target.

    Raises: CannotReplaceError with the reason that ``inventory`` and ``plan`` show.
    """
    return Edit(located.span, _BUILDERS[located.detail["language"]](located, text, target))


def build_edits(located: Iterable[Located], text: str, target: TargetCoordinates) -> tuple[Edit, ...]:
    """Return the edits of every reference of ``text`` with the disposition ``rewrite``, in order.

    Raises: CannotReplaceError.
    """
    chosen = [one for one in located if one.disposition is Disposition.REWRITE]
    return tuple(sorted(build_edit(one, text, target) for one in chosen))
