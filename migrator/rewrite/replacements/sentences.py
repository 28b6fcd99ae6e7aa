"""Whole sentences that are known: each pattern must match all of a sentence, or it says nothing.

What phrases alone cannot do without lying (a block that is no longer empty, a token that becomes a pair of keys) stands
here, as data. ``{keys}``, ``{bucket}``, ``{endpoint}``, ``{rest}`` and the like are filled in; groups of a pattern keep
the author's words.
"""

import re

from migrator.rewrite.reference import TargetCoordinates
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY

_ACCESS = r"(?:(?:GitLab|personal|project|group)\s+)*access\s+token(?:\s+\(PAT\))?"
_SCOPE = r"(?:\s+with\s+the\s+`?api`?\s+scope)?"
_HELD_IN = r"`?TF_HTTP_PASSWORD`?"
_END = r"(?P<end>[.:]?)"
_SENTENCES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        (
            r"The (?:`?backend`? )?blocks? (?:of|in) (?P<whose>[^,;:]+?) (?:is|are) empty\b[^.;]*\b(?:init|environment)\b[^.;]*(?P<end>[.:])",
            "The backend block of {whose} {style}, so an access key in {keys} is all that is needed{end}",
        ),
        (
            r"The block (?P<where>below|here) is empty(?: on purpose)?: what it needs is given from outside(?P<how>[^.:;]*)"
            + _END,
            "The block {where} {shared}; {rest} given from outside{how}{end}",
        ),
        (
            rf"Create an? {_ACCESS}{_SCOPE}(?: in GitLab)?(?: for (?:the )?state(?: backend)?)?(?P<end>[.:])",
            "Create an access key for the state bucket {bucket}{end}",
        ),
        (
            rf"Create (?P<what>it|one) (?:at|on|under) \S*/personal_access_tokens{_END}",
            "Create {what} in the object store at {endpoint}, for the bucket {bucket}{end}",
        ),
        (r"\S*/personal_access_tokens", "in the object store at {endpoint}, for the bucket {bucket}"),
        (
            rf"The (?:access )?token (?:needs|must have) the `?api`? scope(?:; (?:the|its) account needs the Maintainer role)?{_END}",
            "The access key needs the right to list, read, write and delete objects in the bucket {bucket}{end}",
        ),
        (
            r"(?P<who>[^.;:]+?) builds the address(?: of the state)? from [`\w]*(?:GITLAB|CI)_\w+[^.;:]*?" + _END,
            "{who} gives {given}; {elsewhere}{end}",
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
        (
            r"(?P<what>[^.;:]*\bstates?\b[^.;:]*?) (?P<is>is|are) (?P<kept>kept|stored|held) in GitLab(?: itself)? and (?:is|are) reached with "
            r"the job token: no S3 variables are required for it, and no token has to be stored" + _END,
            "{what} {is} {kept} in S3 and {is} reached with {keys}, which have to be stored as masked CI/CD variables{end}",
        ),
        (
            r"(?P<what>[^.;:]+); everything else follows from predefined CI variables, and the job token is the password"
            + _END,
            "{what}; {elsewhere}, and {keys} are masked CI/CD variables{end}",
        ),
        (
            r"The address is built from the project that runs the job, so the same template serves forks" + _END,
            "The key does not name the project that runs the job, so a fork needs a key of its own{end}",
        ),
        (
            rf"(?P<label>Auth|Authentication|Credentials): `?CI_JOB_TOKEN`? in (?P<ci>pipelines|CI|jobs), an? {_ACCESS} in {_HELD_IN} "
            r"(?P<local>on a workstation|on workstations|locally)" + _END,
            "{label}: {keys}, in {ci} and {local}{end}",
        ),
        (
            r"(?P<label>(?:[\w/]+: )?)(?:TF_HTTP_\* (?:environment )?variables )?The job template (?P<job>\S+) sets TF_HTTP_ADDRESS and its companions from (?:CI_\w+(?:, | and )?)+, so that a "
            r'plain "(?P<init>(?:tofu|terraform) init)" is enough' + _END,
            '{label}jobs that extend {job} give {given} to "{init}"; {keys} are masked CI/CD variables{end}',
        ),
    )
)


def find_sentence(sentence: str, target: TargetCoordinates, *, tick: str) -> str | None:
    """Return what a known sentence becomes, None for any other sentence; ``tick`` is the mark around names of code."""
    for pattern, text in _SENTENCES:
        found = pattern.fullmatch(sentence)
        if found:
            words = {name: value or "" for name, value in found.groupdict().items()}
            result = text.format(**_terms(target, tick), **words)
            return result[:1].upper() + result[1:] if sentence[:1].isupper() else result
    return None


def _terms(target: TargetCoordinates, tick: str) -> dict[str, str]:
    terms = {
        "keys": f"{tick}{ACCESS_KEY}{tick} and {tick}{SECRET_KEY}{tick}",
        "bucket": target.bucket,
        "endpoint": target.endpoint,
    }
    if target.style == "inline":
        return terms | {
            "style": "names the bucket; the key is given at init",
            "shared": "holds what every environment shares",
            "rest": "the key and the credentials are",
            "given": "the key of the state",
            "elsewhere": "bucket, region and endpoint stand in the backend block",
        }
    return terms | {
        "style": "is filled at init",
        "shared": "is empty on purpose",
        "rest": "what it needs is",
        "given": "the backend file of the state",
        "elsewhere": "bucket, key, region and endpoint stand in <state>.s3.tfbackend",
    }
