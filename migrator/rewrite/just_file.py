"""The outer grammar of a Justfile: assignments, settings, recipes. Line-based, as just itself is.

A recipe's header starts at column 0, its body is the indented lines below. What this deliberately does not do:
evaluate expressions, follow imports and modules, or check that the file is right (``just --dump`` is the referee).
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from migrator.rewrite.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """``name := expression``; ``span`` covers the whole assignment without its newline."""

    name: str
    expression: str
    span: Span
    expression_span: Span
    exported: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A recipe that runs before (or after ``&&``); ``arguments`` are just expressions."""

    recipe: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """``name parameters: dependencies`` and its body.

    ``parameters`` are names, without ``+ * $``; ``defaults`` maps a parameter to its default expression.
    ``comment_span`` is the doc comment directly above. ``body_span`` covers whole lines; ``indent`` is the width of the
    body's first line's indentation; ``shebang`` the interpreter line (``#!/usr/bin/env bash``), None for a recipe whose
    lines run one by one.
    """

    name: str
    parameters: tuple[str, ...]
    defaults: Mapping[str, str]
    dependencies: tuple[Dependency, ...]
    header_span: Span
    comment_span: Span | None
    body_span: Span
    indent: int
    shebang: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JustFile:
    """A Justfile: assignments, settings and recipes in order."""

    assignments: tuple[Assignment, ...]
    settings: Mapping[str, str]
    recipes: tuple[Recipe, ...]

    def assignment(self, name: str) -> Assignment | None:
        """Return the assignment of ``name``; None when there is none."""
        return next((one for one in self.assignments if one.name == name), None)


_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_ASSIGNMENT = re.compile(rf"^(?P<export>export\s+)?(?P<name>{_NAME})\s*:=\s*(?P<expression>.*)$", re.DOTALL)
_SETTING = re.compile(rf"^set\s+(?P<name>{_NAME})(?:\s*:=\s*(?P<value>.*))?$", re.DOTALL)
_OTHER = re.compile(rf"^(?:alias\s|import\??\s|mod\??\s+{_NAME}|unexport\s|\[)")
_HEADER = re.compile(rf"^@?(?P<name>{_NAME})(?P<rest>(?:\s|:(?!=)).*)$", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<text>'''.*?'''|\"\"\".*?\"\"\"|```.*?```|'[^']*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`)|(?P<comment>#[^\n]*)|(?P<any>.)",
    re.DOTALL,
)


def read_just(text: str) -> JustFile:
    """Return the outer structure of a Justfile. Never raises: a line that fits nothing is skipped."""
    assignments: list[Assignment] = []
    settings: dict[str, str] = {}
    recipes: list[Recipe] = []
    lines = list(_lines(text))
    starts = [line.start for line in lines]
    index = 0
    while index < len(lines):
        line = lines[index].of(text)
        if not line.strip() or line[0] in " \t#":
            index += 1
            continue
        statement, following = _statement(text, lines, index)
        code = _without_comment(statement.of(text))
        found = _ASSIGNMENT.match(code)
        if found:
            assignments.append(_assignment(found, statement))
        elif setting := _SETTING.match(code):
            settings[setting["name"]] = (setting["value"] or "true").strip()
        elif not _OTHER.match(code) and (header := _HEADER.match(code)) and _colon(header["rest"]) is not None:
            body = _body(text, lines, following)
            above = _comment_above(text, lines, index)
            recipes.append(_recipe(text, header, start=statement.start, body=body, comment=above))
            following = max(following, bisect_left(starts, body.end))
        index = following
    return JustFile(assignments=tuple(assignments), settings=MappingProxyType(settings), recipes=tuple(recipes))


def _lines(text: str) -> Iterator[Span]:
    """Yield the lines of a text, without their newlines."""
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        yield Span(position, end - 1 if end > position and text[end - 1] == "\r" else end)
        position = end + 1


def _statement(text: str, lines: list[Span], index: int) -> tuple[Span, int]:
    """Return the statement that begins in a line and the index of the next: strings and brackets go over lines."""
    last = index
    while last + 1 < len(lines) and last - index < 400:
        code = text[lines[index].start : lines[last].end]
        if not _is_open(code):
            break
        last += 1
    else:
        if _is_open(text[lines[index].start : lines[last].end]):
            last = index
    return Span(lines[index].start, lines[last].end), last + 1


def _is_open(code: str) -> bool:
    """Tell whether a string or a bracket is not closed, or the last line is continued."""
    depth = 0
    for token in _TOKEN.finditer(code):
        if token["any"]:
            if token["any"] in "'\"`":
                return True
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token["any"], 0)
    return depth > 0 or code.endswith("\\")


def _without_comment(code: str) -> str:
    for token in _TOKEN.finditer(code):
        if token["comment"] and (token.start() == 0 or code[token.start() - 1] in " \t"):
            return code[: token.start()].rstrip()
    return code.rstrip()


def _assignment(found: re.Match[str], statement: Span) -> Assignment:
    start, end = found.span("expression")
    return Assignment(
        name=found["name"],
        expression=found["expression"],
        span=Span(statement.start, statement.start + found.end()),
        expression_span=Span(statement.start + start, statement.start + end),
        exported=found["export"] is not None,
    )


def _colon(rest: str) -> int | None:
    """Return where the colon that ends the parameters stands."""
    depth = 0
    for token in _TOKEN.finditer(rest):
        sign = token["any"]
        depth += {"(": 1, ")": -1}.get(sign or "", 0)
        if sign == ":" and depth == 0:
            return None if rest[token.end() : token.end() + 1] == "=" else token.start()
    return None


def _body(text: str, lines: list[Span], index: int) -> Span:
    """Return the indented lines from ``index`` on; blank lines inside belong to the body, trailing ones do not."""
    start = lines[index].start if index < len(lines) else len(text)
    end = start
    for line in lines[index:]:
        content = line.of(text)
        if content.strip() and content[0] not in " \t":
            break
        if content.strip():
            end = min(len(text), text.find("\n", line.end) + 1 or len(text))
    return Span(start, end)


def _recipe(text: str, header: re.Match[str], *, start: int, body: Span, comment: Span | None) -> Recipe:
    colon = _colon(header["rest"])
    assert colon is not None  # read_just looked
    parameters, defaults = _parameters(header["rest"][:colon])
    first = body.of(text).split("\n", 1)[0]
    stripped = first.strip()
    return Recipe(
        name=header["name"],
        parameters=parameters,
        defaults=MappingProxyType(defaults),
        dependencies=tuple(_dependencies(header["rest"][colon + 1 :])),
        header_span=Span(start, start + header.end()),
        comment_span=comment,
        body_span=body,
        indent=len(first) - len(first.lstrip()),
        shebang=stripped if stripped.startswith("#!") else None,
    )


def _parameters(text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    names: list[str] = []
    defaults: dict[str, str] = {}
    for word in _words(text):
        name, separator, default = word.partition("=")
        name = name.lstrip("+*$")
        names.append(name)
        if separator:
            defaults[name] = default
    return tuple(names), defaults


def _words(text: str) -> list[str]:
    """Return the words of a header; blanks in strings and parentheses do not separate."""
    words = [""]
    depth = 0
    for token in _TOKEN.finditer(text):
        piece = token.group()
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece.isspace() and depth == 0:
            words.append("")
        else:
            words[-1] += piece
    return [word for word in words if word]


def _dependencies(text: str) -> Iterator[Dependency]:
    for word in _words(text):
        if word == "&&":
            continue
        inner = _words(word[1:-1]) if word.startswith("(") else [word]
        if inner:
            yield Dependency(recipe=inner[0], arguments=tuple(inner[1:]))


def _comment_above(text: str, lines: list[Span], index: int) -> Span | None:
    """Return the line of comment directly above a recipe and its attributes: what ``just --list`` shows."""
    above = index - 1
    while above >= 0 and lines[above].of(text).startswith("["):
        above -= 1
    if above >= 0 and lines[above].of(text).startswith("#") and not lines[above].of(text).startswith("#!"):
        return lines[above]
    return None
