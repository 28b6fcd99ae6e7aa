from hypothesis import given
from hypothesis import strategies as st

from migrator.inventory.groups import build_cut_over_groups
from migrator.inventory.model import Place, Reference
from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span


def reference(path: str, *stacks: str, disposition: Disposition = Disposition.REWRITE) -> Reference:
    located = Located(kind=ReferenceKind.INIT_FLAGS, span=Span(0, 1), disposition=disposition, reason="")
    return Reference(
        place=Place(path=path, start_line=1, end_line=1),
        kind=located.kind,
        disposition=disposition,
        stacks=stacks,
        reason="",
        located=located,
    )


def test_stacks_that_share_a_file_cut_over_together():
    groups = build_cut_over_groups(
        [reference("Justfile", "a", "b"), reference("ci.yml", "b"), reference("ci.yml", "c"), reference("d/x.tf", "d")]
    )
    assert [group.stacks for group in groups] == [("a", "b", "c"), ("d",)]
    assert [(one.path, one.stacks) for one in groups[0].bindings] == [("Justfile", ("a", "b")), ("ci.yml", ("b", "c"))]
    assert len(groups[0].bindings[1].places) == 2
    assert groups[1].bindings == ()


def test_only_what_is_rewritten_binds():
    groups = build_cut_over_groups(
        [reference("x", "a", "b", disposition=Disposition.REPORT), reference("a", "a"), reference("b", "b")]
    )
    assert [group.stacks for group in groups] == [("a",), ("b",)]


def test_no_references_no_groups():
    assert build_cut_over_groups([]) == ()


@given(st.lists(st.tuples(st.sampled_from("pqrst"), st.sets(st.sampled_from("abcdef"), min_size=1))))
def test_groups_are_a_partition_and_no_file_crosses_it(files: list[tuple[str, set[str]]]):
    groups = build_cut_over_groups([reference(path, *sorted(stacks)) for path, stacks in files])
    members = [stack for group in groups for stack in group.stacks]
    assert sorted(members) == sorted({stack for _, stacks in files for stack in stacks})
    for path in {path for path, _ in files}:
        served = set().union(*(stacks for one, stacks in files if one == path))
        assert sum(bool(served & set(group.stacks)) for group in groups) == 1
