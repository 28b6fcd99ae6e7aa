"""What expressions of just mean, as far as that is known without running anything. PURE."""

import re
from collections.abc import Iterator

from migrator.inventory.values import Lookup, Unknown, Value, build_value, join_values

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'[^']*'|\"(?:[^\"\\]|\\.)*\")|(?P<backtick>`[^`]*`)|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<mark>==|!=|=~|&&|\|\||[-+/(){},?:=]))",
    re.DOTALL,
)
_ENVIRONMENT = frozenset({"env", "env_var", "env_var_or_default"})
_COMPARISONS = frozenset({"==", "!=", "=~"})
_DEEPEST = 40


def evaluate_just(expression: str, lookup: Lookup) -> tuple[Value, ...]:
    """Return the values that a just expression can have; one unknown value for what cannot be followed."""
    reader = _Reader(expression, lookup)
    try:
        values = reader.read_expression(0)
    except _NotUnderstoodError:
        return (build_value([Unknown(expression.strip())]),)
    return values if reader.at_end else (build_value([Unknown(expression.strip())]),)


class _NotUnderstoodError(ValueError):
    pass


class _Reader:
    def __init__(self, expression: str, lookup: Lookup) -> None:
        self._lookup = lookup
        self._tokens = list(_split(expression))
        self._position = 0

    @property
    def at_end(self) -> bool:
        return self._position >= len(self._tokens)

    def read_expression(self, depth: int) -> tuple[Value, ...]:
        if depth > _DEEPEST:
            raise _NotUnderstoodError
        if self._peek() == ("name", "if"):
            return self._read_conditional(depth)
        parts = [self._read_term(depth)]
        while self._peek() in {("mark", "+"), ("mark", "/")}:
            if self._next()[1] == "/":
                parts.append((build_value(["/"]),))
            parts.append(self._read_term(depth))
        return join_values(parts)

    def _read_conditional(self, depth: int) -> tuple[Value, ...]:
        self._next()
        self.read_expression(depth + 1)
        if self._next()[1] not in _COMPARISONS:
            raise _NotUnderstoodError
        self.read_expression(depth + 1)
        values = self._read_between("{", "}", depth)
        if self._next() != ("name", "else"):
            raise _NotUnderstoodError
        if self._peek() == ("name", "if"):
            return values + self._read_conditional(depth + 1)
        return tuple(dict.fromkeys(values + self._read_between("{", "}", depth)))

    def _read_between(self, opening: str, closing: str, depth: int) -> tuple[Value, ...]:
        self._expect(opening)
        values = self.read_expression(depth + 1)
        self._expect(closing)
        return values

    def _read_term(self, depth: int) -> tuple[Value, ...]:
        if self._peek() == ("mark", "("):
            return self._read_between("(", ")", depth)
        kind, text = self._next()
        if kind == "string":
            return (build_value([_unquote(text)]),)
        if kind == "backtick":
            return (build_value([Unknown(text)]),)
        if kind != "name":
            raise _NotUnderstoodError
        if self._peek() == ("mark", "("):
            return (self._read_call(text, depth),)
        return self._lookup("just", text) or (build_value([Unknown(text)]),)

    def _read_call(self, function: str, depth: int) -> Value:
        self._expect("(")
        arguments: list[tuple[Value, ...]] = []
        while self._peek() != ("mark", ")"):
            arguments.append(self.read_expression(depth + 1))
            if self._peek() == ("mark", ","):
                self._next()
        self._expect(")")
        name = arguments[0][0].text if arguments else None
        if function in _ENVIRONMENT and name:
            default = arguments[1][0].text if len(arguments) > 1 and len(arguments[1]) == 1 else None
            return build_value([Unknown(name, default=default)])
        return build_value([Unknown(f"{function}()")])

    def _peek(self) -> tuple[str, str]:
        return ("end", "") if self.at_end else self._tokens[self._position]

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._position += 1
        return token

    def _expect(self, mark: str) -> None:
        if self._next() != ("mark", mark):
            raise _NotUnderstoodError


def _split(expression: str) -> Iterator[tuple[str, str]]:
    position = 0
    end = len(expression.rstrip())
    while position < end:
        found = _TOKEN.match(expression, position)
        if found is None or found.lastgroup is None:
            yield ("unknown", expression[position:])
            return
        yield (found.lastgroup, found[found.lastgroup])
        position = found.end()


def _unquote(text: str) -> str:
    inner = text[1:-1]
    return inner if text[0] == "'" else re.sub(r"\\(.)", r"\1", inner)
