"""Locate commands that speak to GitLab's state API: list the states, remove a lock, or anything else (reported)."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from migrator.rewrite.address import read_address
from migrator.rewrite.reference import Located, ReferenceKind
from migrator.rewrite.shell_scope import Scope, brace_variables, without_quotes
from migrator.rewrite.shell_source import ancestors, is_statement
from migrator.rewrite.spans import Span

if TYPE_CHECKING:
    from tree_sitter import Node

_CLIENT = re.compile(r"^(?:[\w./-]*/)?(?:curl|wget|http|https|xh|glab|gitlab)$")
_METHOD = re.compile(r"(?:^|\s)(?:-[a-zA-Z]*X|--request|--method)[\s=]*[\"']?(?P<method>[A-Z]+)")
_FORMATTERS = {"jq", "column", "cat", "python3", "python", "yq"}
_FILTERS = {"sort", "head", "tail", "grep", "less", "more", "tee"}


def locate_api_calls(scope: Scope) -> Iterator[Located]:
    """Yield the commands of a part that call GitLab's state API; commands joined by ``||`` or ``&&`` count as one."""
    seen: list[Span] = []
    for node in scope.source.nodes:
        if node.type != "command" or not _is_client(scope, node):
            continue
        located = _locate_call(scope, node)
        if located and not any(span.start <= located.span.start < span.end for span in seen):
            seen.append(located.span)
            yield located


def _is_client(scope: Scope, node: "Node") -> bool:
    name = node.child_by_field_name("name")
    return name is not None and _CLIENT.match(scope.source.text(name)) is not None


def _called(scope: Scope, node: "Node") -> tuple[str, str | None] | None:
    """Return (what is called, state) of one client command; None when it calls something else."""
    for word in scope.source.words(node):
        address = scope.resolve(without_quotes(word.of(scope.source.whole)))
        if "/terraform/state" not in address:
            continue
        method = _METHOD.search(without_quotes(scope.source.text(node)))
        verb = method["method"] if method else "GET"
        found = read_address(address)
        if verb == "DELETE" and found.suffix == "/lock" and found.state:
            return "unlock", brace_variables(found.state)
        if verb == "GET" and found.state is None and found.problem is None:
            return "list", None
        return f"{verb} of a state", found.state
    return None


def _locate_call(scope: Scope, node: "Node") -> Located | None:
    called = _called(scope, node)
    if called is None:
        return None
    what, state = called
    if any(one.type in {"command_substitution", "process_substitution"} for one in ancestors(node)):
        return _report(scope, node, f"the answer of GitLab's state API is used as data ({what})")
    if what == "unlock":
        outer = _outermost_unlock(scope, node)
        detail = {"statement": "yes" if is_statement(outer) else "no"}
        span = scope.source.span(outer)
        reason = "removes a lock through GitLab's API; needs the aws command afterwards"
        return scope.locate(ReferenceKind.STATE_UNLOCK, span, reason=reason, node=outer, state=state, detail=detail)
    if what == "list":
        return _locate_list(scope, node)
    return _report(scope, node, f"calls GitLab's state API: {what}")


def _report(scope: Scope, node: "Node", problem: str) -> Located:
    kind = ReferenceKind.STATE_URL
    return scope.locate(kind, scope.source.span(node), reason=problem, problem=problem, node=node)


def _with_redirects(node: "Node") -> "Node":
    parent = node.parent
    return parent if parent is not None and parent.type == "redirected_statement" else node


def _outermost_unlock(scope: Scope, node: "Node") -> "Node":
    """Return the list of unlock commands around ``node``: ``glab ... || curl ...`` goes as one."""
    outer = _with_redirects(node)
    while outer.parent is not None and outer.parent.type == "list":
        commands = [child for child in _leaves(outer.parent) if child.type == "command"]
        if not all(_is_client(scope, one) and (_called(scope, one) or ("",))[0] == "unlock" for one in commands):
            break
        if not _are_joined(scope, outer.parent.named_children, r"\|\||&&"):
            break
        outer = outer.parent
    return outer


def _leaves(node: "Node") -> Iterator["Node"]:
    for child in node.named_children:
        if child.type in {"list", "redirected_statement", "pipeline"}:
            yield from _leaves(child)
        elif child.type != "file_redirect":
            yield child


def _locate_list(scope: Scope, node: "Node") -> Located:
    first = _with_redirects(node)
    outer = first.parent if first.parent is not None and first.parent.type == "pipeline" else first
    stages, fallback = _stages(outer)
    if stages[0].start_byte != first.start_byte:
        return _report(scope, node, "lists GitLab's states in the middle of a pipeline")
    if not _are_joined(scope, stages, r"\|&?"):
        return _report(scope, node, "lists GitLab's states in a pipeline that cannot be parsed with certainty")
    names = [re.split(r"\s", scope.source.text(stage), maxsplit=1)[0] for stage in stages[1:]]
    if not set(names) <= _FORMATTERS | _FILTERS:
        return _report(scope, node, "lists GitLab's states for another command")
    kept = [scope.source.text(stage) for stage, name in zip(stages[1:], names, strict=True) if name in _FILTERS]
    if fallback is None:
        fallback = _fallback_of(outer)
    span = Span(scope.source.span(first).start, scope.source.span(stages[-1]).end)
    words = ""
    if fallback is not None and _names_client(scope, fallback):
        end = scope.source.span(fallback).end
        words = Span(span.end, end).of(scope.source.whole)
        span = Span(span.start, end)
    return scope.locate(
        ReferenceKind.STATE_LIST,
        span,
        reason="lists states through GitLab's API; needs the aws command afterwards",
        node=outer,
        detail={"filters": "\n".join(kept), "fallback": words},
    )


def _are_joined(scope: Scope, nodes: Sequence["Node"], operator: str) -> bool:
    """Tell whether only ``operator`` stands between adjacent nodes: after an error the grammar may join lines."""
    for node in nodes:
        unquoted = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|\\\r?\n", "", scope.source.text(node))
        if "\n" in unquoted and node.type == "command":
            return False
    for before, after in pairwise(nodes):
        between = Span(scope.source.span(before).end, scope.source.span(after).start).of(scope.source.whole)
        if not re.fullmatch(rf"(?:\\?\r?\n|[ \t])*(?:{operator})(?:\\?\r?\n|[ \t])*", between):
            return False
    return True


def _stages(node: "Node") -> tuple[list["Node"], "Node | None"]:
    """Return the stages of a pipeline and what follows ``||``: the grammar puts a list into the last stage at times."""
    if node.type not in {"pipeline", "list"}:
        return [node], None
    if node.type == "list":
        return _stages(node.named_children[0])[0], node.named_children[-1]
    stages: list[Node] = []
    fallback: Node | None = None
    for child in node.named_children:
        inner, fallback = _stages(child)
        stages += inner
    return stages, fallback


def _fallback_of(outer: "Node") -> "Node | None":
    """Return what runs when ``outer`` fails."""
    parent = outer.parent
    if parent is None or parent.type != "list" or parent.named_children[0].start_byte != outer.start_byte:
        return None
    return parent.named_children[-1]


def _names_client(scope: Scope, fallback: "Node") -> bool:
    text = scope.source.text(fallback)
    says = re.match(r"(?:echo|printf)\b", text) is not None
    return says and re.search(r"glab|gitlab|TF_HTTP_|token", text, re.IGNORECASE) is not None
