"""Which language a file is in, by its name; a script without a suffix by its first line."""

import re
from enum import StrEnum

_BY_NAME = (
    (re.compile(r"(?:^|/)\.?justfile$|\.just$", re.IGNORECASE), "just"),
    (re.compile(r"\.(?:tf|tofu)\.json$"), "hcl-json"),
    (re.compile(r"\.(?:tf|tofu|hcl|tfbackend)$"), "hcl"),
    (re.compile(r"\.ya?ml$"), "yaml"),
    (re.compile(r"\.(?:md|markdown|mdx)$", re.IGNORECASE), "markdown"),
    (re.compile(r"(?:^|/)\.env(?:rc)?(?:\..+)?$|(?:^|/)[^/]+\.env(?:\.[^/]+)?$"), "dotenv"),
    (re.compile(r"\.(?:sh|bash|zsh|ksh)$"), "shell"),
)
_SHEBANG = re.compile(rb"#![^\n]*\b(?:ba|z|k|da|a)?sh\b")


class FileKind(StrEnum):
    """Languages that a locator exists for; everything else is text."""

    JUST = "just"
    HCL = "hcl"
    HCL_JSON = "hcl-json"
    YAML = "yaml"
    MARKDOWN = "markdown"
    DOTENV = "dotenv"
    SHELL = "shell"
    TEXT = "text"


def find_kind(path: str, data: bytes) -> FileKind:
    """Return the language of a file with this path and content."""
    for pattern, kind in _BY_NAME:
        if pattern.search(path):
            return FileKind(kind)
    return FileKind.SHELL if _SHEBANG.match(data) else FileKind.TEXT
