"""The sentences of comments, messages and documents: from state in GitLab to state in the target.

A sentence is known as a whole (``sentences``), or changed by phrases so that the author's words survive. Either the
result says everything that is still true, in grammatical words, and nothing about the source, or there is no result:
then a person writes the sentence. No fact is ever dropped for a standard one.
"""

import re

from migrator.rewrite.claims import names_source
from migrator.rewrite.reference import TargetCoordinates
from migrator.rewrite.replacements.sentences import find_sentence
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY

_BOTH = f"{ACCESS_KEY} and {SECRET_KEY}"
_EITHER = f"{ACCESS_KEY} or {SECRET_KEY}"
_PRODUCT = r"(?:OpenTofu|Terraform|tofu)"
_BEARER = r"(?:(?:GitLab|personal|project|group|access|API)\s+)*(?:token(?:\s+\(PAT\))?|PAT\b)"
_SCOPE = r"(?:\s+(?:with|that has)\s+(?:the\s+)?[`'\"]?api[`'\"]?\s+scope)?"
_PASSWORD = r"\bTF_HTTP_PASSWORD(?P<q>['\"`]?)"  # noqa: S105 - a pattern
# What a preposition leads in is no subject: "the value of X is".
_SUBJECT = r"(?<!of )(?<!for )(?<!with )(?<!in )(?<!from )(?<!to )"
_PLURALS = {
    "is": "are", "was": "were", "has": "have", "needs": "need", "holds": "hold", "contains": "contain",
    "comes": "come", "gives": "give", "goes": "go", "stays": "stay", "belongs": "belong", "does": "do",
}  # fmt: skip

# Order matters: longer phrases stand before the words that they contain.
_PHRASES: tuple[tuple[str, str], ...] = (
    (
        r"(?P<q>[`'\"]?)\bTF_HTTP_USERNAME(?P=q)\s*(?:,|and|or|/|&)\s*(?P=q)TF_HTTP_PASSWORD\b(?P=q)",
        rf"\g<q>{ACCESS_KEY}\g<q> and \g<q>{SECRET_KEY}\g<q>",
    ),
    (
        rf"{_PASSWORD}\s+(should|must)\s+be\s+(?:an?|your|the)\s+{_BEARER}{_SCOPE}",
        rf"{_BOTH}\g<q> \2 be those of an S3 access key",
    ),
    (rf"\(\s*(?:an?\s+)?(?:GitLab\s+)?(?:{_BEARER}|PAT){_SCOPE}\s*\)", "(an S3 access key)"),
    (rf"{_PASSWORD}\s+to\s+(?:an?|your|the)\s+{_BEARER}{_SCOPE}", rf"{_BOTH}\g<q> to an S3 access key"),
    (rf"\b(?:an?|your|the)\s+{_BEARER}{_SCOPE}\s+(?:in|as|from)\s+TF_HTTP_PASSWORD\b", _BOTH),
    (rf"{_PASSWORD}\s+is\s+(not\s+set|unset|not\s+defined|missing|empty)", rf"{_EITHER}\g<q> is \2"),
    (rf"\bneither\s+{_PASSWORD[2:]}\s+nor\b", f"neither {ACCESS_KEY} nor {SECRET_KEY}\\g<q> nor"),
    (rf"\bno\s+{_PASSWORD[2:]}", rf"no {_EITHER}\g<q>"),
    (r"\b(?:an?|the)\s+TF_HTTP_PASSWORD\b(?!\s+(?:environment\s+)?variable)", _BOTH),
    (rf"{_PASSWORD}(\s+(?:environment\s+)?variable)\s+is\b", rf"{_BOTH}\g<q>\2s are"),
    (rf"{_PASSWORD}(\s+(?:environment\s+)?variable)\b(?!s)", rf"{_BOTH}\g<q>\2s"),
    *((rf"{_SUBJECT}{_PASSWORD}(\s+)(?:{one})\b", rf"{_BOTH}\g<q>\2{many}") for one, many in _PLURALS.items()),
    (r"\bthe\s+password\s+comes\s+from\s+TF_HTTP_PASSWORD\b", f"the credentials come from {_BOTH}"),
    (r"\bTF_HTTP_PASSWORD\b", _BOTH),
    (r"\ban?\s+(?:GitLab\s+)?PAT\b" + _SCOPE, "an S3 access key"),
    (r"\ban?\s+" + _BEARER + r"\s+(?:with|that has)\s+(?:the\s+)?[`'\"]?api[`'\"]?\s+scope", "an S3 access key"),
    (r"\ban?\s+(?:GitLab\s+)?(?:personal|project|group)\s+access\s+token" + _SCOPE, "an S3 access key"),
    (r"\bGitLab\s+" + _BEARER + r"(\s+for\s+)", r"S3 access key\1"),
    (r"\ba\s+GitLab[- ]managed\b", "an S3-hosted"),
    (rf"\bGitLab[- ]managed\s+((?:{_PRODUCT}\s+)?(?:remote\s+)?states?)\b(?!\s+(?:backend|storage|file))", r"\1 in S3"),
    (r"(\bstate:\s+)GitLab[- ]managed\b", r"\1in S3"),
    (r"\bGitLab[- ]managed\b", "S3-hosted"),
    (rf"\bGitLab(?:'s)?\s+(?:managed\s+)?(?:{_PRODUCT}\s+)?state\s+storage\b", "the S3 bucket {bucket}"),
    (rf"\bin\s+GitLab's\s+managed\s+(?:{_PRODUCT}\s+)?state\b(?!\s+\w)", "in S3"),
    (
        rf"\b(?:the\s+)?GitLab's\s+HTTP\s+(?:{_PRODUCT}\s+|remote\s+|state\s+)*backend\b",
        "the s3 backend",
    ),
    (
        rf"\b(?:GitLab\s+)?HTTP\s+(?:{_PRODUCT}\s+|remote\s+|state\s+)*backend\b(?:\s+(?:in|of)\s+GitLab)?",
        "s3 backend",
    ),
    (r"\bbackend\s+\"http\"", 'backend "s3"'),
    (r"\bmanaged\s+by\s+GitLab\b", "kept in S3"),
    (
        r"\b(in|to|on|from|by|with|at|against)\s+GitLab(?:\s+itself)?\b(?!'s|\s+(?:CI|[Rr]unner|[Gg]roup|[Pp]ipeline|[Jj]ob))",
        r"\1 S3",
    ),
    (r"\baddress, locking and credentials are given\b", "key and credentials are given"),
    (r"\baddress of the state\b", "key of the state"),
    (r"\bGitLab's\s+((?:managed\s+)?(?:state|backend))", r"the S3 \1"),
    (
        r"\bGitLab((?:\s+(?:OpenTofu|Terraform|remote))*\s+(?:state|backend))\b(?!\s+(?:names?|API|versions?|pages?|UI|URLs?|address|endpoints?|service|server|team)\b)",
        r"S3\1",
    ),
    (r"\bGitLab(\s+(?:will|would|can|cannot|refuses|answers|rejects|stores|keeps|holds|manages))\b", r"S3\1"),
    (r"\bS3(\s+(?:will|would))\s+answer\s+40[13]\b", r"S3\1 refuse the request"),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), text) for pattern, text in _PHRASES)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z0-9\"'`({<])")
# What a sentence about the target may not say any more, and words that only make sense for one variable.
_LEFT = re.compile(
    r"TF_HTTP|(?<![-\w])GitLab(?![-\w])(?!\s+(?:CI|[Rr]unners?|[Pp]ipelines?|[Jj]obs?)\b)|\btokens?\b|\bPATs?\b|\bCI_[A-Z]\w+|GITLAB_|glpat-|\bS3's\b"
    r"|\b(?:Maintainer|Developer|Owner)\b|\b(?:Operate|Infrastructure|Settings)\b\W*>|\bTerraform states\b"
    r"|\bproject(?:'s)?\s+(?:id|ID|permissions?)\b|`?\bapi`?\s+scope|\baddress(?:es)?\b|\b(?:POST|DELETE)\b|\blegacy\b"
    rf"|{SECRET_KEY}[`'\"]?,?\s+(?:which|that|it|holds?\s+(?:a|the)\s+password)\b|\bboth\s+{ACCESS_KEY}|{ACCESS_KEY}[`'\"]?\s+itself"
    rf"|\b(?:the|a|one|each|every|this)\s+(?:\w+\s+)?[`'\"]?{ACCESS_KEY}\b(?![^.;:]*\bvariables\b)"
    rf"|\b(?:two|three|four|five|six|seven|eight|nine|ten|\d+|all|some|most|these|those|other)\s+(?:\w+\s+)?[`'\"]?{ACCESS_KEY}",
    re.IGNORECASE,
)
# Sentences that say why, compare or deny are a person's to rewrite: a phrase in them may turn them into a lie.
_ARGUES = re.compile(
    r"\bwhy\b|\bbecause\b|\bunlike\b|\binstead\b|\bno longer\b|\bnot\b|\bnever\b|\bno\s+\w+|\bS3\b|n't\b|\bforks?\b|\brather\b|\bonly\b",
    re.IGNORECASE,
)
# What was, what is shown somewhere, and properties of a store: true of one, and nobody here knows of the other.
_SOURCE_ONLY = re.compile(
    r"\b(?:moved|migrat\w+|since|was|were|previously|formerly|used\s+to)\b|\bin\s+(?:19|20)\d\d\b"
    r"|\blog\s?in\b|\bsign\s?in\b|\bUI\b|\bpages?\b|\bclick\b|\bpartial\b|TF_HTTP_PASSWORD=|\bblock\b[^.;]*\bempty\b|"
    r"\bencrypt|\bversion(?:s|ed|ing)?\b|\bbuilt[- ]in\b|\bfree\b|\bback(?:ed\s+)?ups?\b|\baudit|\bhistory\b|\bisolat"
    r"|\brecommend|\bS3\b|\block(?:s|ed)\s+(?:by|in)\b|\bper(?:mission|\s+project)|\brotat|\bexpire",
    re.IGNORECASE,
)
# Words of other languages: phrases in them would be half translated.
_FOREIGN = re.compile(
    r"[^\W\d_a-zA-Z]|\b(?:der|das|und|ist|sind|wird|werden|mit|auf|nicht|ein|eine|einen|im|le|les|est|sont|dans|pour|avec"
    r"|une|el|los|las|para|con|della|sono|het|een|wordt|voor|som|och|nie|jest|liegt)\b",
    re.IGNORECASE,
)
# Denials that stay true of the pair of keys.
_UNSET = re.compile(
    r"TF_HTTP_PASSWORD['\"`]?\s+is\s+(?:not\s+set|unset|not\s+defined|missing|empty)|\bneither\s+TF_HTTP_PASSWORD\s+nor\b"
    r"|\bwithout\s+TF_HTTP_PASSWORD\b[^.;]*?\bonly\b"
)
# The variables of the http backend are credentials only where the sentence says so.
_CREDENTIALS = re.compile(r"\bTF_HTTP_\*")
_SECRET = re.compile(r"\b(?:secrets?|credentials?|passwords?)\b", re.IGNORECASE)
_UNTIL = re.compile(r"\b(will fail|fails) until it is\b")


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a paragraph of one line."""
    return _SENTENCE_END.split(text)


def build_sentence(sentence: str, target: TargetCoordinates, *, tick: str = "") -> str | None:
    """Return a sentence made to name the target, None when that is not certain to be true and complete.

    ``tick`` is the mark around names of code. A sentence in which no phrase is known comes back unchanged when it says
    nothing about the source.
    """
    known = find_sentence(sentence, target, tick=tick)
    if known is not None:
        return known
    if _FOREIGN.search(sentence):
        return None if names_source(sentence) or _LEFT.search(sentence) else sentence
    settled = _UNSET.sub("", sentence)
    rewritten = replace_phrases(sentence, target, tick=tick)
    if rewritten == sentence:
        return None if names_source(sentence) or _LEFT.search(sentence) else sentence
    if _ARGUES.search(settled) or _SOURCE_ONLY.search(sentence):
        return None
    return None if names_source(rewritten) or _LEFT.search(rewritten) else rewritten


def build_proposal(sentence: str, target: TargetCoordinates, *, tick: str = "") -> str | None:
    """Return a sentence for a person to judge: it is grammatical and free of the source, but denies or compares.

    None when no such sentence can be had from the author's words.
    """
    rewritten = replace_phrases(sentence, target, tick=tick)
    doubtful = (
        rewritten == sentence
        or _FOREIGN.search(sentence)
        or _SOURCE_ONLY.search(sentence)
        or names_source(rewritten)
        or _LEFT.search(rewritten)
    )
    return None if doubtful else rewritten


def build_text(text: str, target: TargetCoordinates) -> str | None:
    """Return a paragraph of one or more sentences made to name the target, None when one of them cannot be."""
    built = [build_sentence(sentence, target) for sentence in split_sentences(text)]
    certain = [sentence for sentence in built if sentence is not None]
    return " ".join(certain) if len(certain) == len(built) else None


def replace_phrases(text: str, target: TargetCoordinates, *, tick: str = "") -> str:
    """Return ``text`` with every known phrase about the source replaced, and nothing else."""
    changed = _CREDENTIALS.sub(_BOTH, text) if _SECRET.search(text) else text
    for pattern, replacement in _COMPILED:
        changed = pattern.sub(replacement.replace("{bucket}", target.bucket), changed)
    if changed == text:
        return text
    if SECRET_KEY in changed:
        changed = _UNTIL.sub(r"\1 until both are", changed)
    if tick:
        changed = re.sub(
            rf"{tick}({ACCESS_KEY}) (and|or|nor) ({SECRET_KEY}){tick}", rf"{tick}\1{tick} \2 {tick}\3{tick}", changed
        )
    return re.sub(r"\b([Aa]) S3\b", r"\1n S3", changed)
