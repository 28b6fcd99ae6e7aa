import subprocess
from pathlib import Path

import pytest

from migrator.inventory.discover import discover_inventory
from migrator.inventory.model import Reference
from migrator.inventory.references import discover_references
from migrator.inventory.stacks import discover_stacks
from migrator.inventory.tree import discover_tree
from migrator.rewrite.reference import Disposition, ReferenceKind
from tests.inventory.conftest import MakeTree

BACKEND = 'terraform {\n  backend "http" {}\n}\n'
ADDRESS = "https://gitlab.example.com/api/v4/projects/1/terraform/state"
STACKS = {"stacks/attic/backend.tf": BACKEND, "stacks/runners/backend.tf": BACKEND}


def found(make_tree: MakeTree, files: dict[str, str | bytes], path: str) -> list[Reference]:
    return [one for one in discover_inventory(make_tree(files)).references if one.place.path == path]


def test_a_repository_with_nothing_to_do(make_tree: MakeTree):
    inventory = discover_inventory(make_tree({"main.tf": 'provider "x" {}\n', "README.md": "# State of the art\n"}))
    assert inventory.references == ()
    assert inventory.hazards == ()


def test_a_file_in_a_stack_serves_that_stack(make_tree: MakeTree):
    (block,) = found(make_tree, dict(STACKS), "stacks/attic/backend.tf")
    assert (block.kind, block.disposition, block.stacks) == (
        ReferenceKind.BACKEND_BLOCK,
        Disposition.REWRITE,
        ("attic",),
    )
    assert (block.place.start_line, block.place.end_line) == (2, 2)


def test_a_shared_recipe_serves_every_stack(make_tree: MakeTree):
    justfile = (
        f'init stack:\n    cd stacks/{{{{stack}}}} && tofu init -backend-config="address={ADDRESS}/{{{{stack}}}}"\n'
    )
    (flags,) = found(make_tree, {**STACKS, "Justfile": justfile}, "Justfile")
    assert flags.kind is ReferenceKind.INIT_FLAGS
    assert flags.stacks == ("attic", "runners")
    assert flags.stack is None


def test_a_template_serves_the_stacks_of_the_jobs_that_extend_it(make_tree: MakeTree):
    base = f".base:\n  variables:\n    TF_HTTP_ADDRESS: {ADDRESS}/$TF_STATE_NAME\n    TF_HTTP_PASSWORD: $CI_JOB_TOKEN\n"
    root = (
        "include: [{local: base.yml}]\njob:\n  extends: .base\n  variables:\n    TF_STATE_NAME: attic-dev\n"
        "  script:\n    - cd stacks/attic\n    - tofu init\n"
    )
    files = {**STACKS, ".gitlab-ci.yml": root, "base.yml": base}
    references = discover_inventory(make_tree(files)).references
    (variables,) = [one for one in references if one.place.path == "base.yml"]
    assert (variables.kind, variables.stacks) == (ReferenceKind.CI_VARIABLE, ("attic",))
    inits = [one for one in references if one.kind is ReferenceKind.BARE_INIT]
    assert [(str(one.place), one.disposition, one.stacks) for one in inits] == [
        (".gitlab-ci.yml:8", Disposition.REWRITE, ("attic",))
    ]


def test_stacks_with_another_backend_are_left_alone(make_tree: MakeTree):
    files: dict[str, str | bytes] = {
        "a/main.tf": 'terraform {\n  backend "s3" {}\n}\n',
        "a/run.sh": f"#!/bin/sh\nexport TF_HTTP_ADDRESS={ADDRESS}/a\n",
        "b/main.tf": 'terraform {\n  backend "http" {\n    address = "https://state.example.com/b"\n  }\n}\n',
    }
    references = discover_inventory(make_tree(files)).references
    assert references
    assert all(one.disposition is not Disposition.REWRITE for one in references)
    assert all(one.located.disposition is one.disposition for one in references)


@pytest.mark.parametrize("path", ["CHANGELOG.md", "docs/research/notes.md", "docs/release-notes.md", "tex/paper.tex"])
def test_history_is_kept(make_tree: MakeTree, path: str):
    for one in found(make_tree, {**STACKS, path: f"State is kept in GitLab: {ADDRESS}/attic-dev\n"}, path):
        assert one.disposition is Disposition.KEEP
        assert one.reason.startswith("history")


@pytest.mark.parametrize(
    ("path", "content", "line"),
    [
        ("stacks/attic/broken.tf", 'terraform {\n  backend "http" {\n', 2),
        ("deploy.yml", f"a: [\n  b: {{\nTF_HTTP_ADDRESS: {ADDRESS}/attic-dev\n", 3),
    ],
)
def test_what_cannot_be_parsed_is_reported(make_tree: MakeTree, path: str, content: str, line: int):
    references = found(make_tree, {**STACKS, path: content}, path)
    assert references
    assert all(one.disposition is Disposition.REPORT for one in references)
    assert all("cannot be parsed: line" in one.reason for one in references)
    assert any(one.place.start_line <= line for one in references)


def test_a_file_that_is_not_utf8_is_reported_and_a_binary_is_not(make_tree: MakeTree):
    files: dict[str, str | bytes] = {
        **STACKS,
        "old.sh": b"#!/bin/sh\n# caf\xe9\nexport TF_HTTP_PASSWORD=x\n",
        "image.png": b"\x89PNG\0TF_HTTP_PASSWORD",
    }
    references = discover_inventory(make_tree(files)).references
    (latin,) = [one for one in references if one.place.path == "old.sh"]
    assert (latin.disposition, latin.place.start_line) == (Disposition.REPORT, 3)
    assert "UTF-8" in latin.reason
    assert not [one for one in references if one.place.path == "image.png"]


def test_a_file_that_cannot_be_read_is_reported(make_tree: MakeTree):
    tree = make_tree({**STACKS, "gone.sh": "export TF_HTTP_PASSWORD=x\n"})
    (tree.root / "gone.sh").unlink()
    (reference,) = [one for one in discover_inventory(tree).references if one.place.path == "gone.sh"]
    assert reference.disposition is Disposition.REPORT
    assert "cannot read gone.sh" in reference.reason


def test_crlf_and_byte_order_mark_keep_their_lines(make_tree: MakeTree):
    text = "\ufeff# x\r\n" + BACKEND.replace("\n", "\r\n")
    (block,) = found(make_tree, {"a/backend.tf": text}, "a/backend.tf")
    assert (block.kind, block.disposition) == (ReferenceKind.BACKEND_BLOCK, Disposition.REWRITE)
    assert block.place.start_line == 3
    assert block.located.span.of(text) == 'backend "http" {}'


def test_a_backend_in_json_syntax(make_tree: MakeTree):
    references = found(make_tree, {"a/main.tf.json": '{"terraform": {"backend": {"http": {}}}}\n'}, "a/main.tf.json")
    assert [(one.kind, one.disposition, one.stacks) for one in references] == [
        (ReferenceKind.BACKEND_BLOCK, Disposition.REWRITE, ("a",))
    ]


def test_odd_trees_do_not_stop_the_inventory(tmp_path: Path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to("nowhere")
    inner = tmp_path / "sub"
    subprocess.run(["git", "init", "-q", str(inner)], check=True)
    (inner / "backend.tf").write_text(BACKEND)
    deep = tmp_path / "a"
    deep.mkdir()
    (deep / "backend.tf").write_text(BACKEND)
    (deep / "long.md").write_text("TF_HTTP_PASSWORD " + "x" * 1_000_000 + "\n")
    (deep / "deep.yml").write_text("a: " + "[" * 3000 + " TF_HTTP_ADDRESS\n")
    (deep / "deep.tf").write_text("x = " + '"${' * 3000 + "backend TF_HTTP_ADDRESS\n")
    tree = discover_tree(tmp_path)
    assert [stack.directory for stack in discover_stacks(tree)] == ["a"]
    places = {one.place.path for one in discover_inventory(tree).references}
    assert {"a/backend.tf", "a/long.md", "a/deep.yml", "a/deep.tf"} <= places


def test_outside_of_git_and_in_an_empty_directory(tmp_path: Path):
    assert discover_inventory(discover_tree(tmp_path)).stacks == ()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/backend.tf").write_text(BACKEND)
    inventory = discover_inventory(discover_tree(tmp_path))
    assert inventory.revision is None
    assert [one.place.path for one in inventory.references] == ["a/backend.tf"]


def test_references_are_in_order_and_the_same_every_time(make_tree: MakeTree):
    tree = make_tree(
        {**STACKS, "run.sh": f"tofu init -backend-config=address={ADDRESS}/x\nexport TF_HTTP_PASSWORD=y\n"}
    )
    first = discover_references(tree, discover_stacks(tree))
    assert first == discover_references(tree, discover_stacks(tree))
    assert [one.place for one in first] == sorted(one.place for one in first)


def test_what_other_files_say_about_settings_and_recipes_of_a_justfile(make_tree: MakeTree):
    justfile = (
        'gitlab_project := env_var_or_default("GL_PROJECT", "84")\n\n'
        "init stack:\n    cd stacks/{{stack}} && tofu init"
        ' -backend-config="address=https://gitlab.example.com/api/v4/projects/{{gitlab_project}}/terraform/state/{{stack}}"\n\n'
        "unlock name:\n    curl --request DELETE"
        ' "https://gitlab.example.com/api/v4/projects/{{gitlab_project}}/terraform/state/{{name}}/lock"\n'
    )
    files: dict[str, str | bytes] = {
        **STACKS,
        "Justfile": justfile,
        ".env.example": "# GL_PROJECT=84\nOTHER=1\n",
        "docs/a.md": "Run `just unlock attic`.\n\nOr `just gitlab_project=85 init attic`.\n",
        "CHANGELOG.md": "GL_PROJECT was added; see `just unlock`.\n",
    }
    references = discover_inventory(make_tree(files)).references
    consumers = [
        (str(one.place), one.kind.value, one.disposition.value)
        for one in references
        if one.place.path in {".env.example", "docs/a.md", "CHANGELOG.md"}
    ]
    assert consumers == [
        (".env.example:1", "source-setting", "report"),
        ("docs/a.md:1", "state-unlock", "report"),
        ("docs/a.md:3", "source-setting", "report"),
    ]


def test_lines_put_back_after_a_migration_still_lead_to_the_source(make_tree: MakeTree):
    migrated = dict.fromkeys(STACKS, 'terraform {\n  backend "s3" {}\n}\n')
    script = f'#!/bin/sh\ncd stacks/attic\ntofu init -backend-config="address={ADDRESS}/attic-dev"\n'
    (flags,) = found(make_tree, {**migrated, "init.sh": script}, "init.sh")
    assert (flags.disposition, flags.stray, flags.leads_to_source) == (Disposition.REPORT, True, True)


def test_what_is_only_reported_does_not_lead_to_the_source(make_tree: MakeTree):
    references = discover_inventory(make_tree({**STACKS, "notes.txt": f"see {ADDRESS}/attic-dev\n"})).references
    assert [one.leads_to_source for one in references if one.place.path == "notes.txt"] == [False]


def test_the_settings_of_this_program_are_no_reference(make_tree: MakeTree):
    settings = f'[source]  # GitLab state\nurl = "{ADDRESS}"\n'
    assert found(make_tree, {**STACKS, "migrator.toml": settings}, "migrator.toml") == []
