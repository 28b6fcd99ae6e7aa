"""Locate tests whether TF_HTTP_PASSWORD is set, with the messages that go with them."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from migrator.rewrite.credential_tests import names_only_credentials, split_test
from migrator.rewrite.reference import Located, ReferenceKind
from migrator.rewrite.shell_scope import Scope
from migrator.rewrite.shell_source import ancestors
from migrator.rewrite.spans import Span

if TYPE_CHECKING:
    from tree_sitter import Node

_REASON = "test of the credentials of GitLab's state"
_OTHER_BUSINESS = re.compile(
    r"^(?!\s*(?:echo|printf)\b).*\$\{?TF_HTTP_|-backend-config|\binit\b|\bunset\b|TF_HTTP_(?!PASSWORD\b|USERNAME\b)|\bcurl\b|\bglab\b|/terraform/state|^\s*(?:export\s+)?TF_HTTP_\w+=|\$\{?TF_HTTP_ADDRESS",
    re.MULTILINE,
)


def locate_credential_checks(scope: Scope) -> Iterator[Located]:
    """Yield whole statements where they do nothing else, and only the test where they do."""
    taken: list[Span] = []
    for node in scope.source.nodes:
        condition = _condition(scope, node)
        if condition is None:
            continue
        span, problem = _extent(scope, node, condition)
        if not any(one.start < span.end and span.start < one.end for one in taken):
            taken.append(span)
            yield scope.locate(ReferenceKind.CREDENTIAL_CHECK, span, reason=_REASON, problem=problem, node=node)


def _condition(scope: Scope, node: "Node") -> Span | None:
    """Return where a statement tests the credentials; None when it does not."""
    if node.type in {"if_statement", "elif_clause", "while_statement"}:
        parts = _before_then(node)
    elif node.type == "list":
        parts = [child for child in node.named_children[:1] if child.type == "test_command"]
        parts += [child for child in node.named_children[:1] if child.type == "command" and _is_test(scope, child)]
    elif node.type == "test_command" or (node.type == "command" and _is_test(scope, node)):
        parts = [node]
    else:
        return None
    if not parts:
        return None
    span = Span(scope.source.span(parts[0]).start, scope.source.span(parts[-1]).end)
    tested = re.search(r"\bTF_HTTP_(?:PASSWORD|USERNAME)\b", span.of(scope.source.whole))
    return span if tested else None


def _is_test(scope: Scope, node: "Node") -> bool:
    return re.match(r"(?:test|\[\[?|:)\s", scope.source.text(node)) is not None


def _before_then(node: "Node") -> list["Node"]:
    found: list[Node] = []
    for child in node.children:
        if child.type in {"then", "do_group", "do"}:
            return found
        if child.is_named and child.type != "comment":
            found.append(child)
    return found


def _extent(scope: Scope, node: "Node", condition: Span) -> tuple[Span, str | None]:
    whole = scope.source.span(node)
    text = condition.of(scope.source.whole)
    problem = None
    if not names_only_credentials(text):
        problem = "the test asks for more than the credentials"
    elif split_test(text) is None:
        problem = "the form of this test is not known"
    rest = Span(condition.end, whole.end).of(scope.source.whole)
    inner = node.type == "elif_clause" or any(one.type == "elif_clause" for one in node.named_children)
    if _OTHER_BUSINESS.search(rest) or inner or _nested(node):
        return condition, problem
    return whole, problem


def _nested(node: "Node") -> bool:
    """Tell whether the statement is long: then only its test is taken, and each message by itself."""
    return node.end_point[0] - node.start_point[0] > 40 or any(one.type == "ERROR" for one in ancestors(node))
