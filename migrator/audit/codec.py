"""Audit -> JSON and Markdown. Equal audits give equal bytes. PURE."""

from migrator.audit.model import Audit, Contradiction, SurfaceReport
from migrator.inventory.codec import describe_place
from migrator.inventory.formats import build_markdown_table

FORMAT = "migrator.audit/1"
_MOST_SHOWN = 8  # places of one surface in a Markdown cell


def build_document(audit: Audit) -> dict[str, object]:
    """Return the document as plain dictionaries and lists."""
    return {
        "format": FORMAT,
        "repository": {"root": ".", "revision": audit.revision},
        "surfaces": [_surface(one) for one in audit.surfaces],
        "contradictions": [_contradiction(one) for one in audit.contradictions],
    }


def _surface(one: SurfaceReport) -> dict[str, object]:
    return {
        "surface": one.surface,
        "title": one.title,
        "standing": one.standing.value,
        "owner": one.owner or None,
        "is": one.is_,
        "is_not": one.is_not,
        "stacks": list(one.stacks),
        "evidence": [
            {**describe_place(proof.place), "what": proof.what, "proves": proof.proves} for proof in one.evidence
        ],
    }


def _contradiction(one: Contradiction) -> dict[str, object]:
    return {
        "code": one.code,
        "surface": one.surface,
        "owner": one.owner or None,
        **describe_place(one.place),
        "message": one.message,
        "against": [describe_place(place) for place in one.against],
    }


def format_markdown(audit: Audit) -> str:
    """Return a report for a merge request or a wiki page."""
    lines = ["# Who is the authority", "", f"Revision: {audit.revision or 'none'}", ""]
    lines += build_markdown_table(
        ("surface", "standing", "is", "is not", "owner", "where"),
        [(one.title, one.standing.value, one.is_, one.is_not, one.owner, _places(one)) for one in audit.surfaces],
    )
    lines += ["", f"## Contradictions ({len(audit.contradictions)})", ""]
    if audit.contradictions:
        lines += build_markdown_table(
            ("place", "code", "what", "against", "owner"),
            [
                (f"`{one.place}`", f"`{one.code}`", one.message, ", ".join(f"`{p}`" for p in one.against), one.owner)
                for one in audit.contradictions
            ],
        )
    else:
        lines.append("None.")
    return "\n".join(lines) + "\n"


def _places(one: SurfaceReport) -> str:
    shown = ", ".join(f"`{proof.place}`" for proof in one.evidence[:_MOST_SHOWN])
    more = len(one.evidence) - _MOST_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
