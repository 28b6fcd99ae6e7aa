"""Check a rewritten text before it replaces a file: the parsers of ``locate_*`` must still agree with it.

A failed check means that a rewrite would break a file; nothing is written then.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from migrator.rewrite.hcl_json import is_json, read_json_backends
from migrator.rewrite.just_file import Recipe, read_just
from migrator.rewrite.locate_hcl import parse_hcl
from migrator.rewrite.shell_source import Mask, ShellSource, mask_nothing
from migrator.rewrite.spans import Span
from migrator.rewrite.unparsable import UnparsableError

if TYPE_CHECKING:
    from tree_sitter import Node


class ResultCheckError(ValueError):
    """A rewritten text is not what it must be; ``reason`` is for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check_hcl(text: str) -> None:
    """Check that ``text`` is HCL, in its native or its JSON syntax.

    Raises: ResultCheckError.
    """
    try:
        if is_json(text):
            list(read_json_backends(text))
        else:
            parse_hcl(text)
    except UnparsableError as error:
        raise ResultCheckError(f"the rewritten file is not HCL: {error}") from error


def check_shell(before: str, after: str, *, mask: Mask = mask_nothing) -> None:
    """Check that ``after`` has no more places that cannot be parsed as bash than ``before``.

    Raises: ResultCheckError.
    """
    if _errors(after, mask) > _errors(before, mask):
        raise ResultCheckError("the rewritten shell has a syntax error that was not there before")


def check_just(before: str, after: str) -> None:
    """Check that the recipes of ``after`` have the names, parameters and dependencies of ``before``, in order.

    Raises: ResultCheckError.
    """
    old, new = read_just(before), read_just(after)
    if [_outline(recipe) for recipe in old.recipes] != [_outline(recipe) for recipe in new.recipes]:
        raise ResultCheckError("the rewritten Justfile has other recipes, parameters or dependencies")
    if [one.name for one in old.assignments] != [one.name for one in new.assignments]:
        raise ResultCheckError("the rewritten Justfile has other assignments")


def _outline(recipe: Recipe) -> tuple[object, ...]:
    return recipe.name, recipe.parameters, dict(recipe.defaults), recipe.dependencies, recipe.shebang


def _errors(text: str, mask: Mask) -> int:
    root = ShellSource(text, region=Span(0, len(text)), indent=0, mask=mask).root
    return sum(1 for node in _all_nodes(root) if node.type == "ERROR" or node.is_missing)


def _all_nodes(root: "Node") -> Iterator["Node"]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(node.children)
