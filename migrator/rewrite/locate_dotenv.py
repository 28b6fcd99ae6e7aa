"""Locate TF_HTTP_* in ``.env`` files, and in ``.envrc``, which direnv runs as bash."""

import re
from collections.abc import Iterator

from migrator.rewrite.address import read_address
from migrator.rewrite.claims import comment_groups
from migrator.rewrite.locate_comments import locate_comment
from migrator.rewrite.locate_shell import locate_shell
from migrator.rewrite.locate_text import locate_traces, settle
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span

_ASSIGNMENT = re.compile(r"^[ \t]*(?:export[ \t]+)?[A-Za-z_][\w.]*[ \t]*=.*$")
_RUN = re.compile(r"(?:^[ \t]*(?:#[ \t]*)?(?:export[ \t]+)?TF_HTTP_\w+[ \t]*=[^\n]*(?:\n|\Z))+", re.MULTILINE)


def locate_dotenv(text: str) -> tuple[Located, ...]:
    """Return the references in an environment file, in order of position. Never raises.

    A file of assignments and comments gives dotenv-variable (one per run of adjacent TF_HTTP_* lines, commented ones
    included; ``detail["password"]`` is ``empty``, ``placeholder``, ``value`` or ``none``) and backend-comment with
    ``detail["language"]`` ``dotenv``; anything else is read as shell.
    """
    code = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    if not all(_ASSIGNMENT.match(line) for line in code):
        return locate_shell(text)
    runs = [Span(*found.span()) for found in _RUN.finditer(text)]
    located = [_locate_run(text, run) for run in runs]
    for group in comment_groups(text):
        located += _locate_comment(text, group, runs)
    return settle([*located, *locate_traces(text, located)])


def _locate_run(text: str, run: Span) -> Located:
    password = re.search(
        r"^(?P<mark>[ \t]*#?)[^\n]*TF_HTTP_PASSWORD[ \t]*=[ \t]*(?P<value>[^\n#]*)", run.of(text), re.MULTILINE
    )
    value = password["value"].strip().strip("\"'") if password else ""
    if password is None:
        form = "none"
    elif not value:
        form = "empty"
    else:
        form = (
            "placeholder" if re.match(r"glpat-[x.…]*$|<|\.\.\.|your|change|x+$|\$", value, re.IGNORECASE) else "value"
        )
    problem = (
        "a password stands here in clear: take it out and put the two S3 keys in its place" if form == "value" else None
    )
    address = re.search(r"TF_HTTP_ADDRESS[ \t]*=[ \t]*[\"']?(?P<value>[^\s\"'#]*)", run.of(text))
    found = read_address(address["value"]) if address and address["value"] else None
    if found is not None and found.state is None and not problem:
        problem = found.problem or "the address names no state"
    return Located(
        kind=ReferenceKind.DOTENV_VARIABLE,
        span=run,
        disposition=Disposition.REPORT if problem else Disposition.REWRITE,
        reason=problem or "variables of the http backend",
        state=found.state if found else None,
        detail={"language": "dotenv", "password": form},
    )


def _locate_comment(text: str, group: Span, runs: list[Span]) -> Iterator[Located]:
    """Yield what the parts of a comment say that no run of variables takes."""
    start = group.start
    for run in [*(one for one in runs if one.start < group.end and group.start < one.end), Span(group.end, group.end)]:
        piece = Span(start, max(start, min(run.start, group.end)))
        start = max(run.end, start)
        piece = Span(piece.start, piece.start + len(piece.of(text).rstrip()))
        if piece.start < piece.end:
            yield from locate_comment(text, piece, language="dotenv")
