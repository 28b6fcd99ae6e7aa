"""Messages of scripts (quotes included): what an echo shows, and what a test of the credentials says.

No new quote is ever put into a message; an example of an assignment keeps the quotes that it has.
"""

import re
from functools import partial

from migrator.rewrite.claims import names_source
from migrator.rewrite.reference import TargetCoordinates
from migrator.rewrite.replacements.claims import build_sentence, replace_phrases, split_sentences
from migrator.rewrite.replacements.wording import ACCESS_KEY, SECRET_KEY, CannotReplaceError

_EXAMPLE = re.compile(r"TF_HTTP_PASSWORD=(?:(?P<open>\\?[\"'])(?P<quoted>[^\"'\\]*)(?P=open)|(?P<value>[^\"'\\\s]*))")
_TOKEN = re.compile(r"\bGitLab (?:access )?token\b")
_ONE_MESSAGE = re.compile(r"^[ \t]*(?:echo|printf|log\w*|warn\w*)\b[^\n]*$")


def build_message(text: str, target: TargetCoordinates) -> str:
    """Return the text of a message made to name the target.

    Raises: CannotReplaceError when that is not certain.
    """
    opening, inner, closing = _take_apart(_EXAMPLE.sub(_show_both, text))
    built = [build_sentence(sentence, target) for sentence in split_sentences(inner)]
    if None in built:
        raise CannotReplaceError("the message says more about the source than any rule knows")
    return opening + " ".join(one for one in built if one is not None) + closing


def build_test_lines(line: str, target: TargetCoordinates) -> list[str]:
    """Return the line or lines that take the place of one line of a credential test; all that it says is about them."""
    if _EXAMPLE.search(line) and _ONE_MESSAGE.match(line):
        return [_EXAMPLE.sub(partial(_show_one, name=name), line) for name in (ACCESS_KEY, SECRET_KEY)]
    shown = _TOKEN.sub("S3 access key", replace_phrases(_EXAMPLE.sub(_show_both, line), target))
    return [re.sub(r"\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*", lambda found: _settle(found.group()), shown)]


def _settle(message: str) -> str:
    """Return a message of a test; one that still names the source becomes a plain one."""
    if not names_source(message) or "$" in message:
        return message
    opening, _, closing = _take_apart(message)
    return f"{opening}Credentials: {ACCESS_KEY} and {SECRET_KEY} in the environment{closing}"


def _take_apart(message: str) -> tuple[str, str, str]:
    opening = re.match(r"^[\"'#]?\s*", message)
    closing = re.search(r"(?:\\n)?[\"']?$", message)
    assert opening is not None
    assert closing is not None  # both match the empty string
    end = max(closing.start(), opening.end())
    return opening.group(), message[opening.end() : end], message[end:]


def _show_both(found: re.Match[str]) -> str:
    return f"{_show_one(found, name=ACCESS_KEY)} {_show_one(found, name=SECRET_KEY)}"


def _show_one(found: re.Match[str], *, name: str) -> str:
    quote = found["open"] or ""
    return f"{name}={quote}...{quote}" if found["open"] or found["value"] else f"{name}="
