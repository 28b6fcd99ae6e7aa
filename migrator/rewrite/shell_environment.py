"""Locate shell that sets TF_HTTP_* (exports, prefixes of a command, unset) and shell that reads them."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from migrator.rewrite.reference import Located, ReferenceKind
from migrator.rewrite.shell_scope import Scope, without_quotes
from migrator.rewrite.shell_source import ancestors, is_statement
from migrator.rewrite.spans import Span

if TYPE_CHECKING:
    from tree_sitter import Node

MESSAGE = re.compile(r"^(?:echo|printf|log\w*|warn\w*|die|fail|err|error|info|msg|say|note|print\w*|abort|usage)$")
_NAME = re.compile(r"^(?:export\s+)?TF_HTTP_\w+")
_PLACEHOLDER = re.compile(
    r"^(?:|glpat-.*|<.*>|\.\.\.|…|x+|your[-_ ].*|changeme|token|secret|REPLACE.*)$", re.IGNORECASE
)
_WRITTEN = re.compile(
    r"echo\s+(?P<quote>[\"']?)(?:export\s+)?TF_HTTP_PASSWORD=(?P<value>[^\"'\s$`]*)(?P=quote)\s*>>\s*[\w./~-]+",
    re.DOTALL,
)
_ABOUT = re.compile(
    r"TF_HTTP|gitlab|backend|state|lock|address|variable|credential|token|tofu|terraform|auth", re.IGNORECASE
)


def locate_exports(scope: Scope) -> Iterator[Located]:
    """Yield one reference per run of adjacent lines that only set TF_HTTP_*, and one per prefix or joined statement."""
    run: list[Node] = []
    for node in scope.source.nodes:
        if not _is_setting(scope, node):
            continue
        if node.parent is not None and node.parent.type in {"command", "declaration_command"}:
            if node.parent.type == "command":
                yield _locate_prefix(scope, node)
            continue
        if run and not _follows(scope, run[-1], node):
            yield from _locate_run(scope, run)
            run = []
        run.append(node)
    if run:
        yield from _locate_run(scope, run)


def _is_setting(scope: Scope, node: "Node") -> bool:
    """Tell whether a node sets or unsets TF_HTTP_*, alone or among others."""
    if node.type == "variable_assignment":
        return scope.source.text(node).startswith("TF_HTTP_")
    if node.type in {"declaration_command", "unset_command"}:
        return any(re.match(r"TF_HTTP_\w", scope.source.text(child)) for child in node.named_children)
    return False


def _sets_others(scope: Scope, node: "Node") -> bool:
    if node.type == "variable_assignment":
        return False
    texts = [scope.source.text(child) for child in node.named_children]
    return any(not text.startswith(("TF_HTTP_", "-")) for text in texts)


def _follows(scope: Scope, before: "Node", node: "Node") -> bool:
    """Tell whether ``node`` stands on the line after ``before``, in the same body, each alone on its lines."""
    if before.parent != node.parent or _sets_others(scope, before) or _sets_others(scope, node):
        return False
    if _reads_command(scope, before) or _reads_command(scope, node):
        return False
    between = Span(scope.source.span(before).end, scope.source.span(node).start).of(scope.source.whole)
    return re.fullmatch(r"[ \t]*;?[ \t]*(?:#[^\n]*)?\r?\n[ \t]*|[ \t]*;[ \t]*", between) is not None


def _reads_command(scope: Scope, node: "Node") -> bool:
    """Tell whether a password is read by a command: its place in the program has to be decided by a person."""
    return re.search(r"TF_HTTP_PASSWORD=[\"']?(?:\$\(|`)", scope.source.text(node)) is not None


def _locate_prefix(scope: Scope, node: "Node") -> Located:
    """Return ``TF_HTTP_X=value `` before a command, with the blank space behind it."""
    source = scope.source
    span = source.span(node)
    behind = re.compile(r"(?:[ \t]|\\\r?\n)*").match(source.whole, span.end)
    end = behind.end() if behind else span.end
    problem = "sets a password by a command" if _reads_command(scope, node) else None
    reason = "sets a variable of the http backend for one command"
    kind, detail = ReferenceKind.ENVIRONMENT_EXPORT, {"instead": ""}
    return scope.locate(kind, Span(span.start, end), reason=reason, problem=problem, node=node, detail=detail)


def _locate_run(scope: Scope, run: Sequence["Node"]) -> Iterator[Located]:
    source = scope.source
    first, last = run[0], run[-1]
    span = Span(source.span(first).start, source.span(last).end)
    problem = None
    if len(run) == 1 and _sets_others(scope, first):
        problem = "sets variables of the http backend beside others"
    elif len(run) == 1 and _reads_command(scope, first):
        problem = "reads the password from a command: get AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY the same way"
    detail = {"instead": "", "credentials": "yes" if _sets_placeholder(scope, run) else "no"}
    if not problem:
        whole, detail["instead"] = _whole_statements(scope, run, span)
        at_line_start = scope.source.whole[: whole.start].endswith("\n") or whole.start == scope.source.region.start
        if detail["credentials"] == "yes" and not (at_line_start and not detail["instead"]):
            detail["credentials"] = "joined"  # beside other statements on the line: it stays one statement
        else:
            span = whole
    reason = "sets variables of the http backend"
    kind = ReferenceKind.ENVIRONMENT_EXPORT
    yield scope.locate(kind, span, reason=reason, problem=problem, node=first, state=scope.state, detail=detail)


def locate_written_example(scope: Scope, message: "Node") -> Located | None:
    """Return ``echo 'TF_HTTP_PASSWORD=...' >> file``, which shows where the password goes; None for anything else."""
    command = message.parent
    around = command.parent if command is not None else None
    text = scope.source.text(around) if around is not None and is_statement(around) else ""
    found = _WRITTEN.fullmatch(text)
    if around is None or found is None or not _PLACEHOLDER.match(found["value"]):
        return None
    reason, detail = "shows how to write the password into a file", {"credentials": "written"}
    span = scope.source.span(around)
    return scope.locate(ReferenceKind.ENVIRONMENT_EXPORT, span, reason=reason, node=around, detail=detail)


def _sets_placeholder(scope: Scope, run: Sequence["Node"]) -> bool:
    """Tell whether the run shows a person how to set the password, with a value that is none."""
    for node in run:
        found = re.search(r"TF_HTTP_PASSWORD=(\S*)", scope.source.text(node))
        if found and _PLACEHOLDER.match(without_quotes(found.group(1))):
            return True
    return False


def _whole_statements(scope: Scope, run: Sequence["Node"], span: Span) -> tuple[Span, str]:
    """Return the span to take and what must stand there instead, so that the statements around stay whole."""
    whole = scope.source.whole
    parent = run[0].parent
    if parent is not None and parent.type == "list":
        if parent.named_children[0] == run[0] and parent.children[1].type == "&&":
            return Span(span.start, scope.source.span(parent.named_children[1]).start), ""
        return span, ":"
    if not is_statement(run[0]):
        return span, ":"
    siblings = [one for one in parent.named_children if one.type != "comment"] if parent is not None else []
    bodies = {"then": run[0].prev_named_sibling}
    alone = parent is not None and parent.type != "program" and _is_whole_body(run, siblings) and bool(bodies)
    if alone:
        return span, ":"
    line_start = whole.rfind("\n", 0, span.start) + 1
    tail = re.compile(r"[ \t]*;?[ \t]*(?:#[^\n]*)?(?:\r?\n|$)").match(whole, span.end)
    if whole[line_start : span.start].strip() or tail is None:
        semicolon = re.compile(r"[ \t]*;[ \t]*").match(whole, span.end)
        return (Span(span.start, semicolon.end()), "") if semicolon else (span, ":")
    start = _with_comment(scope, run[0], line_start)
    end = min(tail.end(), scope.source.region.end)
    if scope.source.region.start > start:
        return span, ":"
    blank_before = start == 0 or re.search(r"(?:^|\n)[ \t]*\r?\n$", whole[:start]) is not None
    blank_after = re.compile(r"[ \t]*\r?\n").match(whole, end)
    if blank_before and blank_after and blank_after.end() <= scope.source.region.end:
        end = blank_after.end()
    return Span(start, end), ""


def _is_whole_body(run: Sequence["Node"], siblings: Sequence["Node"]) -> bool:
    """Tell whether nothing would be left in a body: between ``then`` and ``fi``, ``do`` and ``done``, braces."""
    before, after = run[0].prev_sibling, run[-1].next_sibling
    while before is not None and (before.type in {";", "\n", "comment"}):
        before = before.prev_sibling
    while after is not None and (after.type in {";", "\n", "comment", ";;"}):
        after = after.next_sibling
    opens = before is None or before.type in {"then", "do", "{", "(", "else", ")"}
    closes = after is None or after.type in {"fi", "done", "}", ")", "else_clause", "elif_clause"}
    return bool(siblings) and opens and closes


def _with_comment(scope: Scope, node: "Node", line_start: int) -> int:
    """Return where the comment directly above begins, when it is about the exports; else where the line begins."""
    whole = scope.source.whole
    start = line_start
    lines: list[str] = []
    while start > scope.source.region.start:
        above = whole.rfind("\n", 0, start - 1) + 1
        line = whole[above : start - 1].strip()
        if not line.startswith("#") or line.startswith("#!") or above < scope.source.region.start:
            break
        lines.append(line)
        start = above
    header = start == 0 or whole[:start].rstrip("\r\n").rpartition("\n")[2].startswith("#!")
    about = lines and len(lines) <= 3 and not header and _ABOUT.search(" ".join(lines))
    return start if about else line_start


def locate_reads(scope: Scope, taken: Sequence[Span]) -> Iterator[Located]:
    """Yield expansions of TF_HTTP_* outside of ``taken``: the address in a message is rewritten, others are reported."""
    for node in scope.source.nodes:
        if node.type not in {"expansion", "simple_expansion"}:
            continue
        span = scope.source.span(node)
        text = span.of(scope.source.whole)
        if not re.match(r"\$\{?[#!]?TF_HTTP_", text) or any(one.start <= span.start < one.end for one in taken):
            continue
        simple = re.fullmatch(r"\$\{?TF_HTTP_ADDRESS(?::?-[^}]*)?\}?", text) is not None
        problem = None
        if not _in_message(scope, node):
            problem = "reads a variable of the http backend for a command"
        elif not simple or scope.state is None:
            problem = "shows a variable of the http backend that has no counterpart"
        reason = "shows the address of the state"
        kind = ReferenceKind.ENVIRONMENT_READ
        yield scope.locate(kind, span, reason=reason, problem=problem, node=node, state=scope.state)


def _in_message(scope: Scope, node: "Node") -> bool:
    for one in ancestors(node):
        if one.type in {"command_substitution", "variable_assignment"}:
            return False
        if one.type == "command":
            name = one.child_by_field_name("name")
            piped = one.parent is not None and one.parent.type == "pipeline"
            return name is not None and MESSAGE.match(scope.source.text(name)) is not None and not piped
    return False
