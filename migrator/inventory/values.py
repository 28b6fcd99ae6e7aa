"""What a value is made of when not everything is known offline. PURE.

A ``Value`` is literal text with ``Unknown`` parts in it, and the places that it was read from: ``attic-`` followed by
ENV (default ``dev``) comes from ``env := env_var_or_default("ENV", "dev")`` and ``state_name := "attic-" + env``. One
variable may have several values (a ``case``, an ``if``): alternatives, bounded. Nothing is run.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from migrator.inventory.model import Place

MOST_ALTERNATIVES = 32
_DEEPEST = 20

_INTERPOLATION = re.compile(
    r"\$\{\{\s*(?P<github>.*?)\s*\}\}"
    r"|\{\{\s*(?P<just>.*?)\s*\}\}"
    r"|\$\{(?P<braced>[A-Za-z_]\w*|\d)(?::?[-=](?P<default>[^{}]*)|[^{}]*)\}"
    r"|\$\((?P<command>[^()]*)\)"
    r"|\$(?P<plain>[A-Za-z_]\w*|\d)"
    r"|<(?P<angle>[A-Za-z][\w -]*)>"
    r"|\{(?P<curly>[A-Za-z][\w-]*)\}"
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A part that is only known when a command runs. ``choices`` is the closed list of its values, where one exists."""

    name: str
    default: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """Literal and unknown parts in order, adjacent literals joined."""

    pieces: tuple[str | Unknown, ...]
    places: frozenset[Place] = frozenset()

    @property
    def text(self) -> str | None:
        """The text when nothing in it is unknown."""
        return "".join(self.pieces) if all(isinstance(one, str) for one in self.pieces) else None  # type: ignore[arg-type]

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """The unknown parts, each once."""
        return tuple(dict.fromkeys(one for one in self.pieces if isinstance(one, Unknown)))

    def bind(self, known: Mapping[str, str]) -> "Value":
        """Return the value with the unknown parts of these names filled in."""
        filled = [known.get(one.name, one) if isinstance(one, Unknown) else one for one in self.pieces]
        return build_value(filled, self.places)

    def with_place(self, place: Place) -> "Value":
        """Return the value with one more place that it was read from."""
        return Value(self.pieces, self.places | {place})


Lookup = Callable[[str, str], tuple[Value, ...]]
"""(language, name) -> the values of a variable; empty when nothing sets it. Languages: shell, just, github."""


def build_value(pieces: Iterable[str | Unknown], places: frozenset[Place] = frozenset()) -> Value:
    """Return the value of these parts."""
    joined: list[str | Unknown] = []
    for piece in pieces:
        if piece == "":
            continue
        if joined and isinstance(piece, str) and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return Value(tuple(joined), places)


def join_values(parts: Iterable[tuple[Value, ...]]) -> tuple[Value, ...]:
    """Return every combination of the alternatives, concatenated, at most MOST_ALTERNATIVES of them."""
    joined = (
        build_value(
            itertools.chain.from_iterable(value.pieces for value in combination),
            frozenset().union(*(value.places for value in combination)),
        )
        for combination in itertools.product(*parts)
    )
    return tuple(dict.fromkeys(itertools.islice(joined, MOST_ALTERNATIVES)))


def expand(text: str, lookup: Lookup, depth: int = 0) -> tuple[Value, ...]:
    """Return the values of ``text`` with the interpolations of shell, just and GitHub in it resolved by ``lookup``."""
    parts: list[tuple[Value, ...]] = []
    position = 0
    for found in _INTERPOLATION.finditer(text):
        parts.append((build_value([text[position : found.start()]]),))
        parts.append(_resolve(found, lookup, depth))
        position = found.end()
    parts.append((build_value([text[position:]]),))
    return join_values(parts)


def _resolve(found: re.Match[str], lookup: Lookup, depth: int) -> tuple[Value, ...]:
    if found["github"] is not None:
        language, name = "github", found["github"]
    elif found["just"] is not None:
        language, name = "just", found["just"]
    elif found["command"] is not None:
        return (build_value([Unknown(f"$({found['command']})")]),)
    elif placeholder := found["angle"] or found["curly"]:
        return (build_value([Unknown(placeholder)]),)
    else:
        language, name = "shell", found["braced"] or found["plain"]
    values = lookup(language, name) if depth < _DEEPEST else ()
    if values:
        return values
    default = found["default"]
    expanded = expand(default.strip("\"'"), lookup, depth + 1) if default else ()
    return (build_value([Unknown(name, default=expanded[0].text if len(expanded) == 1 else None)]),)


def split_after(value: Value, marker: str) -> Value | None:
    """Return the part of the value after the last ``marker`` in a literal part, None when it is not there."""
    for index in range(len(value.pieces) - 1, -1, -1):
        piece = value.pieces[index]
        if isinstance(piece, str) and marker in piece:
            return build_value([piece.rpartition(marker)[2], *value.pieces[index + 1 :]], value.places)
    return None


def match_path(value: Value, path: str) -> dict[str, str] | None:
    """Return the unknown parts that make the value equal ``path``, None when no value of them does.

    An unknown part is one component of the path or less; only a leading one may stand for any directory.
    """
    if value.text is not None:
        return {} if value.text.strip("/") == path else None
    pattern, groups = _build_path_pattern(value.pieces)
    found = re.fullmatch(pattern, path) or re.fullmatch(pattern, f"/{path}")
    return {name: found[group] for name, group in groups.items()} if found else None


@lru_cache(maxsize=1024)
def _build_path_pattern(pieces: tuple[str | Unknown, ...]) -> tuple[str, dict[str, str]]:
    pattern: list[str] = []
    groups: dict[str, str] = {}
    for index, piece in enumerate(pieces):
        if isinstance(piece, str):
            pattern.append(re.escape(piece))
        elif index == 0 and _starts_with_slash(pieces[1:2]):
            pattern.append(r"(?:.*?)")
        elif piece.name in groups:
            pattern.append(f"(?P={groups[piece.name]})")
        else:
            groups[piece.name] = f"g{index}"
            pattern.append(f"(?P<g{index}>[^/]+)")
    return "".join(pattern).removesuffix("/"), groups


def _starts_with_slash(following: tuple[str | Unknown, ...]) -> bool:
    return bool(following) and isinstance(following[0], str) and following[0].startswith("/")
