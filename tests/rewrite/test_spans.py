import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.rewrite.spans import Edit, OverlappingEditsError, Span, apply_edits, invert_edits, line_of

TEXT = st.text(alphabet="ab\n\r#é✓{}$", max_size=60)


@st.composite
def text_and_edits(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    text = draw(TEXT)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    between = [Span(start, end) for start, end in itertools.pairwise(cuts)]
    # Any of them, so that some edits touch.
    edits = [Edit(span, draw(TEXT)) for span in between if draw(st.booleans())]
    return text, draw(st.permutations(edits))


@given(TEXT)
def test_no_edit_changes_nothing(text: str) -> None:
    assert apply_edits(text, ()) == text


@given(text_and_edits())
def test_inverse_edits_bring_the_text_back(case: tuple[str, list[Edit]]) -> None:
    text, edits = case
    assert apply_edits(apply_edits(text, edits), invert_edits(text, edits)) == text


@given(text_and_edits())
def test_text_outside_of_edits_is_kept(case: tuple[str, list[Edit]]) -> None:
    text, edits = case
    removed = sum(edit.span.end - edit.span.start for edit in edits)
    added = sum(len(edit.text) for edit in edits)
    assert len(apply_edits(text, edits)) == len(text) - removed + added


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(Span(0, 3), "x"), Edit(Span(2, 4), "y")],
        [Edit(Span(0, 9), "x")],
        [Edit(Span(3, 1), "x")],
        [Edit(Span(1, 1), "x"), Edit(Span(1, 1), "y")],
    ],
)
def test_overlapping_or_outlying_edits_are_refused(edits: list[Edit]) -> None:
    with pytest.raises(OverlappingEditsError):
        apply_edits("abcd", edits)


def test_lines_count_from_one() -> None:
    assert [line_of("a\nb\n", offset) for offset in (0, 1, 2, 4)] == [1, 1, 2, 3]
