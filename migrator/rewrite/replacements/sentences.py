"""Whole sentences of documents that are known: each pattern must match all of a sentence, or it says nothing.

What phrases alone cannot do without lying (a block that is no longer empty, a token that becomes a pair of keys) stands
here, as data. ``{keys}``, ``{bucket}`` and ``{style}`` are filled in; groups of the pattern keep the author's words.
"""

import re

from migrator.rewrite.reference import TargetCoordinates
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY

_KEYS = f"`{ACCESS_KEY}` and `{SECRET_KEY}`"
_ACCESS = r"(?:(?:GitLab|personal|project|group)\s+)*access\s+token(?:\s+\(PAT\))?"
_SCOPE = r"(?:\s+with\s+the\s+`?api`?\s+scope)?"
_HELD_IN = r"`?TF_HTTP_PASSWORD`?"
_SENTENCES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        (
            r"The (?:`?backend`? )?blocks? (?:of|in) (?P<whose>[^,;:]+?) (?:is|are) empty\b[^.;]*\b(?:init|environment)\b[^.;]*(?P<end>[.:])",
            "The backend block of {whose} {style}, so an access key in {keys} is all that is needed{end}",
        ),
        (
            rf"Create an? {_ACCESS}{_SCOPE}(?: in GitLab)?(?: for (?:the )?state(?: backend)?)?(?P<end>[.:])",
            "Create an access key for the state bucket {bucket}{end}",
        ),
        (
            rf"The {_ACCESS} in {_HELD_IN} (?P<what>is (?:only )?used for the state(?: only)?)(?P<end>[.:])",
            "The access key in {keys} {what}{end}",
        ),
        (
            (
                r"Variables that (?:start|begin) with `?TF_HTTP_\*?`? are read by (?P<who>OpenTofu|Terraform)(?P<itself> itself)?"
                r"(?:; see the (?P<see>description|documentation) of the HTTP backend)?(?P<end>[.:])"
            ),
            "{keys} are read by {who}{itself}, for its s3 backend{end}",
        ),
        (
            rf"(?:Export|Set|Put|Store) (?:an?|your|the) {_ACCESS}{_SCOPE} (?:as|in|to) {_HELD_IN}(?P<where>(?: in [^,;:.]+)?)(?P<end>[.:])",
            "Set {keys} to an access key of the state bucket {bucket}{where}{end}",
        ),
    )
)


def find_sentence(sentence: str, target: TargetCoordinates) -> str | None:
    """Return what a known sentence becomes, None for any other sentence."""
    for pattern, text in _SENTENCES:
        found = pattern.fullmatch(sentence)
        if found:
            style = "names the bucket; the key is given at init" if target.style == "inline" else "is filled at init"
            words = {name: value or "" for name, value in found.groupdict().items()}
            return text.format(keys=_KEYS, bucket=target.bucket, style=style, **words)
    return None
