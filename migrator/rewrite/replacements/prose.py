"""Prose: sentences, table rows and snippets of documents, from state in GitLab to state in the target.

What a sentence becomes is the business of ``claims``; here it is broken into lines as the author's lines end.
"""

import json
import re

from migrator.rewrite.claims import names_source
from migrator.rewrite.reference import Located, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements import dotenv, hcl, just, shell, yaml
from migrator.rewrite.replacements.claims import build_sentence
from migrator.rewrite.replacements.embedded import Build, build_embedded
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY, CannotReplaceError
from migrator.rewrite.spans import Span

_BUILDERS: dict[str, Build] = {
    "shell": shell.build_replacement,
    "hcl": hcl.build_replacement,
    "just": just.build_replacement,
    "dotenv": dotenv.build_replacement,
    "yaml": yaml.build_replacement,
}
_ABOUT_SOURCE = re.compile(
    r"TF_HTTP|\bGitLab\b|\btokens?\b|\bPATs?\b|\bCI_[A-Z]\w+|glpat-|\b(?:Maintainer|Developer)s?\b|\baddress(?:es)?\b|\bstates?\b",
    re.IGNORECASE,
)
_DESCRIPTION = {ACCESS_KEY: "Access key of the S3 state backend", SECRET_KEY: "Secret key of the S3 state backend"}
_STARTS_BLOCK = re.compile(r"^(?:[-+*>]|#{1,6}|\d+[.)]|\|.*)$")
_JOIN = re.compile(r"[ \t]*\r?\n[ \t>]*")


def build_replacement(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return the text that takes the place of ``located.span``.

    Raises: CannotReplaceError.
    """
    if "embedded" in located.detail:
        return build_embedded(located, text, target, lambda language: _BUILDERS[language])
    if located.kind is not ReferenceKind.PROSE:
        raise CannotReplaceError(f"{located.kind} has no replacement in prose")
    if "rows" in located.detail:
        return _build_table(located, text, target)
    sentence = build_sentence(join_lines(located.span.of(text)).strip(), target, tick="`")
    if sentence is None:
        raise CannotReplaceError("the sentence says more about the source than any rule knows")
    return _wrap(sentence, text, located.span, width=int(located.detail["width"]), prefix=located.detail["prefix"])


def join_lines(text: str) -> str:
    """Return a paragraph as one line: line ends, indentation and quote marks become one space."""
    return _JOIN.sub(" ", text)


def _wrap(sentence: str, text: str, span: Span, *, width: int, prefix: str) -> str:
    """Break the sentence where the author's lines end; what follows on the last line moves down when it must."""
    newline = "\r\n" if "\r\n" in text else "\n"
    tail_end = re.compile(r"\r?$", re.MULTILINE).search(text, span.end)
    tail = text[span.end : tail_end.start()] if tail_end else ""
    separated = span.of(text).endswith(" ")
    if not width:
        return sentence + (" " if separated else "")
    lines, column = [""], span.start - (text.rfind("\n", 0, span.start) + 1)
    for word in sentence.split(" "):
        room = width - column - len(lines[-1]) - (1 if lines[-1] else 0)
        if len(word) > room and (lines[-1] or len(lines) > 1 or column > len(prefix)) and not _STARTS_BLOCK.match(word):
            lines.append(word)
            column = len(prefix)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    if lines[0] == "" and len(lines) > 1:
        raise CannotReplaceError("the sentence does not fit its line")
    wrapped = (newline + prefix).join(lines)
    fits = column + len(lines[-1]) + 1 + len(tail) <= width
    return wrapped + ("" if not separated else " " if fits or not tail else newline + prefix)


# --- tables


def split_row(line: str) -> list[str]:
    """Return the cells of a table row, without the blanks around them."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]


def build_cells(cells: list[str], target: TargetCoordinates) -> list[str] | None:
    """Return the cells of a row with its claims made to name the target, None when that is not certain."""
    rewritten = [build_sentence(cell, target, tick="`") if names_source(cell) else cell for cell in cells]
    certain = [cell for cell in rewritten if cell is not None]
    return certain if len(certain) == len(cells) else None


def _build_table(located: Located, text: str, target: TargetCoordinates) -> str:
    lines = [line.rstrip("\r") for line in located.span.of(text).split("\n")]
    actions: list[str] = json.loads(located.detail["rows"])
    prefix = located.detail["prefix"]
    newline = "\r\n" if "\r\n" in text else "\n"
    widths = {len(line.removeprefix(prefix).rstrip()) for line in lines}
    built = [(line, _build_row(split_row(line), action, target)) for line, action in zip(lines, actions, strict=True)]
    if len(widths) == 1:
        return (newline + prefix).join(_format_rows([row for _, rows in built for row in rows]))
    return (newline + prefix).join(_respell(line.removeprefix(prefix), row) for line, rows in built for row in rows)


def _respell(line: str, cells: list[str]) -> str:
    """Return a row of a table that nobody aligned, with its own blanks and other cells."""
    before = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    spelled = [
        old if old.strip() == new else old.replace(old.strip(), new, 1) for old, new in zip(before, cells, strict=True)
    ]
    return (
        ("|" if line.lstrip().startswith("|") else "")
        + "|".join(spelled)
        + ("|" if line.rstrip().endswith("|") else "")
    )


def _build_row(cells: list[str], action: str, target: TargetCoordinates) -> list[list[str]]:
    if action == "remove":
        return []
    if action == "claims":
        changed = build_cells(cells, target)
        if changed is None:
            raise CannotReplaceError("a table row says more about the source than any rule knows")
        return [changed]
    if action == "credentials":
        return [_credential_row(cells, name) for name in (ACCESS_KEY, SECRET_KEY)]
    return [cells]


def _credential_row(cells: list[str], name: str) -> list[str]:
    first = cells[0].replace("TF_HTTP_PASSWORD", name)
    middle = ["" if _is_about_source(cell) else cell for cell in cells[1:-1]]
    last = _DESCRIPTION[name] if len(cells) > 1 and _is_about_source(cells[-1]) else cells[-1]
    return [first, *middle, last] if len(cells) > 1 else [first]


def _is_about_source(cell: str) -> bool:
    return names_source(cell) or _ABOUT_SOURCE.search(cell) is not None


def _format_rows(rows: list[list[str]]) -> list[str]:
    columns = max(len(row) for row in rows)
    texts = [row for index, row in enumerate(rows) if index != 1]
    widths = [max(3, *(len(row[column]) for row in texts if column < len(row))) for column in range(columns)]
    lines: list[str] = []
    for index, row in enumerate(rows):
        filled = zip(row, widths, strict=False)
        cells = [_rule(cell, width) if index == 1 else cell.ljust(width) for cell, width in filled]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _rule(cell: str, width: int) -> str:
    left, right = cell.startswith(":"), cell.endswith(":")
    return (":" if left else "") + "-" * (width - left - right) + (":" if right else "")
