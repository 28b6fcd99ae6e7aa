"""Connections: one page of an ordered list, cut by `first`/`after` or `last`/`before`, at most 100 items.

PURE. Invariant: a cursor names a place in the order, not an offset, so that a page stays right while rows come and go.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.standin.graphql_language import QueryError

PAGE_LIMIT = 100
ARGUMENTS = frozenset({"first", "after", "last", "before"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One item and its cursor."""

    node: Any
    cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page; `count` is the length of the whole list."""

    edges: Sequence[Edge]
    count: int
    has_next: bool
    has_previous: bool


def build_page(keyed: Sequence[tuple[Any, Any]], arguments: Mapping[str, Any]) -> Page:
    """The page of `(key, item)` pairs that ascend by key.

    Raises: QueryError where a cursor or a length is not valid.
    """
    inside = list(keyed)
    if arguments.get("after") is not None:
        after = _decode(arguments["after"], inside)
        inside = [pair for pair in inside if pair[0] > after]
    if arguments.get("before") is not None:
        before = _decode(arguments["before"], inside)
        inside = [pair for pair in inside if pair[0] < before]
    first, last = _length(arguments, "first"), _length(arguments, "last")
    if last is not None and first is None:
        shown = inside[-last:] if last else []
    else:
        shown = inside[: PAGE_LIMIT if first is None else first]
    return Page(
        edges=[Edge(node=item, cursor=_encode(key)) for key, item in shown],
        count=len(keyed),
        has_next=bool(shown) and shown[-1][0] != keyed[-1][0],
        has_previous=bool(shown) and shown[0][0] != keyed[0][0],
    )


def _length(arguments: Mapping[str, Any], name: str) -> int | None:
    given = arguments.get(name)
    if given is None:
        return None
    if not isinstance(given, int) or given < 0:
        raise QueryError(f"`{name}` must be a non-negative integer")
    return min(given, PAGE_LIMIT)


def _encode(key: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _decode(cursor: object, inside: Sequence[tuple[Any, Any]]) -> Any:
    try:
        key = json.loads(base64.urlsafe_b64decode(str(cursor)))
    except (binascii.Error, ValueError):
        raise QueryError("Please provide a valid cursor") from None
    if inside and type(key) is not type(inside[0][0]):
        raise QueryError("Please provide a valid cursor")
    return key
