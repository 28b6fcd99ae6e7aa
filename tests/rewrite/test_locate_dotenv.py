from hypothesis import given
from hypothesis import strategies as st

from migrator.rewrite.locate_dotenv import locate_dotenv
from migrator.rewrite.reference import Disposition, ReferenceKind
from tests.rewrite.fragments import DOTENV_DOCUMENTS, check_references


def test_adjacent_variables_are_one_reference() -> None:
    text = "A=1\nTF_HTTP_PASSWORD=\n# TF_HTTP_USERNAME=tofu\nB=2\n"
    (one,) = locate_dotenv(text)
    assert one.span.of(text) == "TF_HTTP_PASSWORD=\n# TF_HTTP_USERNAME=tofu\n"
    assert (one.kind, one.detail["password"]) == (ReferenceKind.DOTENV_VARIABLE, "empty")


def test_a_password_in_clear_is_reported() -> None:
    (one,) = locate_dotenv("TF_HTTP_PASSWORD=glpat-Zk3example9Q\n")
    assert one.disposition is Disposition.REPORT


def test_storage_of_the_product_is_left_alone() -> None:
    assert locate_dotenv("# S3 Backend\nS3_BUCKET_NAME=attic\nGITLAB_TOKEN=\n") == ()


def test_direnv_is_read_as_shell() -> None:
    text = 'use flake\nif [ -z "$TF_HTTP_PASSWORD" ]; then\n  log_error "TF_HTTP_PASSWORD is not set"\nfi\n'
    (one,) = locate_dotenv(text)
    assert one.kind is ReferenceKind.CREDENTIAL_CHECK


PIECES = st.sampled_from(
    ["TF_HTTP_PASSWORD=", "x", "\n", "# TF_HTTP_USERNAME=a\n", "# State in GitLab\n", "export ", "A=1\n", "é"]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=25))
def test_any_text_is_located_and_what_is_rewritten_can_be_taken_back(pieces: list[str]) -> None:
    text = "".join(pieces)
    check_references(text, locate_dotenv(text))


@given(DOTENV_DOCUMENTS)
def test_every_line_of_a_document_that_names_the_source_is_covered_and_can_be_taken_back(text: str) -> None:
    found = locate_dotenv(text)
    check_references(text, found)
    for index in range(len(text)):
        if text.startswith("TF_HTTP_", index):
            assert any(one.span.start <= index < one.span.end for one in found)
