"""The documents say what is true: links, command lines, codes, settings and words are compared with the program.

What needs servers or real programs is marked ``acceptance``, here and in ``tests/acceptance/test_runbook.py``.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.main import get_command

import migrator.errors
from migrator.cli.app import app, build_command, hoist_global_options
from migrator.cli.overview import COMMANDS
from migrator.errors import MigratorError
from migrator.inventory.hazards import CATALOGUE
from migrator.plan.blockers import ACKNOWLEDGEABLE
from migrator.report.output import Output
from migrator.rewrite.reference import Disposition, ReferenceKind
from migrator.settings import KEY_FIELDS, Settings, parse_settings
from scripts.lib import coverage, transcript
from scripts.lib import docs as generated
from scripts.lib.known_programs import PROGRAMS
from tests.support.programs import require_program

TOP = Path(__file__).resolve().parents[1]
DOCS = TOP / "docs"
DOCUMENTS = sorted([*DOCS.rglob("*.md"), *TOP.glob("*.md")])
NAMES = [path.relative_to(TOP).as_posix() for path in DOCUMENTS]


def read(name: str) -> str:
    return (TOP / name).read_text()


# --- links ------------------------------------------------------------------------------------------------------------


FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)(?P=fence)$", re.MULTILINE | re.DOTALL
)


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))


def find_links(text: str) -> list[str]:
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", without_code(text))


def find_anchors(text: str) -> set[str]:
    """The anchors of headings, by GitHub's and GitLab's common rule."""
    headings = re.findall(r"^#{1,6} +(.+?) *$", FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return set(plain)


@pytest.mark.parametrize("name", NAMES)
def test_links_resolve(name: str) -> None:
    broken = []
    for link in find_links(read(name)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        file = (TOP / name).parent / path if path else TOP / name
        if not file.exists() or (anchor and anchor not in find_anchors(file.read_text())):
            broken.append(link)
    assert broken == []


def test_a_broken_link_would_be_found() -> None:
    assert find_links("see [x](y.md#z) and `[not](this)`") == ["y.md#z"]
    assert find_anchors("# One two\n```\n# not\n```\n## `a-b`: c\n") == {"one-two", "a-b-c"}


def test_every_document_is_in_the_index() -> None:
    listed = {link.partition("#")[0] for link in find_links(read("docs/README.md"))}
    missing = [path.name for path in DOCS.glob("*.md") if path.name not in listed | {"README.md"}]
    assert missing == []


# --- command lines ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    document: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}: {self.text}"


def find_command_lines(name: str) -> Iterator[Line]:
    """Every `migrator ...` in a code block or in inline code; placeholders in capitals stand for values."""
    text = read(name)
    if name == "docs/commands.md":
        found = re.findall(r"^ *Example:\s+(migrator .+)$", text, re.MULTILINE)
    else:
        blocks = "\n".join(match["body"] for match in FENCE.finditer(text) if match["language"] in ("sh", "console"))
        shown = re.findall(r"`(migrator [^`]+)`", re.sub(r"\s*\n\s*", " ", FENCE.sub("", text)))
        found = [*re.findall(r"(?:^|[ /$])(migrator [^\n]+)", blocks, re.MULTILINE), *shown]
    for line in found:
        for part in re.split(r"&&|\||;", line.partition(" #")[0]):
            if part.strip().startswith("migrator "):
                yield Line(name, part.strip())


LINES = [line for name in NAMES for line in find_command_lines(name)]


@pytest.mark.parametrize("line", sorted({str(line): line for line in LINES}.values(), key=str), ids=str)
def test_command_lines_are_accepted(line: Line) -> None:
    check_command_line(line.text)


def check_command_line(text: str) -> None:
    """Parse a command line as the program would, and run nothing."""
    arguments = hoist_global_options([word for word in shlex.split(text)[1:] if word != "..."])
    names = [index for index, word in enumerate(arguments) if word in COMMANDS]
    if not names:
        assert set(arguments) <= {"--help", "--version"}, f"no command in: {text}"
        return
    front, (name, *rest) = arguments[: names[0]], arguments[names[0] :]
    get_command(app).make_context("migrator", [*front, name], obj=Output(), resilient_parsing=False)
    if "--help" not in rest:
        build_command(name).make_context(name, rest)


def test_enough_command_lines_are_looked_at() -> None:
    assert len({line.document for line in LINES}) >= 6
    assert {line.text.split()[1] for line in LINES} >= set(COMMANDS)


@pytest.mark.parametrize("text", ["migrator plan --no-such", "migrator move", "migrator migrate --until never"])
def test_a_wrong_command_line_would_be_found(text: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such option|no command|invalid value|not one of"):
        check_command_line(text)


def test_scripts_that_are_named_exist() -> None:
    named = {
        name
        for document in NAMES
        for name in re.findall(r"(?<![\w/])(?:\./)?(scripts/[a-z]+(?:-[a-z]+)*)\b", read(document))
    }
    assert {"scripts/demo", "scripts/test"} <= named
    missing = [name for name in named if not (TOP / name).exists()]
    assert missing == []


@pytest.mark.parametrize("name", NAMES)
def test_paths_of_the_repository_that_are_named_exist(name: str) -> None:
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", read(name)))
    paths = [
        one for one in inline if re.fullmatch(r"(?:migrator|tests|docs|fixtures|stacks|scripts)(?:/[\w./-]+)?", one)
    ]
    assert [path for path in paths if path != "migrator" and not (TOP / path).exists()] == []


# --- generated parts --------------------------------------------------------------------------------------------------


def test_commands_are_what_help_says() -> None:
    assert read("docs/commands.md") == generated.build_document(), "run scripts/docs"


def test_coverage_is_what_the_fixtures_show() -> None:
    assert read("docs/coverage.md") == coverage.build_document(), "run scripts/docs"


@pytest.mark.acceptance
def test_the_transcript_is_what_the_demo_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOFU", str(require_program("tofu")))
    found = transcript.build_transcript(transcript.run_demo())
    assert transcript.read_transcript(read("README.md")).splitlines() == found.splitlines(), "run scripts/transcript"


def test_a_transcript_hides_what_varies_and_counts_what_it_leaves_out() -> None:
    rows = "\n".join(f"    row {number}" for number in range(30))
    printed = f"title\n\n    $ migrator plan\n{rows}\n    … 7 more lines\n\n    at 127.0.0.1:41234\n\n✓ done      1.5 s\nall, in 2.5 s\n"
    short = transcript.build_transcript(printed).splitlines()
    assert short[2:4] == ["    $ migrator plan", "    row 0"]
    assert "    … 23 more lines" in short  # 30 rows and 7, of which 14 are shown
    assert short[-4:] == ["    at 127.0.0.1:PORT", "", "✓ done", "all, in N s"]
    text = transcript.replace_transcript(f"a\n{transcript.BEGIN}\n{transcript.END}\nb\n", "x\ny")
    assert transcript.read_transcript(text) == "x\ny"
    assert transcript.replace_transcript(text, "x\ny") == text


# --- exit codes and errors --------------------------------------------------------------------------------------------


def error_classes() -> list[type[MigratorError]]:
    found = vars(migrator.errors).values()
    return [
        one for one in found if isinstance(one, type) and issubclass(one, MigratorError) and one is not MigratorError
    ]


def read_rows(name: str, *, width: int = 2) -> list[list[str]]:
    """The cells of every table row of a document."""
    rows = re.findall(r"^\|(.+)\|$", read(name), re.MULTILINE)
    cells = [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", row)] for row in rows]
    return [row for row in cells if len(row) >= width and not set(row[0]) <= {"-", " "}]


@pytest.mark.parametrize("name", ["README.md", "docs/exit-codes.md"])
def test_every_exit_code_is_explained(name: str) -> None:
    explained = {row[0] for row in read_rows(name) if row[0].isdigit()}
    assert explained == {"0"} | {str(one.exit_code) for one in error_classes()}


def test_every_error_is_listed_with_its_code() -> None:
    listed = {row[0]: row[1] for row in read_rows("docs/exit-codes.md") if row[0].endswith("Error")}
    assert listed == {one.__name__: str(one.exit_code) for one in error_classes()}


# --- settings ---------------------------------------------------------------------------------------------------------


def setting_names() -> dict[str, set[str]]:
    """The settings of each table of migrator.toml."""
    found = {}
    for table, kind in get_type_hints(Settings).items():
        inner = (get_args(kind) or (kind,))[0]
        found[table] = {field.name for field in dataclasses.fields(inner)} if dataclasses.is_dataclass(inner) else set()
    return found


def read_sections(name: str) -> dict[str, str]:
    parts = re.split(r"^## +(.+)$", read(name), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def sample_settings() -> str:
    block = next(match for match in FENCE.finditer(read("docs/configuration.md")) if match["language"] == "toml")
    return block["body"]


@pytest.mark.parametrize("table", [name for name in setting_names() if name != "format"])
def test_every_setting_is_explained_and_nothing_else(table: str) -> None:
    section = read_sections("docs/configuration.md")[table]
    explained = set(re.findall(r"^\| `(\w+)` ", section, re.MULTILINE))
    assert explained == setting_names()[table]


def test_defaults_are_as_documented() -> None:
    for table, kind in get_type_hints(Settings).items():
        if not dataclasses.is_dataclass(kind):
            continue
        rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", read_sections("docs/configuration.md")[table], re.MULTILINE))
        for field in dataclasses.fields(kind):
            if field.default not in (dataclasses.MISSING, None, ""):
                shown = str(field.default).lower() if isinstance(field.default, bool) else f'"{field.default}"'
                assert shown in rows[field.name], f"{table}.{field.name}"


def test_the_sample_parses_as_it_stands_and_with_every_comment_removed() -> None:
    sample = sample_settings()
    parse_settings(sample, where="docs/configuration.md", environment={})
    full = re.sub(r"^# ", "", sample, flags=re.MULTILINE)
    parse_settings(full, where="docs/configuration.md", environment={})
    for table, names in setting_names().items():
        missing = [name for name in names if not re.search(rf"^{name} = ", full, re.MULTILINE)]
        assert missing == [], table


def test_fields_of_keys_and_acknowledgeable_codes_are_named() -> None:
    sections = read_sections("docs/configuration.md")
    assert all(f"`{name}`" in sections["target"] for name in KEY_FIELDS)
    assert set(re.findall(r"(?:blockers|hazards)\.md#([\w-]+)", sections["acknowledge"])) == ACKNOWLEDGEABLE
    assert all(f"`{code}`" in read("docs/blockers.md").split("\n## ")[0] for code in ACKNOWLEDGEABLE)


# --- codes ------------------------------------------------------------------------------------------------------------


def blocker_codes() -> set[str]:
    """Every code that the source gives to a ``Finding``, hazards aside."""
    found = set()
    for path in (TOP / "migrator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                found |= {str(one.value) for one in values if isinstance(one, ast.Constant)}
    return found


def test_every_blocker_is_explained() -> None:
    codes = blocker_codes()
    assert {"unbound-state", "held-lock", "missing-document"} <= codes
    sections = read_sections("docs/blockers.md")
    assert set(sections) == codes
    assert list(sections) == sorted(sections)
    assert all(len(text.split()) >= 8 for text in sections.values())


def test_every_hazard_is_explained() -> None:
    sections = read_sections("docs/hazards.md")
    assert list(sections) == sorted(kind.code for kind in CATALOGUE)
    for code, text in sections.items():
        assert re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE) == ["What", "Danger", "Do"], code


def test_every_kind_of_reference_and_every_disposition_is_explained() -> None:
    rows = {row[0] for row in read_rows("docs/references.md")} - {"kind", "disposition"}
    assert rows == {kind.value for kind in ReferenceKind} | {one.value for one in Disposition} | {"backend-file"}


def test_phases_are_those_of_the_engine() -> None:
    phases = importlib.import_module("migrator.engine.phases")
    rows = [row[0] for row in read_rows("docs/concepts.md", width=5)][1:]
    assert rows == ["planned", *(phase.value for phase, _ in phases.FORWARD)]


def test_the_variables_of_the_scripts_are_named() -> None:
    rows = " ".join(row[0] for row in read_rows("CONTRIBUTING.md"))
    named = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", rows))
    assert named == {program.variable for program in PROGRAMS.values()} | {"GO", "PYTHON", "MIGRATOR_CACHE", "CI"}


# --- words ------------------------------------------------------------------------------------------------------------

# What the glossary's words are not called, anywhere that a user reads.
SYNONYMS = re.compile(
    r"\b(?:(?:old|new|legacy|origin|destination) (?:backend|store|side|server)|src|dst|dest|migrat(?:e|ion) destination"
    r"|root module dir|rewind|undo the migration|finali[sz]ation|tombstone|freeze)\b",
    re.IGNORECASE,
)


def user_visible_strings() -> Iterator[tuple[str, str]]:
    """String literals of the package that are no docstrings, with their place."""
    for path in sorted((TOP / "migrator").rglob("*.py")):
        if "standin" in path.parts:
            continue  # a GitLab: it speaks GitLab's words
        tree = ast.parse(path.read_text())
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield f"{path.relative_to(TOP)}:{node.lineno}", node.value


def test_messages_keep_to_the_glossary() -> None:
    assert [place for place, text in user_visible_strings() if SYNONYMS.search(text)] == []


@pytest.mark.parametrize("name", NAMES)
def test_documents_keep_to_the_glossary(name: str) -> None:
    assert SYNONYMS.findall(without_code(read(name))) == []


def test_a_synonym_would_be_found() -> None:
    assert SYNONYMS.search("copied to the new backend")


def test_the_glossary_has_the_words_of_the_design() -> None:
    words = {word for row in read_rows("docs/glossary.md") for word in row[0].split(", ")}
    assert words >= {"stack", "environment", "source", "target", "state", "snapshot", "lineage", "serial", "reference"}
    assert words >= {"cut over", "seal", "finalize", "run", "authority", "barrier", "hazard", "blocker"}


# --- nothing of this machine ------------------------------------------------------------------------------------------

# Put together here, so that this file is clean too.
REGISTRIES = re.compile(
    "|".join([r"py" + r"pi\.org", "files.python" + "hosted", "registry.np" + "mjs", "proxy.go" + "lang"])
)
MACHINE = re.compile(r"(?<![\w.~$}])/(?:root|home|work|tmp|Users|mnt)/\w")


@pytest.mark.parametrize("name", NAMES)
def test_no_registry_and_no_path_of_a_machine_is_named(name: str) -> None:
    assert REGISTRIES.findall(read(name)) == []
    assert MACHINE.findall(read(name)) == []


# --- the two commands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["demo", "test"])
def test_the_two_commands_of_the_readme_say_how_they_are_used(script: str) -> None:
    done = subprocess.run(
        [TOP / "scripts" / script, "--help"], env=os.environ, capture_output=True, text=True, check=True
    )
    assert f"usage: scripts/{script}" in done.stdout
