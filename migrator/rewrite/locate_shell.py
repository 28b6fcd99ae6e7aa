"""Locate what names or configures the state backend in shell: whole scripts and parts of other files.

Invariants: located spans never overlap and lie in the region; every TF_HTTP_* variable, http backend flag and address
of a state that no rule knows is reported, never dropped. What this deliberately does not do: run, expand or guess.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from migrator.rewrite.claims import names_source
from migrator.rewrite.locate_comments import ANY_TARGET, describe_unknown, locate_comment
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.replacements.messages import build_message
from migrator.rewrite.replacements.wording import CannotReplaceError
from migrator.rewrite.shell_api import locate_api_calls
from migrator.rewrite.shell_credentials import locate_credential_checks
from migrator.rewrite.shell_environment import MESSAGE, locate_exports, locate_reads, locate_written_example
from migrator.rewrite.shell_init import locate_inits
from migrator.rewrite.shell_scope import Scope, read_scope
from migrator.rewrite.shell_source import Mask, ShellSource, ancestors, mask_expressions, mask_just, mask_nothing
from migrator.rewrite.spans import Span

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["locate_shell", "mask_expressions", "mask_just", "mask_nothing"]

_NO_ADDRESSES: Mapping[str, str] = MappingProxyType({})
_MATTERS = re.compile(
    r"TF_HTTP|backend-config|terraform/state|gitlab-(?:tofu|terraform)|(?:tofu|terraform)\b[^\n]*\binit\b|\bTF\w*\}?\"?\s+init\b"
)
_INIT = re.compile(r"\binit\b")
_TOKEN = re.compile(r"personal[ _]access[ _]token|\bapi`? scope\b", re.IGNORECASE)
_NEAR = 4  # lines: a sentence about a token belongs to the one that names TF_HTTP_PASSWORD
_LEFT_OVER = re.compile(
    r"TF_HTTP_?\w*\*?|/terraform/states?\b|-backend-config[= ][\"']*(?:address|(?:un)?lock_(?:address|method)|username|password)="
    r"|\bbackend\s+\\?\"http\\?\""
)


def locate_shell(
    text: str,
    *,
    region: Span | None = None,
    indent: int = 0,
    mask: Mask = mask_nothing,
    inherited_state: str | None = None,
    addresses: Mapping[str, str] = _NO_ADDRESSES,
) -> tuple[Located, ...]:
    """Return the references in ``region`` of ``text`` (default: all of it), in order, with positions in ``text``.

    ``region`` must start at the beginning of a line or of a command. ``indent`` is how many columns of each line of the
    region belong to the surrounding language (a YAML block scalar, a just recipe): at most that much blank space is
    ignored at the start of each line, so that heredocs end where the shell sees their end. ``mask`` hides the
    interpolations of the surrounding language. ``inherited_state`` is the state expression of TF_HTTP_ADDRESS when the
    region runs with TF_HTTP_* set from outside (CI variables): a bare init and reads of ${TF_HTTP_ADDRESS} are then
    understood. ``addresses`` gives texts of variables set outside: ``{"TF_ADDRESS": "https://.../terraform/state/x"}``,
    for a variable of just ``{"{{address}}": "..."}``.

    Kinds: init-flags, bare-init, environment-export, environment-read, credential-check, state-list, state-unlock,
    state-url, backend-comment, prose (text that an echo or printf shows). ``detail["language"]`` is ``shell``.
    Arbitrary text never raises: what tree-sitter cannot parse and yet names TF_HTTP_* is reported.
    """
    area = region or Span(0, len(text))
    part = area.of(text)
    inherits = (inherited_state is not None or bool(addresses)) and _INIT.search(part)
    if not (_MATTERS.search(part) or inherits or names_source(part)):
        return ()
    source = ShellSource(text, region=area, indent=indent, mask=mask)
    scope = read_scope(source, inherited_state=inherited_state, addresses=addresses)
    located = _without_overlaps(
        [
            *locate_inits(scope),
            *locate_api_calls(scope),
            *locate_credential_checks(scope),
            *locate_exports(scope),
        ]
    )
    located += locate_reads(scope, [one.span for one in located])
    located += _locate_words(scope, [one.span for one in located])
    located = _locate_addresses(scope, located)
    ordered = sorted(_keep_what_is_read(text, located), key=lambda one: one.span)
    return tuple(_join_touching(ordered))


def _join_touching(ordered: Iterable[Located]) -> Iterator[Located]:
    """Join removals that touch, so that a removal has one place to be put back to."""
    held: Located | None = None
    for one in ordered:
        if held is not None and _is_removal(held) and _is_removal(one) and held.span.end == one.span.start:
            held = replace(held, span=Span(held.span.start, one.span.end))
            continue
        if held is not None:
            yield held
        held = one
    if held is not None:
        yield held


def _is_removal(one: Located) -> bool:
    export = one.kind is ReferenceKind.ENVIRONMENT_EXPORT and one.disposition is Disposition.REWRITE
    return export and one.detail.get("instead") == "" and one.detail.get("credentials", "no") == "no"


def _without_overlaps(found: Iterable[Located]) -> list[Located]:
    """Return ``found`` without those that touch an earlier kind: init before API call before test before export."""
    kept: list[Located] = []
    for one in found:
        if not any(other.span.start < one.span.end and one.span.start < other.span.end for other in kept):
            kept.append(one)
    return kept


def _locate_words(scope: Scope, taken: Sequence[Span]) -> Iterator[Located]:
    """Yield comments and messages that name the source."""
    for group in _comments(scope):
        if not any(_overlap(one, group) for one in taken):
            yield from locate_comment(scope.source.whole, group, language="shell")
    words = [(node, scope.source.span(node)) for node in scope.source.nodes if _is_message(scope, node)]
    free = [(node, span) for node, span in words if not any(_overlap(one, span) for one in taken)]
    certain = [span for _, span in free if names_source(span.of(scope.source.whole))]
    near = {scope.line_of(one.start) for one in (*taken, *certain)}
    for node, span in free:
        line = scope.line_of(span.start)
        beside = _TOKEN.search(span.of(scope.source.whole)) is not None and any(
            abs(line - one) <= _NEAR for one in near
        )
        if span in certain or beside:
            yield _locate_message(scope, node, span)


def _comments(scope: Scope) -> Iterator[Span]:
    """Yield comments: those of adjacent lines as one, one behind code by itself."""
    whole = scope.source.whole
    held: Span | None = None
    for node in scope.source.nodes:
        if node.type != "comment":
            continue
        span = scope.source.span(node)
        if span.of(whole).startswith("#!"):
            continue
        span = Span(span.start, span.start + len(span.of(whole).rstrip()))
        whole_line = not whole[
            max(whole.rfind("\n", 0, span.start) + 1, scope.source.region.start) : span.start
        ].strip()
        if held is not None and whole_line and re.fullmatch(r"[ \t]*\r?\n[ \t]*", whole[held.end : span.start]):
            held = Span(held.start, span.end)
            continue
        if held is not None:
            yield held
        held = span if whole_line else None
        if not whole_line:
            yield span
    if held is not None:
        yield held


def _locate_message(scope: Scope, node: "Node", span: Span) -> Located:
    text = span.of(scope.source.whole)
    kind, problem = ReferenceKind.PROSE, None
    if re.match(r"[\"']?(?:export\s+)?TF_HTTP_\w+=", text) and _goes_to_file(node):
        example = locate_written_example(scope, node)
        if example is not None:
            return example
        kind, problem = ReferenceKind.ENVIRONMENT_EXPORT, "writes a variable of the http backend into a file"
    elif "terraform/state" in text or "$" in re.sub(r"\$\{?(?!TF_HTTP)\w+\}?", "", text):
        problem = "text with an address or a variable of the http backend"
    elif any(one.type == "case_statement" and "TF_HTTP_" in _head_of_case(scope, one) for one in ancestors(node)):
        problem = "message of a test that no rule knows"
    elif _goes_to_file(node):
        problem = "text about the http backend that goes into a file or to another command"
    else:
        try:
            build_message(text, ANY_TARGET)
        except CannotReplaceError:
            problem = describe_unknown([text.strip("\"'")], what="message")
    return scope.locate(kind, span, reason="text that names state in GitLab", problem=problem, node=node)


def _head_of_case(scope: Scope, node: "Node") -> str:
    return re.split(r"\sin\s", scope.source.text(node), maxsplit=1)[0]


def _goes_to_file(node: "Node") -> bool:
    """Tell whether a message is written to a file or given to another command."""
    command = node.parent
    around = command.parent if command is not None else None
    if around is None or around.type not in {"redirected_statement", "pipeline"}:
        return False
    redirects = [child.text or b"" for child in around.named_children if child.type == "file_redirect"]
    return around.type == "pipeline" or any(not re.match(rb"\d*>&\d", one) for one in redirects)


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _is_message(scope: Scope, node: "Node") -> bool:
    return node.type in {"string", "raw_string", "concatenation"} and _is_argument_of_message(scope, node)


def _is_argument_of_message(scope: Scope, node: "Node") -> bool:
    parent = node.parent
    if parent is None or parent.type != "command":
        return False
    name = parent.child_by_field_name("name")
    return name is not None and MESSAGE.match(scope.source.text(name)) is not None


def _locate_addresses(scope: Scope, located: list[Located]) -> list[Located]:
    """Report every word of the http backend that nothing above has taken."""
    whole, region = scope.source.whole, scope.source.region
    taken = [one.span for one in located]
    for found in _LEFT_OVER.finditer(whole, region.start, region.end):
        if any(one.start <= found.start() < one.end for one in taken):
            continue
        assignment = _address_variable(scope, found.start(), located)
        one = assignment or _report_line(scope, found.start(), taken)
        located.append(one)
        taken.append(one.span)
    return located


def _address_variable(scope: Scope, position: int, located: Sequence[Located]) -> Located | None:
    """Return the assignment of an address that only references to rewrite read; its value then names the object."""
    for node in scope.source.nodes:
        if node.type != "variable_assignment":
            continue
        value, name = node.child_by_field_name("value"), node.child_by_field_name("name")
        if value is None or name is None:
            continue
        span = scope.source.span(value)
        if not span.start <= position < span.end:
            continue
        written = span.of(scope.source.whole)
        if re.search(r"[\s;|]|-backend-config", written):
            return None
        state, problem = scope.state_of(written)
        uses = re.compile(rf"\$\{{?{re.escape(scope.source.text(name))}\b")
        rewritten = [one.span for one in located if one.disposition is Disposition.REWRITE]
        for use in uses.finditer(scope.source.whole, scope.source.region.start, scope.source.region.end):
            if not any(one.start <= use.start() < one.end for one in rewritten):
                problem = problem or "the address is read by something else too"
        kind = ReferenceKind.STATE_URL
        return scope.locate(kind, span, reason="address of a state", problem=problem, node=node, state=state)
    return None


def _report_line(scope: Scope, position: int, taken: Sequence[Span]) -> Located:
    """Report what is left of the line around ``position`` between the references that stand on it."""
    whole, region = scope.source.whole, scope.source.region
    start = max(whole.rfind("\n", 0, position) + 1, region.start)
    end = whole.find("\n", position)
    end = min(region.end, len(whole) if end < 0 else end)
    start = max([start, *(one.end for one in taken if one.end <= position)])
    end = min([end, *(one.start for one in taken if one.start > position)])
    line = whole[start:end]
    start += len(line) - len(line.lstrip())
    return Located(
        kind=ReferenceKind.STATE_URL if "/terraform/state" in line else ReferenceKind.ENVIRONMENT_READ,
        span=Span(min(start, position), max(start + len(line.strip()), position + 1)),
        disposition=Disposition.REPORT,
        reason="names the http backend in a way that no rule knows",
        detail={"language": "shell"},
    )


def _keep_what_is_read(text: str, located: Sequence[Located]) -> Iterator[Located]:
    """Turn exports into reports where something that stays reads them: under ``set -u`` it would fail without them."""
    read = any(
        one.disposition is Disposition.REPORT
        and one.kind not in {ReferenceKind.ENVIRONMENT_EXPORT, ReferenceKind.BACKEND_COMMENT, ReferenceKind.BARE_INIT}
        and re.search(r"\$\{?[#!]?TF_HTTP_", one.span.of(text))
        for one in located
    )
    for one in located:
        held = read and one.kind is ReferenceKind.ENVIRONMENT_EXPORT and one.disposition is Disposition.REWRITE
        if held and "credentials" in one.detail:  # what is set for one command is read by no other
            reason = "sets variables of the http backend that another command reads"
            yield replace(one, disposition=Disposition.REPORT, reason=reason)
        else:
            yield one
