"""Which words say that state lives in GitLab: the recognition that comments and messages of every language share.

Two grades. ``names_source``: certain, and therefore rewritten. ``may_name_source``: GitLab and state stand side by side
in words that no rule knows; reported. What ``replacements.claims`` writes never satisfies the first.
"""

import re

from migrator.rewrite.spans import Span

_VARIABLE = r"\bTF_HTTP_"
_PRODUCT = r"(?:OpenTofu|Terraform|tofu)"
_CERTAIN = re.compile(
    rf"""
      {_VARIABLE}
    | GitLab[- ]managed
    | GitLab(?:'s)?\s+(?:managed\s+)?(?:HTTP\s+|{_PRODUCT}\s+|remote\s+)*(?:state|backend)\b
    | \bbackend\s+"http"
    | \bstates?\b[^.;:\n]{{0,60}}?\b(?:in|to|on|from|by|with|at|against)\s+GitLab\b(?!\s+(?:CI|[Rr]unner|[Gg]roup|[Pp]ipeline|[Jj]ob))
    | \b(?:initiali[sz]\w+|init)\b[^.;:\n]{{0,60}}?\b(?:against|with|from)\s+GitLab\b
    | GitLab\s+(?:[Cc]ontainer\s+)?(?:stores|keeps|holds|manages)\s+(?:the\s+)?(?:{_PRODUCT}\s+)?state
    | /terraform/state/
    | -backend-config=?[ "']*(?:address|lock_address|unlock_address|lock_method|unlock_method|username|password)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_STATE_WORD = (
    r"(?:\bstates?\b(?!\s+of\s+the\s+art)|\btfstates?\b|\b(?:terraform|opentofu|tofu|remote)[- ](?:state|backend)s?\b"
    r"|\bzust(?:and|ände)\w*|\bétats?\b|\bestados?\b|\bstato\b)"
)
_GITLAB = r"GitLab\b(?!\s+(?:CI|runners?|groups?|pipelines?|jobs?|agents?|tokens?|provider)\b)"
_HTTP_BACKEND = re.compile(rf"\bHTTP\s+(?:{_PRODUCT}\s+|remote\s+|state\s+)*backend\b", re.IGNORECASE)
# Other things have an HTTP backend too; where one is named and no state is, it is meant.
_OTHER_SERVICE = re.compile(
    r"\b(?:cach\w+|ingress\w*|prox\w+|load[ -]?balancers?|nginx|haproxy|traefik|envoy|bazel|upstreams?|registr\w+)\b",
    re.IGNORECASE,
)
_STATE = re.compile(_STATE_WORD, re.IGNORECASE)
_POSSIBLE = re.compile(
    rf"{_GITLAB}[^.\n]{{0,80}}?{_STATE_WORD}|{_STATE_WORD}[^.\n]{{0,80}}?{_GITLAB}|CI_JOB_TOKEN[^.\n]{{0,80}}?{_STATE_WORD}"
    rf"|\bbackend:?[^.\n]{{0,20}}?{_GITLAB}",
    re.IGNORECASE,
)
_MEANT = re.compile(
    # Claims without any name of the source, which a change of authority still makes wrong.
    r"\bisolat\w+\b.{0,80}\bstates?\b|\bstates?\b.{0,80}\bisolat|\bproject permissions\b|\bbackend project\b"
    r"|\btoken\b.{0,60}\bstates?\b|\bstates?\b.{0,60}\btoken\b|\bno S3 variables\b|\block (?:and unlock )?address"
    r"|\bstate storage\b|`/lock`|\bgitlab\.[\w.-]+.{0,60}\bstates?\b|\bstates?\b.{0,60}\b(?:with)?in (?:a|the|its) project\b"
    r"|\b(?:its|their|your) own project\b.{0,40}\bstates?\b|\baddress\b.{0,60}\bproject\b.{0,40}\binit"
    r"|\bGitLab project\b.{0,80}\b(?:Maintainer|Developer)\b"
    r"|\bOperate\W{1,6}Terraform|\bInfrastructure\W{1,6}Terraform|\bdocs\.gitlab\.com\S*(?:terraform|opentofu)"
    r"|\b(?:plans?|init|backend|tofu|OpenTofu|Terraform)\b.{0,200}\bGitLab (?:access )?token\b",
    re.IGNORECASE,
)
_NEXT_COMMENT = re.compile(r"\s*\n[ \t]*(?:#+|//+|\*(?!/))[ \t]*")
# Words around a certain claim that are then about the source too; alone they prove nothing.
_ACCOMPANYING = re.compile(
    r"""
      \bCI_JOB_TOKEN\b | \bgitlab-ci-token\b | \bglpat- | \bjob\s+token\b | \bapi`?\s+scope\b
    | \b(?:personal|project|group)[ _]access[ _]token | \baddress\b[^.\n]{0,60}\b(?:GITLAB_|CI_[A-Z]|project\b) | (?<![-\w])GitLab(?![-\w]) | \baddress\s+of\s+the\s+state\b
    | \b(?:settings|values|configuration|arguments)\b[^.\n]*\b(?:environment|command\ line|outside)\b
    | \bblock\b[^.\n]{0,30}\bempty\b | \bempty\b[^.\n]{0,30}\bblock\b
    """,
    re.VERBOSE | re.IGNORECASE,
)


def names_source(text: str) -> bool:
    """Tell whether ``text`` says with certainty that state is in GitLab, or how to reach it there."""
    return _is_certain(_joined(text))


def may_name_source(text: str) -> bool:
    """Tell whether ``text`` may be about state in GitLab; a person has to read it."""
    return _POSSIBLE.search(_joined(text)) is not None


def may_be_meant(text: str) -> bool:
    """Tell whether a sentence may be about the source without naming it; a person has to read it."""
    return _MEANT.search(text) is not None


def accompanies_source(text: str) -> bool:
    """Tell whether ``text``, beside a certain claim, is about the source too."""
    joined = _joined(text)
    return _is_certain(joined) or _ACCOMPANYING.search(joined) is not None


def may_say_anything(text: str) -> bool:
    """Tell at a glance whether any comment or line of ``text`` may be about the source: when not, none has to be read."""
    joined = _NEXT_COMMENT.sub(" ", text).replace("\n", " \N{PILCROW SIGN} ")
    return any(one.search(joined) for one in (_CERTAIN, _HTTP_BACKEND, _POSSIBLE, _MEANT))


def _is_certain(joined: str) -> bool:
    if _CERTAIN.search(joined):
        return True
    return _HTTP_BACKEND.search(joined) is not None and (
        _STATE.search(joined) is not None or _OTHER_SERVICE.search(joined) is None
    )


def _joined(text: str) -> str:
    """Return ``text`` with comment marks and line ends taken out: a claim may be broken over lines."""
    return re.sub(r"\s*\n[ \t]*(?:#+|//+|\*(?!/))?[ \t]*", " ", text)


def comment_groups(text: str, mark: str = "#", *, region: Span | None = None) -> tuple[Span, ...]:
    """Return the groups of adjacent whole-line comments: from the first mark to the end of the last line, no newline."""
    area = region or Span(0, len(text))
    groups: list[Span] = []
    pattern = re.compile(rf"^[ \t]*(?P<comment>{re.escape(mark)}[^\n]*?)[ \t]*\r?$", re.MULTILINE)
    for found in pattern.finditer(text, area.start, area.end):
        start, end = found.span("comment")
        if groups and text.count("\n", groups[-1].end, start) == 1 and not text[groups[-1].end : start].strip():
            groups[-1] = Span(groups[-1].start, end)
        else:
            groups.append(Span(start, end))
    return tuple(groups)
