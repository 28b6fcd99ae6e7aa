"""The set-up scripts, used as an operator uses them: by path, from another directory, with an empty cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.lib.cache import SetUpError, cache_directory
from scripts.lib.known_programs import BUILD, PROGRAMS, GoModule, Program, read_version
from scripts.lib.programs import cached_path, resolve_program
from scripts.lib.tally import count_outcomes
from tests.support.programs import OUR_CODE

TOP = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path for path in (TOP / "scripts").iterdir() if path.is_file() and os.access(path, os.X_OK))
SHELL = [*SCRIPTS, TOP / ".ci" / "run", TOP / "scripts" / "lib" / "setup.sh"]
LOCKED = ("constraints.txt", "constraints-demo.txt", "scripts/build/go-requirements.txt")


@pytest.fixture
def empty(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty cache and nothing of ours named."""
    named = {program.variable for program in PROGRAMS.values()} | {"GO", "CI", "PYTHON"}
    kept = {name: value for name, value in os.environ.items() if name not in named}
    return {**kept, "MIGRATOR_CACHE": str(tmp_path / "cache"), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}


def write_program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def write_tofu(path: Path, version: str) -> Path:
    return write_program(path, f"echo 'OpenTofu v{version}'")


def run(*arguments: str | Path, environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, env=environment, cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )


# --- every script


@pytest.mark.parametrize("script", [*SCRIPTS, TOP / ".ci" / "run"], ids=lambda path: path.name)
def test_help_works_from_anywhere_and_sets_nothing_up(script: Path, empty: dict[str, str], tmp_path: Path) -> None:
    done = run(script, "--help", environment=empty, directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"usage: {script.relative_to(TOP)}" in done.stdout
    assert "source " not in done.stdout
    assert done.stderr == ""
    assert not (tmp_path / "cache").exists()


def test_the_scripts_are_there() -> None:
    assert {"demo", "test", "lock", "programs"} <= {path.name for path in SCRIPTS}


def test_shell_is_clean() -> None:
    shellcheck = resolve_program(PROGRAMS["shellcheck"], environment=os.environ, build=False).path
    bash = [path for path in SHELL if path.suffix == ".sh" or path.read_text().startswith("#!/usr/bin/env bash")]
    assert len(bash) >= 6
    done = run(shellcheck, "-x", *bash, environment=dict(os.environ), directory=TOP)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lock", "--frozen"], "unknown option --frozen"),
        (["test", "--providers", "some"], "--providers takes 'all'"),
        (["test", "--workers", "many"], "--workers takes a number"),
    ],
)
def test_wrong_usage_is_named(arguments: list[str], message: str, empty: dict[str, str], tmp_path: Path) -> None:
    done = run(TOP / "scripts" / arguments[0], *arguments[1:], environment=empty, directory=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "cache").exists()


def with_only(tools: Path, *names: str) -> None:
    """A PATH of these programs alone."""
    tools.mkdir(exist_ok=True)
    for name in names:
        (tools / name).symlink_to(shutil.which(name) or pytest.fail(f"this test needs {name}"))


def test_a_machine_without_python_is_told_what_to_install(empty: dict[str, str], tmp_path: Path) -> None:
    with_only(tmp_path / "bin", "bash", "dirname", "cat", "sha256sum")
    done = run(TOP / "scripts" / "demo", environment={**empty, "PATH": str(tmp_path / "bin")}, directory=tmp_path)
    assert done.returncode == 1
    assert "no Python >= 3.11 was found" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_a_python_without_venv_is_told_what_to_install(empty: dict[str, str], tmp_path: Path) -> None:
    with_only(tmp_path / "bin", "bash", "dirname", "cat", "sha256sum")
    write_program(tmp_path / "bin" / "python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    done = run(TOP / "scripts" / "demo", environment={**empty, "PATH": str(tmp_path / "bin")}, directory=tmp_path)
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_ci_refuses_a_rustfs_with_another_sum(empty: dict[str, str], tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in (".ci/run", "scripts/lib/setup.sh"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TOP / name, checkout / name)
    packed = tmp_path / "shared" / "bin" / "rustfs-1.0.1-x86_64-linux.xz"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(subprocess.run(["xz", "-c"], input=b"something else", capture_output=True, check=True).stdout)
    write_program(tmp_path / "bin" / "uname", "echo Linux x86_64")
    done = run(checkout / ".ci" / "run", environment=empty, directory=tmp_path)
    assert done.returncode == 1
    assert "holds another program than expected" in done.stderr
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


# --- where programs come from


def test_variable_beats_path_beats_cache(empty: dict[str, str], tmp_path: Path) -> None:
    tofu = PROGRAMS["tofu"]
    cached = cached_path(tofu, cache_directory(empty))
    assert cached is not None
    with pytest.raises(SetUpError, match="tofu is missing: install OpenTofu"):
        resolve_program(tofu, environment=empty, build=False)

    write_tofu(cached, "1.12.6")
    assert resolve_program(tofu, environment=empty, build=False).path == cached

    on_path = write_tofu(tmp_path / "bin" / "tofu", "1.11.2")
    assert resolve_program(tofu, environment=empty, build=False).path == on_path

    named = write_tofu(tmp_path / "named", "1.10.0")
    found = resolve_program(tofu, environment={**empty, "TOFU": str(named)}, build=False)
    assert (found.path, found.place) == (named, "variable")


def test_what_a_variable_names_is_binding(empty: dict[str, str], tmp_path: Path) -> None:
    write_tofu(tmp_path / "bin" / "tofu", "1.12.0")
    aged = write_tofu(tmp_path / "aged", "1.6.3")
    with pytest.raises(SetUpError, match=r"TOFU: .*/aged is tofu 1\.6\.3; tofu >= 1\.10 is needed"):
        resolve_program(PROGRAMS["tofu"], environment={**empty, "TOFU": str(aged)}, build=False)
    with pytest.raises(SetUpError, match=r"TOFU: .*/absent cannot be started: No such file"):
        resolve_program(PROGRAMS["tofu"], environment={**empty, "TOFU": str(tmp_path / "absent")}, build=False)


def test_an_unfit_program_on_path_is_passed_over_and_named(empty: dict[str, str], tmp_path: Path) -> None:
    write_tofu(tmp_path / "bin" / "tofu", "1.9.4")
    with pytest.raises(SetUpError, match=r"tofu is missing \(.*tofu 1\.9\.4; tofu >= 1\.10 is needed\)"):
        resolve_program(PROGRAMS["tofu"], environment=empty, build=False)
    cached = cached_path(PROGRAMS["tofu"], cache_directory(empty))
    assert cached is not None
    write_tofu(cached, "1.12.6")
    assert resolve_program(PROGRAMS["tofu"], environment=empty, build=False).place == "cache"


def test_an_unrelated_program_of_the_same_name_is_recognised(empty: dict[str, str], tmp_path: Path) -> None:
    write_program(tmp_path / "bin" / "tofu", "echo 'plasma physics 1.12'")
    with pytest.raises(SetUpError, match="is not tofu: it says 'plasma physics"):
        resolve_program(PROGRAMS["tofu"], environment=empty, build=False)


@pytest.mark.parametrize(
    ("name", "version", "accepted"),
    [
        ("tofu", "1.10.0", True),
        ("tofu", "1.9.4", False),
        ("tofu", "2.0.0", True),
        ("tofu-1.10", "1.10.10", True),
        ("tofu-1.10", "1.11.0", False),
        ("just", "1.59.0", True),
        ("just", "1.9.0", False),
    ],
)
def test_accepted_versions(name: str, version: str, accepted: bool) -> None:
    assert PROGRAMS[name].accepts(version) is accepted


def test_versions_compare_as_numbers() -> None:
    assert read_version("1.9.4") < read_version("1.10.0-rc1") < read_version("1.10.6")


def test_exports_are_for_a_shell(empty: dict[str, str], tmp_path: Path) -> None:
    named = write_tofu(tmp_path / "a folder" / "tofu", "1.12.6")
    environment = {**empty, "TOFU": str(named), **OUR_CODE}
    command = [sys.executable, "-m", "scripts.lib.programs", "exports", "--no-build", "tofu", "--optional=rustfs"]
    done = run(*command, environment=environment, directory=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"export TOFU='{named}'\n")


def test_a_missing_program_fails_unless_it_is_optional_or_named(empty: dict[str, str], tmp_path: Path) -> None:
    environment = {**empty, **OUR_CODE}
    command = [sys.executable, "-m", "scripts.lib.programs", "exports", "--no-build"]
    missing = run(*command, "rustfs", environment=environment, directory=tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "error: rustfs is missing: install RustFS" in missing.stderr
    wrong = {**environment, "RUSTFS": str(tmp_path / "absent")}
    named = run(*command, "--optional=rustfs", environment=wrong, directory=tmp_path)
    assert named.returncode == 1
    assert "error: RUSTFS: " in named.stderr
    unknown = run(*command, "ceph", environment=environment, directory=tmp_path)
    assert unknown.returncode == 2
    assert "no such program: ceph" in unknown.stderr


# A Go that "builds" after a moment, and counts its builds.
FAKE_GO = """case "$1" in
version) echo 'go version go1.99.0 linux/amd64' ;;
build)
  echo built >>"$GO_LOG"
  sleep 1
  while [ "$1" != -o ]; do shift; done
  printf '#!/bin/sh\\necho "Version  : v1.8.0"\\n' >"$2"
  chmod 755 "$2"
  ;;
esac"""


def test_two_runs_build_once(empty: dict[str, str], tmp_path: Path) -> None:
    go = write_program(tmp_path / "go", FAKE_GO)
    log = tmp_path / "log"
    environment = {**empty, "GO": str(go), "GO_LOG": str(log), **OUR_CODE}
    command = [sys.executable, "-m", "scripts.lib.programs", "path", "versitygw"]
    pipe = subprocess.PIPE
    runs = [
        subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) for _ in range(2)
    ]
    results = [(*process.communicate(timeout=60), process.returncode) for process in runs]
    expected = cached_path(PROGRAMS["versitygw"], tmp_path / "cache")
    assert [(out.strip(), code) for out, _, code in results] == [(str(expected), 0)] * 2
    assert log.read_text() == "built\n"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ("exit 1", r"building versitygw \S+ failed \(exit 1\)"),
        ('while [ "$1" != -o ]; do shift; done; echo unfinished >"$2"; exit 1', r"failed \(exit 1\)"),
    ],
)
def test_a_failed_build_leaves_nothing_to_be_found(
    build: str, message: str, empty: dict[str, str], tmp_path: Path
) -> None:
    go = write_program(tmp_path / "go", f'case "$1" in version) echo "go version go1.99.0 x" ;; *) {build} ;; esac')
    environment = {**empty, "GO": str(go)}
    with pytest.raises(SetUpError, match=message):
        resolve_program(PROGRAMS["versitygw"], environment=environment, build=True)
    with pytest.raises(SetUpError, match="versitygw is missing"):
        resolve_program(PROGRAMS["versitygw"], environment=environment, build=False)
    assert [path for path in (tmp_path / "cache" / "programs").rglob("*") if path.is_file()] == []


def test_a_go_that_is_named_and_unfit_is_refused(empty: dict[str, str], tmp_path: Path) -> None:
    go = write_program(tmp_path / "go", "echo 'go version go1.19.8 linux/amd64'")
    with pytest.raises(SetUpError, match=r"GO: .* is go 1\.19\.8; go >= 1\."):
        resolve_program(PROGRAMS["versitygw"], environment={**empty, "GO": str(go)}, build=True)


@pytest.mark.parametrize(
    "program", [p for p in PROGRAMS.values() if isinstance(p.origin, GoModule)], ids=lambda p: p.name
)
def test_each_module_is_pinned_and_summed(program: Program) -> None:
    assert isinstance(program.origin, GoModule)
    version = program.origin.version
    sums = (BUILD / program.origin.folder / "go.sum").read_text()
    assert f"{program.origin.module} v{version} h1:" in sums
    assert program.origin.package in program.origin.go_mod
    if program.at_least is not None:
        assert program.accepts(version)


# --- what is installed


def requirements_of(text: str) -> dict[str, str]:
    """Requirement name -> its whole entry."""
    entries = re.findall(r"^([a-z0-9][\w.-]*)(==(?:.*\\\n)*.*)$", text, re.MULTILINE)
    return dict(entries)


@pytest.mark.parametrize("name", LOCKED)
def test_everything_is_pinned_with_hashes_and_without_an_address(name: str) -> None:
    text = (TOP / name).read_text()
    requirements = requirements_of(text)
    assert requirements
    assert [name for name, entry in requirements.items() if "--hash=sha256:" not in entry] == []
    assert len(requirements) == len(re.findall(r"^[^\s#]", text, re.MULTILINE))
    assert not re.search(r"https?:|index-url|find-links| @ |^/", text, re.MULTILINE)


def test_the_demo_installs_a_subset_in_the_same_versions() -> None:
    everything, demo = (
        {name: entry.split()[0] for name, entry in requirements_of((TOP / file).read_text()).items()}
        for file in ("constraints.txt", "constraints-demo.txt")
    )
    assert demo.items() <= everything.items()
    assert "pytest" not in demo


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    runtime = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["rehearse"]]
    groups = [entry for group in project["dependency-groups"].values() for entry in group if isinstance(entry, str)]
    pins = {
        name: requirements_of((TOP / name).read_text()).keys() for name in ("constraints.txt", "constraints-demo.txt")
    }

    def names(entries: list[str]) -> set[str]:
        return {re.split(r"[\[>=<;! ]", entry, maxsplit=1)[0].lower().replace(".", "-") for entry in entries}

    assert names(runtime) <= {name.replace(".", "-") for name in pins["constraints-demo.txt"]}
    assert names(runtime + groups) <= {name.replace(".", "-") for name in pins["constraints.txt"]}


# --- the closing line


def test_the_tally_counts_errors_as_failed() -> None:
    document = """<testsuites><testsuite>
      <testcase name="a"/><testcase name="b"><failure/></testcase><testcase name="c"><error/></testcase>
      <testcase name="d"><skipped/></testcase><testcase name="e"><system-out/></testcase>
    </testsuite></testsuites>"""
    assert count_outcomes([document, document]) == (4, 4, 2)


@pytest.mark.parametrize(("case", "code"), [('<testcase name="a"/>', 0), ("", 1), ("<testcase><error/></testcase>", 1)])
def test_the_tally_fails_when_nothing_passed(case: str, code: int, tmp_path: Path, empty: dict[str, str]) -> None:
    (tmp_path / "a.xml").write_text(f"<testsuite>{case}</testsuite>")
    command = [sys.executable, "-m", "scripts.lib.tally", "a.xml"]
    done = run(*command, environment={**empty, **OUR_CODE}, directory=tmp_path)
    assert done.returncode == code
    assert re.fullmatch(r"\d passed, \d failed, \d skipped\n", done.stdout)
