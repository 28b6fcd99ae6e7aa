import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.rewrite.locate_just import locate_just, read_just
from migrator.rewrite.reference import Disposition, ReferenceKind
from tests.rewrite.fragments import JUST_DOCUMENTS, check_references

ROOT = Path(__file__).parents[2]
JUST = Path(sys.executable).with_name("just")
JUSTFILES = sorted((ROOT / "fixtures/estate").rglob("Justfile"))


@pytest.mark.parametrize("path", JUSTFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_agrees_with_just_about_the_outer_grammar(path: Path) -> None:
    dump = subprocess.run(
        [JUST, "--dump", "--dump-format", "json", "--justfile", path], check=True, capture_output=True, text=True
    )
    expected = json.loads(dump.stdout)
    file = read_just(path.read_text())
    assert {one.name for one in file.assignments} == set(expected["assignments"])
    assert {one.name: list(one.parameters) for one in file.recipes} == {
        name: [parameter["name"] for parameter in recipe["parameters"]] for name, recipe in expected["recipes"].items()
    }
    assert {one.name: [each.recipe for each in one.dependencies] for one in file.recipes} == {
        name: [each["recipe"] for each in recipe["dependencies"]] for name, recipe in expected["recipes"].items()
    }
    assert {one.name: one.shebang is not None for one in file.recipes} == {
        name: recipe["shebang"] for name, recipe in expected["recipes"].items()
    }


def test_headers_with_everything() -> None:
    text = (
        "export A := 'x' # note\nset dotenv-load\nalias i := init\n\n# Doc\n[confirm(\"sure?\")]\n"
        '@init stack="a b" +rest $ENVIRONMENT=env(\'E\'): (plan stack "x y") fmt && done\n  echo {{stack}}\n\n  echo 2\n\nfmt:\n'
    )
    file = read_just(text)
    init, fmt = file.recipes
    assert init.parameters == ("stack", "rest", "ENVIRONMENT")
    assert dict(init.defaults) == {"stack": '"a b"', "ENVIRONMENT": "env('E')"}
    assert [(one.recipe, one.arguments) for one in init.dependencies] == [
        ("plan", ("stack", '"x y"')), ("fmt", ()), ("done", ()),
    ]  # fmt: skip
    assert init.comment_span is not None
    assert init.comment_span.of(text) == "# Doc"
    assert init.body_span.of(text) == "  echo {{stack}}\n\n  echo 2\n"
    assert fmt.body_span.start == fmt.body_span.end
    assert file.assignments[0].expression == "'x'"


def test_an_assignment_over_lines() -> None:
    text = "a := if x == 'y' {\n  'b'\n} else {\n  `c \"d\"`\n}\nb := '''\ninit:\n  x\n'''\nr:\n"
    file = read_just(text)
    assert [one.name for one in file.assignments] == ["a", "b"]
    assert [one.name for one in file.recipes] == ["r"]


def test_lines_of_a_recipe_are_shells_of_their_own() -> None:
    text = "init:\n    @tofu init \\\n      -backend-config=address={{a}}/terraform/state/{{n}}\n    export TF_HTTP_USERNAME=x\n"
    flags, export = locate_just(text)
    assert (flags.kind, flags.state, flags.detail["one_line"]) == (ReferenceKind.INIT_FLAGS, "{{n}}", "yes")
    assert export.kind is ReferenceKind.ENVIRONMENT_EXPORT


def test_an_address_in_a_variable_is_resolved() -> None:
    text = 'n := "x-" + env\naddress := api + "/terraform/state/" + n\ni:\n  tofu init -backend-config=address={{address}}\n'
    keep, flags = locate_just(text)
    assert (flags.state, keep.disposition) == ("{{n}}", Disposition.KEEP)


def test_settings_are_kept_with_the_reason() -> None:
    text = (
        'gitlab_api := "https://g/api/v4"\ni:\n  tofu init -backend-config=address={{gitlab_api}}/terraform/state/x\n'
    )
    keep = locate_just(text)[0]
    assert (keep.kind, keep.disposition) == (ReferenceKind.SOURCE_SETTING, Disposition.KEEP)
    assert "--evaluate" in keep.reason
    used = locate_just(text + "info:\n  echo {{gitlab_api}}\n")[0]
    assert "other recipes" in used.reason


def test_a_recipe_in_another_language_is_reported() -> None:
    (one,) = locate_just("x:\n  #!/usr/bin/env python3\n  os.environ['TF_HTTP_PASSWORD']\n")
    assert one.disposition is Disposition.REPORT


PIECES = st.sampled_from(
    ["init stack: ", "a := ", "\n", "    ", "tofu init -backend-config=address={{a}}/terraform/state/x", "{{", "}}", "'''", '"',
     "#!/bin/sh\n", "# TF_HTTP_PASSWORD\n", "[confirm]\n", "set shell := ['bash']\n", "`", "export TF_HTTP_USERNAME=x\n", "\\\n", "é"]
)  # fmt: skip


@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=25))
def test_any_text_is_located_and_what_is_rewritten_can_be_taken_back(pieces: list[str]) -> None:
    text = "".join(pieces)
    check_references(text, locate_just(text))


@given(JUST_DOCUMENTS)
def test_every_recipe_of_a_document_is_located_and_can_be_taken_back(text: str) -> None:
    found = locate_just(text)
    check_references(text, found)
    kinds = [one.kind for one in found]
    assert kinds.count(ReferenceKind.INIT_FLAGS) == text.count("init-")
    assert kinds.count(ReferenceKind.CREDENTIAL_CHECK) == text.count("check-")
