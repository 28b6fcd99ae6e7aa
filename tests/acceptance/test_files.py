"""What the cut-over leaves in the files, judged by their own programs and by the answer sheet, never by our parsers.

That everything which says where state lives is found is shown row by row in tests/inventory; here it is what a run really
leaves in a work tree, and that it leaves everything else alone.
"""

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from migrator.audit.codec import build_document
from migrator.audit.discover import discover_audit
from migrator.audit.rules import read_rules
from migrator.rehearsal.estate import sample_root
from tests.support.estate_lab import Lab, replace_setting
from tests.support.programs import require_program
from tests.support.s3_servers import S3Server
from tests.support.trees import write_tree

STYLES = ("inline", "partial")


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A repository after the cut-over, and its files before and after."""

    lab: Lab
    style: str
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module", params=STYLES)
def moved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, moto: S3Server) -> Iterator[Moved]:
    style = request.param
    with Lab(
        tmp_path_factory.mktemp(style) / "lab",
        server=moto,
        client=require_program("tofu"),
        settings=lambda text: replace_setting("proof.plan", '"off"')(
            replace_setting("target.style", f'"{style}"')(text)
        ),
    ) as lab:
        before = _read_texts(lab)
        lab.migrate()
        yield Moved(lab=lab, style=style, before=before, after=_read_texts(lab))


def _read_texts(lab: Lab) -> dict[str, str]:
    return {path: data.decode() for path, (data, _) in lab.snapshot().items()}


def test_no_reference_to_the_source_is_left(moved: Moved) -> None:
    assert moved.lab.migrator("inventory", "--check").code == 0
    assert moved.before.keys() <= moved.after.keys()
    created = {path.rpartition("/")[2] for path in moved.after.keys() - moved.before.keys()}
    # Eight states, and four that files name and nobody wrote yet.
    assert len(created) == (12 if moved.style == "partial" else 0), created
    modes = {path: mode for path, (_, mode) in moved.lab.snapshot().items()}
    assert all(modes[path] == mode for path, (_, mode) in moved.lab.files.items())


# --- the answer sheet -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Answer:
    path: str
    lines: range
    kind: str
    disposition: str


def _read_answers() -> list[Answer]:
    """The rows of fixtures/estate-references.md."""
    answers = []
    for row in (sample_root() / "fixtures" / "estate-references.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        if len(cells) == 5 and cells[0].startswith("`"):
            first, _, last = cells[1].partition("-")
            lines = range(int(first), int(last or first) + 1)
            answers.append(Answer(path=cells[0].strip("`"), lines=lines, kind=cells[2], disposition=cells[3]))
    return answers


def _read_opcodes(before: str, after: str) -> Iterator[tuple[str, range]]:
    """What changes, and in which lines of ``before``, counted from 1; an insertion stands before the line it names."""
    matcher = difflib.SequenceMatcher(a=before.splitlines(), b=after.splitlines(), autojunk=False)
    for tag, first, last, _, _ in matcher.get_opcodes():
        if tag != "equal":
            yield tag, range(first + 1, last + 1)


def _read_changed(moved: Moved) -> set[tuple[str, int]]:
    """The (path, line) of the beginning that are not there any more."""
    return {
        (path, number)
        for path, before in moved.before.items()
        for _, lines in _read_opcodes(before, moved.after[path])
        for number in lines
    }


# Changes outside of the rows, each because of one: the key of a mapping that the rewriting empties, and the place where a
# job gets the credentials that it had from .terraform until now.
EMPTIED = {
    (".github/workflows/deploy-arc-runners.yml", 65),
    (".gitlab/ci/templates/tofu-base.yml", 25),
    ("docs/infrastructure/overlay-creation.md", 45),
}
INSERTED = {(".github/workflows/deploy-arc-runners.yml", 32)}


def _is_table_row(moved: Moved, path: str, number: int) -> bool:
    return path.endswith(".md") and moved.before[path].splitlines()[number - 1].startswith("|")


def test_every_line_to_be_kept_is_byte_identical(moved: Moved) -> None:
    changed = _read_changed(moved)
    kept = [(a, (a.path, n)) for a in _read_answers() if a.disposition == "keep" for n in a.lines]
    wrong = [f"{p}:{n} ({a.kind})" for a, (p, n) in kept if (p, n) in changed and not _is_table_row(moved, p, n)]
    assert not wrong, "\n".join(wrong)


def test_rows_of_tables_keep_their_cells(moved: Moved) -> None:
    """Columns stay aligned when another row changes, so padding is all that may differ."""
    claimed = _claimed()
    for path in {path for path, _ in _read_changed(moved) if path.endswith(".md")}:
        rows = [line for n, line in enumerate(moved.before[path].splitlines(), 1) if (path, n) not in claimed]
        before, after = (
            Counter(_read_cells(line) for line in lines if line.startswith("|"))
            for lines in (rows, moved.after[path].splitlines())
        )
        assert not before - after, path


def _read_cells(row: str) -> tuple[str, ...]:
    return tuple("---" if set(cell.strip()) == {"-"} else cell.strip() for cell in row.strip().strip("|").split("|"))


def _claimed() -> set[tuple[str, int]]:
    return {(a.path, n) for a in _read_answers() if a.disposition in ("rewrite", "report") for n in a.lines}


def test_only_lines_of_the_answer_sheet_are_touched(moved: Moved) -> None:
    claimed = _claimed()
    strange = []
    for path, number in sorted(_read_changed(moved) - claimed - EMPTIED):
        blank = not moved.before[path].splitlines()[number - 1].strip()
        if not blank and not _is_table_row(moved, path, number):
            strange.append(f"{path}:{number}")
    for path, before in moved.before.items():
        for tag, lines in _read_opcodes(before, moved.after[path]):
            beside = {(path, lines.start - 1), (path, lines.start)}
            if tag == "insert" and not beside & (claimed | INSERTED):
                strange.append(f"{path}:{lines.start} (inserted)")
    assert not strange, "\n".join(strange)


# --- the programs that read these files -------------------------------------------------------------------------------


def test_hcl_is_formatted(moved: Moved) -> None:
    moved.lab.run([str(moved.lab.client), "fmt", "-check", "-recursive"])


def _dump(lab: Lab, justfile: str) -> dict[str, Any]:
    just = str(require_program("just"))
    return json.loads(lab.run([just, "--justfile", justfile, "--dump", "--dump-format", "json"]).out)


def test_just_reads_every_justfile_and_knows_the_same_recipes(moved: Moved, tmp_path: Path) -> None:
    justfiles = [path for path in moved.before if path.rpartition("/")[2] == "Justfile"]
    assert len(justfiles) == 4
    for path in justfiles:
        (tmp_path / "Justfile").write_text(moved.before[path])
        before, after = _dump(moved.lab, str(tmp_path / "Justfile")), _dump(moved.lab, path)
        for name, recipe in before["recipes"].items():
            kept = ("parameters", "dependencies", "shebang", "quiet", "private", "attributes")
            assert {k: after["recipes"][name][k] for k in kept} == {k: recipe[k] for k in kept}, (path, name)
        assert after["recipes"].keys() == before["recipes"].keys()
        assert after["assignments"].keys() <= before["assignments"].keys()


class _Loader(yaml.SafeLoader):
    """Reads GitLab's own tags as what they hold."""


_Loader.add_multi_constructor(
    "!", lambda loader, _, node: ("!", yaml.SafeLoader.construct_sequence(loader, node, deep=True))
)
# Not part of the job graph: what a job runs, and with which variables.
_INSIDE = {"script", "before_script", "after_script", "variables", "run", "env", "secrets"}


def _build_graph(value: Any) -> Any:
    """The document without what jobs run; lists keep their length, so that no step and no job can be lost."""
    if isinstance(value, dict):
        return {key: _build_graph(item) for key, item in value.items() if key not in _INSIDE}
    return [_build_graph(item) for item in value] if isinstance(value, list) else value


def test_pipelines_keep_their_job_graph(moved: Moved) -> None:
    paths = [path for path in moved.before if path.endswith((".yml", ".yaml"))]
    assert len(paths) > 20
    changed = 0
    for path in paths:
        before, after = (list(yaml.load_all(text, _Loader)) for text in (moved.before[path], moved.after[path]))
        changed += before != after
        # An anchored script is no job, but a value that jobs take: only its presence is part of the graph.
        graphs = [[_drop_anchored(_build_graph(document)) for document in side] for side in (before, after)]
        assert graphs[0] == graphs[1], path
    assert changed >= 4


def _drop_anchored(graph: Any) -> Any:
    if not isinstance(graph, dict):
        return graph
    return {
        key: None if str(key).startswith(".") and not isinstance(item, dict) else item for key, item in graph.items()
    }


# --- shell ------------------------------------------------------------------------------------------------------------


def _extract_scripts(lab: Lab, texts: dict[str, str], directory: Path) -> dict[str, str]:
    """Every piece of shell in the repository, by where it stands: scripts, recipes, steps of pipelines."""
    found = {path: text for path, text in texts.items() if path.endswith((".sh", ".envrc"))}
    for path, text in texts.items():
        if path.rpartition("/")[2] == "Justfile":
            (directory / "Justfile").write_text(text)
            for name, recipe in _dump(lab, str(directory / "Justfile"))["recipes"].items():
                found[f"{path} {name}"] = _build_recipe(recipe)
        elif path.startswith((".gitlab", ".github")) and path.endswith(".yml"):
            for place, script in _find_scripts(yaml.load(text, _Loader), path):  # noqa: S506
                found[place] = "#!/usr/bin/env bash\n" + re.sub(r"\$\{\{.*?\}\}", "value", script) + "\n"
    return found


def _build_recipe(recipe: dict[str, Any]) -> str:
    lines = ["".join(part if isinstance(part, str) else "value" for part in line) for line in recipe["body"]]
    if not recipe["shebang"]:
        lines = ["#!/usr/bin/env bash", *(line.removeprefix("@") for line in lines)]
    return "\n".join(lines) + "\n"


def _find_scripts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in {"script", "before_script", "after_script", "run"} or (
                str(key).startswith(".") and isinstance(item, str)
            ):
                yield f"{place} {key}", _join(item)
            yield from _find_scripts(item, f"{place} {key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _find_scripts(item, f"{place} {number}")


def _join(item: Any) -> str:
    """A script of a job: lines, blocks, and blocks of other jobs in between."""
    if isinstance(item, str):
        return item
    return "\n".join(_join(part) for part in item) if isinstance(item, (list, tuple)) else str(item)


def _lint(lab: Lab, scripts: dict[str, str], directory: Path) -> dict[str, Counter[str]]:
    """What shellcheck finds in each script: codes and how often."""
    names = {str(number): place for number, place in enumerate(scripts)}
    for name, place in names.items():
        (directory / name).write_text(scripts[place])
    command = [str(require_program("shellcheck")), "--format", "json1", "--shell", "bash", *names]
    done = lab.run(command, directory=directory, expect=None)
    found: dict[str, Counter[str]] = {place: Counter() for place in scripts}
    for comment in json.loads(done.out)["comments"]:
        found[names[comment["file"]]][f"SC{comment['code']}"] += 1
    return found


def test_shellcheck_finds_nothing_that_it_had_not_found_before(moved: Moved, tmp_path: Path) -> None:
    sides = []
    for name, texts in (("before", moved.before), ("after", moved.after)):
        directory = tmp_path / name
        directory.mkdir()
        scripts = _extract_scripts(moved.lab, texts, tmp_path)
        sides.append((scripts, _lint(moved.lab, scripts, directory)))
    (scripts_before, before), (scripts_after, after) = sides
    assert scripts_after.keys() == scripts_before.keys()
    assert len(scripts_before) > 80
    worse = {place: +(after[place] - before[place]) for place in after if after[place] - before[place]}
    assert worse == {}, _quote(worse, scripts_after)


def _quote(places: Sequence[str] | dict[str, Any], scripts: dict[str, str]) -> str:
    return "\n\n".join(f"{place}:\n{scripts[place]}" for place in places)


# --- who is the authority ---------------------------------------------------------------------------------------------


def _audit(files: Mapping[str, str], directory: Path) -> dict[str, Any]:
    """What ``audit`` says of a repository of these files: standing and stacks by surface, and the contradictions."""
    found = build_document(discover_audit(write_tree(directory, files), read_rules(None)))
    return {
        "stacks": {one["surface"]: one["stacks"] for one in found["surfaces"] if one["stacks"]},
        "absent": {one["surface"] for one in found["surfaces"] if one["standing"] == "absent"},
        "contradictions": {(one["path"], one["code"]) for one in found["contradictions"]},
    }


ALL = ["arc-runners", "attic", "gitlab-runners", "runner-dashboard"]
PLANTED = {
    ("docs/infrastructure/customization-guide.md", "coordinates-differ"),
    ("docs/runners/bazel-cache.md", "coordinates-differ"),
    (".github/workflows/deploy-arc-runners.yml", "coordinates-differ"),
}


def test_the_audit_tells_the_old_truth_before_and_the_new_one_after(moved: Moved, tmp_path: Path) -> None:
    before = _audit(moved.before, tmp_path / "before")
    assert before["stacks"] == {"gitlab-state": ALL}
    assert before["absent"] == {"s3-state", "flakehub", "clean-derivation"}
    assert before["contradictions"] == PLANTED
    after = _audit(moved.after, tmp_path / "after")
    assert after["stacks"] == {"s3-state": ALL}
    assert after["absent"] >= {"flakehub", "clean-derivation"}
    # A table names GitLab in words that the migration left to a person: that is said until somebody changes it.
    assert after["contradictions"] == PLANTED | {("docs/infrastructure/security.md", "authority-not-told")}


def test_half_way_the_audit_says_which_stack_is_where(moved: Moved, tmp_path: Path) -> None:
    """The files of one stack were changed by hand, the recipe in the root and the documents were not."""
    by_hand = {path: text for path, text in moved.after.items() if path.startswith("stacks/arc-runners/")}
    found = _audit({**moved.before, **by_hand}, tmp_path)
    assert found["stacks"] == {
        "gitlab-state": [one for one in ALL if one != "arc-runners"],
        "s3-state": ["arc-runners"],
    }
    assert {("Justfile", "half-moved"), (".github/workflows/deploy-arc-runners.yml", "half-moved")} <= found[
        "contradictions"
    ]
    told = {path for path, code in found["contradictions"] if code == "authority-not-told"}
    assert told
    assert all(path.endswith((".md", ".tf", ".yml", "Justfile", ".bazel", ".example", ".envrc")) for path in told)
