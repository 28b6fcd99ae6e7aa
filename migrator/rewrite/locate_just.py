"""Locate what names the state backend in a Justfile: comments, assignments, and the shell in its recipes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from migrator.rewrite.claims import comment_groups, names_source
from migrator.rewrite.just_file import Assignment, Dependency, JustFile, Recipe, read_just
from migrator.rewrite.locate_comments import locate_comment
from migrator.rewrite.locate_shell import locate_shell, mask_just
from migrator.rewrite.locate_text import locate_traces, settle
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span

__all__ = ["Assignment", "Dependency", "JustFile", "Recipe", "locate_just", "read_just"]

_SHELLS = re.compile(r"(?:^|[/\s\"'])(?:ba|z|da|k|a)?sh\b")
_LINE_PREFIX = re.compile(r"[ \t]*[@-]{0,2}[ \t]*")
_LITERAL = re.compile(r"^(?:\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>[^']*)')$")
_BUILDS_ADDRESS = re.compile(r"^gitlab|TF_HTTP_|/terraform/state|GITLAB_|CI_[A-Z]|/api/v4")


def locate_just(text: str) -> tuple[Located, ...]:
    """Return the references in a Justfile, in order of position. Never raises.

    ``detail["language"]`` is ``just`` for comments outside of recipes, ``shell`` for what stands in a recipe (there,
    ``detail["one_line"]`` is ``yes`` where each line is a shell of its own). Assignments are kept: deleting one breaks
    ``just --evaluate`` for whoever asks for it.
    """
    file = read_just(text)
    addresses = _addresses(file)
    located: list[Located] = []
    for recipe in file.recipes:
        located += _locate_recipe(text, file, recipe, addresses)
    bodies = [recipe.body_span for recipe in file.recipes]
    for group in comment_groups(text):
        if not any(body.start <= group.start < body.end for body in bodies):
            located += locate_comment(text, group, language="just")
    located += _locate_settings(text, file, located)
    return settle([*located, *locate_traces(text, located)])


def _locate_recipe(text: str, file: JustFile, recipe: Recipe, addresses: Mapping[str, str]) -> Iterator[Located]:
    interpreter = recipe.shebang or file.settings.get("shell", "sh")
    if not _SHELLS.search(interpreter):
        yield from _report_body(text, recipe)
    elif recipe.shebang:
        yield from locate_shell(
            text, region=recipe.body_span, indent=recipe.indent, mask=mask_just, addresses=addresses
        )
    else:
        for line in _logical_lines(text, recipe):
            for one in locate_shell(text, region=line, indent=recipe.indent, mask=mask_just, addresses=addresses):
                yield replace(one, detail=dict(one.detail) | {"one_line": "yes"})


def _logical_lines(text: str, recipe: Recipe) -> Iterator[Span]:
    """Yield the lines of a body that just gives to a shell one by one, continued ones together, without ``@``."""
    start: int | None = None
    for found in re.finditer(r"[^\n]*(?:\n|$)", recipe.body_span.of(text)):
        line_start = recipe.body_span.start + found.start()
        if start is None:
            prefix = _LINE_PREFIX.match(text, line_start)
            start = prefix.end() if prefix else line_start
        if not found.group().rstrip("\r\n").endswith("\\"):
            end = recipe.body_span.start + found.end()
            if start < end:
                yield Span(start, end)
            start = None


def _report_body(text: str, recipe: Recipe) -> Iterator[Located]:
    if names_source(recipe.body_span.of(text)):
        yield Located(
            kind=ReferenceKind.ENVIRONMENT_READ,
            span=recipe.body_span,
            disposition=Disposition.REPORT,
            reason=f"a recipe that no shell runs ({recipe.shebang or 'set shell'}) names the source",
            detail={"language": "just"},
        )


def _locate_settings(text: str, file: JustFile, located: list[Located]) -> Iterator[Located]:
    """Yield the assignments that feed an address of the source: always kept, with what still uses them."""
    rewritten = [one.span for one in located if one.disposition is Disposition.REWRITE]
    for assignment in file.assignments:
        uses = [use for use in _uses(text, assignment) if use >= 0]
        feeds = any(span.start <= use < span.end for use in uses for span in rewritten)
        names = _BUILDS_ADDRESS.search(f"{assignment.name} {assignment.expression}") is not None
        direct = (
            "TF_HTTP_" in f"{assignment.name} {assignment.expression}" or "/terraform/state" in assignment.expression
        )
        if not (direct or (feeds and names)):
            continue
        if any(re.search(rf"\{{\{{\s*{assignment.name}\s*\}}\}}", one.state or "") for one in located):
            continue  # it says which state, and does so after the migration too
        others = [use for use in uses if not any(span.start <= use < span.end for span in rewritten)]
        reason = (
            "other recipes use it" if others else "nothing here uses it any more, but just --evaluate can ask for it"
        )
        exported = assignment.name.startswith("TF_HTTP_")
        yield Located(
            kind=ReferenceKind.SOURCE_SETTING,
            span=assignment.span,
            disposition=Disposition.REPORT if exported else Disposition.KEEP,
            reason="sets a variable of the http backend for recipes: take it out where nothing else reads it"
            if exported
            else f"setting for the source's address; kept: {reason}",
            detail={"language": "just", "name": assignment.name},
        )


def _uses(text: str, assignment: Assignment) -> Iterator[int]:
    """Yield where other code reads an assignment: in ``{{...}}``, or by name in another assignment or a header."""
    name = re.escape(assignment.name)
    pattern = re.compile(rf"\{{\{{[^{{}}]*(?<![\w-]){name}(?![\w-])[^{{}}]*\}}\}}")
    yield from (found.start() for found in pattern.finditer(text))
    for other in re.finditer(rf"^[^\s#][^\n]*:=[^\n]*(?<![\w\"'-]){name}(?![\w\"'-])", text, re.MULTILINE):
        yield other.start()


def _addresses(file: JustFile) -> dict[str, str]:
    """Return the variables that hold an address of a state, as text with ``{{...}}`` for what is not literal."""
    found: dict[str, str] = {}
    for assignment in file.assignments:
        rendered = _render(assignment.expression)
        if rendered is None or "/terraform/state" not in rendered:
            continue
        found["{{" + assignment.name + "}}"] = rendered
        if assignment.exported or "export" in file.settings:
            found[assignment.name] = rendered
    return found


def _render(expression: str) -> str | None:
    """Return a concatenation (``a + "/x/" + b``) as text; None for any other expression."""
    pieces: list[str] = []
    for term in re.split(r"\s*[+/]\s*(?=(?:[^\"']|\"[^\"]*\"|'[^']*')*$)", expression.strip()):
        literal = _LITERAL.match(term)
        if literal:
            pieces.append(literal["double"] if literal["double"] is not None else literal["single"])
        elif re.fullmatch(r"[A-Za-z_][\w-]*", term):
            pieces.append("{{" + term + "}}")
        else:
            return None
    return "".join(pieces)
