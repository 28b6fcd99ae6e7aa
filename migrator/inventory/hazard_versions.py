"""Hazards of versions: the s3 backend's lock (``use_lockfile``) exists from OpenTofu and Terraform 1.10 on."""

import re
from collections.abc import Iterator

from migrator.inventory.file_kinds import FileKind
from migrator.inventory.hazard_evidence import Evidence, build_line
from migrator.inventory.model import Place
from migrator.rewrite.spans import line_of

_FIRST = (1, 10)
_FIRST_NIXOS = (25, 11)  # nixos-25.05 still has OpenTofu 1.9

_REQUIRED = re.compile(
    r"^[ \t]*(?:\"required_version\"[ \t]*:|required_version[ \t]*=)[ \t]*\"([^\"]*)\"", re.MULTILINE
)
_BOUND = re.compile(r"(>=|>|~>|=|!=|<=|<)?\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_PINNED = re.compile(
    r"(?:(?:open)?tofu|terraform|TF)[_-]?version[\"']?[ \t]*[:=][ \t]*[\"']?v?(?P<setting>\d+\.\d+(?:\.\d+)?)"
    r"|(?:[/ \t\"']|^)(?:[\w.-]*(?:tofu|terraform))(?:-cli)?:v?(?P<image>\d+\.\d+(?:\.\d+)?)"
    r"|^[ \t]*\"?(?:opentofu|terraform)\"?[ \t]*=?[ \t]*\"?(?P<tool>\d+\.\d+\.\d+)",
    re.IGNORECASE | re.MULTILINE,
)
_FLOATING = re.compile(r"[/ \t\"'][\w.-]*(?:tofu|terraform):(?:latest|edge|minimal)\b", re.IGNORECASE)
_NIXOS = re.compile(r"\b(?:nixos|nixpkgs|release)-(\d\d)\.(\d\d)\b")
_DOCUMENTED = re.compile(
    r"(?:OpenTofu|Terraform)\s+(?:>=\s*|v)?1\.(\d+)(?:\.\d+)?(?:\+|\s+(?:or|and)\s+(?:later|newer|above|up))"
)
_VERSION_FILES = (".opentofu-version", ".terraform-version")
_SETTINGS = frozenset({FileKind.YAML, FileKind.TEXT, FileKind.SHELL, FileKind.DOTENV, FileKind.JUST})


def find_old_clients(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield what admits, pins or provides a client without ``use_lockfile``, or one of unknown version."""
    directories = {stack.directory for stack in evidence.gitlab_stacks}
    for path, text in evidence.texts(b"required_version"):
        if (path.rpartition("/")[0] or ".") in directories:
            for found in _REQUIRED.finditer(text):
                if admits_old_client(found[1]):
                    yield _at(path, text, found), f'required_version "{found[1]}" admits clients without use_lockfile'
    yield from _find_pinned(evidence)
    for path, text in evidence.texts(b"nixos-", b"nixpkgs-", b"release-"):
        if path.endswith(".nix") and re.search(r"\b(?:opentofu|terraform)\b", text):
            for found in _NIXOS.finditer(text):
                if (int(found[1]), int(found[2])) < _FIRST_NIXOS:
                    yield (
                        _at(path, text, found),
                        f"{found[0]} provides an OpenTofu older than 1.10, without use_lockfile",
                    )
    for path, text in evidence.texts(b"OpenTofu", b"Terraform", kinds=frozenset({FileKind.MARKDOWN})):
        for found in _DOCUMENTED.finditer(text):
            if int(found[1]) < _FIRST[1]:
                yield _at(path, text, found), "asks for a client that may have no use_lockfile: 1.10 or later is needed"


def admits_old_client(constraint: str) -> bool:
    """Return whether a version before 1.10 satisfies the constraint: no lower bound of it excludes them all."""
    for part in constraint.split(","):
        found = _BOUND.fullmatch(part.strip())
        if found is None:
            continue
        operator, version = found[1] or "=", (int(found[2]), int(found[3] or 0))
        if operator in {">=", ">", "~>", "="} and version >= _FIRST:
            return False
    return True


def _find_pinned(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    for path, text in evidence.texts(b"tofu", b"terraform", b"Tofu", b"TOFU", b"TF_VERSION", kinds=_SETTINGS):
        for found in _PINNED.finditer(text):
            version = found["setting"] or found["image"] or found["tool"]
            if tuple(int(part) for part in version.split(".")[:2]) < _FIRST and not _is_comment(text, found.start()):
                yield _at(path, text, found), f"pins version {version}, which has no use_lockfile"
        for found in _FLOATING.finditer(text):
            if not _is_comment(text, found.start()):
                yield (
                    _at(path, text, found),
                    "a floating image: whether its client has use_lockfile (1.10) is not known",
                )
    for path in evidence.tree.paths:
        if path.endswith(_VERSION_FILES):
            text = (evidence.tree.read_text_or_nothing(path) or "").strip()
            if (version := re.match(r"v?1\.(\d+)", text)) and int(version[1]) < _FIRST[1]:
                yield build_line(path, 1), f"pins version {text}, which has no use_lockfile"


def _is_comment(text: str, offset: int) -> bool:
    return text[text.rfind("\n", 0, offset) + 1 : offset + 1].lstrip().startswith(("#", "//"))


def _at(path: str, text: str, found: re.Match[str]) -> Place:
    return build_line(path, line_of(text, found.end() - 1))
