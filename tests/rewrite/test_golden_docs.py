"""Every case of ``fixtures/rewrite/{yaml,markdown,text}``: what is located, what it becomes, and the laws of both."""

import contextlib
from pathlib import Path

import pytest
import yaml

from migrator.rewrite.checks_yaml import check_yaml
from migrator.rewrite.locate_markdown import locate_markdown
from migrator.rewrite.locate_text import locate_text
from migrator.rewrite.locate_yaml import locate_yaml, read_yaml_jobs
from migrator.rewrite.reference import Disposition, Located, TargetCoordinates
from migrator.rewrite.replacements import CannotReplaceError, build_edit, build_edits
from migrator.rewrite.spans import apply_edits, invert_edits, line_of

FIXTURES = Path(__file__).parents[2] / "fixtures" / "rewrite"
TARGET = TargetCoordinates(
    endpoint="https://rustfs.example.internal:9000",
    bucket="tofu-state",
    region="us-east-1",
    key="acme/infra/{state}/terraform.tfstate",
    path_style=True,
    style="inline",
)
CASES = sorted(path.parent for kind in ("yaml", "markdown", "text") for path in (FIXTURES / kind).glob("*/before.*"))


def read(path: Path) -> str:
    return path.read_bytes().decode()  # newlines are part of the case


def read_case(case: Path, name: str) -> str:
    (path,) = case.glob(f"{name}.*")
    return read(path)


def locate(case: Path, text: str) -> tuple[Located, ...]:
    if case.parent.name == "yaml":
        return locate_yaml(text, inherited=[read_yaml_jobs(read(path)) for path in sorted(case.glob("inherited*.yml"))])
    return locate_markdown(text) if case.parent.name == "markdown" else locate_text(text)


def describe(case: Path, text: str) -> str:
    lines = []
    for one in locate(case, text):
        first, last = line_of(text, one.span.start), line_of(text, max(one.span.start, one.span.end - 1))
        lines.append(f"{first}-{last} {one.kind} {one.disposition} {one.state or '-'}\n")
    return "".join(lines)


@pytest.fixture(params=CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def case(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_locates_what_the_case_lists(case: Path) -> None:
    assert describe(case, read_case(case, "before")) == read(case / "located.txt")


def test_rewrites_to_what_was_read_by_eye(case: Path) -> None:
    before = read_case(case, "before")
    assert apply_edits(before, build_edits(locate(case, before), before, TARGET)) == read_case(case, "after")


def test_the_way_back_leads_to_every_byte(case: Path) -> None:
    before = read_case(case, "before")
    edits = build_edits(locate(case, before), before, TARGET)
    assert apply_edits(apply_edits(before, edits), invert_edits(before, edits)) == before


def test_nothing_is_left_to_rewrite(case: Path) -> None:
    left = [one for one in locate(case, read_case(case, "after")) if one.disposition is Disposition.REWRITE]
    assert left == []


def test_partial_style_rewrites_or_says_why_not(case: Path) -> None:
    before = read_case(case, "before")
    partial = TargetCoordinates(
        endpoint=TARGET.endpoint, bucket="b", region="r", key=TARGET.key, path_style=True, style="partial"
    )
    edits = []
    for one in locate(case, before):
        if one.disposition is Disposition.REWRITE:
            with contextlib.suppress(CannotReplaceError):
                edits.append(build_edit(one, before, partial))
    after = apply_edits(before, edits)
    if case.parent.name == "yaml":
        check_yaml(before, after)


YAML_CASES = [case for case in CASES if case.parent.name == "yaml"]


class GitLabLoader(yaml.SafeLoader):
    """Loads GitLab's own tags too."""


GitLabLoader.add_constructor("!reference", lambda loader, node: loader.construct_sequence(node))


@pytest.mark.parametrize("case", YAML_CASES, ids=lambda case: case.name)
def test_another_yaml_parser_agrees(case: Path) -> None:
    before, after = (yaml.load(read_case(case, name), GitLabLoader) for name in ("before", "after"))  # noqa: S506
    jobs = [name for name in before if name != "variables"]
    assert [name for name in after if name != "variables"] == jobs
    check_yaml(read_case(case, "before"), read_case(case, "after"))
    for name in jobs:
        if isinstance(before[name], dict):
            for key in {"extends", "needs", "stage", "rules", "artifacts", "environment", "steps"} & set(before[name]):
                if key not in ("environment", "steps"):
                    assert after[name][key] == before[name][key]
