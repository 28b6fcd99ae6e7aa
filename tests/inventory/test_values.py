import pytest

from migrator.inventory.just_values import evaluate_just
from migrator.inventory.values import Unknown, Value, build_value, expand, match_path, split_after


def nothing(language: str, name: str) -> tuple[Value, ...]:
    return ()


def one(text: str) -> Value:
    (value,) = expand(text, nothing)
    return value


@pytest.mark.parametrize(
    ("expression", "pieces"),
    [
        ('"attic-" + env', ("attic-", Unknown("env"))),
        ('env_var_or_default("ENV", "dev")', (Unknown("ENV", default="dev"),)),
        ("env('ENV', 'dev')", (Unknown("ENV", default="dev"),)),
        ('env_var("ENV")', (Unknown("ENV"),)),
        ('\'a\' / "b\\"c"', ('a/b"c',)),
        ('("a" + "b") + `date`', ("ab", Unknown("`date`"))),
        ('uppercase("x")', (Unknown("uppercase()"),)),
        ("+++", (Unknown("+++"),)),
        ('"unfinished', (Unknown('"unfinished'),)),
    ],
)
def test_expressions_of_just(expression: str, pieces: tuple[str | Unknown, ...]):
    assert [value.pieces for value in evaluate_just(expression, nothing)] == [pieces]


def test_a_conditional_has_both_values():
    values = evaluate_just('if env == "prod" { "a" } else if env == "x" { "b" } else { "c" }', nothing)
    assert [value.text for value in values] == ["a", "b", "c"]


def test_deep_nesting_is_not_followed():
    assert evaluate_just("(" * 500 + '"x"' + ")" * 500, nothing)[0].text is None


def test_shell_defaults_commands_and_placeholders():
    assert one("attic-${ENV:-dev}").pieces == ("attic-", Unknown("ENV", default="dev"))
    assert one("$(pwd)/x").pieces == (Unknown("$(pwd)"), "/x")
    assert one("<project id>/${{ inputs.env }}").pieces == (Unknown("project id"), "/", Unknown("inputs.env"))


def test_a_variable_with_several_values_gives_each():
    def lookup(language: str, name: str) -> tuple[Value, ...]:
        return (build_value(["a"]), build_value(["b"])) if name == "X" else ()

    assert [value.text for value in expand("${X}-$X", lookup)] == ["a-a", "a-b", "b-a", "b-b"]


@pytest.mark.parametrize(
    ("text", "path", "known"),
    [
        ("stacks/${S}", "stacks/attic", {"S": "attic"}),
        ("stacks/${S}", "stacks/a/b", None),
        ("$CI_PROJECT_DIR/stacks/$S/", "stacks/attic", {"S": "attic"}),
        ("stacks/$S/$S", "stacks/a/a", {"S": "a"}),
        ("stacks/$S/$S", "stacks/a/b", None),
        ("stacks/attic", "stacks/attic2", None),
        ("$S", "stacks/attic", None),
    ],
)
def test_directories_say_what_their_unknown_parts_are(text: str, path: str, known: dict[str, str] | None):
    assert match_path(one(text), path) == known


def test_the_name_stands_behind_the_marker():
    address = one("${API}/projects/$P/terraform/state/attic-$E")
    name = split_after(address, "/terraform/state/")
    assert name is not None
    assert name.pieces == ("attic-", Unknown("E"))
    assert split_after(one("$A/$B"), "/terraform/state/") is None
