import pytest
from hypothesis import given

from migrator.rewrite.locate_text import locate_text
from migrator.rewrite.reference import Disposition, ReferenceKind
from tests.rewrite.fragments import ADDRESS, TEXTS, check_references


@given(TEXTS)
def test_any_text_is_located(text: str) -> None:
    check_references(text, locate_text(text))


@given(TEXTS)
def test_every_line_with_a_trace_is_covered(text: str) -> None:
    found = locate_text(text)
    for index in range(len(text)):
        if text.startswith(("TF_HTTP_", "/terraform/state/"), index):
            line = text.rfind("\n", 0, index) + 1
            assert any(line <= one.span.start <= index or one.span.start <= index < one.span.end for one in found)


def test_an_address_says_its_state() -> None:
    (one,) = locate_text(f'url = "{ADDRESS}/lock"\n')
    assert (one.kind, one.disposition, one.state) == (ReferenceKind.STATE_URL, Disposition.REPORT, "web-dev")


@pytest.mark.parametrize(
    "text", ["GitLab CI\n", "backend http {\n", "# S3 for the product\n", "state = 1 // pod state\n", ""]
)
def test_lookalikes_are_no_reference(text: str) -> None:
    assert locate_text(text) == ()


def test_one_report_per_line() -> None:
    assert len(locate_text("x = TF_HTTP_ADDRESS + TF_HTTP_PASSWORD\ny = TF_HTTP_USERNAME\n")) == 2
