"""YAML: what takes the place of TF_HTTP_* keys in ``variables:`` and ``env:``, of comments, and of embedded scripts.

What ``detail`` of a run of variables means is said in ``rewrite.yaml_variables``.
"""

import json
from dataclasses import replace
from typing import Any

from migrator.rewrite.reference import Located, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements import shell
from migrator.rewrite.replacements.comments import build_comment
from migrator.rewrite.replacements.embedded import Build, NothingLeftError, build_embedded
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY, CannotReplaceError
from migrator.rewrite.spans import Span

_COMMENT = f"# The state backend (S3) reads {ACCESS_KEY} and {SECRET_KEY}: masked CI/CD variables"


def build_replacement(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return the text that takes the place of ``located.span``.

    Raises: CannotReplaceError.
    """
    if "items" in located.detail:
        return _build_items(located, text, target)
    if "embedded" in located.detail:
        return build_embedded(located, text, target, _builder)
    if located.kind is ReferenceKind.CI_VARIABLE and "emptied" in located.detail:
        return _build_variables(located, text)
    if located.kind is ReferenceKind.BACKEND_COMMENT:
        return build_comment(located, text, target)
    raise CannotReplaceError(f"{located.kind} has no replacement in YAML")


def _build_items(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return list items around their new text; nothing for those whose new text is nothing."""
    items = json.loads(located.detail["items"])
    built = "".join(_build_item(item, located, text, target) for item in items)
    if built or located.detail["nothing_left"] == "no":
        return built
    # Aliases and !reference lead to this list: it stays, with a command that does nothing.
    first = text[items[0]["lines"][0] : items[0]["lines"][1]]
    return f"{first[: first.index('-')]}- 'true' {_COMMENT}" + ("\r\n" if first.endswith("\r\n") else "\n")


def _build_item(item: dict[str, Any], located: Located, text: str, target: TargetCoordinates) -> str:
    (first, last), (start, end) = item["lines"], item["span"]
    detail = {name: value for name, value in located.detail.items() if name != "items"} | {"embedded": item["embedded"]}
    try:
        new = build_embedded(replace(located, span=Span(start, end), detail=detail), text, target, _builder)
    except NothingLeftError:
        return ""
    return text[first:start] + new + text[end:last]


def _builder(language: str) -> Build:
    return {"shell": shell.build_replacement, "yaml": build_replacement}[language]


def _build_variables(located: Located, text: str) -> str:
    detail = located.detail
    if detail["emptied"] == "braces":
        return " {}"
    indent = " " * int(detail["indent"])
    lines = [indent + line for line in _credential_lines(detail["credentials"], detail.get("value", ""))]
    if detail.get("insert") == "env":
        lines = [f"{indent}env:", *("  " + line for line in lines)]
    newline = "\r\n" if "\r\n" in text else "\n"
    whole = "".join(line + newline for line in lines)
    return whole if located.span.of(text).endswith("\n") or located.span.start == located.span.end else whole.rstrip()


def _credential_lines(credentials: str, value: str) -> list[str]:
    if credentials == "secrets":
        return [f"{name}: ${{{{ secrets.{name} }}}}" for name in (ACCESS_KEY, SECRET_KEY)]
    if credentials == "copy":
        return [f"{name}: {value.replace('TF_HTTP_PASSWORD', name)}" for name in (ACCESS_KEY, SECRET_KEY)]
    return [_COMMENT] if credentials == "comment" else []
