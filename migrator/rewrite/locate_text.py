"""Locate what names the source in any text, whatever its format: the net below the other locators.

Comments that say with certainty where state lives can be rewritten (``#`` and ``//`` mean comment in every format that
comes here); addresses and TF_HTTP_* anywhere else are reported, never changed: nothing here knows the language.
"""

import re
from collections.abc import Iterable, Iterator

from migrator.rewrite.address import read_address
from migrator.rewrite.claims import comment_groups, names_source
from migrator.rewrite.http_arguments import HTTP_ARGUMENTS
from migrator.rewrite.locate_comments import locate_comment
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span

_MARKS = re.compile(r"TF_HTTP_|/terraform/state\b|gitlab|http[ -]backend|backend[ -]\"http", re.IGNORECASE)
_PARAGRAPH = re.compile(r"[^\s][^\n]*(?:\n[^\S\n]*[^\s][^\n]*)*")
_LINE = re.compile(r"[^\s][^\n]*")
# Flags whose names belong to no other backend, or (address) always stand beside such.
_FLAG = rf"-backend-config[= ][\"']?(?:{'|'.join(sorted(HTTP_ARGUMENTS - {'headers', 'username', 'password'}))})="
_TRACE = re.compile(rf"TF_HTTP_\w*|/terraform/state(?:/|\b)|\bbackend\s+\\?\"http\\?\"|{_FLAG}")
_ADDRESS = re.compile(r"/terraform/state\b.*")
_END_OF_ADDRESS = re.compile(r"[\s\"'`)\],;]|\.(?:\s|$)")


def locate_text(text: str) -> tuple[Located, ...]:
    """Return the references in a text of unknown format, in order of position. Never raises."""
    if not _MARKS.search(text):
        return ()
    groups = [group for mark in ("#", "//") for group in comment_groups(text, mark)]
    found = [located for group in groups for located in locate_comment(text, group, language="yaml")]
    found += _locate_prose(text, found)
    found = list(settle(found))
    return settle([*found, *locate_traces(text, found)])


def _locate_prose(text: str, found: list[Located]) -> list[Located]:
    """Return a report for each paragraph outside of comments that says where state lives, as in ``.rst`` or a string."""
    reports: list[Located] = []
    reason = "says that state is in GitLab; no rule knows this format"
    for paragraph in _PARAGRAPH.finditer(text):
        span = Span(*paragraph.span())
        if not names_source(paragraph.group()):
            continue
        if _TRACE.search(paragraph.group()) or any(_overlap(span, one.span) for one in found):
            # A line with an address or TF_HTTP_* is reported by itself; claims stand on the others.
            lines = [
                Span(span.start + one.start(), span.start + one.end()) for one in _LINE.finditer(paragraph.group())
            ]
            spans = [one for one in lines if names_source(one.of(text)) and not _TRACE.search(one.of(text))]
        else:
            spans = [span]
        free = [one for one in spans if not any(_overlap(one, other.span) for other in found)]
        reports += [_located(ReferenceKind.PROSE, one, Disposition.REPORT, reason) for one in free]
    return reports


def locate_traces(text: str, found: Iterable[Located]) -> Iterator[Located]:
    """Yield a report for each line with a trace of the source that no reference in ``found`` covers."""
    spans = sorted(one.span for one in found)
    last_line = -1
    for trace in _TRACE.finditer(text):
        if any(span.start <= trace.start() < span.end for span in spans):
            continue
        line = text.rfind("\n", 0, trace.start()) + 1
        if line == last_line:
            continue
        last_line = line
        yield _report_trace(text, trace, spans)


def settle(found: Iterable[Located]) -> tuple[Located, ...]:
    """Return references in order without overlaps: what is rewritten wins, then what came first, then what is longer."""
    accepted: list[Located] = []

    def rank(one: Located) -> tuple[bool, int, int]:
        return one.disposition is not Disposition.REWRITE, one.span.start, -one.span.end

    for one in sorted(found, key=rank):
        if not any(_overlap(one.span, other.span) for other in accepted):
            accepted.append(one)
    return tuple(sorted(accepted, key=lambda one: one.span))


def _overlap(one: Span, other: Span) -> bool:
    if one.start == other.start:
        return True
    return one.start < other.end and other.start < one.end


def _report_trace(text: str, trace: re.Match[str], spans: list[Span]) -> Located:
    # From the first trace to the end of its line, or to the next reference on it.
    end = text.find("\n", trace.start())
    end = len(text) if end < 0 else end
    end = min([span.start for span in spans if span.start > trace.start()] + [end])
    line = text[trace.start() : end].rstrip()
    span = Span(trace.start(), trace.start() + max(len(line), 1))
    if trace.group().startswith("TF_HTTP_"):
        reason = f"{trace.group()} configures the http backend; no rule knows this place"
        return _located(ReferenceKind.ENVIRONMENT_READ, span, Disposition.REPORT, reason)
    if trace.group().startswith("-backend-config"):
        reason = "a flag of the http backend, with which an init of the s3 backend stops; no rule can change it here"
        return _located(ReferenceKind.INIT_FLAGS, span, Disposition.REPORT, reason, state=_read_state(text, span))
    if not trace.group().startswith("/terraform"):
        reason = "a backend block of the http type; no rule knows this place"
        return _located(ReferenceKind.BACKEND_BLOCK, span, Disposition.REPORT, reason)
    reason = "an address of GitLab's state API; no rule knows this place"
    return _located(ReferenceKind.STATE_URL, span, Disposition.REPORT, reason, state=_read_state(text, span))


def _read_state(text: str, span: Span) -> str | None:
    address = _ADDRESS.search(span.of(text))
    return read_address(_END_OF_ADDRESS.split(address.group(), maxsplit=1)[0]).state if address else None


def _located(
    kind: ReferenceKind, span: Span, disposition: Disposition, reason: str, *, state: str | None = None
) -> Located:
    return Located(
        kind=kind, span=span, disposition=disposition, reason=reason, state=state, detail={"language": "yaml"}
    )
