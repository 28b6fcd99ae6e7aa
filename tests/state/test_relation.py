"""The relation of two snapshots, as a table and as laws."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.state.relation import Relation, compare_snapshots
from migrator.state.snapshot import read_snapshot


def snapshot(serial, lineage="l-1", **more):
    return read_snapshot(json.dumps({"version": 4, "serial": serial, "lineage": lineage} | more).encode())


@pytest.mark.parametrize(
    ("other", "relation"),
    [
        (snapshot(7), Relation.IDENTICAL),
        (snapshot(8), Relation.NEWER),
        (snapshot(2**62), Relation.NEWER),
        (snapshot(6), Relation.OLDER),
        (snapshot(7, outputs={}), Relation.FORKED),
        (snapshot(7, "l-2"), Relation.UNRELATED),
        (snapshot(8, "l-2"), Relation.UNRELATED),
        (snapshot(8, ""), Relation.UNRELATED),
    ],
)
def test_relation_to_serial_7_of_l1(other, relation):
    assert compare_snapshots(snapshot(7), other) is relation


def test_an_empty_lineage_relates_to_identical_bytes_only():
    assert compare_snapshots(snapshot(7, ""), snapshot(7, "")) is Relation.IDENTICAL
    assert compare_snapshots(snapshot(7, ""), snapshot(8, "")) is Relation.UNRELATED


SNAPSHOTS = st.builds(snapshot, st.integers(0, 3), st.sampled_from(["", "a", "b"]), outputs=st.integers(0, 1))
MIRROR = {Relation.NEWER: Relation.OLDER, Relation.OLDER: Relation.NEWER}


@given(SNAPSHOTS, SNAPSHOTS)
def test_the_relation_seen_from_the_other_side_is_its_mirror(base, other):
    found = compare_snapshots(base, other)
    assert compare_snapshots(other, base) is MIRROR.get(found, found)
    assert (found is Relation.IDENTICAL) == (base.data == other.data)


@given(SNAPSHOTS, SNAPSHOTS, SNAPSHOTS)
def test_newer_is_transitive(first, second, third):
    if compare_snapshots(first, second) is compare_snapshots(second, third) is Relation.NEWER:
        assert compare_snapshots(first, third) is Relation.NEWER
