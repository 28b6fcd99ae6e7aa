"""PURE: text of strangers made safe to show: what a terminal would obey becomes something that can be seen.

Names of states, holders of locks, files and a server's own words come from whoever wrote them. An escape sequence among
them could recolour or erase what stands there, a line break could forge a line of ours, and a character that turns the
writing direction could show another name than the one that is meant.
"""

import re

_UNSHOWN = "\N{REPLACEMENT CHARACTER}"
_PICTURES = 0x2400  # Unicode's pictures of the control characters begin here
# C0 but tab and line feed, DEL, C1, line and paragraph separator, everything that steers the writing direction, and halves
# of surrogate pairs (a file name that is not UTF-8), which no stream could write.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\t\n]")


def make_visible(text: str) -> str:
    """Return ``text`` with every character that a terminal would obey replaced by one that it shows; lines stay lines."""
    return _OBEYED.sub(_show, text)


def make_line(text: str) -> str:
    """Return ``make_visible(text)`` as one line."""
    return make_visible(_BREAKS.sub(" ", text))


def make_visible_json(text: str) -> str:
    """Return JSON text that says the same with what a terminal would obey written as an escape (only strings hold it)."""
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _show(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(_PICTURES + code) if code < 0x20 else _UNSHOWN
