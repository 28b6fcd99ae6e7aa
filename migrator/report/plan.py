"""A plan for review: what moves, what changes, what stands in the way."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from migrator.inventory.model import Place
from migrator.plan.model import Finding, Plan, PlannedFile
from migrator.report.tables import build_count, build_heading, build_size, build_table, shorten
from migrator.rewrite.spans import Edit, apply_edits

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def build_plan_report(plan: Plan, digest: str) -> list[RenderableType]:
    """Return the parts of the report, in the order in which a reviewer needs them."""
    parts: list[RenderableType] = [_title(plan, digest), *_states(plan), *_files(plan), *_groups(plan)]
    if plan.reports:
        parts.append(build_heading("For a person to decide", len(plan.reports)))
        parts.append(build_table(("place", "kind", "why"), ((one.place, one.kind, one.reason) for one in plan.reports)))
    parts += _findings("Hazards", plan.hazards)
    if plan.left_alone:
        parts.append(build_heading("Left where they are", len(plan.left_alone)))
        parts.append(build_table(("state", "why"), ((one.name, one.reason) for one in plan.left_alone)))
    if plan.overrides:
        parts.append(build_heading("Acknowledged in migrator.toml", len(plan.overrides)))
        parts.append(build_table(("code", "reason"), ((one.code, one.reason) for one in plan.overrides)))
    parts += _findings("Blockers", plan.blockers)
    return parts


def build_diffs(plan: Plan, texts: Callable[[str], str | None]) -> Iterable[Text]:
    """Yield a unified diff of each file that changes."""
    for file in plan.files:
        before = (texts(file.path) or "") if file.pre_sha256 else ""
        after = apply_edits(before, [Edit.at(edit.start, edit.end, edit.text) for edit in file.edits])
        yield _colour(_diff(file, before, after))


def _title(plan: Plan, digest: str) -> str:
    proof = {"required": "proved by plan", "init-only": "proved by init only", "off": "NOT proved by OpenTofu"}
    return (
        f"[bold]Plan {digest[:12]}[/bold]  {escape(plan.source.project_path)} (project {plan.source.project_id}) "
        f"at {_address(plan.source.url)}\n"
        f"  -> s3://{escape(plan.target.bucket)}/{escape(plan.target.key)} at {_address(plan.target.endpoint)}\n"
        f"  conditional writes {plan.probe.verdict}, {proof[plan.proof]}"
    )


def _address(url: str) -> str:
    """Whoever reviews a plan decides that a token or documents go there, and who can listen on the way."""
    parts = urlsplit(url)
    listening = parts.scheme == "http" and parts.hostname not in _LOOPBACK
    return escape(url) + (" [yellow](no TLS: whoever listens reads what is sent)[/yellow]" if listening else "")


def _states(plan: Plan) -> list[RenderableType]:
    if not plan.states:
        return [build_heading("States", 0), "  no state moves"]
    rows = (
        (
            state.name,
            state.stack,
            state.environment,
            "-" if state.serial is None else state.serial,
            build_size(state.size) if state.sha256 else "no document",
            "encrypted" if state.encrypted else "-" if state.resource_count is None else state.resource_count,
            "already there, identical" if state.adopted else "",
        )
        for state in plan.states
    )
    header = ("state", "stack", "env", "serial", "size", "resources", "")
    return [build_heading("States to move", len(plan.states)), build_table(header, rows)]


def _files(plan: Plan) -> list[RenderableType]:
    edits = sum(len(file.edits) for file in plan.files)
    rows = (
        (
            file.path,
            "new file" if file.pre_sha256 is None else build_count(len(file.edits), "edit"),
            ", ".join(sorted({edit.kind for edit in file.edits})),
            _names(file.stacks, plan),
        )
        for file in plan.files
    )
    heading = build_heading(f"Files to cut over, {build_count(edits, 'edit')}", len(plan.files))
    return [heading, build_table(("file", "", "what", "serves"), rows)]


def _names(served: Sequence[str], plan: Plan) -> str:
    stacks = {state.stack for state in plan.states}
    if len(served) > 1 and set(served) >= stacks:
        return f"all {len(served)} stacks"
    return ", ".join(served) or "-"


def _lines(place: Place) -> str:
    return str(place).removeprefix(f"{place.path}:")


def _groups(plan: Plan) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for group in plan.groups:
        parts.append(build_heading("Cut over together: " + ", ".join(group.stacks)))
        rows = (
            (binding.path, shorten([_lines(place) for place in binding.places]), _names(binding.stacks, plan))
            for binding in group.bindings
        )
        parts.append(build_table(("because of", "lines", "which serve"), rows))
    return parts


def _findings(title: str, findings: Sequence[Finding]) -> list[RenderableType]:
    if not findings:
        return []
    rows = ((one.code, one.where, one.message + (f"\n-> {one.hint}" if one.hint else "")) for one in findings)
    return [build_heading(title, len(findings)), build_table(("code", "where", "what"), rows)]


def _diff(file: PlannedFile, before: str, after: str) -> list[str]:
    start = "/dev/null" if file.pre_sha256 is None else f"a/{file.path}"
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), start, f"b/{file.path}"
    )
    return [line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines]


def _colour(lines: Sequence[str]) -> Text:
    text = Text()
    for line in lines:
        text.append(line, style=_COLOURS.get(line[:1], ""))
    return text
