"""Every place in the repository that names or configures the source, with the stacks that it serves.

Which locator reads a file follows from its name; a byte search first keeps files out that cannot matter. What cannot be
parsed or read is reported with the line, never skipped. Only what serves a stack with GitLab's backend is rewritten, and
history (changelogs, research, papers) is kept as it is.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from migrator.errors import ConfigurationError
from migrator.inventory.consumers import locate_consumers
from migrator.inventory.file_kinds import FileKind, find_kind
from migrator.inventory.history import is_history
from migrator.inventory.key_fields import find_key_fields
from migrator.inventory.model import Place, Reference, Stack, build_place
from migrator.inventory.stacks import is_gitlab_backend
from migrator.inventory.survey import Survey, read_survey
from migrator.inventory.tree import RepositoryTree
from migrator.rewrite.locate_dotenv import locate_dotenv
from migrator.rewrite.locate_hcl import locate_hcl
from migrator.rewrite.locate_just import locate_just
from migrator.rewrite.locate_markdown import locate_markdown
from migrator.rewrite.locate_shell import locate_shell
from migrator.rewrite.locate_text import locate_text
from migrator.rewrite.locate_yaml import locate_yaml
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span, column_of
from migrator.rewrite.unparsable import UnparsableError
from migrator.settings import FILE_NAME

_MARKS = (b"TF_HTTP", b"terraform/state", b"itLab", b"itlab", b"ITLAB", b"backend", b"GITLAB_TOFU", b"STATE_NAME")
# Words that matter in one language only: a bare init in a script, a claim about state in prose.
_MORE_MARKS = {
    FileKind.YAML: (b"tofu", b"terraform", b"init"),
    FileKind.JUST: (b"init",),
    FileKind.SHELL: (b"init",),
    FileKind.MARKDOWN: (b"state", b"State", b"tofu init", b"terraform init"),
}
# What makes a file that no locator can read matter all the same.
_CERTAIN = re.compile(
    r"TF_HTTP_|terraform/state\b|backend\s*\"http\"|-backend-config|GITLAB_TOFU_|terraform_remote_state"
)

_LOCATORS: dict[FileKind, Callable[[str], tuple[Located, ...]]] = {
    FileKind.JUST: locate_just,
    FileKind.HCL: locate_hcl,
    FileKind.HCL_JSON: locate_hcl,
    FileKind.YAML: locate_yaml,
    FileKind.MARKDOWN: locate_markdown,
    FileKind.DOTENV: locate_dotenv,
    FileKind.SHELL: locate_shell,
    FileKind.TEXT: locate_text,
}
_UNPARSED_KINDS = {
    FileKind.HCL: ReferenceKind.BACKEND_BLOCK,
    FileKind.HCL_JSON: ReferenceKind.BACKEND_BLOCK,
    FileKind.YAML: ReferenceKind.CI_VARIABLE,
}


def discover_references(
    tree: RepositoryTree, stacks: tuple[Stack, ...], *, survey: Survey | None = None
) -> tuple[Reference, ...]:
    """Return the references of the repository, by place. ``survey`` is read here when the caller has none."""
    gitlab = tuple(stack for stack in stacks if is_gitlab_backend(stack))
    reader = _ReferenceReader(tree, stacks, gitlab, survey or read_survey(tree, stacks))
    found = [reference for path in tree.paths for reference in reader.read_file(path)]
    found += [reader.build(path, text, located) for path, text, located in locate_consumers(tree, found)]
    return tuple(sorted(found, key=lambda one: (one.place, one.located.span, one.kind)))


class _ReferenceReader:
    def __init__(
        self, tree: RepositoryTree, stacks: tuple[Stack, ...], gitlab: tuple[Stack, ...], survey: Survey
    ) -> None:
        self._tree, self._stacks, self._gitlab, self._survey = tree, stacks, gitlab, survey
        self._named = [(stack.name, _name_pattern(stack)) for stack in stacks]
        self._gitlab_names = frozenset(stack.name for stack in gitlab)
        self._by_name = {stack.name: stack for stack in stacks}

    def read_file(self, path: str) -> Iterator[Reference]:
        """Yield the references in one file."""
        if path.rsplit("/", 1)[-1] == FILE_NAME:
            return  # what this program was told about the source is no claim of the repository
        try:
            data = self._tree.read_bytes(path)
        except ConfigurationError as error:
            yield self._build_unreadable(path, str(error))
            return
        kind = find_kind(path, data)
        if not any(mark in data for mark in (*_MARKS, *_MORE_MARKS.get(kind, ()))):
            return
        text = self._tree.read_text(path)
        if text is None:
            if b"\0" not in data:
                yield from self._read_undecodable(path, data)
            return
        # Of equal length, so that positions stay: grammars know no byte order mark.
        plain = "\n" + text[1:] if text.startswith("\ufeff") else text
        for located in self._locate(path, kind, plain):
            yield self.build(path, text, located)

    def _locate(self, path: str, kind: FileKind, text: str) -> Iterable[Located]:
        if is_history(path):
            reason = "history: says what was true when it was written"
            return [replace(one, disposition=Disposition.KEEP, reason=reason) for one in locate_text(text)]
        try:
            if kind is FileKind.YAML and path in self._survey.pipelines.files:
                others = [one for name, one in self._survey.pipelines.files.items() if name != path]
                return locate_yaml(text, inherited=others)
            return _LOCATORS[kind](text)
        except UnparsableError as error:
            return _report_unparsable(text, kind, error)

    def build(self, path: str, text: str, located: Located) -> Reference:
        """Return the reference, with the stacks that it serves and the disposition that follows from them."""
        place = build_place(path, text, located.span)
        stacks = self._find_stacks(place, located.span.of(text))
        disposition, reason, stray = located.disposition, located.reason, False
        if disposition is Disposition.REWRITE and not stacks and located.kind is not ReferenceKind.REMOTE_STATE:
            disposition, stray = Disposition.REPORT, located.state is not None
            reason = f"{reason}; no stack here has its state in GitLab"
        return Reference(
            place=place,
            kind=located.kind,
            disposition=disposition,
            stacks=stacks,
            reason=reason,
            stray=stray,
            start_column=column_of(text, located.span.start),
            end_column=column_of(text, located.span.end),
            located=replace(
                located,
                disposition=disposition,
                reason=reason,
                detail=find_key_fields(located.state, [self._by_name[name] for name in stacks]) | dict(located.detail),
            ),
        )

    def _find_stacks(self, place: Place, text: str) -> tuple[str, ...]:
        """Return the stacks that a reference serves.

        Those of its directory, else of the entry point around it; in a document those that it names, in any other file
        those of the file's entry points; else all: too many only make a file wait longer.
        """
        owner = self._find_owner(place.path)
        if owner is not None:
            found = frozenset([owner.name])
        else:
            found = self._survey.stacks_at(place) or self._find_around(place.path, text) or self._gitlab_names
        return tuple(sorted(found & self._gitlab_names))

    def _find_around(self, path: str, text: str) -> frozenset[str]:
        found = frozenset[str]() if path.endswith(".md") else self._survey.stacks_in(path)
        return found or frozenset(name for name, pattern in self._named if name in text and pattern.search(text))

    def _find_owner(self, path: str) -> Stack | None:
        owners = [stack for stack in self._stacks if stack.directory != "." and path.startswith(f"{stack.directory}/")]
        return max(owners, key=lambda stack: len(stack.directory), default=None)

    def _build_unreadable(self, path: str, message: str) -> Reference:
        return self.build(path, "", _report(ReferenceKind.STATE_URL, Span(0, 0), message))

    def _read_undecodable(self, path: str, data: bytes) -> Iterator[Reference]:
        text = data.decode("latin-1")
        if found := _CERTAIN.search(text):
            reason = "names the source, but the file is not UTF-8"
            yield self.build(path, text, _report(ReferenceKind.STATE_URL, Span(*found.span()), reason))


def _report_unparsable(text: str, kind: FileKind, error: UnparsableError) -> list[Located]:
    """Return what the search for any text finds, as reports that say why; else the first certain sign of the source."""
    reason = f"cannot be parsed: line {error.line}: {error.reason}"
    found = [replace(one, disposition=Disposition.REPORT, reason=reason) for one in locate_text(text)]
    if not found and (sign := _CERTAIN.search(text)):
        found = [_report(_UNPARSED_KINDS.get(kind, ReferenceKind.STATE_URL), Span(*sign.span()), reason)]
    return found


def _report(kind: ReferenceKind, span: Span, reason: str) -> Located:
    return Located(kind=kind, span=span, disposition=Disposition.REPORT, reason=reason)


def _name_pattern(stack: Stack) -> re.Pattern[str]:
    """Return what finds a stack in a text: its directory, its name as an argument, or a state that begins with it."""
    name, directory = re.escape(stack.name), re.escape(stack.directory)
    return re.compile(rf"(?<![\w.-]){directory}(?![\w-])|(?:(?<=\s)|(?<=/)|(?<=[\"'`])){name}(?=-[\w${{<]|[\s\"'`/]|$)")
