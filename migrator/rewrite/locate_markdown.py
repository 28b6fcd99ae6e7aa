"""Locate what names the source in Markdown: snippets by their language, table rows, and claims in sentences.

Snippets go to the locator of their language and come back with positions in the document. A sentence is rewritten only
when ``replacements.prose`` knows all of it; otherwise it is reported with a proposal. Headings and front matter stay.
Whether a document is history (a changelog, research notes) is not known here: the caller does not ask for those.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from migrator.rewrite.claims import accompanies_source, may_be_meant, may_name_source, names_source
from migrator.rewrite.embedded import decode_scalar, embed
from migrator.rewrite.locate_comments import ANY_TARGET, describe_unknown
from migrator.rewrite.locate_dotenv import locate_dotenv
from migrator.rewrite.locate_just import locate_just
from migrator.rewrite.locate_shell import locate_shell
from migrator.rewrite.locate_text import locate_traces, settle
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.replacements.claims import build_sentence
from migrator.rewrite.replacements.prose import build_cells, split_row
from migrator.rewrite.replacements.sentences import find_sentence
from migrator.rewrite.spans import Span
from migrator.rewrite.unparsable import UnparsableError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_NAME = (
    r"(?:tofu|terraform) init|TF_HTTP|terraform/state|backend-config|GitLab|http[ -]\w*\s*backend|backend project"
    r"|backend\s+\"http\""
)
_MARKS = re.compile(rf"{_NAME}|\bstates?\b", re.IGNORECASE)
# Without one of these a document says something of the source only by what ``may_be_meant`` knows.
_NAMES = re.compile(rf"{_NAME}|CI_JOB_TOKEN", re.IGNORECASE)
_TOKEN_OF_SOURCE = re.compile(
    r"\btokens?\b.{0,60}(?:\bapi`?\s+scope|\bGitLab\b)|GitLab.{0,40}\btokens?\b", re.IGNORECASE
)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n.*?^(?:---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_LEAD = re.compile(r"(?:[ \t]*(?:>|[-*+](?=[ \t])|\d{1,9}[.)](?=[ \t])))*[ \t]*(?:\[[ xX]\][ \t]+)?")
_SENTENCE_END = re.compile(
    r"(?<=[.!?:;])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)[)\"'*_]*[ ]+(?=[\"'`*_\[(<]*[A-Z0-9])"
)
_VARIABLE_CELL = re.compile(r"`?TF_HTTP_(?P<name>[A-Z_]+)`?")
_LIKELY_SHELL = re.compile(r"^\s*(?:\$ )?(?:export |tofu |terraform |glab |curl |just |eval )", re.MULTILINE)
_SHELL = frozenset({"bash", "sh", "shell", "zsh", "ksh", "fish", "envrc"})
_CONSOLE = frozenset({"console", "shell-session", "shellsession", "terminal", "session"})


def locate_markdown(text: str) -> tuple[Located, ...]:
    """Return the references in a Markdown document, in order of position. Never raises."""
    if not _NAMES.search(text) and not (_MARKS.search(text) and may_be_meant(" ".join(text.split()))):
        return ()
    found = settle(_Document(text).locate())
    return settle([*found, *locate_traces(text, found)])


def read_markdown_blocks(text: str) -> list["Token"]:
    """Return the block tokens of a document; front matter is blanked, so that it is no part of any block."""
    front = _FRONT_MATTER.match(text)
    if front:
        text = "\n" * front.group().count("\n") + text[front.end() :]
    return _make_parser().parse(text)


@lru_cache(maxsize=1)
def _make_parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # Inline markup is read by nobody here.
    return MarkdownIt("commonmark").enable("table").disable(["inline"])


class _Document:
    def __init__(self, text: str) -> None:
        self._text = text
        self._names_password = "TF_HTTP_PASSWORD" in text
        self._starts = [0, *(found.end() for found in re.finditer(r"\n", text)), len(text)]

    def locate(self) -> Iterator[Located]:
        tokens = read_markdown_blocks(self._text)
        tables = [token.map for token in tokens if token.type == "table_open" and token.map]
        previous = ""
        for token in tokens:
            if token.map is None:
                previous = token.type
                continue
            first, last = token.map
            if token.type == "fence":
                yield from self._locate_fence(token, first, last)
            elif token.type == "code_block":
                yield from self._locate_code_block(first, last)
            elif token.type == "table_open":
                yield from self._locate_table(first, last)
            elif token.type == "inline" and previous == "paragraph_open":
                if not any(table[0] <= first < table[1] for table in tables):
                    yield from self._locate_paragraph(first, last)
            elif token.type == "html_block":
                yield from self._locate_markup(first, last)
            elif token.type == "inline" and previous == "heading_open":
                yield from self._locate_heading(first, last)
            previous = token.type

    def _locate_heading(self, first: int, last: int) -> Iterator[Located]:
        span = Span(self._starts[first], self._starts[last - 1] + len(self._line(last - 1).rstrip()))
        heading = span.of(self._text)
        if names_source(heading) or may_name_source(_without_names(heading)):
            reason = (
                "a heading about state in GitLab; headings are kept, since links may lead to them: read its section"
            )
            yield self._prose(span, Disposition.REPORT, reason, (first, last))

    def _locate_markup(self, first: int, last: int) -> Iterator[Located]:
        for number in range(first, last):
            line = self._line(number)
            start = self._starts[number] + len(line) - len(line.lstrip())
            if names_source(line):
                reason = "markup that says that state is in GitLab: read it"
                yield self._prose(
                    Span(start, start + len(line.strip())), Disposition.REPORT, reason, (number, number + 1)
                )

    def _line(self, number: int) -> str:
        return self._text[self._starts[number] : self._starts[number + 1]].rstrip("\r\n")

    # --- snippets

    def _locate_fence(self, token: "Token", first: int, last: int) -> Iterator[Located]:
        opening = self._line(first)
        prefix = re.sub(r"[^\s>]", " ", opening[: opening.find(token.markup)])
        closed = last - 1 > first and self._line(last - 1).strip(" \t>").startswith(token.markup)
        language = re.split(r"[\s,{:]", token.info.strip().lower(), maxsplit=1)[0]
        yield from self._locate_snippet(first + 1, last - 1 if closed else last, prefix=prefix, language=language)

    def _locate_code_block(self, first: int, last: int) -> Iterator[Located]:
        line = self._line(first)
        yield from self._locate_snippet(first, last, prefix=line[: len(line) - len(line.lstrip())], language="")

    def _locate_snippet(self, first: int, last: int, *, prefix: str, language: str) -> Iterator[Located]:
        if first >= last:
            return
        content = Span(self._starts[first], self._starts[last])
        if language in _CONSOLE or (language in _SHELL | {""} and self._has_prompts(first, last, prefix)):
            yield from self._locate_console(first, last, prefix=prefix)
            return
        locate, inner = _locator(language, content.of(self._text))
        if locate is not None:
            yield from self._embedded(content, style="lines", prefix=prefix, locate=locate, language=inner)

    def _embedded(
        self, content: Span, *, style: str, prefix: str, locate: Callable[[str], tuple[Located, ...]], language: str
    ) -> Iterator[Located]:
        embedded = decode_scalar(self._text, content, style=style, prefix=prefix)
        try:
            found = locate(embedded.value)
        except UnparsableError:
            return  # a fragment; what it names is reported line by line
        for one in found:
            yield embed(one, self._text, embedded, language="prose")

    def _has_prompts(self, first: int, last: int, prefix: str) -> bool:
        return any(self._line(number).removeprefix(prefix).startswith("$ ") for number in range(first, last))

    def _locate_console(self, first: int, last: int, *, prefix: str) -> Iterator[Located]:
        """Locate in runs of commands after ``$``; what stands between them is output and says nothing."""
        start: int | None = None
        continued = False
        for number in range(first, last + 1):
            line = self._line(number).removeprefix(prefix) if number < last else ""
            command = number < last and (line.startswith("$ ") or continued)
            if command and start is None:
                start = number
            elif not command and start is not None:
                content = Span(self._starts[start], self._starts[number])
                yield from self._embedded(
                    content, style="console", prefix=prefix + "$ ", locate=locate_shell, language="shell"
                )
                start = None
            continued = command and line.endswith("\\")

    # --- sentences

    def _locate_paragraph(self, first: int, last: int) -> Iterator[Located]:
        lead = _LEAD.match(self._line(first))
        start = self._starts[first] + (lead.end() if lead else 0)
        end = self._starts[last - 1] + len(self._line(last - 1).rstrip())
        value, offsets = _join(self._text, Span(start, max(start, end)))
        marked = self._names_password and _TOKEN_OF_SOURCE.search(value) is not None
        if not marked and not _MARKS.search(value) and not may_be_meant(value):
            return
        sentences = _sentences(value)
        certain = any(names_source(value[one.start : one.end]) for one in sentences)
        about_state = re.search(r"\bstates?\b", value, re.IGNORECASE) is not None
        for one in sentences:
            sentence = value[one.start : one.end]
            on_same_line = one.end < len(value) and offsets[one.end] == offsets[one.end - 1] + 1
            stop = one.end if on_same_line else one.start + len(sentence.rstrip())
            span = Span(offsets[one.start], offsets[max(stop, one.start + 1) - 1] + 1)
            found = list(self._locate_sentence(sentence.rstrip(), span, lines=(first, last), certain=certain))
            about_source = about_state or self._names_password
            if not found and about_source and _TOKEN_OF_SOURCE.search(sentence):
                if about_state and find_sentence(sentence.rstrip(), ANY_TARGET, tick="`") is not None:
                    reason = "tells to create the credentials of the source"
                    yield self._prose(span, Disposition.REWRITE, reason, (first, last))
                    continue
                reason = "a token of GitLab, which may be the one for the state: read it"
                found = [self._prose(_trimmed(self._text, span), Disposition.REPORT, reason, (first, last))]
            yield from found

    def _locate_sentence(
        self, sentence: str, span: Span, *, lines: tuple[int, int], certain: bool
    ) -> Iterator[Located]:
        if names_source(sentence):
            if build_sentence(sentence, ANY_TARGET, tick="`") is not None:
                yield self._prose(span, Disposition.REWRITE, "says that state is in GitLab or how it is reached", lines)
                return
            reason = describe_unknown([sentence], what="sentence", tick="`")
        elif certain and find_sentence(sentence, ANY_TARGET, tick="`") is not None:
            yield self._prose(span, Disposition.REWRITE, "says how the source is reached", lines)
            return
        elif certain and accompanies_source(sentence):
            reason = "goes with a sentence that says that state is in GitLab: read it"
        elif may_name_source(_without_names(sentence)) or may_be_meant(sentence):
            reason = "may be about state in GitLab: read it"
        else:
            return
        yield self._prose(_trimmed(self._text, span), Disposition.REPORT, reason, lines)

    def _prose(self, span: Span, disposition: Disposition, reason: str, lines: tuple[int, int]) -> Located:
        first, last = lines
        written = [self._line(number) for number in range(first, last)]
        lead = _LEAD.match(written[1] if len(written) > 1 else "")
        prefix = lead.group() if lead else ""
        width = 0 if len(written) == 1 and len(written[0]) > 100 else max(80, *(len(line) for line in written), 0)
        if len(written) == 1:
            marks = _LEAD.match(written[0])
            prefix = re.sub(r"[^\s>]", " ", marks.group()) if marks else ""
        detail = {"language": "prose", "width": str(width), "prefix": prefix}
        return Located(kind=ReferenceKind.PROSE, span=span, disposition=disposition, reason=reason, detail=detail)

    # --- tables

    def _locate_table(self, first: int, last: int) -> Iterator[Located]:
        lead = _LEAD.match(self._line(first))
        prefix = lead.group() if lead else ""
        header = self._line(first)
        actions = ["keep", "keep"]
        reports: list[Located] = []
        for number in range(first + 2, last):
            action, reason = _row_action(split_row(self._line(number)[len(prefix) :]), header)
            actions.append(action)
            if reason:
                start = self._starts[number] + len(prefix)
                span = Span(start, start + len(self._line(number)[len(prefix) :].rstrip()))
                reports.append(self._prose(span, Disposition.REPORT, reason, (number, number + 1)))
        kept = [action for action in actions[2:] if action != "remove"]
        if set(actions) == {"keep"} or not kept:
            yield from reports
            return
        span = Span(self._starts[first] + len(prefix), self._starts[last - 1] + len(self._line(last - 1).rstrip()))
        reason = "rows about the http backend"
        if reports:
            reason += "; rows to read afterwards: " + ", ".join(str(one) for one in _lines_of(self._text, reports))
        detail = {"language": "prose", "rows": json.dumps(actions), "prefix": re.sub(r"[^\s>]", " ", prefix)}
        yield Located(
            kind=ReferenceKind.PROSE, span=span, disposition=Disposition.REWRITE, reason=reason, detail=detail
        )


def _locator(language: str, content: str) -> tuple[Callable[[str], tuple[Located, ...]] | None, str]:
    """Return the locator for the language of a snippet, None when nothing of ours reads it."""
    if language in _SHELL or (language in {"", "text", "txt"} and _LIKELY_SHELL.search(content)):
        return locate_shell, "shell"
    if language in {"yaml", "yml", "gitlab-ci"}:
        from migrator.rewrite.locate_yaml import locate_yaml

        return locate_yaml, "yaml"
    if language in {"hcl", "terraform", "tf", "tofu", "opentofu"}:
        from migrator.rewrite.locate_hcl import locate_hcl

        return locate_hcl, "hcl"
    if language in {"just", "justfile"}:
        return locate_just, "just"
    if language in {"env", "dotenv", "ini", "properties"}:
        return locate_dotenv, "dotenv"
    return None, ""


def _row_action(cells: list[str], header: str) -> tuple[str, str]:
    """Return what becomes of a table row, and why a person has to read it (empty: nobody has to)."""
    variable = _VARIABLE_CELL.fullmatch(cells[0]) if cells else None
    if variable:
        return ("credentials" if variable["name"] == "PASSWORD" else "remove"), ""
    joined = " | ".join(cells)
    if any(names_source(cell) for cell in cells):
        if build_cells(cells, ANY_TARGET) is not None:
            return "claims", ""
        return "keep", "a row that says that state is in GitLab, in words that no rule knows"
    mentions = re.search(r"\bstates?\b", joined, re.IGNORECASE) is not None
    if mentions and ("GitLab" in joined or "CI_JOB_TOKEN" in joined or "GITLAB_" in joined):
        return "keep", "a row that may be about state in GitLab: read it"
    if "GitLab" in joined and any(re.fullmatch(r"(?:\w+ )?states?", cell, re.IGNORECASE) for cell in split_row(header)):
        return "keep", "a row that says whose GitLab project holds a state: read it"
    if mentions and "GitLab" in header and re.search(r"\bstate\b", cells[0], re.IGNORECASE):
        return "keep", "a row that says who keeps state: read it"
    return "keep", ""


def _without_names(sentence: str) -> str:
    """Return a sentence without the names in code, which may contain "gitlab" and "state" and mean neither."""
    return re.sub(r"`[^`A-Z]*`", "`x`", sentence)


def _lines_of(text: str, located: list[Located]) -> list[int]:
    return [text.count("\n", 0, one.span.start) + 1 for one in located]


def _join(text: str, span: Span) -> tuple[str, list[int]]:
    """Return a paragraph as one line, and where each of its characters stands."""
    value: list[str] = []
    offsets: list[int] = []
    position = span.start
    for gap in re.compile(r"[ \t]*\r?\n[ \t>]*").finditer(text, span.start, max(span.start, span.end)):
        value += [*text[position : gap.start()], " "]
        offsets += [*range(position, gap.start()), gap.start()]
        position = gap.end()
    value += text[position : span.end]
    offsets += range(position, max(position, span.end))
    return "".join(value), offsets


def _sentences(value: str) -> list[Span]:
    """Return the sentences of a paragraph, each with the blank behind it when that is one on the same line."""
    spans: list[Span] = []
    start = 0
    for end in _SENTENCE_END.finditer(value):
        spans.append(Span(start, end.end()))
        start = end.end()
    if start < len(value):
        spans.append(Span(start, len(value)))
    return spans


def _trimmed(text: str, span: Span) -> Span:
    return Span(span.start, span.start + max(len(span.of(text).rstrip()), 1))
