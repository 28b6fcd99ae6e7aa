import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.rewrite.outline import OutlineError, read_literal, read_outline


def test_blocks_are_found_with_their_labels_and_nothing_inside_of_expressions():
    text = (
        'locals {\n  a = "${join("}", ["{"])} # no comment"\n  b = { backend = "http" }\n}\n'
        "/* terraform { */\n# terraform {\n"
        'terraform {\n  backend "http" {}\n}\n'
    )
    body = read_outline(text)
    assert [block.type for block in body.blocks] == ["locals", "terraform"]
    inner = read_outline(text, body.blocks[1].body)
    assert [(block.type, block.labels) for block in inner.blocks] == [("backend", ("http",))]
    assert body.blocks[1].span.of(text) == 'terraform {\n  backend "http" {}\n}'


@pytest.mark.parametrize(
    "value",
    [
        '<<EOT\n}{ "\nEOT\n',
        "<<-EOT\n  terraform {\n  EOT\n",
        '"a\\"}"',
        '"$${not}"',
        '"%{ if x }{%{ endif }"',
        "[\n1,\n]",
        "f(\n{})",
    ],
)
def test_brackets_in_values_do_not_end_a_block(value: str):
    text = f"resource a b {{\n  x = {value}\n  y = 1\n}}\nmodule m {{}}\n"
    body = read_outline(text)
    assert [block.type for block in body.blocks] == ["resource", "module"]
    assert set(read_outline(text, body.blocks[0].body).attributes) == {"x", "y"}


def test_crlf_and_byte_order_mark():
    text = '\ufeffterraform {\r\n  backend "http" {\r\n    address = "x" # y\r\n  }\r\n}\r\n'
    terraform = read_outline(text).blocks[0]
    backend = read_outline(text, terraform.body).blocks[0]
    attributes = read_outline(text, backend.body).attributes
    assert read_literal(text, attributes["address"]) == "x"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a {\n", 1),
        ('x = 1\ny = "abc\n', 2),
        ("x = <<EOT\n", 1),
        ("\n\n}\n", 3),
        ("/* never", 1),
        ("a {\n x = [\n}\n", 1),
    ],
)
def test_what_is_not_hcl_is_an_error_with_its_line(text: str, line: int):
    with pytest.raises(OutlineError) as caught:
        read_outline(text)
    assert caught.value.line == line


def test_templates_nested_without_end_are_refused():
    with pytest.raises(OutlineError, match="nested deeper"):
        read_outline("x = " + '"${' * 5000)


@given(st.text(alphabet='a{}"=\n#$%[]<E /*\\', max_size=80))
def test_any_text_is_an_outline_or_an_outline_error(text: str):
    try:
        body = read_outline(text)
    except OutlineError:
        return
    for block in body.blocks:
        assert 0 <= block.span.start < block.body.start <= block.body.end < block.span.end <= len(text)
