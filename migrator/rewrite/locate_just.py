"""Read the outer grammar of a Justfile, and locate what names the state backend in it."""

from dataclasses import dataclass

from migrator.rewrite.reference import Located
from migrator.rewrite.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """``name := expression``; ``span`` covers the whole assignment without its newline."""

    name: str
    expression: str
    span: Span
    expression_span: Span


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
    defaults: dict[str, str]
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
    settings: dict[str, str]
    recipes: tuple[Recipe, ...]

    def assignment(self, name: str) -> Assignment | None:
        """Return the assignment of ``name``; None when there is none."""
        return next((one for one in self.assignments if one.name == name), None)


def read_just(text: str) -> JustFile:
    """Return the outer structure of a Justfile. Never raises: a line that fits nothing is skipped."""
    raise NotImplementedError(text)


def locate_just(text: str) -> tuple[Located, ...]:
    """Return the references in a Justfile, in order of position."""
    raise NotImplementedError(text)
