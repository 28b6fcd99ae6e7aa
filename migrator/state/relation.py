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
    return compare_other_bytes(lineage=base.lineage, serial=base.serial, other=other)


def compare_other_bytes(*, lineage: str, serial: int, other: Snapshot) -> Relation:
    """Return what ``other`` is to a document of which only lineage and serial are known, and that its bytes differ."""
    if other.lineage != lineage or not lineage:
        return Relation.UNRELATED
    if other.serial == serial:
        return Relation.FORKED
    return Relation.NEWER if other.serial > serial else Relation.OLDER
