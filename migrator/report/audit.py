"""The audit as a table for people."""

from rich.console import RenderableType
from rich.markup import escape

from migrator.audit.model import Audit, Standing, SurfaceReport
from migrator.report.tables import build_count, build_heading, build_table, shorten


def build_audit_report(audit: Audit, *, everything: bool) -> list[RenderableType]:
    """Return the parts of the report; ``everything`` shows each piece of evidence, and what each surface is not."""
    parts: list[RenderableType] = [build_heading("Surfaces", len(audit.surfaces))]
    rows = ((one.title, one.standing.value, _describe(one), one.owner) for one in audit.surfaces)
    parts.append(build_table(("surface", "standing", "by", "owner"), rows))
    if everything:
        for one in audit.surfaces:
            parts.append(f"\n[bold]{escape(one.title)}[/bold] is {escape(one.is_)}; it is not {escape(one.is_not)}")
            found = ((proof.place, "proof" if proof.proves else "said", proof.what) for proof in one.evidence)
            parts.append(build_table(("place", "", "what"), found))
    if audit.contradictions:
        parts.append(build_heading("Contradictions", len(audit.contradictions)))
        against = ((one.place, one.code, one.message, shorten(one.against)) for one in audit.contradictions)
        parts.append(build_table(("place", "code", "what", "against"), against))
    proven = sum(one.standing is Standing.IMPLEMENTED for one in audit.surfaces)
    counted = build_count(len(audit.contradictions), "contradiction")
    return [*parts, f"\n{proven} of {build_count(len(audit.surfaces), 'surface')} implemented, {counted}"]


def _describe(one: SurfaceReport) -> str:
    if one.stacks:
        return ", ".join(one.stacks)
    return shorten([proof.place for proof in one.evidence])
