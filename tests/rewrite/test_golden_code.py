"""Golden rewrites of HCL, shell, Justfiles and environment files, judged by the real programs as well."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from migrator.rewrite.checks import ResultCheckError, check_hcl, check_just, check_shell
from migrator.rewrite.locate_dotenv import locate_dotenv
from migrator.rewrite.locate_hcl import locate_hcl, read_hcl
from migrator.rewrite.locate_just import locate_just
from migrator.rewrite.locate_shell import locate_shell
from migrator.rewrite.reference import Disposition, Located, TargetCoordinates
from migrator.rewrite.replacements import build_edits
from migrator.rewrite.spans import apply_edits, invert_edits

FIXTURES = Path(__file__).parents[2] / "fixtures/rewrite"
PROGRAMS = Path(sys.executable).parent
CASES = sorted(
    path.parent for language in ("hcl", "shell", "just", "dotenv") for path in (FIXTURES / language).glob("*/before.*")
)
TARGET = TargetCoordinates(
    endpoint="https://rustfs.example.internal:9000",
    bucket="tofu-state",
    region="us-east-1",
    key="acme/infra/{state}/terraform.tfstate",
    path_style=True,
    style="inline",
)
PARTIAL = TargetCoordinates(
    endpoint=TARGET.endpoint, bucket="tofu-state", region="us-east-1", key=TARGET.key, path_style=True, style="partial"
)
# What nothing may say any more after a rewrite in which nothing was reported.
SOURCE = re.compile(r"TF_HTTP_|/terraform/state/|GitLab-managed|backend \"http\"")


def locator(case: Path) -> Callable[[str], tuple[Located, ...]]:
    if case.name == "bare_inherited":
        return lambda text: locate_shell(text, inherited_state="${TF_STATE_NAME}")
    return {"hcl": locate_hcl, "shell": locate_shell, "just": locate_just, "dotenv": locate_dotenv}[case.parent.name]


def read(case: Path, name: str) -> str:
    (path,) = case.glob(f"{name}.*")
    return path.read_bytes().decode()


def rewrite(case: Path, target: TargetCoordinates = TARGET) -> str:
    before = read(case, "before")
    return apply_edits(before, build_edits(locator(case)(before), before, target))


def of_language(language: str) -> list[Path]:
    return [case for case in CASES if case.parent.name == language]


def name_of(case: Path) -> str:
    return f"{case.parent.name}/{case.name}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_rewrite_is_what_was_read_by_eye(case: Path) -> None:
    assert rewrite(case) == read(case, "after")


@pytest.mark.parametrize("target", [TARGET, PARTIAL], ids=["inline", "partial"])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_nothing_is_left_to_rewrite(case: Path, target: TargetCoordinates) -> None:
    after = rewrite(case, target)
    left = [one for one in locator(case)(after) if one.disposition is Disposition.REWRITE]
    assert left == []


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_what_is_not_reported_no_longer_names_the_source(case: Path) -> None:
    after = rewrite(case)
    spans = [one.span for one in locator(case)(after)]
    for found in SOURCE.finditer(after):
        assert any(span.start <= found.start() < span.end for span in spans), after[found.start() :][:80]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_the_way_back_is_exact(case: Path) -> None:
    before = read(case, "before")
    edits = build_edits(locator(case)(before), before, TARGET)
    assert apply_edits(apply_edits(before, edits), invert_edits(before, edits)) == before


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_newlines_are_kept(case: Path) -> None:
    before, after = read(case, "before"), rewrite(case)
    assert ("\r\n" in before) == ("\r\n" in after)
    assert re.search(r"(?<!\r)\n", after) is None or "\r\n" not in after


@pytest.mark.parametrize("target", [TARGET, PARTIAL], ids=["inline", "partial"])
@pytest.mark.parametrize("case", of_language("hcl"), ids=name_of)
def test_hcl_is_formatted_as_the_program_wants(case: Path, target: TargetCoordinates) -> None:
    program = os.environ.get("TOFU") or shutil.which("tofu") or shutil.which("terraform")
    assert program is not None, "neither tofu nor terraform is found: set TOFU"
    after = rewrite(case, target)
    check_hcl(after)
    if "\r\n" in after or case.name == "json_syntax":
        return  # fmt wants LF in any file, and does not format JSON
    done = subprocess.run([program, "fmt", "-check", "-"], input=after, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_inline_block_locks_and_holds_no_credential() -> None:
    (block,) = read_hcl(rewrite(FIXTURES / "hcl/short")).backends
    assert block.attributes["use_lockfile"].value == "true"
    assert not {"access_key", "secret_key", "token", "profile"} & set(block.attributes)


@pytest.mark.parametrize("case", of_language("shell"), ids=name_of)
def test_shellcheck_is_no_worse(case: Path) -> None:
    def complaints(text: str) -> int:
        done = subprocess.run(
            [PROGRAMS / "shellcheck", "-s", "bash", "-f", "json", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        # SC2034 is about a variable that nothing reads: an address stays assigned on purpose.
        return len([one for one in json.loads(done.stdout) if one["code"] != 2034])

    before, after = read(case, "before"), rewrite(case)
    assert complaints(after) <= complaints(before)
    check_shell(before, after)


@pytest.mark.parametrize("case", of_language("just"), ids=name_of)
def test_just_reads_the_result(case: Path, tmp_path: Path) -> None:
    before, after = read(case, "before"), rewrite(case)
    check_just(before, after)
    (tmp_path / "Justfile").write_text(after)
    subprocess.run(
        [PROGRAMS / "just", "--dump", "--justfile", tmp_path / "Justfile"], check=True, capture_output=True, text=True
    )


def test_checks_refuse_what_is_broken() -> None:
    with pytest.raises(ResultCheckError):
        check_hcl('terraform {\n  backend "s3" {\n')
    with pytest.raises(ResultCheckError):
        check_shell("tofu init\n", "if tofu init \\\n")
    with pytest.raises(ResultCheckError):
        check_just("a x: b\n", "a: b\n")
