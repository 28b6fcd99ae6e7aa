"""Comment blocks: the layout stays (marks, indentation, lists, rulers, blank lines), the claims change.

A block is cut into paragraphs; a paragraph that is not about the source is copied byte for byte, one that is gets its
sentences from ``claims`` and is wrapped again to the width of the block. Lines of code in a comment stand alone.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from migrator.rewrite.claims import accompanies_source, names_source
from migrator.rewrite.reference import TargetCoordinates
from migrator.rewrite.replacements.claims import build_text
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY, CannotReplaceError, build_key

_LINE = re.compile(r"^(?P<lead>[ \t]*(?:/\*+|#+|//+|\*(?!/))?)(?P<gap>[ \t]*)(?P<content>.*?)(?P<end>[ \t]*\r?)$")
_ITEM = re.compile(r"^(?P<mark>(?:\d+[.)]|[-*•])\s+)")
_CODE = re.compile(r"^(?:\$ |export |tofu |terraform |just |curl |glab |make |TF_HTTP_\w+(?:=|  |$)|-backend-config)")
_EXPORT = re.compile(
    r"^(?P<before>(?:\$ )?(?:export )?)TF_HTTP_PASSWORD=(?P<quote>['\"]?)[^'\"\s]*['\"]?(?P<after>.*)$"
)
_INIT = re.compile(r"^(?P<before>.*?\binit\b)(?P<rest>.*)$")
_FLAG = re.compile(r"\s*-backend-config[= ]\s*(?:\"[^\"]*\"|'[^']*'|[^\s\\]+)")


@dataclass(frozen=True, slots=True)
class _Line:
    lead: str
    gap: str
    content: str


def build_comment(text: str, target: TargetCoordinates, *, column: int = 0) -> str:
    """Return a comment block made to name the target; ``column`` is where its first line starts.

    Raises: CannotReplaceError when a claim about the source would be left.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [_read_line(line) for line in text.split("\n")]
    width = max([len(line.lead + line.gap + line.content) for line in lines] + [72])
    written: list[str] = []
    for paragraph in _paragraphs(lines):
        written += _build_paragraph(paragraph, target, width=width)
    result = newline.join(line.rstrip() for line in written)
    if names_source(result):
        raise CannotReplaceError("the comment says more about the source than any rule knows")
    return result


def _read_line(line: str) -> _Line:
    found = _LINE.match(line)
    assert found is not None  # the pattern matches any line
    return _Line(found["lead"], found["gap"], found["content"])


def _paragraphs(lines: list[_Line]) -> Iterator[list[_Line]]:
    """Yield runs of lines that belong together: prose of one indentation; anything else alone."""
    current: list[_Line] = []
    for line in lines:
        alone = not re.search(r"\w", line.content) or _CODE.match(line.content) is not None
        item = _ITEM.match(line.content)
        hanging = len(current[0].gap) + len(_item_mark(current[0])) if current else 0
        follows = bool(current) and len(line.gap) in {hanging, len(current[-1].gap) if len(current) > 1 else hanging}
        if current and (alone or item or not follows):
            yield current
            current = []
        if alone:
            yield [line]
        else:
            current.append(line)
    if current:
        yield current


def _item_mark(line: _Line) -> str:
    found = _ITEM.match(line.content)
    return found["mark"] if found else ""


def _build_paragraph(lines: list[_Line], target: TargetCoordinates, *, width: int) -> list[str]:
    text = " ".join(line.content for line in lines)
    unchanged = [line.lead + line.gap + line.content for line in lines]
    if _CODE.match(lines[0].content):
        return [lines[0].lead + lines[0].gap + content for content in _build_code(lines[0].content, target)]
    if not accompanies_source(text) or not text.strip():
        return unchanged
    mark = _item_mark(lines[0])
    rewritten = build_text(text[len(mark) :], target)
    if rewritten == text[len(mark) :]:
        return unchanged
    first = lines[0].lead + lines[0].gap + mark
    later = (lines[1].lead + lines[1].gap) if len(lines) > 1 else lines[0].lead + lines[0].gap + " " * len(mark)
    if len(lines) == 1 and len(first + rewritten) <= 120:
        return [first + rewritten]
    return textwrap.wrap(
        rewritten, width, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def _build_code(content: str, target: TargetCoordinates) -> list[str]:
    export = _EXPORT.match(content)
    if export:
        after = build_text(export["after"], target)
        value = f"={export['quote']}...{export['quote']}"
        return [f"{export['before']}{ACCESS_KEY}{value}{after}", f"{export['before']}{SECRET_KEY}{value}"]
    if re.match(r"^(?:\$ )?(?:export )?TF_HTTP_", content) or re.match(r"^-backend-config", content):
        return []
    init = _INIT.match(content)
    if init and "-backend-config" in init["rest"] and names_source(content):
        rest = _FLAG.sub("", init["rest"]).replace("-reconfigure", "").rstrip("\\ ")
        return [f'{init["before"]} -reconfigure -backend-config="{_flag_value(target)}"{rest.rstrip()}']
    return [build_text(content, target)]


def _flag_value(target: TargetCoordinates) -> str:
    if target.style == "partial":
        return "<state>.s3.tfbackend"
    return "key=" + build_key(target, "<state>", stack="<stack>", environment="<environment>")
