"""Locate what comments of any language say about the source: one reference for each paragraph.

A paragraph is rewritten when ``replacements.comments`` knows all that it says, otherwise reported, with a sentence to
start from where there is a correct one. What stands beside a claim and is about the source too is never passed over.
"""

import re
from collections.abc import Iterator, Mapping

from migrator.rewrite.claims import accompanies_source, may_be_meant, may_name_source, names_source
from migrator.rewrite.reference import Disposition, Located, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements.claims import build_proposal, build_sentence, split_sentences
from migrator.rewrite.replacements.comments import Paragraph, build_comment, read_paragraphs, width_of
from migrator.rewrite.replacements.wording import CannotReplaceError
from migrator.rewrite.spans import Span

# Where the words of a rewritten sentence do not depend on the target, any target tells whether it can be rewritten.
ANY_TARGET = TargetCoordinates(
    endpoint="ENDPOINT", bucket="BUCKET", region="REGION", key="{state}", path_style=True, style="inline"
)
_BACKEND_FILE = re.compile(r"-backend-config[= ][\"']?[\w./<>{}$-]+\.(?:hcl|conf|tfbackend|config|tfvars)\b")
_NOTHING: Mapping[str, str] = {}


def locate_comment(text: str, group: Span, *, language: str) -> Iterator[Located]:
    """Yield the paragraphs of the comment at ``group`` that are about the source, or may be.

    ``detail``: ``language``, and ``width``, the columns of the comment. Never raises.
    """
    certain = names_source(group.of(text))
    width = str(width_of(text, group))
    for paragraph in read_paragraphs(text, group):
        disposition, reason = _decide(text, paragraph, certain=certain, width=width)
        if reason:
            yield Located(
                kind=ReferenceKind.BACKEND_COMMENT,
                span=paragraph.span,
                disposition=disposition,
                reason=reason,
                detail={"language": language, "width": width},
            )


def _decide(text: str, paragraph: Paragraph, *, certain: bool, width: str) -> tuple[Disposition, str]:
    said = paragraph.text
    named = names_source(said)
    if paragraph.is_code and certain and _BACKEND_FILE.search(said):
        return Disposition.REPORT, "names a backend file: what it holds has to be settings of the s3 backend"
    if named or (certain and accompanies_source(said)):
        if _can_be_built(text, paragraph, width):
            return Disposition.REWRITE, "a comment that says where state lives or how it is reached"
        if named:
            return Disposition.REPORT, describe_unknown(split_sentences(said), what="comment")
        unknown = any(build_sentence(one, ANY_TARGET) is None for one in split_sentences(said))
        return Disposition.REPORT, "goes with a comment that says that state is in GitLab: read it" if unknown else ""
    if may_name_source(said) or may_be_meant(said):
        return Disposition.REPORT, "a comment that may be about state in GitLab: read it"
    return Disposition.REPORT, ""


def _can_be_built(text: str, paragraph: Paragraph, width: str) -> bool:
    located = Located(
        kind=ReferenceKind.BACKEND_COMMENT,
        span=paragraph.span,
        disposition=Disposition.REWRITE,
        reason="",
        detail={"width": width},
    )
    try:
        return build_comment(located, text, ANY_TARGET) != paragraph.span.of(text)
    except CannotReplaceError:
        return False


def describe_unknown(sentences: list[str], *, what: str, tick: str = "") -> str:
    """Return the reason for a report on sentences that no rule knows, with a proposal where one is correct."""
    for sentence in sentences:
        if build_sentence(sentence, ANY_TARGET, tick=tick) is None:
            proposal = build_proposal(sentence, ANY_TARGET, tick=tick)
            said = f"a {what} says that state is in GitLab, in words that no rule knows"
            return f'{said}; proposal: "{proposal.replace("BUCKET", "<bucket>")}"' if proposal else f"{said}: read it"
    return f"a {what} that says that state is in GitLab: read it"
