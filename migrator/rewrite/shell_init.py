"""Locate ``tofu init``: its http flags, or an init without flags that takes the backend from TF_HTTP_*."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from migrator.rewrite.http_arguments import HTTP_ARGUMENTS
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.shell_scope import Scope, without_quotes
from migrator.rewrite.spans import Span

if TYPE_CHECKING:
    from tree_sitter import Node

_PROGRAM = re.compile(
    r"^(?:[\w./~-]*/)?(?:tofu|terraform|opentofu)(?:[-_.]?v?\d[\w.]*)?$"
    r"|^\$\{?\w*(?:tofu|terraform|TF)\w*(?::?[-=?+][^}]*)?\}?$"
    r"|^\{\{\s*\w*(?:tofu|terraform|tf)\w*\s*\}\}$",
    re.IGNORECASE,
)
_WRAPPER = re.compile(r"^(?:[\w./-]*/)?gitlab-(?:tofu|terraform)$")
_FLAG = re.compile(r"^[\"']?--?backend-config(?:=(?P<value>.*))?$", re.DOTALL)
_KEY = re.compile(r"^(?P<key>[a-z_][a-z0-9_]*)=")
_CONTAINER = re.compile(r"^(?:[\w./-]*/)?(?:docker|podman|nerdctl|kubectl|docker-compose)$")
WITHOUT_SETTING = "init without a backend setting: give the key of the state, unless the backend block names it"
_ELIDED = {"...", "…"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flag:
    """One ``-backend-config``: ``key`` is None for a file; ``text`` as written."""

    key: str | None
    value: str
    text: str
    span: Span
    first: int
    last: int

    @property
    def is_http(self) -> bool:
        return self.key in HTTP_ARGUMENTS or (self.key is None and self.value in _ELIDED)


def locate_inits(scope: Scope) -> Iterator[Located]:
    """Yield the init commands of a part, and arrays that collect their flags."""
    for node in scope.source.nodes:
        if node.type == "command":
            yield from _locate_command(_with_prefix(scope, node), node)
        elif node.type == "array":
            found = _locate_flags(scope, node, scope.source.words(node), in_command=False)
            yield from (_doubt_pieces(scope, node, one) for one in found)


def _with_prefix(scope: Scope, node: "Node") -> Scope:
    """Return the scope of one command: with the address that is set before it, for it alone."""
    for child in node.named_children:
        text = scope.source.text(child)
        if child.type == "variable_assignment" and text.startswith("TF_HTTP_ADDRESS="):
            return replace(scope, state=scope.state_of(text.partition("=")[2])[0], exports=True)
    return scope


def _doubt_pieces(scope: Scope, array: "Node", located: Located) -> Located:
    """Report the flags of an array that is put together by several statements: they can only change as one."""
    statement = scope.source.text(array.parent) if array.parent is not None else ""
    name = re.match(r"\w+", statement)
    others = _arrays(scope, "${" + name.group() + "[@]}") if name else []
    if len([one for one in others if "backend-config" in one]) < 2:
        return located
    reason = f"flags of the http backend that several statements put into {statement.partition('=')[0].rstrip('+')}"
    return replace(located, disposition=Disposition.REPORT, reason=reason)


def _locate_command(scope: Scope, node: "Node") -> Iterator[Located]:
    words = scope.source.words(node)
    texts = [without_quotes(word.of(scope.source.whole)) for word in words]
    start = next((index for index, text in enumerate(texts) if _PROGRAM.match(text)), None)
    if start is None:
        if texts and _WRAPPER.match(texts[0]):
            problem = "GitLab's wrapper builds the http backend by itself: call tofu instead"
            yield scope.locate(
                ReferenceKind.BARE_INIT, scope.source.span(node), reason=problem, problem=problem, node=node
            )
        return
    init = next((index for index in range(start + 1, len(texts)) if not texts[index].startswith("-")), None)
    if init is None or texts[init] != "init" or any(re.match(r"--?backend=(?:false|0|f)$", text) for text in texts):
        return
    arguments = words[init + 1 :]
    if any("backend-config" in text for text in texts[init + 1 :]):
        yield from _locate_flags(scope, node, arguments, in_command=True)
    elif not _collects_flags(scope, texts[init + 1 :]):
        container = texts[0] if start > 0 and _CONTAINER.match(texts[0]) else None
        yield _locate_bare(scope, node, words[init], texts[init + 1 :], container=container)


def _locate_bare(scope: Scope, node: "Node", word: Span, arguments: Sequence[str], *, container: str | None) -> Located:
    problem = None if scope.state else "nothing in sight says which state TF_HTTP_ADDRESS names"
    if not scope.exports:
        problem = WITHOUT_SETTING
    elif container is not None:
        problem = f"init in a container of {container}: give it the key, and the credentials as variables"
    if any(text in {"-migrate-state", "-force-copy"} for text in arguments):
        problem = "init with -migrate-state: the tool moves state by itself"
    if any(_may_hold_flags(scope, text) for text in arguments):
        problem = problem or "its arguments come from elsewhere and may hold backend flags"
    return scope.locate(
        ReferenceKind.BARE_INIT,
        word,
        reason="init that takes its backend from TF_HTTP_*",
        problem=problem,
        node=node,
        state=scope.state,
        detail={"reconfigure": "present" if "-reconfigure" in arguments else "absent"},
    )


def _arrays(scope: Scope, argument: str) -> list[str]:
    """Return the texts that the array of an argument ``${NAME[@]}`` is set to in this part."""
    name = re.search(r"\$\{(\w+)\[[@*]\]", argument)
    if name is None:
        return []
    region = scope.source.region.of(scope.source.whole)
    return re.findall(rf"\b{name.group(1)}\+?=\([^)]*\)", region)


def _collects_flags(scope: Scope, arguments: Sequence[str]) -> bool:
    return any("backend-config" in text for argument in arguments for text in _arrays(scope, argument))


def _may_hold_flags(scope: Scope, argument: str) -> bool:
    return re.search(r"\[[@*]\]|\$@|\$\*", argument) is not None and not _arrays(scope, argument)


def _locate_flags(scope: Scope, node: "Node", words: Sequence[Span], *, in_command: bool) -> Iterator[Located]:
    flags = list(_read_flags(scope, words))
    http = [flag for flag in flags if flag.is_http]
    files = [flag for flag in flags if flag.key is None and not flag.is_http]
    if not any(flag.key for flag in http):
        for flag in files:
            if not re.search(r"\.s3\.|\.(?:gcs|azurerm|consul|pg|kubernetes|oss|cos)\.", flag.value):
                why = "a backend file: what it holds is unknown here"
                yield scope.locate(ReferenceKind.INIT_FLAGS, flag.span, reason=why, problem=why, node=node)
        return
    texts = [without_quotes(word.of(scope.source.whole)) for word in words]
    span = Span(http[0].span.start, http[-1].span.end)
    state, problem = _state_of(scope, http)
    if len(http) + len(files) < len(flags):
        problem = "flags of the http backend beside flags of another one"
    elif files:
        problem = "a backend file beside flags: what it holds is unknown here"
    elif any(text in {"-migrate-state", "-force-copy"} for text in texts):
        problem = "init with -migrate-state: the tool moves state by itself"
    taken = {index for flag in http for index in range(flag.first, flag.last + 1)}
    between = [index for index in range(http[0].first, http[-1].last + 1) if index not in taken]
    named = next((flag for flag in http if flag.key == "address"), next(flag for flag in http if flag.key))
    detail = {
        "flag": named.text,
        "kept": "\n".join(words[index].of(scope.source.whole) for index in between),
        "reconfigure": "present" if not in_command or "-reconfigure" in texts else "absent",
        "container": "command" if in_command else "array",
    }
    reason = "http backend flags of tofu init"
    yield scope.locate(
        ReferenceKind.INIT_FLAGS, span, reason=reason, problem=problem, node=node, state=state, detail=detail
    )


def _read_flags(scope: Scope, words: Sequence[Span]) -> Iterator[_Flag]:
    index = 0
    while index < len(words):
        found = _FLAG.match(words[index].of(scope.source.whole))
        last = index
        if found:
            value = found["value"]
            if value is None and index + 1 < len(words):
                last = index + 1
                value = words[last].of(scope.source.whole)
            span = Span(words[index].start, words[last].end)
            plain = without_quotes(value or "")
            key = _KEY.match(plain)
            yield _Flag(
                key=key["key"] if key else None,
                value=plain[key.end() :] if key else plain,
                text=span.of(scope.source.whole),
                span=span,
                first=index,
                last=last,
            )
        index = last + 1


def _state_of(scope: Scope, flags: Sequence[_Flag]) -> tuple[str | None, str | None]:
    for key in ("address", "lock_address", "unlock_address"):
        for flag in flags:
            if flag.key == key:
                return scope.state_of(flag.value)
    if scope.state is not None:
        return scope.state, None
    return None, "no address flag says which state is meant"
