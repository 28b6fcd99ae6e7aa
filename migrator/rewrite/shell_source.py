"""A part of a text, parsed as bash, with positions in the whole text.

The part may be indented (a just recipe, a YAML block scalar), carry another language's interpolations (``{{...}}`` of
just, ``${{...}}`` of GitHub) and any characters. Before parsing, the indentation is taken off (a heredoc ends only at
column 0), interpolations are masked by words of equal length, and each character outside of ASCII becomes one
underscore: so bytes of the parsed text are code points, and one table leads from there to the whole text.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from migrator.rewrite.spans import Span

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

Mask = Callable[[str], str]

_JUST_INTERPOLATION = re.compile(r"(?<!\{)\{\{(?!\{)(?:[^{}'\"`\n]|'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`|\{[^{}\n]*\}|\{)*?\}\}")
_GITHUB_EXPRESSION = re.compile(r"\$\{\{(?:[^'}\n]|'[^'\n]*'|\}(?!\}))*\}\}")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def mask_nothing(text: str) -> str:
    """Return ``text``: plain shell."""
    return text


def mask_just(text: str) -> str:
    """Return ``text`` with every ``{{...}}`` of just masked by a word of equal length."""
    return _JUST_INTERPOLATION.sub(lambda found: "J" * len(found.group()), text)


def mask_expressions(text: str) -> str:
    """Return ``text`` with every ``${{...}}`` of GitHub workflows masked by a word of equal length."""
    return _GITHUB_EXPRESSION.sub(lambda found: "G" * len(found.group()), text)
