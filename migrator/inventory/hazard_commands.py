"""Hazards in scripts, addresses and resources."""

import re
from collections.abc import Iterator

from migrator.inventory.file_kinds import FileKind, find_kind
from migrator.inventory.hazard_evidence import Evidence, build_line
from migrator.inventory.model import Place, build_place
from migrator.rewrite.outline import Block, OutlineError, read_outline
from migrator.rewrite.reference import ReferenceKind

_SCRIPTS = frozenset({FileKind.YAML, FileKind.JUST, FileKind.SHELL, FileKind.TEXT})
_STATE_LIST = re.compile(r"\bstate\s+(?:list|pull|show)\b")
_BRANCH = re.compile(
    r"(?:^|[\s;&|])(?:if|elif|while|until)\b|\[\[?\s+!?\s*-[zn]\b|\|\|\s*(?!exit\b|return\b|false\b)\S|\bwc\s+-l\b|\bgrep\s+-\w*q"
)
_CAPTURE = re.compile(r"(\w+)=[\"']?\$\(.*\bstate\s+(?:list|pull)\b")
_IF, _FI = re.compile(r"(?:^|[\s;])if\b(?!\s*:)"), re.compile(r"(?:^|[\s;])fi\b")
_FARTHEST = 120  # lines: an if that has not ended by then is not one of shell

_LATER = (
    "reads state after an init elsewhere: init saved the password in .terraform, keys in the environment it does not, "
    "so this needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of its own"
)
_FOLLOWED = (
    "a repository that follows this one gets the s3 backend with its next pipeline, while its own pipeline still passes "
    "flags of http, and its init stops"
)
_RUNNING_PROJECT = re.compile(
    r"CI_PROJECT_ID|CI_PROJECT_PATH|\{\{\s*\w*project\w*\s*\}\}|\$\{?\w*PROJECT\w*", re.IGNORECASE
)
_ADDRESSES = frozenset(
    {ReferenceKind.INIT_FLAGS, ReferenceKind.CI_VARIABLE, ReferenceKind.ENVIRONMENT_EXPORT, ReferenceKind.STATE_URL}
)
_SCOPE_LOST = (
    "this address holds the project that runs: GitLab keeps the states of each project apart, one bucket does not, "
    "so the key must begin with the project"
)
_SAVED_PASSWORD = re.compile(r"-backend-config[= ]+[\"']?password=")
_READS_STATE = re.compile(
    r"(?:^|[\s;&|(\"'`])(?:tofu|terraform|\{\{\s*\w*tofu\w*\s*\}\}|\$\{?(?i:tofu)[^\s}]*\}?)\"?(?:\s+-\S+)*\s+"
    r"(?:plan|apply|destroy|refresh|output|state|import|show)\b"
)
_UPSTREAM = re.compile(r"\bUPSTREAM_(?:REF|BRANCH)\b[^\n]*\b(?:main|master|HEAD)\b")
_STORAGE = re.compile(r"minio|rustfs|s3_bucket|seaweedfs|garage|ceph_object|object_?stor", re.IGNORECASE)


def find_empty_state_branches(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield each branch that depends on what ``state list`` prints or whether it fails."""
    for path, text in evidence.texts(b"state list", b"state pull", b"state show", kinds=_SCRIPTS):
        lines = text.split("\n")
        for index, line in enumerate(lines):
            if line.lstrip().startswith("#") or not _STATE_LIST.search(line):
                continue
            start = index if _BRANCH.search(line) else _find_use(lines, index)
            if start is not None:
                yield (
                    build_line(path, start + 1, _find_end(lines, start) + 1),
                    "a state that cannot be read looks empty here: a wrong key, missing credentials or an empty bucket take this branch",
                )


def find_lost_project_scope(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield the first address that is built from the project that happens to run."""
    places = [
        reference.place
        for reference in evidence.references
        if reference.kind in _ADDRESSES and not reference.place.path.endswith(".md")
        if _is_scoped_by_project(evidence, reference.place)
    ]
    others = len({place.path for place in places}) - 1
    if places:
        yield places[0], _SCOPE_LOST + (f" (so do {others} other files)" if others else "")


def find_reconfigured_inits(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield the first init that re-points a stack without offering to move its state."""
    places = [
        reference.place
        for reference in evidence.references
        if reference.kind in {ReferenceKind.INIT_FLAGS, ReferenceKind.BARE_INIT}
        if "-reconfigure" in _statement(evidence, reference.place)
    ]
    if places:
        others = f" ({len(places) - 1} more like it)" if len(places) > 1 else ""
        yield (
            places[0],
            f"-reconfigure never offers a migration: on an empty target the next plan creates everything{others}",
        )


def find_later_readers(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield, once for each file, a command that reads state without an init beside it, where init saved the password."""
    if not any(
        _SAVED_PASSWORD.search(_statement(evidence, one.place))
        for one in evidence.references
        if one.kind is ReferenceKind.INIT_FLAGS
    ):
        return
    for path, text in evidence.texts(b"tofu", b"terraform", kinds=_SCRIPTS - {FileKind.TEXT}):
        if path in evidence.survey.pipelines.files:
            continue  # each job of GitLab initializes for itself, and sees the variables throughout
        lines = enumerate(text.split("\n"), 1)
        first = next((n for n, line in lines if not line.lstrip().startswith("#") and _READS_STATE.search(line)), None)
        if first is not None and not _is_initialized_above(evidence, path, first):
            yield build_line(path, first), _LATER


def _is_initialized_above(evidence: Evidence, path: str, line: int) -> bool:
    """Whether the same script runs an init first, which needs the credentials already. Recipes are run one by one."""
    return find_kind(path, b"") is FileKind.SHELL and any(
        one.kind in {ReferenceKind.INIT_FLAGS, ReferenceKind.BARE_INIT} and one.place.end_line < line
        for one in evidence.references
        if one.place.path == path
    )


def find_followed_upstream(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield where another repository takes these files at a moving reference."""
    for path, text in evidence.texts(b"UPSTREAM_"):
        for number, line in enumerate(text.split("\n"), 1):
            if _UPSTREAM.search(line):
                yield build_line(path, number), _FOLLOWED


def _statement(evidence: Evidence, place: Place) -> str:
    """Return the lines of a place, the one before, where its command may begin, and those that go on from it."""
    lines = (evidence.tree.read_text_or_nothing(place.path) or "").split("\n")
    end = place.end_line
    while end < len(lines) and lines[end - 1].rstrip().endswith("\\"):
        end += 1
    return "\n".join(lines[max(0, place.start_line - 2) : end])


def _is_scoped_by_project(evidence: Evidence, place: Place) -> bool:
    lines = (evidence.tree.read_text_or_nothing(place.path) or "").split("\n")[place.start_line - 1 : place.end_line]
    return any("/terraform/state" in line and _RUNNING_PROJECT.search(line) for line in lines)


def find_circular_storage(evidence: Evidence) -> Iterator[tuple[Place, str]]:
    """Yield, once for each file, the resource or module of a stack that creates object storage."""
    names = {stack.directory: stack.name for stack in evidence.gitlab_stacks}
    for path, text in evidence.texts(b"resource", b"module"):
        directory, _, file_name = path.rpartition("/")
        stack = names.get(directory or ".")
        if stack is None or not file_name.endswith((".tf", ".tofu")):
            continue
        try:
            blocks = read_outline(text).blocks
        except OutlineError:
            continue  # references report it
        created = next((block for block in blocks if _creates_storage(text, block)), None)
        if created is not None:
            message = f"stack {stack} creates object storage here: its own state must not be kept in it"
            yield build_place(path, text, created.span), message


def _creates_storage(text: str, block: Block) -> bool:
    if block.type not in {"resource", "module"}:
        return False
    source = _source(block.body.of(text)) if block.type == "module" else ""
    return _STORAGE.search(f"{' '.join(block.labels)} {source}") is not None


def _source(body: str) -> str:
    found = re.search(r"^\s*source\s*=\s*\"([^\"]*)\"", body, re.MULTILINE)
    return found[1] if found else ""


def _find_use(lines: list[str], index: int) -> int | None:
    """Return the line that tests the variable which holds the list, None when nothing does."""
    captured = _CAPTURE.search(lines[index])
    if captured is None:
        return None
    use = re.compile(rf"-[zn]\s+[\"']?\$\{{?{captured[1]}\b|\$\{{?{captured[1]}\}}?[\"']?\s*(?:=|!=)")
    following = range(index + 1, min(index + _FARTHEST, len(lines)))
    return next((number for number in following if use.search(lines[number])), None)


def _find_end(lines: list[str], start: int) -> int:
    """Return the line of the ``fi`` that ends the ``if`` at ``start``, or ``start`` itself."""
    if not _IF.search(lines[start]):
        return start
    depth = 0
    for number in range(start, min(start + _FARTHEST, len(lines))):
        line = lines[number]
        if not line.lstrip().startswith("#"):
            depth += len(_IF.findall(line)) - len(_FI.findall(line))
            if depth <= 0:
                return number
    return start
