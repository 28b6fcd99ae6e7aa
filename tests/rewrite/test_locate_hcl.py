import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.rewrite.locate_hcl import locate_hcl, read_hcl
from migrator.rewrite.reference import Disposition, ReferenceKind
from migrator.rewrite.unparsable import UnparsableError
from tests.rewrite.fragments import (
    BACKEND,
    EMPTY_BACKEND,
    ENDS,
    HCL_BLOCKS,
    REMOTE_STATE,
    check_references,
    join_lines,
)


def test_reads_backend_cloud_version_and_requirements() -> None:
    file = read_hcl(
        'terraform {\n  required_version = ">= 1.6.0"\n  required_providers {\n    a = { source = "x/a" }\n'
        '    b = { source = "x/b" }\n  }\n}\n\nterraform {\n  backend "http" {\n    address = "https://é/x"\n  }\n}\n'
        "terraform {\n  cloud {}\n}\n"
    )
    assert [block.type for block in file.backends] == ["http"]
    assert file.backends[0].attributes["address"].value == "https://é/x"
    assert file.required_version is not None
    assert file.required_version.value == ">= 1.6.0"
    assert file.provider_requirements == 2
    assert len(file.clouds) == 1


def test_block_on_one_line_has_its_exact_span() -> None:
    text = '# ✓ header\nterraform { backend "http" {} }\n'
    (block,) = locate_hcl(text)
    assert block.span.of(text) == 'backend "http" {}'
    assert block.kind is ReferenceKind.BACKEND_BLOCK


def test_state_comes_from_the_address() -> None:
    text = 'terraform {\n  backend "http" {\n    address = "https://g/api/v4/projects/1/terraform/state/net-${var.env}"\n  }\n}\n'
    (block,) = locate_hcl(text)
    assert block.state == "net-${var.env}"
    assert block.disposition is Disposition.REWRITE


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ('address = "https://g/terraform/state/a%2Fb"', "percent"),
        ("address = local.address", "expression"),
        ('bucket = "x"', "no argument"),
        ('address = "https://g/other"', "does not end"),
    ],
)
def test_what_is_not_certain_is_reported(body: str, word: str) -> None:
    (block,) = locate_hcl(f'terraform {{\n  backend "http" {{\n    {body}\n  }}\n}}\n')
    assert block.disposition is Disposition.REPORT
    assert word in block.reason


def test_remote_state_of_another_backend_is_not_ours() -> None:
    assert locate_hcl('data "terraform_remote_state" "x" {\n  backend = "local"\n  config  = {}\n}\n') == ()


def test_lookalikes_are_left_alone() -> None:
    assert (
        locate_hcl('resource "x" "y" {\n  backend {\n    http = 1\n  }\n}\n# state of the pods in GitLab runners\n')
        == ()
    )


def test_a_claim_in_a_description_is_reported() -> None:
    (one,) = locate_hcl('variable "x" {\n  description = "Token for GitLab-managed state"\n}\n')
    assert one.disposition is Disposition.REPORT


def test_a_claim_broken_over_lines_is_found() -> None:
    (one,) = locate_hcl("# The stack uses the HTTP\n# state backend.\nlocals {}\n")
    assert one.kind is ReferenceKind.BACKEND_COMMENT


def test_the_json_syntax_is_read() -> None:
    text = '{"terraform": [{"backend": {"http": {"address": "https://g/terraform/state/x"}}}]}'
    (block,) = locate_hcl(text)
    assert block.span.of(text) == '"http": {"address": "https://g/terraform/state/x"}'
    assert block.state == "x"
    with pytest.raises(UnparsableError):
        locate_hcl('{"terraform": {"backend": ')


def test_broken_hcl_names_the_place() -> None:
    with pytest.raises(UnparsableError) as raised:
        locate_hcl('terraform {\n  backend "http" {\n    address = \n  }\n}\n')
    assert raised.value.line == 3


PIECES = st.sampled_from(
    ["terraform {", "}", 'backend "http" {', "{", "\n", 'address = "https://g/terraform/state/x"', "# GitLab-managed state",
     "é✓", '"', "<<EOT\n", "/* TF_HTTP_PASSWORD */", 'data "terraform_remote_state" "n" {', 'backend = "http"', "config = {"]
)  # fmt: skip


@given(st.lists(st.one_of(PIECES, st.text(max_size=6)), max_size=25))
def test_any_text_is_located_or_refused(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        located = locate_hcl(text)
    except UnparsableError:
        return
    check_references(text, located)


@given(st.lists(st.sampled_from(HCL_BLOCKS), max_size=6), ENDS)
def test_every_block_of_a_document_is_located_and_can_be_taken_back(blocks: list[str], end: str) -> None:
    text = join_lines(blocks, end)
    found = locate_hcl(text)
    check_references(text, found)
    kinds = [one.kind for one in found]
    assert kinds.count(ReferenceKind.BACKEND_BLOCK) == blocks.count(BACKEND) + blocks.count(EMPTY_BACKEND)
    assert kinds.count(ReferenceKind.REMOTE_STATE) == blocks.count(REMOTE_STATE)
