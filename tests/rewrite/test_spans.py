import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.rewrite.spans import Edit, OverlappingEditsError, Span, apply_edits, invert_edits, line_of

LINES = st.lists(
    st.sampled_from(["a", "é✓", "\r\n", "\n", "\r", "\u2028", "\ufeff", "𝒳", "e\u0301", "\x00"]), max_size=25
)
TEXT = st.one_of(st.text(alphabet="ab\n\r#é✓{}$", max_size=60), st.text(max_size=60), LINES.map("".join))
FEW = st.integers(0, 3)


@st.composite
def text_and_edits(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    """A text and edits of it in any order, many of which touch, insert (an empty span), remove (an empty text), or both."""
    text = draw(TEXT)
    edits: list[Edit] = []
    position = draw(FEW)
    while position <= len(text) and len(edits) < 8:
        end = min(position + draw(FEW), len(text))
        edits.append(Edit(Span(position, end), draw(st.one_of(st.just(""), TEXT))))
        # Two edits may not start at one place: which would come first?
        position = end + draw(FEW) + (end == position)
    return text, draw(st.permutations(edits))


@given(TEXT)
def test_no_edit_changes_nothing(text: str) -> None:
    assert apply_edits(text, ()) == text


@given(text_and_edits())
def test_inverse_edits_bring_the_text_back(case: tuple[str, list[Edit]]) -> None:
    text, edits = case
    assert apply_edits(apply_edits(text, edits), invert_edits(text, edits)) == text


@given(text_and_edits())
def test_the_inverse_of_the_inverse_makes_the_edits_again(case: tuple[str, list[Edit]]) -> None:
    text, edits = case
    after = apply_edits(text, edits)
    back = invert_edits(text, edits)
    assert apply_edits(text, invert_edits(after, back)) == after


@given(text_and_edits())
def test_bytes_come_back_as_they_were(case: tuple[str, list[Edit]]) -> None:
    """A file is read and written as bytes: no newline and no form of a letter is changed on the way."""
    text, edits = case
    data = text.encode()
    after = apply_edits(data.decode(), edits).encode()
    assert apply_edits(after.decode(), invert_edits(data.decode(), edits)).encode() == data


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
