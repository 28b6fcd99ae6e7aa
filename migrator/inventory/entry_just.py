"""Entry points of Justfiles: each recipe body, with just's variables and the recipe's parameters. PURE.

A recipe that is called with a literal (``init-attic: (tofu-init "attic")``) is evidence for that stack too.
"""

import posixpath
from collections.abc import Iterator

from migrator.inventory.entry_points import EntryPoint
from migrator.inventory.just_values import evaluate_just
from migrator.inventory.model import Place
from migrator.inventory.shell_regions import build_source, read_regions
from migrator.inventory.values import Lookup, Unknown, Value, build_value
from migrator.rewrite.locate_just import JustFile, Recipe, read_just
from migrator.rewrite.spans import line_of

_DEEPEST = 20
_ENVIRONMENT_NAMES = frozenset({"env", "environment", "deploy_env", "target_env"})


def read_just_entry_points(text: str, path: str) -> Iterator[EntryPoint]:
    """Yield the entry points of a Justfile: one per recipe, one more per call of it with literal arguments."""
    just = read_just(text)
    base = posixpath.dirname(path)
    for recipe in just.recipes:
        body = recipe.body_span.of(text)
        if "init" not in body:
            continue
        source = build_source(body, path=path, first_line=line_of(text, recipe.body_span.start))
        regions = [region for region in read_regions(source) if region.initializes]
        calls: list[tuple[Recipe | None, dict[str, str]]] = [(None, {}), *_find_calls(just, recipe)] if regions else []
        for caller, arguments in calls:
            values: dict[str, tuple[Value, ...]] = {name: (build_value([one]),) for name, one in arguments.items()}
            outside = build_just_lookup(just, text, path, recipe=recipe, arguments=values)
            evidence = frozenset([_header(text, path, caller)] if caller else [])
            area = Place(
                path=path,
                start_line=line_of(text, (recipe.comment_span or recipe.header_span).start),
                end_line=line_of(text, max(recipe.body_span.start, recipe.body_span.end - 1)),
            )
            for region in regions:
                yield EntryPoint(base=base, region=region, outside=outside, areas=(area,), evidence=evidence)


def _header(text: str, path: str, recipe: Recipe) -> Place:
    line = line_of(text, recipe.header_span.start)
    return Place(path=path, start_line=line, end_line=line)


def build_just_lookup(
    just: JustFile,
    text: str,
    path: str,
    *,
    recipe: Recipe | None = None,
    arguments: dict[str, tuple[Value, ...]] | None = None,
) -> Lookup:
    """Return what ``{{name}}`` and the expressions of just mean, inside of ``recipe`` or at the top level."""
    resolving: list[str] = []

    def look_up(language: str, expression: str) -> tuple[Value, ...]:
        if language != "just":
            return ()
        if not expression.isidentifier() and "-" not in expression:
            return evaluate_just(expression, look_up)
        if arguments and expression in arguments:
            return arguments[expression]
        if recipe and expression in recipe.parameters:
            default = recipe.defaults.get(expression)
            values = evaluate_just(default, look_up) if default else ()
            return (build_value([Unknown(expression, default=values[0].text if len(values) == 1 else None)]),)
        assignment = just.assignment(expression)
        if assignment is None or expression in resolving or len(resolving) > _DEEPEST:
            return ()
        resolving.append(expression)
        try:
            values = evaluate_just(assignment.expression, look_up)
        finally:
            resolving.pop()
        line = line_of(text, assignment.span.start)
        place = Place(path=path, start_line=line, end_line=line)
        return tuple(_as_setting(expression, value).with_place(place) for value in values)

    return look_up


def _as_setting(name: str, value: Value) -> Value:
    """Return the value of an assignment: a plain ``env := "dev"`` is a default, ``just env=prod ...`` changes it."""
    if name.lower() in _ENVIRONMENT_NAMES and value.text is not None:
        return build_value([Unknown(name, default=value.text)], value.places)
    return value


def _find_calls(just: JustFile, called: Recipe) -> Iterator[tuple[Recipe, dict[str, str]]]:
    for caller in just.recipes:
        for dependency in caller.dependencies:
            if dependency.recipe != called.name or not dependency.arguments:
                continue
            values = [evaluate_just(argument, lambda language, name: ()) for argument in dependency.arguments]
            literals = [value[0].text for value in values if len(value) == 1]
            known = {name: text for name, text in zip(called.parameters, literals, strict=False) if text is not None}
            if known:
                yield caller, known
