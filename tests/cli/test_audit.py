"""``migrator audit``: formats, the gate, and rules of one's own, through the command line."""

import json
from pathlib import Path

import pytest

from migrator.cli.app import run
from tests.support.trees import write_tree

FILES = {
    "stacks/mail/backend.tf": 'terraform {\n  backend "http" {\n    address = '
    '"https://gitlab.example.com/api/v4/projects/84/terraform/state/mail-dev"\n  }\n}\n',
    "docs/state.md": "# State\n\nOpenTofu state is kept in RustFS.\n",
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_tree(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_names_standing_and_contradiction(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--no-color"]) == 0
    shown = capsys.readouterr().out
    assert "docs/state.md:3" in shown
    assert "migration-not-shown" in shown
    assert "1 of 9 surfaces implemented, 1 contradiction" in shown


def test_the_gate(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--check", "-q"]) == 3
    assert "docs/state.md:3" in capsys.readouterr().err
    (repository / "docs/state.md").unlink()
    assert run(["audit", "--check"]) == 0


@pytest.mark.parametrize("arguments", [["audit", "--json"], ["audit", "--format", "json"]])
def test_json(repository: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == "migrator.audit/1"
    standing = {one["surface"]: one["standing"] for one in document["surfaces"]}
    assert (standing["gitlab-state"], standing["s3-state"]) == ("implemented", "declared")
    (found,) = document["contradictions"]
    assert (found["path"], found["start_line"], found["code"]) == ("docs/state.md", 3, "migration-not-shown")
    assert found["against"] == [{"path": "stacks/mail/backend.tf", "start_line": 2, "end_line": 4}]


def test_markdown(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--format", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# Who is the authority\n")
    assert "| `docs/state.md:3` | `migration-not-shown` |" in shown


def test_rules_of_ones_own(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = repository / "rules.toml"
    rules.write_text('format = "migrator.audit-rules/1"\nreplace = true\n[[surface]]\nid = "x"\ntitle = "X"\n', "utf-8")
    assert run(["audit", "--rules", "rules.toml", "--check"]) == 0
    assert "0 of 1 surface implemented, 0 contradictions" in capsys.readouterr().out
    rules.write_text("format = 3", "utf-8")
    assert run(["audit", "--rules", "rules.toml"]) == 2
    assert "these are no rules" in capsys.readouterr().err


def test_words_of_rules_are_shown_as_they_are(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = repository / "rules.toml"
    surface = '[[surface]]\nid = "x"\ntitle = "[/x] of [red]us"\nis = "[bold]"\n'
    rules.write_text(f'format = "migrator.audit-rules/1"\nreplace = true\n{surface}', "utf-8")
    assert run(["audit", "--rules", "rules.toml", "-v", "--no-color"]) == 0
    assert "[/x] of [red]us is [bold]" in capsys.readouterr().out
