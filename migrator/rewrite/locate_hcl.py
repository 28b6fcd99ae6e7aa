"""Read and locate what says where state lives in HCL. The only module that imports hcl2.

hcl2 locates and never writes: its tree gives exact positions, its reconstruction would lose comments. hcl2 is slow to
import and to parse, so a text is parsed only when words in it say that it can matter.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from migrator.rewrite.address import read_address
from migrator.rewrite.claims import comment_groups, may_say_anything, names_source
from migrator.rewrite.hcl_json import JsonBackend, is_json, read_json_backends
from migrator.rewrite.http_arguments import HTTP_ARGUMENTS
from migrator.rewrite.locate_comments import locate_comment
from migrator.rewrite.outline import OutlineError, read_outline
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span
from migrator.rewrite.unparsable import UnparsableError

_MATTERS = re.compile(r"\bterraform\b[^\n]*\{|terraform_remote_state")
_BLOCK_MATTERS = re.compile(r"\bbackend\s+\"?http\"?\s*\{|terraform_remote_state")
_REMOTE_STATE = re.compile(r"^\s*remote_state\s*\{", re.MULTILINE)  # of Terragrunt
_REMOTE_STATE_TYPE = re.compile(r"backend\s*=\s*\"http\"")
_SETTING = re.compile(r"[ \t]*(?P<name>\w+)[ \t]*=[ \t]*(?P<value>\"[^\"]*\"|[\w.-]+)[ \t]*(?:(?:#|//).*)?")
_BLOCK_COMMENT = re.compile(r"^[ \t]*(?P<comment>/\*.*?\*/)", re.MULTILINE | re.DOTALL)
_TRAILING_COMMENT = re.compile(r"[ \t]+(?P<comment>(?:#|//)[^\n\r]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """``name = expression``: ``value`` is the string (or number, or bool) that a literal means, None otherwise."""

    span: Span
    expression_span: Span
    expression: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendBlock:
    """``backend "type" { ... }``; ``terraform_span`` is the terraform block around it."""

    type: str
    span: Span
    terraform_span: Span
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteState:
    """``data "terraform_remote_state" "name"``; ``config`` is None when it is not a literal object."""

    name: str
    span: Span
    backend: Attribute | None
    workspace: Attribute | None
    config_span: Span | None
    config: Mapping[str, Attribute] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HclFile:
    """What a ``.tf`` or ``.tofu`` file says about state."""

    backends: tuple[BackendBlock, ...] = ()
    clouds: tuple[Span, ...] = ()
    remote_states: tuple[RemoteState, ...] = ()
    required_version: Attribute | None = None
    provider_requirements: int = 0


def read_hcl(text: str) -> HclFile:
    """Return what ``text`` declares at its top level; a text without a terraform block or remote state is not parsed.

    Raises: UnparsableError with line and column (``rewrite.unparsable``).
    """
    if is_json(text):
        return HclFile(backends=tuple(_from_json(one) for one in read_json_backends(text)))
    if not _MATTERS.search(text):
        return HclFile()
    reader = _Reader(text)
    backends: list[BackendBlock] = []
    clouds: list[Span] = []
    remote_states: list[RemoteState] = []
    required_version: Attribute | None = None
    requirements = 0
    for block in reader.blocks(parse_hcl(_blank_others(text))):
        labels = reader.labels(block)
        if labels == ["terraform"]:
            for inner in reader.blocks(block.children[-2]):
                inner_labels = reader.labels(inner)
                if inner_labels[0] == "backend" and len(inner_labels) == 2:
                    backends.append(reader.backend(inner, inner_labels[1], around=_span(block)))
                elif inner_labels == ["cloud"]:
                    clouds.append(_span(inner))
                elif inner_labels == ["required_providers"]:
                    requirements += len(reader.attributes(inner))
            required_version = reader.attributes(block).get("required_version", required_version)
        elif labels[:2] == ["data", "terraform_remote_state"] and len(labels) == 3:
            remote_states.append(reader.remote_state(block, labels[2]))
    return HclFile(
        backends=tuple(backends),
        clouds=tuple(clouds),
        remote_states=tuple(remote_states),
        required_version=required_version,
        provider_requirements=requirements,
    )


def _from_json(one: JsonBackend) -> BackendBlock:
    def attribute(value: object) -> Attribute:
        literal = value if isinstance(value, str) else None
        return Attribute(span=one.span, expression_span=one.span, expression=f'"{value}"', value=literal)

    attributes = {name: attribute(value) for name, value in one.arguments.items() if name != "//"}
    return BackendBlock(
        type=one.type, span=one.span, terraform_span=one.terraform_span, attributes=MappingProxyType(attributes)
    )


def _blank_others(text: str) -> str:
    """Return the text with the bodies of all blocks blanked that say nothing of state: a full parse takes long."""
    try:
        blocks = read_outline(text).blocks
    except OutlineError:
        return text  # the parser says what is wrong
    pieces, position = [], 0
    for block in blocks:
        if block.type != "terraform" and (block.type, *block.labels[:1]) != ("data", "terraform_remote_state"):
            pieces += [text[position : block.body.start], re.sub(r"[^\n]", " ", block.body.of(text))]
            position = block.body.end
    return "".join([*pieces, text[position:]])


def locate_hcl(text: str) -> tuple[Located, ...]:
    """Return the references in ``text``, in order of position; a text without any is not parsed.

    Kinds: backend-block, remote-state, backend-comment. ``detail["language"]`` is ``hcl``.

    Raises: UnparsableError with line and column.
    """
    json_syntax = is_json(text)
    if (settings := _locate_settings_file(text)) is not None:
        return settings
    matters = _BLOCK_MATTERS.search(text) or (json_syntax and '"backend"' in text)
    file = read_hcl(text) if matters else HclFile()
    syntax = "json" if json_syntax else "hcl"
    located = [_locate_backend(block, syntax) for block in file.backends if block.type == "http"]
    located += [_locate_remote_state(one) for one in file.remote_states if _reads_http(one)]
    taken = [one.span for one in located]
    if not may_say_anything(text) and not _REMOTE_STATE.search(text):
        return tuple(sorted(located, key=lambda one: one.span))
    comments = [*comment_groups(text, "#"), *comment_groups(text, "//")]
    comments += [Span(*found.span("comment")) for found in _BLOCK_COMMENT.finditer(text)]
    comments += [Span(*found.span("comment")) for end in taken if (found := _TRAILING_COMMENT.match(text, end.end))]
    for group in sorted(set(comments)):
        if not any(span.start < group.end and group.start < span.end for span in taken):
            claims = list(locate_comment(text, group, language="hcl"))
            located += claims
            taken += [one.span for one in claims]
    located += _locate_rest(text, [*taken, *comments])
    return tuple(sorted(located, key=lambda one: one.span))


def _locate_settings_file(text: str) -> tuple[Located, ...] | None:
    """Return the one reference of a file for ``-backend-config=FILE``; None for any other file."""
    lines = [line for line in re.finditer(r"[^\r\n]+", text) if re.match(r"[ \t]*[^\s#/]", line.group())]
    settings = [_SETTING.fullmatch(line.group()) for line in lines]
    values = {one["name"]: one["value"] for one in settings if one is not None}
    if "address" not in values or None in settings or not set(values) <= HTTP_ARGUMENTS:
        return None
    found = read_address(values["address"].strip('"'))
    span = Span(lines[0].start(), lines[-1].end())
    problem = found.problem if found.state else "the address names no state"
    if re.search(r"^[ \t]*(?:#|//|/\*)", span.of(text), re.MULTILINE):
        problem = problem or "settings of the http backend with comments between them: the s3 backend refuses them"
    located = Located(
        kind=ReferenceKind.INIT_FLAGS,
        span=span,
        disposition=Disposition.REPORT if problem else Disposition.REWRITE,
        reason=problem or "a file of settings for the http backend, given to init",
        state=found.state,
        detail={"language": "hcl"},
    )
    around = [Span(0, span.start), Span(span.end, len(text))]
    groups = [group for area in around for mark in ("#", "//") for group in comment_groups(text, mark, region=area)]
    return tuple(
        sorted(
            [located, *(one for group in groups for one in locate_comment(text, group, language="hcl"))],
            key=lambda one: one.span,
        )
    )


def _locate_rest(text: str, taken: list[Span]) -> list[Located]:
    """Report every other line that names the source: a description, a provisioner, a local."""
    found: list[Located] = []
    terragrunt = _REMOTE_STATE.search(text) is not None
    for line in re.finditer(r"[^\n]+", text):
        stripped = line.group().strip()
        start = line.start() + line.group().index(stripped) if stripped else line.start()
        span = Span(start, start + len(stripped))
        covered = any(one.start < span.end and span.start < one.end for one in taken)
        if not covered and (names_source(stripped) or (terragrunt and _REMOTE_STATE_TYPE.match(stripped))):
            found.append(
                Located(
                    kind=ReferenceKind.STATE_URL if "/terraform/state/" in stripped else ReferenceKind.PROSE,
                    span=span,
                    disposition=Disposition.REPORT,
                    reason="names the source outside of a backend block and of comments",
                    detail={"language": "hcl"},
                )
            )
    return found


def parse_hcl(text: str) -> Any:
    """Return the body of the tree of hcl2; its nodes carry start and end positions in code points.

    Raises: UnparsableError.
    """
    import hcl2  # slow: only when a file matters
    from lark.exceptions import UnexpectedInput

    try:
        return hcl2.parses_to_tree(text if text.endswith("\n") else text + "\n").children[0]
    except UnexpectedInput as error:
        line, column = max(error.line, 1), max(error.column, 1)
        raise UnparsableError(line, column, "not HCL: " + str(error).split("\n", 1)[0].split(" at line")[0]) from error
    except RecursionError as error:
        raise UnparsableError(1, 1, "nested too deeply") from error


def _span(node: Any) -> Span:
    return Span(node.meta.start_pos, node.meta.end_pos)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes pieces out of hcl2's tree: the one place that knows its node names."""

    text: str

    def blocks(self, body: Any) -> Iterator[Any]:
        return (child for child in body.children if getattr(child, "data", None) == "block")

    def labels(self, block: Any) -> list[str]:
        heads = [child for child in block.children if getattr(child, "data", None) in {"identifier", "string"}]
        return [_span(head).of(self.text).strip('"') for head in heads]

    def attributes(self, block: Any) -> dict[str, Attribute]:
        body = block.children[-2]
        found = (child for child in body.children if getattr(child, "data", None) == "attribute")
        return {_span(one.children[0]).of(self.text): self.attribute(one) for one in found}

    def attribute(self, node: Any) -> Attribute:
        expression = _span(node.children[-1])
        raw = expression.of(self.text)
        return Attribute(span=_span(node), expression_span=expression, expression=raw, value=_literal(raw))

    def backend(self, block: Any, kind: str, *, around: Span) -> BackendBlock:
        attributes = MappingProxyType(self.attributes(block))
        return BackendBlock(type=kind, span=_span(block), terraform_span=around, attributes=attributes)

    def remote_state(self, block: Any, name: str) -> RemoteState:
        body = block.children[-2]
        nodes = {
            _span(one.children[0]).of(self.text): one
            for one in body.children
            if getattr(one, "data", None) == "attribute"
        }
        plain = {key: self.attribute(node) for key, node in nodes.items()}
        return RemoteState(
            name=name,
            span=_span(block),
            backend=plain.get("backend"),
            workspace=plain.get("workspace"),
            config_span=plain["config"].span if "config" in plain else None,
            config=self._object(nodes["config"].children[-1]) if "config" in nodes else None,
        )

    def _object(self, expression: Any) -> Mapping[str, Attribute] | None:
        inner: Any = expression.children[0] if len(expression.children) == 1 else None
        if getattr(inner, "data", None) != "object":
            return None
        elements = (child for child in inner.children if getattr(child, "data", None) == "object_elem")
        found = {_span(one.children[0]).of(self.text).strip('"'): self.attribute(one) for one in elements}
        return MappingProxyType(found)


def _literal(raw: str) -> str | None:
    """Return what a literal means: a quoted string without templates, a number or a bool."""
    if re.fullmatch(r"-?\d+(\.\d+)?|true|false", raw):
        return raw
    if len(raw) < 2 or raw[0] != '"' or raw[-1] != '"' or re.search(r"(?<!\$)\$\{|(?<!%)%\{|(?<!\\)\"", raw[1:-1]):
        return None
    return raw[1:-1].replace('\\"', '"').replace("\\\\", "\\").replace("$${", "${")


def _locate_backend(block: BackendBlock, syntax: str) -> Located:
    detail = {"language": "hcl", "syntax": syntax}
    state: str | None = None
    problem: str | None = None
    unknown = [name for name in block.attributes if name not in HTTP_ARGUMENTS]
    address = block.attributes.get("address") or block.attributes.get("lock_address")
    if unknown:
        problem = f'the http backend has no argument "{unknown[0]}"'
    elif address is not None:
        found = read_address(address.expression.strip('"')) if address.expression.startswith('"') else None
        problem = found.problem if found else "the address is an expression that says no state name"
        state = found.state if found else None
    return Located(
        kind=ReferenceKind.BACKEND_BLOCK,
        span=block.span,
        disposition=Disposition.REPORT if problem else Disposition.REWRITE,
        reason=problem or "backend block of the http type",
        state=state,
        detail=detail,
    )


def _reads_http(one: RemoteState) -> bool:
    if one.backend is not None and one.backend.value == "http":
        return True
    return one.backend is not None and one.backend.value is None  # an expression: a person has to look


def _locate_remote_state(one: RemoteState) -> Located:
    assert one.backend is not None  # _reads_http saw it
    problem: str | None = None
    state: str | None = None
    detail = {"language": "hcl"}
    address = (one.config or {}).get("address")
    if one.backend.value is None:
        problem = "the backend of this remote state is an expression"
    elif one.config_span is None or one.config is None:
        problem = "the config of this remote state is not a literal object"
    elif any(name not in HTTP_ARGUMENTS for name in one.config):
        problem = "the config holds an argument that the http backend does not know"
    elif address is None or not address.expression.startswith('"'):
        problem = "the address is an expression that says no state name"
    else:
        found = read_address(address.expression.strip('"'))
        problem, state = found.problem, found.state
    span = one.span
    if not problem and one.config_span:
        span = Span(min(one.backend.span.start, one.config_span.start), max(one.backend.span.end, one.config_span.end))
        backend, config = one.backend.expression_span.shift(-span.start), one.config_span.shift(-span.start)
        detail |= {"backend": f"{backend.start}:{backend.end}", "config": f"{config.start}:{config.end}"}
    return Located(
        kind=ReferenceKind.REMOTE_STATE,
        span=span,
        disposition=Disposition.REPORT if problem else Disposition.REWRITE,
        reason=problem or "terraform_remote_state that reads from the http backend",
        state=state,
        detail=detail,
    )
