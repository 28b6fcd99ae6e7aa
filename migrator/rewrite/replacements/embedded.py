"""Text of one language inside another: build the inner replacement, then write it as its place demands.

Block scalars and fences get their indentation, quoted scalars their escapes; what cannot stand in a scalar of its style
is refused. ``rewrite.embedded`` says how a reference got its layers.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace

from migrator.rewrite.embedded import Embedded, decode_scalar, ends_line, is_whole_lines
from migrator.rewrite.reference import Located, TargetCoordinates
from migrator.rewrite.replacements.wording import CannotReplaceError
from migrator.rewrite.spans import Span

Build = Callable[[Located, str, TargetCoordinates], str]

_PLAIN_BREAKS = re.compile(r":(?:\s|$)|\s#|^[-?:,\[\]{}#&*!|>'\"%@`]|^\s|\s$")


class NothingLeftError(CannotReplaceError):
    """The inner text would be empty, where the outer language wants some."""


def build_embedded(located: Located, text: str, target: TargetCoordinates, build: Callable[[str], Build]) -> str:
    """Return the replacement of a carried reference: built in the inner text, encoded for the outer one.

    ``build`` gives the builder of an inner language.

    Raises: CannotReplaceError when the new text cannot stand in a scalar of this style.
    """
    (style, prefix, outer_start, outer_end, start, end, language), *deeper = json.loads(located.detail["embedded"])
    embedded = decode_scalar(text, Span(outer_start, outer_end), style=style, prefix=prefix)
    detail = {**located.detail, "language": language}
    detail["embedded"] = json.dumps(deeper)
    if not deeper:
        del detail["embedded"]
    inner = replace(located, span=Span(start, end), detail=detail)
    new = build(language)(inner, embedded.value, target)
    if style not in ("lines", "console") and not (embedded.value[:start] + new + embedded.value[end:]).strip():
        raise NothingLeftError("nothing would be left of this script: remove it and what refers to it")
    if "\r\n" in text[outer_start:outer_end]:
        return _encode(new, inner.span, embedded).replace("\n", "\r\n")
    return _encode(new, inner.span, embedded)


def _encode(new: str, inner: Span, embedded: Embedded) -> str:
    if embedded.style in ("literal", "lines", "console"):
        return _encode_lines(new, inner, embedded)
    if embedded.style == "single":
        return _one_line(new).replace("'", "''")
    if embedded.style == "double":
        return _one_line(new).replace("\\", "\\\\").replace('"', '\\"')
    if embedded.style == "folded":
        return _one_line(new.removesuffix("\n")) + ("\n" if new.endswith("\n") else "")
    whole = embedded.value[: inner.start] + new + embedded.value[inner.end :]
    if _PLAIN_BREAKS.search(_one_line(whole)):
        raise CannotReplaceError("the new text needs quotes around this YAML scalar")
    return new


def _encode_lines(new: str, inner: Span, embedded: Embedded) -> str:
    whole = is_whole_lines(inner, embedded)
    if whole and new and ends_line(inner, embedded) and not new.endswith("\n"):
        new += "\n"
    first, *others = new.split("\n")
    lines = [embedded.prefix + first if whole and first else first]
    for line in others:
        lines.append(_prefix(embedded, lines[-1]) + line if line else embedded.prefix.rstrip(" $"))
    if others and not others[-1]:
        lines[-1] = ""
    return "\n".join(lines)


def _prefix(embedded: Embedded, before: str) -> str:
    """Return what stands before a line: no prompt where the line before goes on."""
    goes_on = embedded.style == "console" and before.endswith("\\")
    return embedded.prefix.removesuffix("$ ") if goes_on else embedded.prefix


def _one_line(new: str) -> str:
    if "\n" in new:
        raise CannotReplaceError("the new text has several lines, which this YAML scalar cannot hold")
    return new
