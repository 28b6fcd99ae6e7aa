"""PURE: which files change, and into what. A file whose result fails its check is refused whole."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from migrator.inventory.model import Place, Reference
from migrator.plan.bind import BoundState
from migrator.plan.model import Finding, PlannedEdit, PlannedFile, Report
from migrator.rewrite.checks import ResultCheckError, check_hcl, check_just, check_shell
from migrator.rewrite.checks_yaml import check_yaml
from migrator.rewrite.reference import WORDS, Disposition, TargetCoordinates
from migrator.rewrite.replacements import CannotReplaceError, build_edit
from migrator.rewrite.replacements.backend_file import build_backend_file
from migrator.rewrite.replacements.wording import build_backend_file_name
from migrator.rewrite.spans import Edit, OverlappingEditsError, apply_edits
from migrator.state.snapshot import digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """Files to cut over, what a person decides, and files that are refused."""

    files: tuple[PlannedFile, ...]
    reports: tuple[Report, ...]
    blockers: tuple[Finding, ...]


def build_rewriting(
    references: Iterable[Reference], texts: Callable[[str], str | None], target: TargetCoordinates
) -> Rewriting:
    """Return the rewriting of every file that holds a reference; ``texts`` gives a file's text by path."""
    by_path: dict[str, list[Reference]] = defaultdict(list)
    reports: list[Report] = []
    for reference in references:
        if reference.disposition is Disposition.REWRITE:
            by_path[reference.place.path].append(reference)
        elif reference.disposition is Disposition.REPORT:
            reports.append(_report(reference, reference.reason))
    files: list[PlannedFile] = []
    blockers: list[Finding] = []
    for path, found in sorted(by_path.items()):
        text = texts(path)
        if text is None:
            blockers.append(_refuse(path, "it cannot be read as text any more"))
            continue
        file, reported, blocker = _rewrite(path, found, text, target)
        files += [file] if file else []
        blockers += [blocker] if blocker else []
        reports += reported
    ordered = sorted(reports, key=lambda report: report.place)
    return Rewriting(files=tuple(files), reports=tuple(ordered), blockers=tuple(blockers))


def build_backend_files(
    states: Iterable[BoundState], keys: Callable[[BoundState], str], target: TargetCoordinates
) -> tuple[PlannedFile, ...]:
    """Return the backend files that style ``partial`` creates: one per state, beside the stack's ``.tf`` files."""
    files = []
    for state in states:
        path = f"{state.stack.directory}/{build_backend_file_name(state.observed.name)}"
        text = build_backend_file(target, keys(state))
        place = Place(path=path, start_line=1, end_line=text.count("\n"))
        edit = PlannedEdit(start=0, end=0, text=text, kind="backend-file", place=place)
        files.append(
            PlannedFile(
                path=path,
                pre_sha256=None,
                post_sha256=digest_of(text.encode()),
                edits=(edit,),
                stacks=(state.stack.name,),
            )
        )
    return tuple(files)


def _rewrite(
    path: str, references: Sequence[Reference], text: str, target: TargetCoordinates
) -> tuple[PlannedFile | None, list[Report], Finding | None]:
    edits: list[PlannedEdit] = []
    reports: list[Report] = []
    for reference in references:
        try:
            edit = build_edit(reference.located, text, target)
        except CannotReplaceError as error:
            # What is only said may be left to a person. What works changes as one: half of a file would lead nowhere.
            if reference.kind not in WORDS:
                return None, [], _refuse(path, f"{reference.place} cannot be rewritten: {error}")
            reports.append(_report(reference, str(error)))
            continue
        edits.append(
            PlannedEdit(
                start=edit.span.start,
                end=edit.span.end,
                text=edit.text,
                kind=reference.kind,
                place=reference.place,
            )
        )
    if not edits:
        return None, reports, None
    edits.sort(key=lambda edit: (edit.start, edit.end))
    try:
        after = apply_edits(text, [Edit.at(edit.start, edit.end, edit.text) for edit in edits])
        check_result(path, text, after)
    except (ResultCheckError, OverlappingEditsError) as error:
        return None, reports, _refuse(path, f"the rewritten file would be wrong: {error}")
    stacks = sorted({stack for reference in references for stack in reference.stacks})
    planned = PlannedFile(
        path=path,
        pre_sha256=digest_of(text.encode()),
        post_sha256=digest_of(after.encode()),
        edits=tuple(edits),
        stacks=tuple(stacks),
    )
    return planned, reports, None


def _refuse(path: str, message: str) -> Finding:
    return Finding(
        code="refused-file",
        where=path,
        message=message,
        hint="change the file by hand first, or acknowledge refused-file in migrator.toml to leave it to people",
    )


def check_result(path: str, before: str, after: str) -> None:
    """Check a rewritten text by the rules of its format.

    Raises: ResultCheckError.
    """
    name = path.rsplit("/", 1)[-1]
    if name.endswith((".tf", ".tofu", ".hcl", ".tfbackend")):
        check_hcl(after)
    elif name.lower() in ("justfile", ".justfile") or name.endswith(".just"):
        check_just(before, after)
    elif name.endswith((".yml", ".yaml")):
        check_yaml(before, after)
    elif name.endswith((".sh", ".bash")) or before.startswith(("#!/bin/sh", "#!/bin/bash", "#!/usr/bin/env bash")):
        check_shell(before, after)


def _report(reference: Reference, reason: str) -> Report:
    return Report(place=reference.place, kind=reference.kind, reason=reason)
