"""How two snapshots of one state relate, by the rules of OpenTofu's ``internal/states/statemgr/migrate.go``.

OpenTofu compares content after decoding; this compares bytes, because nothing here ever re-serialises a document.
"""

from enum import StrEnum

from migrator.state.snapshot import Snapshot


class Relation(StrEnum):
    """The second snapshot, seen from the first."""

    IDENTICAL = "identical"  # same bytes
    NEWER = "newer"  # same lineage, higher serial
    OLDER = "older"  # same lineage, lower serial
    FORKED = "forked"  # same lineage and serial, other bytes: two writers
    UNRELATED = "unrelated"  # another lineage


def compare_snapshots(base: Snapshot, other: Snapshot) -> Relation:
    """Return what ``other`` is to ``base``. An empty lineage relates to nothing but identical bytes."""
    if base.sha256 == other.sha256:
        return Relation.IDENTICAL
    if base.lineage != other.lineage or not base.lineage:
        return Relation.UNRELATED
    if other.serial == base.serial:
        return Relation.FORKED
    return Relation.NEWER if other.serial > base.serial else Relation.OLDER
