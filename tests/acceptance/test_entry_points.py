"""Every way in which people and pipelines of the sample estate reach a state, run after the cut-over with a real OpenTofu:
recipes, jobs of GitLab, the workflow of GitHub, what the quick start says. None of them is given a token of GitLab.

A wrapper in front of ``tofu`` writes down the backend that each ``init`` made; it plays the commands that would change
something, and cluster tools do nothing.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.estate_lab import PROJECT, STATES, Lab, replace_setting, split_state
from tests.support.pipeline_runner import Script, read_github_steps, read_gitlab_jobs
from tests.support.programs import SEARCH_PATH, require_program
from tests.support.s3_servers import S3Server

WRAPPER = """#!/bin/sh
# init, validate and state are real; an operator's own settings would take part in the rest.
case $1 in
  init | validate | fmt)
    "$REAL_TOFU" "$@" || exit
    case " $* " in *" -backend=false "*) exit ;; esac
    [ "$1" != init ] || { cat .terraform/terraform.tfstate; printf '\\036'; } >>"$INITIALIZED" ;;
  state) "$REAL_TOFU" "$@" ;;
  output) echo https://cache.example.com ;;
  show) echo '{"resource_changes": []}' ;;
  *) : ;;
esac
"""
# Of the state names of pipelines these are none of the eight states (trap: other names than those of the recipes).
JOB_STATES = {
    "tofu:plan:review": "attic-review",
    "tofu:plan:staging": "attic-staging",
    "tofu:plan:production": "attic-production",
    "tofu:plan:drift": "attic-production",
    "tofu:apply:review": "attic-review",
    "tofu:apply:staging": "attic-staging",
    "tofu:apply:production": "attic-production",
    "tofu:apply:production:manual": "attic-production",
    "tofu:destroy:review": "attic-review",
    "tofu:destroy:staging": "attic-staging",
    "tofu:destroy:production": "attic-production",
    "runners:plan:dev": "runners-dev",
    "runners:apply:dev": "runners-dev",
}


@dataclass(frozen=True, kw_only=True)
class Estate:
    """The estate after the cut-over, and the folder of the stubs."""

    lab: Lab
    stubs: Path

    @property
    def root(self) -> Path:
        return self.lab.repository

    def run(self, script: Script) -> list[tuple[str, str]]:
        """Run a script as a runner does; return bucket and key of each backend that it initialized."""
        return self.type(["bash", "-e", "-o", "pipefail", "-c", script.text], script.directory, script.variables)

    def type(
        self, command: list[str], directory: str = "", variables: dict[str, str] | None = None
    ) -> list[tuple[str, str]]:
        log = self.stubs / "initialized"
        log.write_text("")
        own = {
            "PATH": f"{self.stubs}:{SEARCH_PATH}",
            "REAL_TOFU": str(self.lab.client),
            "INITIALIZED": str(log),
            "TOFU": str(self.stubs / "tofu"),
        }
        self.lab.run(command, credentials="target", directory=self.root / directory, variables=(variables or {}) | own)
        return [_read_backend(text) for text in log.read_text().split("\036")[:-1]]

    def where(self, state: str) -> tuple[str, str]:
        return self.lab.bucket, f"{PROJECT}/{state}/terraform.tfstate"


def _read_backend(text: str) -> tuple[str, str]:
    backend = json.loads(text)["backend"]
    assert backend["type"] == "s3"
    assert backend["config"]["use_lockfile"] is True
    return backend["config"]["bucket"], backend["config"]["key"]


@pytest.fixture(scope="module", params=["inline", "partial"])
def estate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, minio: S3Server
) -> Iterator[Estate]:
    change = (replace_setting("target.style", f'"{request.param}"'), replace_setting("proof.plan", '"off"'))
    with Lab(
        tmp_path_factory.mktemp(request.param) / "lab",
        server=minio,
        client=require_program("tofu"),
        settings=lambda text: change[1](change[0](text)),
    ) as lab:
        lab.migrate()
        stubs = lab.directory / "stubs"
        stubs.mkdir()
        for name in ("kubectl", "jq", "nix"):
            _write_program(stubs / name, "#!/bin/sh\n")
        _write_program(stubs / "yq", "#!/bin/sh\nexit 1\n")  # no organization.yaml
        _write_program(stubs / "tofu", WRAPPER)
        (stubs / "just").symlink_to(require_program("just"))
        yield Estate(lab=lab, stubs=stubs)


@pytest.fixture(autouse=True)
def _without_leftovers(estate: Estate) -> None:
    """What one entry point initialized must not help the next one."""
    for path in estate.root.glob("stacks/*/.terraform"):
        shutil.rmtree(path)


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("state", STATES)
def test_root_recipe(estate: Estate, state: str) -> None:
    stack, environment = split_state(state)
    assert estate.type(["just", f"env={environment}", "tofu-init", stack]) == [estate.where(state)]
    assert estate.type(["just", "tofu-init", stack], variables={"ENV": environment}) == [estate.where(state)]


@pytest.mark.parametrize("state", [one for one in STATES if not one.startswith("arc-runners")])
def test_recipe_of_the_stack(estate: Estate, state: str) -> None:
    stack, environment = split_state(state)
    assert estate.type(["just", f"env={environment}", "init"], f"stacks/{stack}") == [estate.where(state)]


@pytest.mark.parametrize(
    ("recipe", "stack"),
    [
        ("init-attic", "attic"),
        ("init-runners", "gitlab-runners"),
        ("init-dashboard", "runner-dashboard"),
        ("init-arc", "arc-runners"),
        ("attic-init", "attic"),
        ("runners-init", "gitlab-runners"),
        ("dashboard-init", "runner-dashboard"),
    ],
)
def test_shortcut(estate: Estate, recipe: str, stack: str) -> None:
    assert estate.type(["just", "env=prod", recipe]) == [estate.where(f"{stack}-prod")]


def test_jobs_of_gitlab(estate: Estate) -> None:
    """Each job that reaches a state reaches the one that it names; the others reach none."""
    predefined = {
        "CI": "true",
        "CI_API_V4_URL": "https://gitlab.example.com/api/v4",
        "CI_PROJECT_ID": "84",
        "CI_JOB_TOKEN": "job-token",
        "CI_PROJECT_DIR": str(estate.root),
        "KUBE_CONFIG_B64": "e30=",
        "CONFIRM_DESTROY": "production",
        "S3_ACCESS_KEY_ID": "of-the-cache",
        "S3_SECRET_ACCESS_KEY": "of-the-cache",
        "CACHE_URL": "https://cache.example.com",
    }
    jobs = {job.name: job for job in read_gitlab_jobs(estate.root, predefined)}
    reached = {}
    for name, job in jobs.items():
        if "tofu " in job.text:
            for path in estate.root.glob("stacks/*/.terraform"):
                shutil.rmtree(path)
            reached[name] = estate.run(job)
    assert {name for name, found in reached.items() if not found} == {
        "tofu:fmt", "tofu:validate:attic", "tofu:validate:others arc-runners", "tofu:validate:others gitlab-runners",
        "tofu:validate:others runner-dashboard",
    }  # fmt: skip
    assert {name: found for name, found in reached.items() if found} == {
        name: [estate.where(state)] for name, state in JOB_STATES.items()
    }


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_workflow_of_github(estate: Estate, environment: str) -> None:
    secrets = {"AWS_ACCESS_KEY_ID": estate.lab.server.access_key, "AWS_SECRET_ACCESS_KEY": estate.lab.server.secret_key}
    secrets |= {"FSN1_CLUSTER_CA": "", "FSN1_CLUSTER_TOKEN": ""}
    path = estate.root / ".github/workflows/deploy-arc-runners.yml"
    seen = []
    for job, steps in read_github_steps(path, inputs={"environment": environment}, secrets=secrets):
        for step in steps:
            found = estate.run(step)
            seen += [(job, one) for one in found]
    where = estate.where(f"arc-runners-{environment}")
    assert seen == [("plan", where), ("apply", where)]


def test_quick_start(estate: Estate) -> None:
    """The commands of the page, typed one block after the other; only the access key is a person's own."""
    text = (estate.root / "docs/infrastructure/quick-start.md").read_text()
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert not any("TF_HTTP" in block or "gitlab" in block.lower().replace("gitlab-runners", "") for block in blocks)
    found = [one for block in blocks if "init" in block for one in estate.run(_type_block(block))]
    assert found == [
        *(estate.where(f"{stack}-dev") for stack in ("attic", "gitlab-runners", "runner-dashboard", "arc-runners")),
        estate.where("attic-prod"),
        estate.where("attic-dev"),
    ]


def _type_block(block: str) -> Script:
    """A person puts his own key where the page shows dots."""
    kept = [line for line in block.splitlines() if '="..."' not in line]
    return Script(name="quick start", text="\n".join(kept), variables={})
