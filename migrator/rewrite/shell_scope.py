"""What is known while one part of shell is read: the variables that hold addresses, and the state that they name."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.rewrite.address import read_address
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.shell_source import ShellSource, is_broken
from migrator.rewrite.spans import Span

if TYPE_CHECKING:
    from tree_sitter import Node

_QUOTE = re.compile(
    r"(?P<kept>\\[\"']|\$\{\{(?:[^}]|\}(?!\}))*\}\}|\{\{(?:[^}]|\}(?!\}))*\}\}|\$\((?:[^()]|\([^()]*\))*\))|[\"']",
    re.DOTALL,
)
_REFERENCE = re.compile(r"\$\{(?P<braced>\w+)\}|\$(?P<plain>\w+)|(?P<just>\{\{\s*\w+\s*\}\})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One part of shell. ``variables`` maps names (``ADDRESS``; for just ``{{address}}``) to the text they hold.

    ``state`` is the state that TF_HTTP_ADDRESS names here, whether set here or outside; None when nothing says it.
    ``exports`` tells whether TF_HTTP_ADDRESS is set in this part or outside of it.
    """

    source: ShellSource
    variables: Mapping[str, str]
    state: str | None
    exports: bool

    def resolve(self, text: str) -> str:
        """Return ``text`` with the variables that are known replaced by what they hold."""
        for _ in range(3):
            resolved = _REFERENCE.sub(self._value_of, text)
            if resolved == text:
                break
            text = resolved
        return text

    def state_of(self, address: str) -> tuple[str | None, str | None]:
        """Return (state, problem) of an address; exactly one of them is None."""
        found = read_address(self.resolve(without_quotes(address)))
        if found.problem is None and found.state is None:
            return None, "the address names no state"
        return (brace_variables(found.state) if found.state else None), found.problem

    def line_of(self, position: int) -> int:
        """Return the line of the whole text, counted from 1, in which ``position`` lies."""
        return self.source.line_of(position)

    def _value_of(self, found: re.Match[str]) -> str:
        name = found["braced"] or found["plain"] or "{{" + found["just"].strip("{} ") + "}}"
        return self.variables.get(name, found.group())

    def locate(
        self,
        kind: ReferenceKind,
        span: Span,
        *,
        reason: str,
        node: "Node",
        problem: str | None = None,
        state: str | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> Located:
        """Return a reference to rewrite, or to report when there is a ``problem`` or the parser is unsure."""
        if problem is None and is_broken(node):
            problem = "the shell around it cannot be parsed with certainty"
        return Located(
            kind=kind,
            span=span,
            disposition=Disposition.REPORT if problem else Disposition.REWRITE,
            reason=problem or reason,
            state=state,
            detail={"language": "shell"} | dict(detail or {}),
        )


def read_scope(source: ShellSource, *, inherited_state: str | None, addresses: Mapping[str, str]) -> Scope:
    """Return the scope of a parsed part; a variable that is set twice to different texts is unknown."""
    values: dict[str, set[str]] = {}
    for name, value in _assignments(source):
        values.setdefault(name, set()).add(value)
    variables = dict(addresses)
    variables |= {name: next(iter(found)) for name, found in values.items() if len(found) == 1 and _is_address(found)}
    scope = Scope(source=source, variables=variables, state=None, exports=False)
    exports = inherited_state is not None or "TF_HTTP_ADDRESS" in values or "TF_HTTP_ADDRESS" in addresses
    state = inherited_state
    if "TF_HTTP_ADDRESS" in variables:
        state = scope.state_of("${TF_HTTP_ADDRESS}")[0]
    elif len(values.get("TF_HTTP_ADDRESS", ())) > 1:
        state = None
    return Scope(source=source, variables=variables, state=state, exports=exports)


def _is_address(texts: set[str]) -> bool:
    return any("/terraform/state" in text or "TF_HTTP_ADDRESS" in text or "ADDRESS" in text for text in texts)


def _assignments(source: ShellSource) -> Iterator[tuple[str, str]]:
    for node in source.nodes:
        # What stands before a command holds for that command alone.
        if node.type == "variable_assignment" and not (node.parent is not None and node.parent.type == "command"):
            name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
            if name is not None:
                yield source.text(name), without_quotes(source.text(value)) if value is not None else ""


def without_quotes(text: str) -> str:
    """Return ``text`` without the quotes of the shell; escaped ones stay, and those inside of an expression."""
    return _QUOTE.sub(lambda found: found["kept"] or "", text)


def brace_variables(text: str) -> str:
    """Return ``text`` with ``$NAME`` written ``${NAME}``, so that a letter may follow."""
    return re.sub(r"\$([A-Za-z_]\w*)", r"${\1}", text)
