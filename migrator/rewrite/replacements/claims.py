"""The sentences of comments and messages: from state in GitLab to state in the target.

Phrases are replaced first, so that the author's sentence survives; a sentence that still names the source afterwards is
replaced as a whole by a standard one. The result never satisfies ``claims.names_source``.
"""

import re

from migrator.rewrite.claims import accompanies_source, names_source
from migrator.rewrite.reference import TargetCoordinates
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY

_BOTH = f"{ACCESS_KEY} and {SECRET_KEY}"
_EITHER = f"{ACCESS_KEY} or {SECRET_KEY}"
_PRODUCT = r"(?:OpenTofu|Terraform|tofu)"
_BEARER = r"(?:(?:GitLab|personal|project|group|access|API)\s+)*token(?:\s+\(PAT\))?"
_SCOPE = r"(?:\s+(?:with|that has)\s+(?:the\s+)?[`'\"]?api[`'\"]?\s+scope)?"

# Order matters: longer phrases stand before the words that they contain.
_PHRASES: tuple[tuple[str, str], ...] = (
    (r"\bTF_HTTP_USERNAME\s*(?:,|and|or|/|&)\s*TF_HTTP_PASSWORD\b", _BOTH),
    (r"\bTF_HTTP_PASSWORD\s+to\s+(?:an?|your|the)\s+" + _BEARER + _SCOPE, f"{_BOTH} to an S3 access key"),
    (r"\b(?:an?|your|the)\s+" + _BEARER + _SCOPE + r"\s+(?:in|as|from)\s+TF_HTTP_PASSWORD\b", f"{_BOTH}"),
    (r"\bTF_HTTP_PASSWORD(['\"`]?)\s+is\s+(not\s+set|unset|not\s+defined|missing|empty)", rf"{_EITHER}\1 is \2"),
    (r"\bTF_HTTP_PASSWORD(['\"`]?)\s+is\s+", rf"{_BOTH}\1 are "),
    (r"\bTF_HTTP_PASSWORD(['\"`]?)\s+(needs|has)\s+to\b", rf"{_BOTH}\1 have to"),
    (r"\bTF_HTTP_PASSWORD\b", _BOTH),
    (r"\bTF_HTTP_USERNAME\b", ACCESS_KEY),
    (r"\bTF_HTTP_\*(?:\s+(?:environment\s+)?variables)?", _BOTH),
    (r"\ban?\s+(?:GitLab\s+)?PAT\b" + _SCOPE, "an S3 access key"),
    (r"\ban?\s+" + _BEARER + r"\s+(?:with|that has)\s+(?:the\s+)?[`'\"]?api[`'\"]?\s+scope", "an S3 access key"),
    (r"\ban?\s+(?:GitLab\s+)?(?:personal|project|group)\s+access\s+token" + _SCOPE, "an S3 access key"),
    (r"\bGitLab\s+" + _BEARER + r"(\s+for\s+)", r"S3 access key\1"),
    (r"\ba\s+GitLab[- ]managed\b", "an S3-hosted"),
    (rf"\bGitLab[- ]managed\s+((?:{_PRODUCT}\s+)?(?:remote\s+)?states?)\b(?!\s+(?:backend|storage|file))", r"\1 in S3"),
    (r"(\bstate:\s+)GitLab[- ]managed\b", r"\1in S3"),
    (r"\bGitLab[- ]managed\b", "S3-hosted"),
    (rf"\bGitLab(?:'s)?\s+(?:managed\s+)?(?:{_PRODUCT}\s+)?state\s+storage\b", "the S3 bucket {bucket}"),
    (
        rf"\b(?:GitLab(?:'s)?\s+)?HTTP\s+(?:{_PRODUCT}\s+|remote\s+|state\s+)*backend\b(?:\s+(?:in|of)\s+GitLab)?",
        "s3 backend",
    ),
    (r"\bbackend\s+\"http\"", 'backend "s3"'),
    (r"\bmanaged\s+by\s+GitLab\b", "kept in S3"),
    (
        r"\b(in|to|on|from|by|with|at|against)\s+GitLab(?:\s+itself)?\b(?!\s+(?:CI|[Rr]unner|[Gg]roup|[Pp]ipeline|[Jj]ob))",
        r"\1 S3",
    ),
    (r"\baddress, locking\b", "key"),
    (r"\bGitLab's\s+((?:managed\s+)?(?:state|backend))", r"the S3 \1"),
    (r"\bGitLab((?:\s+(?:OpenTofu|Terraform|remote))*\s+(?:state|backend))\b", r"S3\1"),
    (r"\bGitLab(\s+(?:will|would|can|cannot|refuses|answers|rejects|stores|keeps|holds|manages))\b", r"S3\1"),
    (r"\bS3(\s+(?:will|would))\s+answer\s+40[13]\b", r"S3\1 refuse the request"),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), text) for pattern, text in _PHRASES)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z0-9\"'`({<])")
_CREDENTIAL_WORD = re.compile(
    r"TF_HTTP_(?:PASSWORD|USERNAME)|token|glpat-|scope|password|authenticat|credential", re.IGNORECASE
)
_LABEL = re.compile(r"^(?P<label>(?:\d+[.)]\s+)?[A-Z][\w /-]{2,30}:\s+)")
_EMPTY_BLOCK = re.compile(r"\bblock\b[^.]{0,30}\bempty\b|\bempty\b[^.]{0,30}\bblock\b", re.IGNORECASE)
_SETTINGS_FROM_OUTSIDE = re.compile(
    r"^(?:The\s+|Its\s+|All\s+)?(?:backend\s+)?(?:settings|values|configuration|arguments)\b.*\b(?:environment|command line|outside)\b"
)
_ADDRESS_OF_STATE = re.compile(r"\baddress of the state\b", re.IGNORECASE)
_ADDRESS_PARTS = re.compile(
    r"\baddress\b.*?\b(?:GITLAB_|CI_[A-Z]|project)|(?:GITLAB_|CI_[A-Z])\w+.*?\baddress\b", re.DOTALL
)
_TOKEN_PAGE = re.compile(r"\S*/personal_access_tokens\S*")
_ONLY_TOKENS = re.compile(r"\bCI_JOB_TOKEN\b|\bjob token\b|\bglpat-|\bapi`? scope\b", re.IGNORECASE)


def build_text(text: str, target: TargetCoordinates) -> str:
    """Return a paragraph of one or more sentences, with every sentence about the source made to name the target."""
    return " ".join(build_sentence(sentence, target) for sentence in _SENTENCE_END.split(text))


def build_sentence(sentence: str, target: TargetCoordinates) -> str:
    """Return one sentence made to name the target; a sentence that is not about the source comes back unchanged."""
    if _EMPTY_BLOCK.search(sentence) and target.style == "inline":
        return "The block below holds what every environment shares; the key is given at init."
    if _SETTINGS_FROM_OUTSIDE.search(sentence) and target.style == "inline":
        return "The key is given at init and the credentials come from the environment; nothing secret belongs here."
    if _ADDRESS_PARTS.search(sentence):
        return _standard_sentence(sentence, target)
    if not accompanies_source(sentence):
        return sentence
    rewritten = _ADDRESS_OF_STATE.sub("key of the state", replace_phrases(sentence, target))
    rewritten = _TOKEN_PAGE.sub(f"{target.endpoint} (bucket {target.bucket})", rewritten)
    if not names_source(rewritten) and not _ONLY_TOKENS.search(rewritten):
        return rewritten
    label = _LABEL.match(sentence)
    if label and not names_source(label["label"]):
        return label["label"] + _standard_sentence(sentence, target)
    return _standard_sentence(sentence, target, label="Credentials: ")


def replace_phrases(text: str, target: TargetCoordinates) -> str:
    """Return ``text`` with every known phrase about the source replaced, and nothing else."""
    changed = text
    for pattern, replacement in _COMPILED:
        changed = pattern.sub(replacement.replace("{bucket}", target.bucket), changed)
    return text if changed == text else re.sub(r"\b([Aa]) S3\b", r"\1n S3", changed)


def _standard_sentence(sentence: str, target: TargetCoordinates, *, label: str = "") -> str:
    end = "." if sentence.rstrip().endswith(".") else ""
    if _CREDENTIAL_WORD.search(sentence) and "address" not in sentence.lower():
        return f"{label}{_BOTH} in the environment{end}"
    if target.style == "partial":
        return f"Bucket, key, region and endpoint are given at init, in a file <state>.s3.tfbackend{end}"
    return f"Bucket, region and endpoint stand in the backend block, the key is given at init{end}"
