"""Inventory -> what other programs read: Markdown, SARIF 2.1.0 and GitLab's Code Quality report. PURE.

SARIF as in the OASIS schema sarif-2.1.0; Code Quality as GitLab documents it for ``artifacts:reports:codequality``:
an array of issues with a description, a check name, a fingerprint, a severity and a location. Only what asks for
something to be done is an issue there: references kept on purpose are left out.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType

from migrator.inventory.codec import dump_document
from migrator.inventory.model import Inventory, Place, Reference
from migrator.rewrite.reference import Disposition, ReferenceKind

_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SARIF_LEVELS = {Disposition.REWRITE: "warning", Disposition.REPORT: "note", Disposition.KEEP: "none"}
_SEVERITIES = {Disposition.REWRITE: "major", Disposition.REPORT: "minor", Disposition.KEEP: "info"}


def format_markdown(inventory: Inventory) -> str:
    """Return a report for a merge request or a wiki page."""
    lines = ["# State inventory", "", f"Revision: {inventory.revision or 'none'}", ""]
    lines += _table(
        "Stacks",
        ("Stack", "Backend", "States"),
        [
            (
                stack.name,
                f"{stack.backend.type} ({stack.backend.place})" if stack.backend else "none",
                ", ".join(f"`{state.name}`" for state in stack.states) or "none found",
            )
            for stack in inventory.stacks
        ],
    )
    for disposition, title in (
        (Disposition.REWRITE, "References that are rewritten"),
        (Disposition.REPORT, "References that a person decides about"),
        (Disposition.KEEP, "References that are kept"),
    ):
        found = [reference for reference in inventory.references if reference.disposition is disposition]
        lines += _table(
            title,
            ("Place", "Kind", "Stacks", "Reason"),
            [(f"`{one.place}`", one.kind.value, ", ".join(one.stacks) or "-", one.reason) for one in found],
        )
    lines += _table(
        "Hazards",
        ("Code", "Place", "Message"),
        [(f"`{hazard.code}`", f"`{hazard.place}`", hazard.message) for hazard in inventory.hazards],
    )
    return "\n".join(lines).rstrip("\n") + "\n"


def format_sarif(inventory: Inventory, *, version: str) -> str:
    """Return a SARIF 2.1.0 log with one run; ``version`` is that of this program."""
    kinds = sorted({reference.kind for reference in inventory.references})
    codes = sorted({hazard.code for hazard in inventory.hazards})
    rules: list[dict[str, object]] = [
        {"id": kind.value, "shortDescription": {"text": _describe(kind)}} for kind in kinds
    ]
    rules += [{"id": code, "shortDescription": {"text": f"hazard: {code.replace('-', ' ')}"}} for code in codes]
    driver = {"name": "migrator", "version": version, "rules": rules}
    results = [_sarif_reference(reference) for reference in inventory.references]
    results += [_sarif_result(hazard.code, "warning", hazard.message, hazard.place) for hazard in inventory.hazards]
    run: dict[str, object] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"REPOSITORY": {"description": {"text": "the top of the repository"}}},
        "results": results,
    }
    if inventory.revision:
        run["properties"] = {"revision": inventory.revision}
    return dump_document({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def format_codequality(inventory: Inventory) -> str:
    """Return a Code Quality report: what is rewritten or reported, and the hazards."""
    issues = [
        _issue(one.kind.value, _message(one), _SEVERITIES[one.disposition], one.place)
        for one in inventory.references
        if one.disposition is not Disposition.KEEP
    ]
    issues += [_issue(hazard.code, hazard.message, "critical", hazard.place) for hazard in inventory.hazards]
    return dump_document(issues)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return [f"## {title}", "", "None.", ""]
    return [f"## {title}", "", *build_markdown_table(header, rows), ""]


def build_markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; whatever a cell holds, it stays one cell."""
    escaped = [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    ruler = "|".join(" --- " for _ in header)
    return [f"| {' | '.join(header)} |", f"|{ruler}|", *(f"| {row} |" for row in escaped)]


def _sarif_reference(reference: Reference) -> dict[str, object]:
    level = _SARIF_LEVELS[reference.disposition]
    columns = {"startColumn": reference.start_column, "endColumn": reference.end_column}
    result = _sarif_result(reference.kind.value, level, _message(reference), reference.place, columns)
    if reference.disposition is Disposition.KEEP:
        result["kind"] = "informational"  # the schema allows level "none" only for kinds other than "fail"
    return result


def _sarif_result(
    rule: str, level: str, message: str, place: Place, columns: Mapping[str, int] = MappingProxyType({})
) -> dict[str, object]:
    location = {
        "artifactLocation": {"uri": _uri(place.path), "uriBaseId": "REPOSITORY"},
        "region": {"startLine": place.start_line, "endLine": place.end_line, **columns},
    }
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": message},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"place/v1": _fingerprint(rule, message, place)},
    }


def _issue(check: str, description: str, severity: str, place: Place) -> dict[str, object]:
    return {
        "type": "issue",
        "description": description,
        "check_name": check,
        "fingerprint": _fingerprint(check, description, place),
        "severity": severity,
        "location": {"path": place.path, "lines": {"begin": place.start_line, "end": place.end_line}},
    }


def _message(reference: Reference) -> str:
    return f"{reference.disposition.value}: {reference.reason or _describe(reference.kind)}"


def _describe(kind: ReferenceKind) -> str:
    return f"reference to the state backend: {kind.value.replace('-', ' ')}"


def _fingerprint(rule: str, message: str, place: Place) -> str:
    """Return a digest that tells two findings apart; two equal lines of one file differ by their line."""
    return sha256(f"{rule}\0{message}\0{place}".encode()).hexdigest()


def _uri(path: str) -> str:
    from urllib.parse import quote  # not needed by any other command

    return quote(path)
