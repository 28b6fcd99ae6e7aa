"""The sample estate is a repository that real programs accept, and its recorded states are what its stacks describe."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from migrator.errors import ConfigurationError
from migrator.rehearsal.estate import assemble_sample_estate, recorded_states, sample_root
from migrator.settings import Binding, read_settings

STACKS = ("arc-runners", "attic", "gitlab-runners", "runner-dashboard")
TOKEN = "glpat-invented-for-the-estate"
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def program(*names: str, variable: str | None = None) -> str:
    """The first of the programs that is installed; a missing one is a failure, never a skip."""
    if variable and (named := os.environ.get(variable)):
        return named
    for name in names:
        if found := shutil.which(name, path=SEARCH_PATH):
            return found
    return pytest.fail(f"none of {', '.join(names)} is installed")


@pytest.fixture(scope="module")
def tofu() -> str:
    return program("tofu", "terraform", variable="TOFU")


@pytest.fixture(scope="module")
def environment(tofu: str) -> dict[str, str]:
    """What every program gets: nothing of the machine but PATH."""
    return {"PATH": SEARCH_PATH, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "TOFU": tofu}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The estate as assembled; no test writes into it."""
    directory = tmp_path_factory.mktemp("pristine") / "infra"
    assemble_sample_estate(directory)
    return directory


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    directory = tmp_path / "infra"
    assemble_sample_estate(directory)
    return directory


def bindings() -> dict[str, Binding]:
    settings = read_settings(sample_root() / "fixtures" / "estate.toml", {})
    return {binding.name: binding for binding in settings.state}


def run(command: list[str], directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def succeed(command: list[str], directory: Path, environment: dict[str, str]) -> str:
    done = run(command, directory, environment)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def git(directory: Path, *arguments: str) -> str:
    return succeed(["git", *arguments], directory, {"PATH": SEARCH_PATH, "GIT_CONFIG_GLOBAL": os.devnull})


# --- assembly ---------------------------------------------------------------------------------------------------------


def test_assembling_twice_gives_the_same_commit_whatever_the_user_has_configured(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ignore").write_text("*.md\nJustfile\n")
    (tmp_path / ".gitconfig").write_text(
        f"[user]\n\tname = Somebody\n[core]\n\texcludesFile = {tmp_path}/ignore\n[commit]\n\tgpgSign = true\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assemble_sample_estate(tmp_path / "again")
    monkeypatch.undo()
    commits = [git(directory, "rev-parse", "HEAD") for directory in (pristine, tmp_path / "again")]
    assert commits[0] == commits[1]
    assert git(pristine, "log", "--format=%an %aI %s").count("\n") == 1
    assert git(pristine, "branch", "--show-current").strip() == "main"


def test_everything_of_the_sample_is_committed(pristine: Path) -> None:
    assert git(pristine, "status", "--porcelain", "--ignored") == ""
    tracked = set(git(pristine, "ls-files").splitlines())
    assert {
        ".env.example", ".envrc", ".gitignore", ".gitlab-ci.yml", "Justfile", "config/organization.example.yaml",
        ".github/workflows/deploy-arc-runners.yml", "docs/infrastructure/quick-start.md",
        *(f"stacks/{stack}/backend.tf" for stack in STACKS),
    } <= tracked  # fmt: skip
    assert 90 <= len(tracked) <= 140
    assert "config/organization.yaml" not in tracked
    assert "stacks/arc-runners/Justfile" not in tracked
    for script in (path for path in tracked if path.startswith("scripts/")):
        assert (pristine / script).stat().st_mode & stat.S_IXUSR, script


@pytest.mark.parametrize("occupant", ["file", "directory"])
def test_an_occupied_destination_is_refused_and_left_alone(tmp_path: Path, occupant: str) -> None:
    destination = tmp_path / "infra"
    if occupant == "file":
        destination.write_text("mine")
    else:
        destination.mkdir()
        (destination / "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigurationError, match="empty directory"):
        assemble_sample_estate(destination)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_two_shapes_of_backend_are_there(pristine: Path) -> None:
    texts = {stack: (pristine / "stacks" / stack / "backend.tf").read_bytes() for stack in STACKS}
    assert texts["gitlab-runners"] == texts["runner-dashboard"] != texts["arc-runners"]
    assert {stack: text.count(b"\n") for stack, text in texts.items()} == {
        "arc-runners": 8,
        "attic": 43,
        "gitlab-runners": 8,
        "runner-dashboard": 8,
    }


# --- the answer sheet -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    path: str
    first: int
    last: int
    kind: str
    disposition: str
    note: str


def answers() -> list[Answer]:
    """The rows of fixtures/estate-references.md."""
    rows = []
    sheet = sample_root() / "fixtures" / "estate-references.md"
    for line in sheet.read_text("utf-8").splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in line.strip("|").split(" | ")]
        if len(cells) != 5 or not cells[0].startswith("`"):
            continue
        first, _, last = cells[1].partition("-")
        rows.append(Answer(cells[0].strip("`"), int(first), int(last or first), cells[2], cells[3], cells[4]))
    return rows


def test_every_answer_names_lines_that_exist(pristine: Path) -> None:
    assert len(answers()) > 150
    for answer in answers():
        lines = (pristine / answer.path).read_text("utf-8").splitlines()
        assert 1 <= answer.first <= answer.last <= len(lines), answer
        assert answer.disposition in {"rewrite", "report", "keep"}, answer
        assert any(line.strip() for line in lines[answer.first - 1 : answer.last]), answer
        assert answer.note, answer


def test_answers_of_different_dispositions_do_not_overlap() -> None:
    claimed: dict[tuple[str, int], Answer] = {}
    for answer in answers():
        for number in range(answer.first, answer.last + 1):
            other = claimed.setdefault((answer.path, number), answer)
            assert other is answer, f"{other} and {answer}"


def test_every_line_that_speaks_of_the_source_has_an_answer(pristine: Path) -> None:
    markers = (
        "TF_HTTP_",
        "terraform/state",
        "-backend-config",
        'backend "http"',
        "TF_STATE_NAME",
        "STATE_NAME",
        "-backend=false",
    )
    claimed = {(answer.path, number) for answer in answers() for number in range(answer.first, answer.last + 1)}
    missing = []
    for path in git(pristine, "ls-files").splitlines():
        for number, line in enumerate((pristine / path).read_text("utf-8").splitlines(), 1):
            if any(marker in line for marker in markers) and (path, number) not in claimed:
                missing.append(f"{path}:{number}: {line.strip()}")
    assert missing == []


# --- real programs accept it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", [".", "stacks/attic", "stacks/gitlab-runners", "stacks/runner-dashboard"])
def test_just_reads_every_justfile(pristine: Path, environment: dict[str, str], directory: str) -> None:
    just = program("just")
    dump = json.loads(succeed([just, "--dump", "--dump-format", "json"], pristine / directory, environment))
    assert ("tofu-init" if directory == "." else "init") in dump["recipes"]
    # Load and evaluation need neither yq nor glab.
    bare = {"PATH": f"{Path(just).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    assert succeed([just, "--evaluate", "gitlab_project"], pristine / directory, bare) in {"84", "YOUR_PROJECT_ID"}


def test_just_takes_the_coordinates_from_the_environment(pristine: Path, environment: dict[str, str]) -> None:
    just = program("just")
    named = {**environment, "GITLAB_API_URL": "http://127.0.0.1:1/api/v4", "GITLAB_PROJECT_ID": "7"}
    assert succeed([just, "--evaluate", "gitlab_api"], pristine, named) == "http://127.0.0.1:1/api/v4"
    assert succeed([just, "--evaluate", "gitlab_project"], pristine, named) == "7"


def test_every_yaml_file_parses(pristine: Path) -> None:
    paths = [path for path in git(pristine, "ls-files").splitlines() if path.endswith((".yml", ".yaml"))]
    assert len(paths) > 20
    for path in paths:
        documents = list(yaml.compose_all((pristine / path).read_text("utf-8"), yaml.SafeLoader))
        assert documents, path


def test_every_relative_link_of_the_documentation_leads_somewhere(pristine: Path, environment: dict[str, str]) -> None:
    succeed(["./scripts/check-links.sh", "docs", "README.md", "CONTRIBUTING.md"], pristine, environment)


def test_shellcheck_finds_nothing_in_the_scripts(pristine: Path, environment: dict[str, str]) -> None:
    scripts = [path for path in git(pristine, "ls-files").splitlines() if path.endswith(".sh")]
    succeed([program("shellcheck"), *scripts, ".envrc"], pristine, environment)


@pytest.mark.acceptance
def test_hcl_is_formatted(pristine: Path, tofu: str, environment: dict[str, str]) -> None:
    assert succeed([tofu, "fmt", "-check", "-recursive", "stacks", "modules"], pristine, environment) == ""


# --- recorded states --------------------------------------------------------------------------------------------------


def test_recorded_states_are_the_bound_ones_in_the_order_of_their_serials() -> None:
    recorded = recorded_states(sample_root() / "fixtures" / "states")
    assert set(recorded) == set(bindings()) == {f"{stack}-{name}" for stack in STACKS for name in ("dev", "prod")}
    assert any(len(versions) > 1 for versions in recorded.values())
    lineages = set()
    for versions in recorded.values():
        documents = [json.loads(version.path.read_bytes()) for version in versions]
        serials = [document["serial"] for document in documents]
        assert serials == [version.serial for version in versions] == sorted(set(serials))
        assert len({document["lineage"] for document in documents}) == 1
        lineages.add(documents[0]["lineage"])
    assert len(lineages) == len(recorded)


def test_recorded_states_may_have_names_that_no_directory_has(tmp_path: Path) -> None:
    for name in ("team%2Fnetwork/10.tfstate", "team%2Fnetwork/9.tfstate", "notes/readme.tfstate", "empty/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    recorded = recorded_states(tmp_path)
    assert {name: [version.serial for version in versions] for name, versions in recorded.items()} == {
        "team/network": [9, 10]
    }
    with pytest.raises(ConfigurationError, match="recorded states"):
        recorded_states(tmp_path / "absent")


def offline_stack(estate: Path, stack: str, state: bytes | None) -> Path:
    """The stack with its state in a file beside it instead of in a backend."""
    directory = estate / "stacks" / stack
    (directory / "backend.tf").unlink()
    if state is not None:
        (directory / "terraform.tfstate").write_bytes(state)
    return directory


def var_files(binding: Binding) -> list[str]:
    return [f"-var-file={name}" for name in binding.var_files]


@pytest.mark.acceptance
@pytest.mark.parametrize("name", sorted(bindings()))
def test_a_plan_against_a_recorded_state_is_empty(
    estate: Path, tofu: str, environment: dict[str, str], name: str
) -> None:
    binding = bindings()[name]
    latest = recorded_states(sample_root() / "fixtures" / "states")[name][-1]
    directory = offline_stack(estate, binding.stack, latest.path.read_bytes())
    succeed([tofu, "init", "-input=false"], directory, environment)
    succeed([tofu, "plan", "-input=false", "-detailed-exitcode", *var_files(binding)], directory, environment)
    # ... and it is this state that makes it empty: without it everything would be created.
    (directory / "terraform.tfstate").unlink()
    planned = run([tofu, "plan", "-input=false", "-detailed-exitcode", *var_files(binding)], directory, environment)
    assert planned.returncode == 2


@pytest.mark.acceptance
def test_a_stack_applies_offline(estate: Path, tofu: str, environment: dict[str, str]) -> None:
    directory = offline_stack(estate, "attic", None)
    succeed([tofu, "init", "-input=false"], directory, environment)
    succeed([tofu, "apply", "-input=false", "-auto-approve"], directory, environment)
    outputs = json.loads(succeed([tofu, "output", "-json"], directory, environment))
    assert outputs["token_secret"]["sensitive"] is True
    assert outputs["retention_note"]["value"] == "<30 d & unpinned> → collected"
    assert not (directory / ".terraform.lock.hcl").exists(), "a provider was needed"


@pytest.mark.acceptance
def test_the_encrypted_state_opens_with_its_passphrase_only(
    estate: Path, tofu: str, environment: dict[str, str]
) -> None:
    states = sample_root() / "fixtures" / "states"
    document = (states / "encrypted" / "attic-encrypted.tfstate").read_bytes()
    assert {"serial", "lineage", "encrypted_data"} <= json.loads(document).keys()
    if "OpenTofu" not in succeed([tofu, "version"], estate, environment):
        pytest.fail("state encryption needs OpenTofu, not Terraform: set TOFU")
    recipe: dict[str, object] = {"__name__": "record", "__file__": str(states / "record.py")}
    exec(compile((states / "record.py").read_text("utf-8"), "record.py", "exec"), recipe)  # noqa: S102
    directory = offline_stack(estate, "attic", document)
    keyed = {**environment, "TF_ENCRYPTION": str(recipe["ENCRYPTION"])}
    succeed([tofu, "init", "-input=false"], directory, keyed)
    succeed([tofu, "plan", "-input=false", "-detailed-exitcode"], directory, keyed)
    assert run([tofu, "plan", "-input=false"], directory, environment).returncode == 1


# --- against the stand-in ---------------------------------------------------------------------------------------------


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[str]:
    """A GitLab with the recorded states; the address of its API."""
    states = recorded_states(sample_root() / "fixtures" / "states")
    configuration = tmp_path / "gitlab.json"
    configuration.write_text(
        json.dumps(
            {
                "format": "gitlab-standin/1",
                "projects": [{"id": 84, "path": "acme/infra"}],
                "tokens": [
                    {"value": TOKEN, "kind": "pat", "user": "maint", "scopes": ["api"], "roles": {"84": "maintainer"}}
                ],
                "states": [
                    {
                        "project": 84,
                        "name": name,
                        "versions": [{"text": version.path.read_text("utf-8")} for version in versions],
                    }
                    for name, versions in states.items()
                ],
            }
        )
    )
    command = [sys.executable, "-m", "migrator.standin", "--config", str(configuration), "--port", "0"]
    home = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line.startswith("listening on "), line
            yield line.removeprefix("listening on ").strip() + "/api/v4"
        finally:
            server.terminate()
            server.wait(timeout=10)


@pytest.fixture
def workstation(environment: dict[str, str], gitlab: str) -> dict[str, str]:
    return {**environment, "GITLAB_API_URL": gitlab, "GITLAB_PROJECT_ID": "84", "TF_HTTP_PASSWORD": TOKEN}


@pytest.mark.acceptance
@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_root_recipes_really_run_for_every_stack(estate: Path, workstation: dict[str, str], name: str) -> None:
    just = program("just")
    for stack in STACKS:
        initialized = succeed([just, f"env={name}", "tofu-init", stack], estate, workstation)
        assert f"{stack}-{name}" in initialized
        assert "No changes." in succeed([just, f"env={name}", "tofu-plan", stack], estate, workstation)
        assert "terraform_data." in succeed([just, "tofu-state", stack], estate, workstation)


@pytest.mark.acceptance
def test_the_stack_recipes_really_run(estate: Path, workstation: dict[str, str]) -> None:
    just = program("just")
    for stack in ("attic", "gitlab-runners", "runner-dashboard"):
        directory = estate / "stacks" / stack
        succeed([just, "init"], directory, workstation)
        assert "No changes." in succeed([just, "plan"], directory, workstation)
    for recipe in ("attic-init", "runners-init", "dashboard-init"):
        succeed([just, "env=prod", recipe], estate, workstation)
    assert "No changes." in succeed([just, "env=prod", "runners-plan"], estate, workstation)


@pytest.mark.acceptance
def test_the_checks_for_credentials_are_hard_in_one_stack_and_soft_elsewhere(
    estate: Path, workstation: dict[str, str]
) -> None:
    just = program("just")
    without = {name: value for name, value in workstation.items() if name != "TF_HTTP_PASSWORD"}
    hard = run([just, "init"], estate / "stacks" / "gitlab-runners", without)
    assert "TF_HTTP_PASSWORD is required" in hard.stderr
    assert "Initializing the backend" not in hard.stdout
    soft = run([just, "init"], estate / "stacks" / "attic", without)
    assert "warning: TF_HTTP_PASSWORD" in soft.stdout
    assert "Initializing the backend" in soft.stdout


@pytest.mark.acceptance
def test_an_apply_and_its_script_read_and_write_the_state(estate: Path, workstation: dict[str, str]) -> None:
    just = program("just")
    variables = estate / "stacks" / "runner-dashboard" / "dev.tfvars"
    variables.write_text('title = "changed"\n')
    succeed([just, "tofu-init", "runner-dashboard"], estate, workstation)
    succeed([just, "tofu-plan", "runner-dashboard"], estate, workstation)
    succeed([just, "tofu-apply", "runner-dashboard"], estate, workstation)
    assert "changed" in succeed([just, "tofu-output", "runner-dashboard", "title"], estate, workstation)
    project = succeed(["./scripts/runner-project-info.sh"], estate, workstation)
    assert project.startswith("project 84 at http://127.0.0.1:")
