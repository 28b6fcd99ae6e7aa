"""A YAML text as a tree of nodes with exact spans: the only module that imports a YAML library.

Nothing is expanded, merged or converted: aliases stay aliases, scalars stay text, every document of a stream is kept.
The grammar is as strict as YAML loaders are, and tolerates what they tolerate (unknown tags, duplicate keys).
Deliberately not here: what keys mean (``yaml_jobs``), and what scalars hold (``embedded`` decodes them).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from migrator.rewrite.embedded import decode_scalar
from migrator.rewrite.spans import Span
from migrator.rewrite.unparsable import UnparsableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node, Parser

_DEEPEST = 150  # of nested collections; real files stay below 20
_LONGEST_FLOW = 8  # lines of a collection in brackets, for finding the line of an error
_STYLES = {
    "plain_scalar": "plain",
    "single_quote_scalar": "single",
    "double_quote_scalar": "double",
    "block_scalar": "block",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlScalar:
    """``span`` covers the token without anchor and tag; ``value`` is its decoded text.

    ``style`` is plain, single, double, literal or folded; ``indent`` the columns before each line of a block scalar.
    """

    span: Span
    value: str
    style: str
    indent: int = 0
    anchor: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlAlias:
    """``*name``."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlPair:
    """One key and its value (None: nothing stands there); ``span`` covers both."""

    span: Span
    key: YamlNode
    value: YamlNode | None

    @property
    def name(self) -> str | None:
        """The key's text, None when it is not a scalar."""
        return self.key.value if isinstance(self.key, YamlScalar) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlMapping:
    """Pairs in the order of the file, duplicates included. ``flow``: ``{a: b}``."""

    span: Span
    pairs: tuple[YamlPair, ...]
    flow: bool
    anchor: str | None = None

    def pair(self, name: str) -> YamlPair | None:
        """Return the pair with this key: the last one wins, as in loaders."""
        return next((pair for pair in reversed(self.pairs) if pair.name == name), None)

    def get(self, name: str) -> YamlNode | None:
        """Return the value of a key, None when it is absent or empty."""
        pair = self.pair(name)
        return pair.value if pair else None


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlSequence:
    """Items in order; None where a dash stands alone. ``tag`` is ``!reference`` for GitLab's references."""

    span: Span
    items: tuple[YamlNode | None, ...]
    flow: bool
    anchor: str | None = None
    tag: str | None = None


YamlNode = YamlScalar | YamlAlias | YamlMapping | YamlSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlTree:
    """Every document's root node, every comment's span, and the anchored nodes by name."""

    documents: tuple[YamlNode, ...]
    comments: tuple[Span, ...]
    anchors: dict[str, YamlNode]

    def resolve(self, node: YamlNode | None) -> YamlNode | None:
        """Return the node that an alias stands for; every other node is returned as it is."""
        return self.anchors.get(node.name) if isinstance(node, YamlAlias) else node


@lru_cache(maxsize=64)
def read_yaml_tree(text: str) -> YamlTree:
    """Text -> YamlTree.

    Raises: UnparsableError with the line when the text is not YAML.
    """
    from tree_sitter import Language, Parser
    from tree_sitter_yaml import language

    parser = Parser(Language(language()))
    data = text.encode()
    root = parser.parse(data).root_node
    if root.has_error:
        raise UnparsableError(_find_broken_line(data, parser), 1, "this is not YAML")
    reader = _Reader(text, data)
    documents = [reader.read(child, depth=0) for child in root.named_children if child.type == "document"]
    return YamlTree(
        documents=tuple(node for node in documents if node is not None),
        comments=tuple(sorted(reader.comments + [reader.span(c) for c in root.named_children if c.type == "comment"])),
        anchors=reader.anchors,
    )


def walk_yaml(node: YamlNode | None) -> Iterator[YamlNode]:
    """Yield the node and everything below it, keys included, in the order of the file."""
    if node is None:
        return
    yield node
    if isinstance(node, YamlMapping):
        for pair in node.pairs:
            yield from walk_yaml(pair.key)
            yield from walk_yaml(pair.value)
    elif isinstance(node, YamlSequence):
        for item in node.items:
            yield from walk_yaml(item)


def _find_broken_line(data: bytes, parser: Parser) -> int:
    """Return the line after the longest beginning that is YAML: the parser's own error nodes start far above it."""
    lines = data.split(b"\n")

    def is_good(count: int) -> bool:
        return not parser.parse(b"\n".join(lines[:count]) + b"\n").root_node.has_error

    good, bad = 0, len(lines)
    while bad - good > 1:
        middle = (good + bad) // 2
        # A beginning that ends within brackets or quotes is not YAML yet: look a little further.
        ahead = (count for count in range(middle, min(middle + _LONGEST_FLOW, bad)) if is_good(count))
        found = next(ahead, None)
        good, bad = (good, middle) if found is None else (found, bad)
    return bad if lines[bad - 1].strip() else max(good, 1)


class _Reader:
    """Turns the grammar's nodes into ours; collects comments and anchors on the way."""

    def __init__(self, text: str, data: bytes) -> None:
        self._text = text
        # Offsets of the grammar are bytes; ours are code points.
        self._points = None if len(data) == len(text) else _code_points(text)
        self.comments: list[Span] = []
        self.anchors: dict[str, YamlNode] = {}

    def span(self, node: Node) -> Span:
        if self._points is None:
            return Span(node.start_byte, node.end_byte)
        return Span(self._points[node.start_byte], self._points[node.end_byte])

    def read(self, node: Node, *, depth: int, parent_column: int = -1) -> YamlNode | None:
        """Return our node for a document, a block_node or a flow_node; None when nothing is in it."""
        if depth > _DEEPEST:
            raise UnparsableError(node.start_point[0] + 1, node.start_point[1] + 1, "nested too deeply")
        anchor = tag = None
        found: YamlNode | None = None
        for child in node.named_children:
            if child.type == "comment":
                self.comments.append(self.span(child))
            elif child.type == "anchor":
                anchor = self.span(child).of(self._text)[1:]
            elif child.type == "tag":
                tag = self.span(child).of(self._text)
            elif child.type in ("block_node", "flow_node"):
                found = self.read(child, depth=depth + 1, parent_column=parent_column) or found
            else:
                found = self._read_content(child, anchor=anchor, tag=tag, depth=depth, column=parent_column) or found
        if found is None and (anchor or tag):
            end = self.span(node).end
            found = YamlScalar(span=Span(end, end), value="", style="plain", anchor=anchor, tag=tag)
        if anchor and found is not None:
            self.anchors[anchor] = found
        return found

    def _read_content(
        self, node: Node, *, anchor: str | None, tag: str | None, depth: int, column: int
    ) -> YamlNode | None:
        span = self.span(node)
        if node.type in _STYLES:
            return self._read_scalar(node, anchor=anchor, tag=tag, column=column)
        if node.type == "alias":
            return YamlAlias(span=span, name=span.of(self._text)[1:])
        flow = node.type.startswith("flow")
        if node.type in ("block_mapping", "flow_mapping"):
            return YamlMapping(span=span, pairs=tuple(self._pairs(node, depth=depth)), flow=flow, anchor=anchor)
        if node.type in ("block_sequence", "flow_sequence"):
            items = tuple(self._items(node, depth=depth))
            return YamlSequence(span=span, items=items, flow=flow, anchor=anchor, tag=tag)
        return None  # directives and markers say nothing to us

    def _pairs(self, node: Node, *, depth: int) -> Iterator[YamlPair]:
        for child in node.named_children:
            if child.type == "comment":
                self.comments.append(self.span(child))
            elif child.type in ("block_mapping_pair", "flow_pair", "flow_node"):
                yield self._pair(child, depth=depth)

    def _pair(self, node: Node, *, depth: int) -> YamlPair:
        column = node.start_point[1]
        key_node = node if node.type == "flow_node" else node.child_by_field_name("key")
        value_node = None if node.type == "flow_node" else node.child_by_field_name("value")
        self.comments += [self.span(child) for child in node.named_children if child.type == "comment"]
        key = self.read(key_node, depth=depth + 1, parent_column=column) if key_node else None
        value = self.read(value_node, depth=depth + 1, parent_column=column) if value_node else None
        start = self.span(node).start
        nothing = YamlScalar(span=Span(start, start), value="", style="plain")
        end = value.span.end if value else self.span(node).end
        return YamlPair(span=Span(start, end), key=key or nothing, value=value)

    def _items(self, node: Node, *, depth: int) -> Iterator[YamlNode | None]:
        for child in node.named_children:
            if child.type == "comment":
                self.comments.append(self.span(child))
            elif child.type == "flow_node":
                yield self.read(child, depth=depth + 1)
            elif child.type == "flow_pair":
                pair = self._pair(child, depth=depth)
                yield YamlMapping(span=pair.span, pairs=(pair,), flow=True)
            elif child.type == "block_sequence_item":
                yield self.read(child, depth=depth + 1, parent_column=child.start_point[1])

    def _read_scalar(self, node: Node, *, anchor: str | None, tag: str | None, column: int) -> YamlScalar:
        span = self.span(node)
        raw = span.of(self._text)
        style, indent = _STYLES[node.type], 0
        if style == "block":
            # Comments between the header and the first line belong to the node in the grammar.
            self.comments += [self.span(child) for child in node.named_children if child.type == "comment"]
            style = "literal" if raw.startswith("|") else "folded"
            indent = _block_indent(raw, parent_column=column)
        if style == "plain" and "\n" not in raw:
            return YamlScalar(span=span, value=raw, style=style, anchor=anchor, tag=tag)
        value = decode_scalar(self._text, span, style=style, prefix=" " * indent).value
        if "-" in raw.partition("\n")[0] and style in ("literal", "folded"):
            value = value.rstrip("\n")
        return YamlScalar(span=span, value=value, style=style, indent=indent, anchor=anchor, tag=tag)


def _block_indent(raw: str, *, parent_column: int) -> int:
    header, _, body = raw.partition("\n")
    explicit = next((int(mark) for mark in header[1:3] if mark.isdigit()), 0)
    if explicit:
        return max(parent_column, 0) + explicit
    first = next((line for line in body.split("\n") if line.strip()), "")
    return len(first) - len(first.lstrip(" "))


def _code_points(text: str) -> list[int]:
    points: list[int] = []
    for index, character in enumerate(text):
        points += [index] * len(character.encode())
    points.append(len(text))
    return points
