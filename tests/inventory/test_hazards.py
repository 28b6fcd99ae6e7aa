"""Each hazard found where it is, and not found where it is not."""

import pytest

from migrator.inventory.discover import discover_inventory
from migrator.inventory.hazard_versions import admits_old_client
from migrator.inventory.hazards import CATALOGUE
from tests.inventory.conftest import MakeTree

BACKEND = 'terraform {\n  backend "http" {}\n}\n'
ADDRESS = "https://gitlab.example.com/api/v4/projects/1/terraform/state"
VARIABLES = f"  variables:\n    TF_HTTP_ADDRESS: {ADDRESS}/attic-dev\n"


def hazards(make_tree: MakeTree, files: dict[str, str], code: str) -> list[str]:
    inventory = discover_inventory(make_tree({"stacks/attic/backend.tf": BACKEND, **files}))
    assert {hazard.code for hazard in inventory.hazards} <= {kind.code for kind in CATALOGUE}
    return [str(hazard.place) for hazard in inventory.hazards if hazard.code == code]


def test_codes_are_unique():
    assert len({kind.code for kind in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize(
    ("script", "places"),
    [
        ('if [ -z "$(tofu state list 2>/dev/null)" ]; then\n  if true; then :; fi\n  rm -rf x\nfi\n', ["run.sh:1-4"]),
        ("if ! tofu state list | grep -q .; then\n  wipe\nfi\n", ["run.sh:1-3"]),
        ('FOUND="$(tofu state list || true)"\necho\nif [[ -z $FOUND ]]; then\n  wipe\nfi\n', ["run.sh:1"]),
        ('FOUND=$(tofu state list)\nif [ "$FOUND" = "" ]; then\n  wipe\nfi\n', ["run.sh:2-4"]),
        ("tofu state list || wipe\n", ["run.sh:1"]),
        ("tofu state list\ntofu state list || exit 1\n# if tofu state list; then\n", []),
    ],
)
def test_empty_state_branch(make_tree: MakeTree, script: str, places: list[str]):
    assert hazards(make_tree, {"run.sh": script}, "empty-state-branch") == places


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("stacks/attic/main.tf", 'terraform {\n  required_version = ">= 1.6.0"\n}\n', ["stacks/attic/main.tf:2"]),
        ("stacks/attic/main.tf", 'terraform {\n  required_version = "~> 1.10"\n}\n', []),
        ("modules/x/main.tf", 'terraform {\n  required_version = ">= 1.6.0"\n}\n', []),
        (".github/workflows/a.yml", "env:\n  TOFU_VERSION: 1.8.8\n", [".github/workflows/a.yml:2"]),
        (".github/workflows/a.yml", "env:\n  TOFU_VERSION: 1.10.2\n", []),
        (".gitlab-ci.yml", "a:\n  image: registry/acme/tofu:1.8.8\n  script: [x]\n", [".gitlab-ci.yml:2"]),
        (".gitlab-ci.yml", "a:\n  image: registry/acme/tofu:latest\n  script: [x]\n", [".gitlab-ci.yml:2"]),
        (".tool-versions", "opentofu 1.9.0\n", [".tool-versions:1"]),
        (".opentofu-version", "1.9.0\n", [".opentofu-version:1"]),
        ("flake.nix", 'x = "github:NixOS/nixpkgs/nixos-24.11";\npackages = [ opentofu ];\n', ["flake.nix:1"]),
        ("flake.nix", 'x = "github:NixOS/nixpkgs/nixos-25.11";\npackages = [ opentofu ];\n', []),
        ("docs/a.md", "OpenTofu 1.6 or later\n", ["docs/a.md:1"]),
        ("docs/a.md", "OpenTofu 1.10 or later\n", []),
    ],
)
def test_old_clients(make_tree: MakeTree, path: str, text: str, expected: list[str]):
    assert hazards(make_tree, {path: text}, "lockfile-needs-opentofu-1.10") == expected


@pytest.mark.parametrize(
    ("constraint", "admits"),
    [
        (">= 1.6.0", True),
        (">= 1.10", False),
        ("~> 1.9", True),
        ("~> 1.11.0", False),
        ("= 1.8.8", True),
        ("1.10.0", False),
        (">= 1.6, < 2.0", True),
        (">= 1.10, < 2.0", False),
        ("< 2.0", True),
        (">= 2", False),
    ],
)
def test_constraints(constraint: str, *, admits: bool):
    assert admits_old_client(constraint) is admits


CROSSED = """\
.base:
  artifacts:
    paths: [stacks/attic/.terraform/, stacks/attic/tfplan]
  script:
    - cd stacks/attic
    - tofu init
    - tofu plan -out tfplan
plan:staging:
  extends: .base
  variables: {TF_STATE_NAME: attic-staging}
apply:
  variables: {TF_STATE_NAME: attic-@STATE@}
  needs: [{job: "plan:staging", artifacts: @FLAG@}]
  script:
    - cd stacks/attic
    - tofu init
    - tofu apply tfplan
"""


@pytest.mark.parametrize(
    ("state", "flag", "expected"),
    [("production", "true", [".gitlab-ci.yml:11"]), ("staging", "true", []), ("production", "false", [])],
)
def test_crossed_states(make_tree: MakeTree, state: str, flag: str, expected: list[str]):
    pipeline = CROSSED.replace("@STATE@", state).replace("@FLAG@", flag)
    assert hazards(make_tree, {".gitlab-ci.yml": pipeline}, "crossed-states") == expected


def test_published_settings_and_a_pipeline_that_inherits_them(make_tree: MakeTree):
    pipeline = CROSSED.replace("@STATE@", "staging").replace("@FLAG@", "true")
    assert hazards(make_tree, {".gitlab-ci.yml": pipeline}, "credentials-saved-in-plan-artifact") == [
        ".gitlab-ci.yml:3"
    ]


def test_a_plan_is_published_after_an_init_with_a_password_flag(make_tree: MakeTree):
    pipeline = (
        "plan:\n  script:\n    - cd stacks/attic\n"
        f"    - tofu init -backend-config=address={ADDRESS}/x -backend-config=password=$P\n"
        "    - tofu plan -out=tfplan\n  artifacts:\n    paths:\n      - stacks/attic/tfplan\n"
    )
    assert hazards(make_tree, {".gitlab-ci.yml": pipeline}, "credentials-saved-in-plan-artifact") == [
        ".gitlab-ci.yml:8"
    ]
    without = pipeline.replace(" -backend-config=password=$P", "")
    assert hazards(make_tree, {".gitlab-ci.yml": without}, "credentials-saved-in-plan-artifact") == []


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("  rules:\n    - if: $CI_PIPELINE_SOURCE == 'merge_request_event'\n", [".gitlab-ci.yml:7-8"]),
        ("  rules:\n    - if: $CI_COMMIT_TAG\n      when: manual\n", []),
        ("  rules:\n    - if: $CI_PIPELINE_SOURCE == 'schedule'\n", []),
        ("  when: manual\n", []),
        ("", [".gitlab-ci.yml:1"]),
    ],
)
def test_merge_is_cut_over(make_tree: MakeTree, rules: str, expected: list[str]):
    pipeline = (
        f"apply:\n{VARIABLES}  script:\n    - cd stacks/attic && tofu init\n    - tofu apply -auto-approve\n{rules}"
    )
    assert hazards(make_tree, {".gitlab-ci.yml": pipeline}, "merge-is-cut-over") == expected


def test_old_pipelines_and_stale_variables(make_tree: MakeTree):
    pipeline = (
        "apply:\n  script:\n    - cd stacks/attic\n    - tofu init\n  when: manual\n"
        "  environment:\n    name: x\n    on_stop: stop\n"
    )
    files = {".gitlab-ci.yml": pipeline}
    assert hazards(make_tree, files, "old-pipelines-stay-armed") == [".gitlab-ci.yml:6-8"]
    assert hazards(make_tree, files, "stale-ci-variables") == [".gitlab-ci.yml:4"]
    known = {".gitlab-ci.yml": pipeline.replace("  script:", f"{VARIABLES}  script:")}
    assert hazards(make_tree, known, "stale-ci-variables") == []


def test_project_scope(make_tree: MakeTree):
    address = "$CI_API_V4_URL/projects/$CI_PROJECT_ID/terraform/state/attic-dev"
    script = f"cd stacks/attic\ntofu init -backend-config=address={address}\n"
    assert hazards(make_tree, {"run.sh": script}, "project-scope-lost") == ["run.sh:2"]
    fixed = script.replace("$CI_PROJECT_ID", "84")
    assert hazards(make_tree, {"run.sh": fixed}, "project-scope-lost") == []


def test_storage_that_a_stack_creates(make_tree: MakeTree):
    text = 'module "store" {\n  source = "../../modules/minio-tenant"\n}\n'
    assert hazards(make_tree, {"stacks/attic/s.tf": text}, "state-stored-in-what-it-destroys") == [
        "stacks/attic/s.tf:1-3"
    ]
    assert (
        hazards(make_tree, {"stacks/attic/s.tf": "", "modules/m/s.tf": text}, "state-stored-in-what-it-destroys") == []
    )


def test_no_hazards_without_a_stack_in_gitlab(make_tree: MakeTree):
    files = {"stacks/attic/backend.tf": 'terraform {\n  required_version = ">= 1.6"\n  backend "s3" {}\n}\n'}
    assert discover_inventory(make_tree(files)).hazards == ()


def test_reconfigure_and_the_password_that_init_saved(make_tree: MakeTree):
    init = f"cd stacks/attic\ntofu init -reconfigure \\\n  -backend-config=address={ADDRESS}/a \\\n  -backend-config=password=$P\n"
    files = {"init.sh": init, "token.sh": "cd stacks/attic\n# tofu output\ntofu output -raw x\n", "c.sh": "tofu fmt\n"}
    assert hazards(make_tree, files, "reconfigure-skips-migration") == ["init.sh:3-4"]
    assert hazards(make_tree, files, "credentials-needed-everywhere") == ["token.sh:3"]
    without = {**files, "init.sh": init.replace("password", "username").replace("-reconfigure", "-input=false")}
    assert hazards(make_tree, without, "reconfigure-skips-migration") == []
    assert hazards(make_tree, without, "credentials-needed-everywhere") == []


def test_a_moving_upstream(make_tree: MakeTree):
    text = 'variables:\n  UPSTREAM_REF: "main"\n'
    assert hazards(make_tree, {"docs/overlay.yml": text}, "overlay-follows-upstream") == ["docs/overlay.yml:2"]
    assert hazards(make_tree, {"docs/overlay.yml": text.replace("main", "v1")}, "overlay-follows-upstream") == []
