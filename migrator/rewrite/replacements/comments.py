"""Comments: the layout stays (marks, indentation, lists, rulers, blank lines), the claims change.

A comment is cut into paragraphs, and each is a reference of its own (``locate_comments``): what one says that no rule
knows keeps no other from being right. Sentences come from ``claims`` and are wrapped again to the width of the comment.
Lines of code in a comment stand alone.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from migrator.rewrite.claims import accompanies_source, names_source
from migrator.rewrite.reference import Located, TargetCoordinates
from migrator.rewrite.replacements.claims import build_text
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY, CannotReplaceError, build_key
from migrator.rewrite.spans import Span

_LINE = re.compile(
    r"^(?P<lead>[ \t]*(?:/\*+|#+|//+|\*(?!/))?)(?P<gap>[ \t]*)(?P<content>.*?)(?P<tail>[ \t]*(?:\*/)?[ \t]*\r?)$"
)
_ITEM = re.compile(r"^(?P<mark>(?:\d+[.)]|[-*•])\s+)")
_CODE = re.compile(
    r"^(?:\$ |export |(?:tofu|terraform) [a-z-]+(?: -|$)|just [\w=-]+(?: |$)|(?:curl|glab) |TF_HTTP_\w+(?:=|  |\s*$)|-backend-config)"
)
_EXPORT = re.compile(
    r"^(?P<before>(?:\$ )?(?:export )?)TF_HTTP_PASSWORD=(?P<quote>['\"]?)[^'\"\s]*['\"]?(?P<after>.*)$"
)
# What stands behind code: a comment, or, in a list of commands, a column of its own.
_TRAILING = re.compile(r"^(?P<code>|.*?\S)(?P<gap>\s*#\s*|\s{2,})(?P<comment>[^\s#].*)$")
_INIT = re.compile(r"^(?P<before>.*?\binit\b)(?P<rest>[^#]*)(?P<after>#.*)?$")
_FLAG = re.compile(r"\s*-backend-config[= ]\s*(?:\"[^\"]*\"|'[^']*'|[^\s\\]+)")
_HTTP_FLAG = re.compile(
    r"-backend-config[= ]\s*[\"']?(?:address|(?:un)?lock_(?:address|method)|username|password|retry_\w+|\.\.\.|…)\b"
)
_LONGEST_LINE = 120


@dataclass(frozen=True, slots=True)
class _Line:
    lead: str
    gap: str
    content: str
    tail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Lines of a comment that belong together; ``text`` is what they say, without marks, as one line.

    ``span`` begins at the mark of the first line and ends with what the last one says.
    """

    span: Span
    text: str
    is_code: bool


def read_paragraphs(text: str, group: Span) -> Iterator[Paragraph]:
    """Yield the paragraphs of the comment at ``group`` that say anything."""
    position = group.start
    placed: list[tuple[Span, _Line]] = []
    for written in group.of(text).split("\n"):
        line = _read_line(written)
        start = position + len(line.lead) - len(line.lead.lstrip())
        placed.append((Span(start, position + len(written) - len(line.tail)), line))
        position += len(written) + 1
    for run in _runs([line for _, line in placed]):
        spans, lines = zip(*placed[run.start : run.end], strict=True)
        said = " ".join(line.content for line in lines)
        if re.search(r"\w", said):
            yield Paragraph(
                span=Span(spans[0].start, spans[-1].end), text=said, is_code=_CODE.match(lines[0].content) is not None
            )


def width_of(text: str, group: Span) -> int:
    """Return the width, in columns, that the author gave a comment."""
    start = text.rfind("\n", 0, group.start) + 1
    return max(len(line.rstrip()) for line in text[start : group.end].split("\n"))


def build_comment(located: Located, text: str, target: TargetCoordinates) -> str:
    """Return a paragraph of a comment made to name the target.

    Raises: CannotReplaceError when that is not certain.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    line_start = text.rfind("\n", 0, located.span.start) + 1
    before = text[line_start : located.span.start]
    lines = [_read_line(line) for line in located.span.of(text).split("\n")]
    if _CODE.match(lines[0].content):
        first = before + lines[0].lead + lines[0].gap
        written = [first + content for content in _build_code(lines[0].content, target)]
    else:
        width = 0 if before.strip() else max(int(located.detail.get("width", "0")), 72)
        written = _build_prose(lines, target, before=before, width=width)
    result = newline.join(line.rstrip() for line in written)
    result = result.removeprefix(before)
    if not result or names_source(result):
        raise CannotReplaceError("the comment says more about the source than any rule knows")
    return result


def _read_line(line: str) -> _Line:
    found = _LINE.match(line)
    assert found is not None  # the pattern matches any line
    return _Line(found["lead"], found["gap"], found["content"], found["tail"])


def _runs(lines: list[_Line]) -> Iterator[Span]:
    """Yield where lines belong together: prose of one indentation; anything else alone."""
    start = 0
    for index, line in enumerate(lines):
        if index > start and not _belongs(lines[start:index], line):
            yield Span(start, index)
            start = index
    if lines:
        yield Span(start, len(lines))


def _belongs(before: list[_Line], line: _Line) -> bool:
    if _is_alone(before[0]) or _is_alone(line) or _ITEM.match(line.content):
        return False
    hanging = len(before[0].gap) + len(_item_mark(before[0]))
    # The text of a block comment may begin on the line of its mark, and go on without any.
    opened = before[0].lead.lstrip().startswith("/*") and len(before) == 1
    return opened or len(line.gap) in {hanging, len(before[-1].gap) if len(before) > 1 else hanging}


def _is_alone(line: _Line) -> bool:
    return not re.search(r"\w", line.content) or _CODE.match(line.content) is not None


def _item_mark(line: _Line) -> str:
    found = _ITEM.match(line.content)
    return found["mark"] if found else ""


def _build_prose(lines: list[_Line], target: TargetCoordinates, *, before: str, width: int) -> list[str]:
    said = " ".join(line.content for line in lines)
    mark = _item_mark(lines[0])
    rewritten = build_text(said[len(mark) :], target)
    if rewritten is None or not accompanies_source(said):
        raise CannotReplaceError("the comment says more about the source than any rule knows")
    first = before + lines[0].lead + lines[0].gap + mark
    later = (
        (lines[1].lead + lines[1].gap) if len(lines) > 1 else before + lines[0].lead + lines[0].gap + " " * len(mark)
    )
    # One line stays one where it can: just shows the line above a recipe, and behind code there is no second one.
    if not width or (len(lines) == 1 and len(first + rewritten) <= _LONGEST_LINE):
        return [first + rewritten]
    return textwrap.wrap(
        rewritten, width, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def _build_code(content: str, target: TargetCoordinates) -> list[str]:
    export = _EXPORT.match(content)
    if export:
        value = f"={export['quote']}...{export['quote']}"
        after = _build_trailing(export["after"], target) if export["after"].strip() else ""
        return [f"{export['before']}{ACCESS_KEY}{value}{after}", f"{export['before']}{SECRET_KEY}{value}"]
    init = _INIT.match(content)
    if init and _HTTP_FLAG.search(init["rest"]):
        if init["rest"].rstrip().endswith("\\"):
            raise CannotReplaceError("a command in a comment that goes on over lines")
        rest = _FLAG.sub("", init["rest"]).replace("-reconfigure", "").rstrip()
        after = "  " + _build_trailing(init["after"], target).strip() if init["after"] else ""
        return [f'{init["before"]} -reconfigure -backend-config="{_flag_value(target)}"{rest}{after}']
    return [_build_trailing(content, target)]


def _build_trailing(content: str, target: TargetCoordinates) -> str:
    """Return a line of code with the comment behind it made to name the target."""
    found = _TRAILING.match(content)
    comment = build_text(found["comment"], target) if found else None
    if found is None or comment is None or names_source(found["code"]):
        raise CannotReplaceError("a line of code in a comment that no rule knows")
    return found["code"] + found["gap"] + comment


def _flag_value(target: TargetCoordinates) -> str:
    if target.style == "partial":
        return "<state>.s3.tfbackend"
    return "key=" + build_key(target, "<state>", stack="<stack>", environment="<environment>")
