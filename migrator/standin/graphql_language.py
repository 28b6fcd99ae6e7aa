"""GraphQL query text -> syntax tree, for as much of the language as clients of the state API use.

PURE. Understood: operations, variables with defaults, arguments, aliases, fragments, directives. Not understood, on
purpose: type-system definitions. Nesting is bounded by MAX_DEPTH.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

MAX_DEPTH = 40

_TOKEN = re.compile(
    r"""(?P<skip>[\s,\ufeff]+|\#[^\n\r]*)
      | (?P<block>\"\"\"(?:[^"\\]|\\.|"(?!""))*\"\"\")
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<name>[_A-Za-z][_0-9A-Za-z]*)
      | (?P<mark>\.\.\.|[!$&():=@\[\]{}|])""",
    re.VERBOSE | re.DOTALL,
)


class QueryError(Exception):
    """The query cannot be answered; `entry` is what stands in the reply's `errors`."""

    def __init__(self, message: str, *, line: int = 1, column: int = 1, **extensions: str) -> None:
        super().__init__(message)
        self.entry: dict[str, object] = {"message": message, "locations": [{"line": line, "column": column}]}
        if extensions:
            self.entry["extensions"] = extensions


@dataclass(frozen=True, slots=True)
class Variable:
    """A reference to a variable, in the place of a value."""

    name: str


@dataclass(frozen=True, slots=True)
class VariableDefinition:
    """A variable of an operation."""

    name: str
    type: str
    default: object
    has_default: bool

    @property
    def required(self) -> bool:
        """True where a request must carry a value."""
        return self.type.endswith("!") and not self.has_default


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A field; or, with `fragment` or `on`, a fragment in its place."""

    name: str = ""
    alias: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    directives: tuple[tuple[str, Mapping[str, object]], ...] = ()
    selections: tuple[Selection, ...] = ()
    fragment: str | None = None
    on: str | None = None
    inline: bool = False
    line: int = 1
    column: int = 1

    @property
    def key(self) -> str:
        """The name in the reply."""
        return self.alias or self.name


@dataclass(frozen=True, slots=True)
class Operation:
    """A query or a mutation."""

    kind: str
    name: str | None
    variables: tuple[VariableDefinition, ...]
    selections: tuple[Selection, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """All of one query text."""

    operations: tuple[Operation, ...]
    fragments: Mapping[str, Selection]


def parse_query(text: str) -> Document:
    """Parse a query text.

    Raises: QueryError with the place of the first mistake.
    """
    return _Parser(text).parse()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._read_tokens()
        self._index = 0
        self._depth = 0

    def parse(self) -> Document:
        operations, fragments = [], {}
        while self._next.kind != "end":
            if self._accept("fragment"):
                name = self._take("name").text
                self._expect("on")
                on = self._take("name").text
                fragments[name] = Selection(on=on, directives=self._directives(), selections=self._selections())
            else:
                operations.append(self._operation())
        if not operations:
            self._fail()
        return Document(tuple(operations), fragments)

    # Tokens

    def _read_tokens(self) -> list[_Token]:
        tokens, position = [], 0
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise self._error_at(position, repr(self._text[position]))
            kind = str(match.lastgroup)
            if kind != "skip":
                tokens.append(_Token(kind, match.group(), position))
            position = match.end()
        return [*tokens, _Token("end", "end of query", position)]

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _take(self, kind: str) -> _Token:
        token = self._next
        if token.kind != kind:
            self._fail()
        self._index += 1
        return token

    def _accept(self, text: str) -> bool:
        found = self._next.text == text and self._next.kind in ("mark", "name")
        self._index += found
        return found

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            self._fail()

    def _fail(self) -> NoReturn:
        raise self._error_at(self._next.start, self._next.text)

    def _error_at(self, position: int, found: str) -> QueryError:
        line, column = self._place(position)
        return QueryError(f"Parse error: unexpected {found} at [{line}, {column}]", line=line, column=column)

    def _place(self, position: int) -> tuple[int, int]:
        before = self._text[:position]
        return before.count("\n") + 1, position - before.rfind("\n")

    # Grammar

    def _operation(self) -> Operation:
        if self._next.text == "{":
            return Operation("query", None, (), self._selections())
        kind = self._take("name").text
        if kind not in ("query", "mutation"):
            self._index -= 1
            self._fail()
        name = self._take("name").text if self._next.kind == "name" else None
        variables = self._variables()
        self._directives()
        return Operation(kind, name, variables, self._selections())

    def _variables(self) -> tuple[VariableDefinition, ...]:
        definitions = []
        if self._accept("("):
            while not self._accept(")"):
                self._expect("$")
                name = self._take("name").text
                self._expect(":")
                kind = self._type()
                has_default = self._accept("=")
                default = self._value() if has_default else None
                definitions.append(VariableDefinition(name, kind, default, has_default))
        return tuple(definitions)

    def _type(self) -> str:
        if self._accept("["):
            self._enter()
            inner = f"[{self._type()}]"
            self._depth -= 1
            self._expect("]")
        else:
            inner = self._take("name").text
        return inner + ("!" if self._accept("!") else "")

    def _selections(self) -> tuple[Selection, ...]:
        self._enter()
        self._expect("{")
        found = [self._selection()]
        while not self._accept("}"):
            found.append(self._selection())
        self._depth -= 1
        return tuple(found)

    def _selection(self) -> Selection:
        line, column = self._place(self._next.start)
        if self._accept("..."):
            return self._fragment(line, column)
        name, alias = self._take("name").text, None
        if self._accept(":"):
            name, alias = self._take("name").text, name
        arguments = self._arguments()
        directives = self._directives()
        selections = self._selections() if self._next.text == "{" else ()
        return Selection(
            name=name,
            alias=alias,
            arguments=arguments,
            directives=directives,
            selections=selections,
            line=line,
            column=column,
        )

    def _fragment(self, line: int, column: int) -> Selection:
        if self._next.kind == "name" and self._next.text != "on":
            name = self._take("name").text
            return Selection(fragment=name, directives=self._directives(), line=line, column=column)
        on = self._take("name").text if self._accept("on") else None
        directives = self._directives()
        selections = self._selections()
        return Selection(on=on, inline=True, directives=directives, selections=selections, line=line, column=column)

    def _arguments(self) -> dict[str, object]:
        arguments: dict[str, object] = {}
        if self._accept("("):
            while not self._accept(")"):
                name = self._take("name").text
                self._expect(":")
                arguments[name] = self._value()
        return arguments

    def _directives(self) -> tuple[tuple[str, Mapping[str, object]], ...]:
        directives = []
        while self._accept("@"):
            directives.append((self._take("name").text, self._arguments()))
        return tuple(directives)

    def _value(self) -> object:
        self._enter()
        try:
            return self._plain_value()
        finally:
            self._depth -= 1

    def _plain_value(self) -> object:
        token = self._next
        if self._accept("$"):
            return Variable(self._take("name").text)
        if self._accept("["):
            items = []
            while not self._accept("]"):
                items.append(self._value())
            return items
        if self._accept("{"):
            members = {}
            while not self._accept("}"):
                name = self._take("name").text
                self._expect(":")
                members[name] = self._value()
            return members
        if token.kind not in ("string", "block", "number", "name"):
            self._fail()
        self._index += 1
        return self._literal(token)

    def _literal(self, token: _Token) -> object:
        if token.kind == "block":
            return token.text[3:-3].strip("\n").replace('\\"""', '"""')
        if token.kind == "name":
            return {"true": True, "false": False, "null": None}.get(token.text, token.text)
        try:
            return json.loads(token.text)
        except ValueError:
            raise self._error_at(token.start, token.text) from None

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error_at(self._next.start, f"nesting deeper than {MAX_DEPTH}")
