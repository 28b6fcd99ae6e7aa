"""Backend blocks in the JSON syntax of HCL (``.tf.json``): ``{"terraform": {"backend": {"http": {...}}}}``.

Blocks may stand in arrays. Positions come from a scan for the keys; ``json`` says where each value ends.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from migrator.rewrite.spans import Span
from migrator.rewrite.unparsable import UnparsableError

_BACKEND = re.compile(r'"backend"\s*:\s*(?:\[\s*)?\{\s*(?P<key>"(?P<type>\w+)"\s*:\s*(?P<array>\[\s*)?)(?=\{)')


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonBackend:
    """``"type": {...}`` inside of ``"backend"``; ``arguments`` are the literal members as text."""

    type: str
    span: Span
    terraform_span: Span
    arguments: dict[str, object]


def is_json(text: str) -> bool:
    """Tell whether ``text`` is in the JSON syntax: no HCL file begins with a brace."""
    return text.lstrip("\ufeff \t\r\n").startswith("{")


def read_json_backends(text: str) -> Iterator[JsonBackend]:
    """Yield the backend blocks of a JSON text.

    Raises: UnparsableError.
    """
    try:
        document = json.loads(text.lstrip("\ufeff"))
    except (json.JSONDecodeError, RecursionError) as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        raise UnparsableError(line, column, "not JSON") from error
    if not isinstance(document, dict) or "terraform" not in document:
        return
    decoder = json.JSONDecoder()
    for found in _BACKEND.finditer(text):
        arguments, end = decoder.raw_decode(text, found.end())
        closed = re.compile(r"\s*\]").match(text, end) if found["array"] else None
        span = Span(found.start("key"), closed.end() if closed else end)
        yield JsonBackend(type=found["type"], span=span, terraform_span=Span(0, len(text)), arguments=arguments)
